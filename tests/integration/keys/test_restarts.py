"""What a node keeps in `data_dir`: a restart verifies nothing again, and damage costs one more check of each secret."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, run
from tests.support.office import Made, Office, use, verdict
from tests.support.raw import get
from tests.support.upstream import Upstream
from tests.support.wait import until

from .conftest import config

COUNT = 4


def verified(gateway: Gateway) -> float:
    """Secrets that the process has had to check since it started: each was a question."""
    return gateway.metrics().value("penstock_questions_total", kind="verify")


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, config(upstream)) as running:
        yield running


@pytest.fixture
def keys(gateway: Gateway) -> list[Made]:
    """Keys that were shown and checked, and are kept as such."""
    office = Office(gateway)
    made = [office.make(f"app-{number}") for number in range(COUNT)]
    assert {verdict(gateway, key) for key in made} == {"ok"}
    return made


def cached(gateway: Gateway) -> Path:
    return gateway.data_dir / "keys.sqlite"


def test_a_restart_verifies_nothing_again(gateway: Gateway, keys: list[Made]) -> None:
    for _ in range(2):
        gateway.stop()
        gateway.start()
        assert {verdict(gateway, key) for key in keys} == {"ok"}
        wrong = f"{keys[0].text[:-1]}_"
        assert verdict(gateway, wrong) == "invalid_api_key"
        assert verified(gateway) == 0
        assert gateway.metrics().value("penstock_auth_total", result="known") == COUNT


def test_a_kill_verifies_nothing_again_that_was_kept(gateway: Gateway, keys: list[Made]) -> None:
    until(lambda: learnt(gateway) == COUNT, "every digest is kept")
    gateway.kill()
    gateway.start()
    assert {verdict(gateway, key) for key in keys} == {"ok"}
    assert verified(gateway) == 0


def test_a_new_digest_key_costs_one_check_of_each_secret(gateway: Gateway, keys: list[Made]) -> None:
    gateway.stop()
    before = (gateway.data_dir / "digest.key").read_bytes()
    (gateway.data_dir / "digest.key").unlink()
    gateway.start()
    assert (gateway.data_dir / "digest.key").read_bytes() != before
    for _ in range(2):
        assert {verdict(gateway, key) for key in keys} == {"ok"}
        assert verified(gateway) == COUNT


@pytest.mark.parametrize("damage", ["noise", "cut", "empty", "gone", "not a database", "a page"])
def test_damaged_memory_of_keys_is_survived(gateway: Gateway, keys: list[Made], damage: str) -> None:
    gateway.stop()
    file = cached(gateway)
    for left in file.parent.glob("keys.sqlite-*"):
        left.unlink()
    whole = file.read_bytes()
    match damage:
        case "noise":
            file.write_bytes(os.urandom(len(whole)))
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
        case "not a database":
            file.write_text("hello\n" * 100)
        case "a page":
            file.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    gateway.start()
    assert {verdict(gateway, key) for key in keys} == {"ok"}
    office = Office(gateway)
    office.disable(keys[0])
    assert verdict(gateway, keys[0]) == "key_disabled"
    gateway.stop()
    gateway.start()
    assert {verdict(gateway, key) for key in keys[1:]} == {"ok"}
    assert verdict(gateway, keys[0]) == "key_disabled"
    assert verified(gateway) == 0


def test_what_it_keeps_is_its_owners_alone_and_holds_no_secret(gateway: Gateway, keys: list[Made]) -> None:
    for name in ("digest.key", "keys.sqlite", "penstock.sqlite", "admin.token"):
        assert stat.S_IMODE((gateway.data_dir / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(gateway.data_dir.stat().st_mode) == 0o700
    gateway.stop()
    for file in gateway.data_dir.rglob("*"):
        if file.is_file():
            kept = file.read_bytes()
            assert not [key for key in keys if key.text.rsplit("-", 1)[-1].encode() in kept], file
    assert b"argon2id" not in cached(gateway).read_bytes()


def test_last_used_times_are_written_when_the_process_stops(gateway: Gateway, keys: list[Made]) -> None:
    office = Office(gateway)
    unused = office.make("unused")
    gateway.stop()
    gateway.start()
    for key in keys:
        used, made = office.show(key)["last_used"], office.show(key)["created"]
        assert used is not None
        assert used >= made
    assert office.show(unused)["last_used"] is None
    before = office.show(keys[0])["last_used"]
    assert use(gateway, keys[0]).status == 200
    gateway.stop()
    gateway.start()
    assert office.show(keys[0])["last_used"] > before


def test_a_change_that_came_while_the_process_was_down_is_heard_of_at_the_start(
    gateway: Gateway, keys: list[Made]
) -> None:
    """The command works on the store itself, as nobody listens; the process must not go by what it remembers."""
    gateway.stop()
    for arguments in (("disable", keys[0].id), ("delete", keys[1].id), ("update", keys[2].id, "--model", "m-*")):
        done = run("keys", *arguments, "-c", str(gateway.config_file))
        assert done.returncode == 0, done.stderr
    gateway.start()
    wanted = ["key_disabled", "invalid_api_key", "model_not_allowed", "ok"]
    assert [verdict(gateway, key) for key in keys[:4]] == wanted


def test_a_store_that_was_set_back_is_noticed_and_keys_it_does_not_have_are_not_good(
    gateway: Gateway, keys: list[Made]
) -> None:
    gateway.stop()
    kept = gateway.data_dir / "kept.sqlite"
    kept.write_bytes((gateway.data_dir / "penstock.sqlite").read_bytes())
    gateway.start()
    office = Office(gateway)
    late = office.make("late")
    assert verdict(gateway, late) == "ok"
    gateway.stop()
    gateway.checked = False  # that is an error in the log
    for left in gateway.data_dir.glob("penstock.sqlite-*"):
        left.unlink()
    kept.rename(gateway.data_dir / "penstock.sqlite")
    gateway.start()
    assert verdict(gateway, late) == "invalid_api_key"
    assert {verdict(gateway, key) for key in keys} == {"ok"}
    assert "the store has lost changes" in gateway.log()


def test_a_damaged_store_is_an_outage_for_who_has_rows_and_a_refusal_for_who_has_none(
    gateway: Gateway, keys: list[Made]
) -> None:
    gateway.stop()
    gateway.checked = False  # it says an error, as it should
    store = gateway.data_dir / "penstock.sqlite"
    whole = store.read_bytes()
    store.write_bytes(os.urandom(20_000))
    gateway.start()
    assert get(gateway.address, "/health/ready").json() == {"status": "degraded", "reasons": ["store"]}
    assert {verdict(gateway, key) for key in keys} == {"ok"}
    assert gateway.ask("GET", "/admin/v1/keys").status == 503
    assert "restore it from a backup" in gateway.log()
    store.write_bytes(whole)
    until(lambda: get(gateway.address, "/health/ready").json() == {"status": "ready"}, "it is back", 10.0, 0.05)
    gateway.stop()
    store.write_bytes(os.urandom(20_000))
    cached(gateway).unlink()
    done = run("serve", "-c", str(gateway.config_file))
    assert done.returncode == 1
    assert "restore it from a backup" in done.stderr
    assert "Traceback" not in done.stderr


def learnt(gateway: Gateway) -> int:
    """How many digests `data_dir` holds."""
    with closing(sqlite3.connect(cached(gateway))) as cache:
        return int(cache.execute("SELECT count(*) FROM digests").fetchone()[0])
