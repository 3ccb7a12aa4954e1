"""The process where limits are shared: what native is told, and what people see while Redis is away."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec
import pytest

from penstock.app import StartError
from penstock.engine import LEASE
from penstock.limits.script import AwayError
from tests.unit.conftest import until
from tests.unit.test_app import Running, nothing, run_alone, serving

NOWHERE = "redis://penstock:hunter22@127.0.0.1:1/0"
AWAY = "shared limits: Redis does not answer; until it does each limit goes by its policy `away`"


@pytest.fixture
def running(tmp_path: Path) -> Running:
    """Shares limits in a Redis that is not there."""
    made = Running(tmp_path / "penstock.yaml", tmp_path / "data")
    made.rewrite(f"shared: {{url: '{NOWHERE}', timeout: 20ms, nodes: 3}}\n")
    made.app = made.remake()
    return made


def test_native_is_told_how_long_a_request_waits_and_how_many_nodes_there_are(running: Running) -> None:
    async def during() -> None:
        assert running.native.options["shared"] == {"timeout_us": 20_000}
        assert running.native.shared == [(True, 3)]

    assert serving(running, during) == 0


def test_it_starts_and_stops_without_redis_and_says_that_it_is_degraded(running: Running) -> None:
    assert serving(running, nothing) == 0
    calls = [call for call in running.native.calls if call != "apply"]
    assert calls == ["degraded ['shared limits: Redis does not answer']", "start", "drain", "close_listeners", "stop"]
    assert [message for message in running.messages() if "Redis" in message] == [AWAY]
    assert "hunter22" not in b"".join(running.lines).decode()


def test_a_question_for_leases_is_answered_while_redis_is_away(running: Running) -> None:
    async def during() -> None:
        running.native.ask(7, LEASE, b'[{"tag":"key:a:requests:1000000","args":["1"]}]')
        await until(lambda: 7 in running.native.answers)
        assert running.native.answers[7] == b"[null]"

    assert serving(running, during) == 0


def test_the_status_shows_where_limits_are_shared_and_no_password(running: Running) -> None:
    async def during() -> None:
        shared = running.app.status()["shared"]
        assert isinstance(shared, dict)
        assert re.fullmatch("[0-9a-f]{16}", str(shared.pop("node")))
        assert "127.0.0.1:1" in str(shared.pop("error"))
        assert shared == {"url": "redis://penstock:********@127.0.0.1:1/0", "away": True, "nodes": 3}

    assert serving(running, during) == 0


def test_nothing_begins_anew_on_one_node_alone(running: Running) -> None:
    async def during() -> None:
        use = [{"kind": "requests", "amount": 5, "used": 1, "reset_us": 1, "window_us": 1_000_000}]
        running.native.counted["key", "open"] = list(use)
        assert running.app.limits_away
        with pytest.raises(AwayError):
            await running.app.limits_reset("key", "open")
        assert msgspec.json.decode(running.app.limits_use("key", "open")) == use

    assert serving(running, during) == 0


def test_a_reload_keeps_what_is_shared(running: Running) -> None:
    async def during() -> None:
        running.rewrite()
        assert running.app.reload() == ["shared changes with the next restart"]
        assert running.app.limits_away

    assert serving(running, during) == 0


def test_a_start_without_the_library_says_what_to_install(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("penstock.limits.sharing", "penstock.limits.redis"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio.connection", None)
    with pytest.raises(StartError, match=r"pip install 'penstock\[redis\]'"):
        run_alone(running)


def test_a_node_whose_file_is_spoilt_does_not_start(running: Running) -> None:
    running.data.mkdir()
    (running.data / "node").write_text("?")
    with pytest.raises(StartError, match="holds no id of a node"):
        run_alone(running)
