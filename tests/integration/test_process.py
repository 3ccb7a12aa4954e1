"""Facts of the serving process: what it has loaded, what it holds, what it leaves behind."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream

# Compiled modules and libraries that must not be in the process: each is memory that nothing uses.
FOREIGN = re.compile(r"pydantic|psycopg|asyncpg|redis|numpy|argon2|cryptography|httptools|grpc|jiter|libpython.*tk")


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream)) as running:
        yield running


def maps(gateway: Gateway) -> set[str]:
    lines = Path(f"/proc/{gateway.pid}/maps").read_text().splitlines()
    return {line.split(None, 5)[5] for line in lines if len(line.split(None, 5)) == 6 and "/" in line}


def test_it_has_loaded_what_it_uses_and_no_more(gateway: Gateway) -> None:
    assert ask(gateway, CHAT, stream=False).status == 200
    libraries = {Path(path).name for path in maps(gateway) if ".so" in path}
    assert any(name.startswith("_native") for name in libraries)
    assert not [name for name in libraries if FOREIGN.search(name)]
    assert len([name for name in libraries if re.search(r"^lib(ssl|crypto)", name)]) <= 2


def test_it_stays_small(gateway: Gateway) -> None:
    for _ in range(200):
        assert ask(gateway, CHAT, stream=False).status == 200
    text = Path(f"/proc/{gateway.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    # The budget is 32 MB for a release build; a debug build is given room.
    assert int(found[1]) < 64 * 1024


def test_its_threads_have_names(gateway: Gateway) -> None:
    names = {(task / "comm").read_text().strip() for task in Path(f"/proc/{gateway.pid}/task").iterdir()}
    assert len(names) > 1
    assert all(names)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has it")
def test_who_writes_the_journal_interrupts_no_request(gateway: Gateway) -> None:
    tasks = Path(f"/proc/{gateway.pid}/task").iterdir()
    policies = {(task / "comm").read_text().strip(): os.sched_getscheduler(int(task.name)) for task in tasks}
    assert policies["penstock-journa"] == os.SCHED_BATCH
    assert policies["penstock-0"] == os.SCHED_OTHER


def test_it_leaves_its_data_dir_in_order(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        assert ask(gateway, CHAT, stream=False).status == 200
    left = {path.name for path in (tmp_path / "data").iterdir()}
    assert left == {
        *("admin.token", "digest.key", "keys.sqlite", "penstock.sqlite", "journal"),
        *("limits", "limits.lock"),
    }
    (instance,) = (tmp_path / "data/journal").iterdir()
    assert {path.name for path in instance.iterdir()} == {"lock", "committed", "0000000001.segment"}


def test_a_process_that_recorded_nothing_leaves_no_journal(upstream: Upstream, tmp_path: Path) -> None:
    with Gateway(tmp_path, config_of(upstream)):
        pass
    assert not list((tmp_path / "data/journal").iterdir())
