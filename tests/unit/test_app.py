"""The process with a fake engine: start, reload, drain, exit."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from penstock.app import App, StartError
from penstock.config.load import load
from penstock.config.problem import ConfigError
from penstock.descriptors import Descriptors
from penstock.observe.logs import Log
from penstock.signals import Early
from tests.unit.conftest import KEYS, until
from tests.unit.fake_engine import FakeNative
from tests.unit.fake_rows import FakeJournals

TEXT = """
listen: 127.0.0.1:0
admin: {{listen: 127.0.0.1:0}}
data_dir: {data}
auth: open
shutdown: {{deadline: 5s}}
providers: {{openai: {{}}}}
"""
NO_ROWS = FakeJournals(Path()).open


class Running:
    """An app in a task, its log lines and its native."""

    def __init__(self, file: Path, data: Path) -> None:
        self.file, self.data = file, data
        self.natives: list[FakeNative] = []
        self.lines: list[bytes] = []
        self.rewrite()
        self.app = self.remake()

    def remake(self) -> App:
        """An app that goes by the file as it is now."""
        app = App(load(str(self.file), KEYS), str(self.file), KEYS, self._make, open_rows=NO_ROWS)
        app.log = Log("debug", "json", self.lines.append)
        return app

    @property
    def native(self) -> FakeNative:
        return self.natives[0]

    def rewrite(self, more: str = "") -> None:
        self.file.write_text(TEXT.format(data=self.data) + more)

    def _make(self, options: bytes) -> FakeNative:
        self.natives.append(FakeNative(options))
        return self.natives[-1]

    def messages(self) -> list[str]:
        """All but what only a first start says: that the store is new."""
        said = [msgspec.json.decode(line)["message"] for line in self.lines]
        return [message for message in said if not message.startswith("the store's schema")]


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path / "penstock.yaml", tmp_path / "data")


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test on the loop that the process has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def serving(running: Running, during: Callable[[], Coroutine[Any, Any, None]], **arguments: Any) -> int:
    """Starts the app, does something, stops it by SIGTERM; the exit code."""
    codes: list[int] = []

    async def main() -> None:
        task = asyncio.ensure_future(running.app.run(**arguments))
        await until(lambda: "serving" in running.messages() or task.done())
        if not task.done():
            await during()
            os.kill(os.getpid(), signal.SIGTERM)
        codes.append(await task)

    try:
        on_uvloop(main)
    finally:
        for native in running.natives:
            native.close()
    return codes[0]


def run_alone(running: Running, early: Early | None = None) -> int:
    """Runs the app until it ends by itself; the exit code."""
    codes: list[int] = []

    async def main() -> None:
        codes.append(await running.app.run(early=early))

    try:
        on_uvloop(main)
    finally:
        for native in running.natives:
            native.close()
    return codes[0]


async def nothing() -> None:
    return


def test_a_start_without_keys_says_how_one_is_made(running: Running) -> None:
    running.file.write_text(TEXT.replace("auth: open", "auth: keys").format(data=running.data))
    running.app = running.remake()

    async def hint() -> None:
        await until(lambda: len(running.messages()) > 1)

    assert serving(running, hint) == 0
    wanted = f"there is no key yet; this makes one: penstock keys create --name NAME -c {running.file}"
    assert running.messages()[1] == wanted
    running.lines.clear()


def test_a_budget_without_prices_is_told_at_the_start_and_at_each_reload(running: Running) -> None:
    running.rewrite("models: {own: {targets: [{provider: openai}]}}\nlimits: {default: {budget: 20 usd/day}}\n")
    running.app = running.remake()

    async def reload() -> None:
        (warning,) = running.app.reload()
        assert "no price of openai/own" in warning

    assert serving(running, reload) == 0
    assert len([message for message in running.messages() if "no price of openai/own" in message]) == 2


def test_a_stop_signal_drains_in_order_and_exits_with_0(running: Running) -> None:
    async def during() -> None:
        running.native.busy = 5

    assert serving(running, during) == 0
    assert running.native.calls == ["start", "drain", "close_listeners", "stop"]
    assert running.messages() == ["serving", "stopping", "stopped"]


def test_native_gets_sockets_that_listen_and_options_that_fit(running: Running) -> None:
    async def during() -> None:
        assert [role for _, role in running.native.listeners] == ["data", "admin"]
        for fd, _ in running.native.listeners:
            with socket.socket(fileno=os.dup(fd)) as listener:
                address = listener.getsockname()
            with socket.create_connection(address, timeout=5):
                pass
        assert running.native.options["workers"] >= 1
        files = {"digest_key_file", "limits_file", "tokens_dir"}
        others = {"workers", "max_connections", "log", "instance", "shared", "journal"}
        assert set(running.native.options) == files | others
        assert running.native.options["shared"] is None
        assert msgspec.json.decode(running.native.snapshots[0])["revision"] == 1

    assert serving(running, during) == 0


def test_native_is_told_how_sinks_do(running: Running) -> None:
    running.rewrite(f"audit: {{sinks: [{{path: {running.data.parent}/x.jsonl}}]}}\n")
    running.app = running.remake()

    async def during() -> None:
        await until(lambda: running.native.shown_sinks != [])
        assert running.native.shown_sinks[0]["name"] == f"jsonl:{running.data.parent}/x.jsonl"

    assert serving(running, during) == 0


def test_the_addresses_are_written_where_they_were_asked_for(running: Running) -> None:
    reader, writer = os.pipe()
    assert serving(running, nothing, fds=Descriptors(ready=writer)) == 0
    with os.fdopen(reader) as pipe:
        addresses = msgspec.json.decode(pipe.read())
    assert addresses["data"][0].startswith("127.0.0.1:")
    assert not addresses["data"][0].endswith(":0")
    assert addresses["data"] != addresses["admin"]


@pytest.mark.parametrize("option", ["ready", "parent"])
def test_a_descriptor_that_is_not_there_is_found_before_the_start(running: Running, option: str) -> None:
    with pytest.raises(StartError, match=r"-fd 999: no such descriptor"):
        serving(running, nothing, fds=Descriptors(**{option: 999}))
    reader, writer = os.pipe()
    with pytest.raises(StartError, match="is not open for"):
        serving(running, nothing, fds=Descriptors(**{option: reader if option == "ready" else writer}))
    os.close(reader)
    os.close(writer)
    with running.file.open() as plain, pytest.raises(StartError, match="neither a pipe nor a socket"):
        serving(running, nothing, fds=Descriptors(parent=plain.fileno()))
    assert not running.natives
    assert not running.data.exists()


def test_a_stop_signal_during_the_start_stops_in_order_once_up(running: Running) -> None:
    def interrupted(options: bytes) -> FakeNative:
        os.kill(os.getpid(), signal.SIGTERM)
        return running._make(options)

    running.app._make_native = interrupted
    assert run_alone(running) == 0
    assert running.native.calls == ["start", "drain", "close_listeners", "stop"]


def test_a_stop_signal_before_the_loop_stops_in_order_once_up(running: Running) -> None:
    early = Early()
    early.stop = True
    assert run_alone(running, early) == 0
    assert running.native.calls == ["start", "drain", "close_listeners", "stop"]


def test_the_end_of_the_parent_stops_in_order(running: Running) -> None:
    reader, writer = os.pipe()

    async def during() -> None:
        os.write(writer, b"still here")
        await asyncio.sleep(0)
        assert "drain" not in running.native.calls
        os.close(writer)
        await until(lambda: "drain" in running.native.calls)

    assert serving(running, during, fds=Descriptors(parent=reader)) == 0
    os.close(reader)


def test_signals_are_heard_while_native_joins_its_threads(running: Running) -> None:
    joined = threading.Event()
    heard: list[signal.Signals] = []

    async def during() -> None:
        running.native.stop = lambda timeout_ms: joined.wait(10)  # type: ignore[method-assign]
        setattr(running.app, "_stop", heard.append)  # noqa: B010 (a method)
        running.app._watch_signals()
        running.app._stopping.set()
        await until(lambda: "close_listeners" in running.native.calls)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: bool(heard))
        joined.set()

    assert serving(running, during) == 0


def test_the_file_of_the_admin_socket_stays_until_the_end(tmp_path: Path) -> None:
    admin, data = tmp_path / "admin.sock", tmp_path / "data.sock"
    running = Running(tmp_path / "penstock.yaml", tmp_path / "data")
    environ = KEYS | {"PENSTOCK_LISTEN": f"unix:{data}", "PENSTOCK_ADMIN__LISTEN": f"unix:{admin}"}
    running.app = App(load(str(running.file), environ), str(running.file), environ, running._make, open_rows=NO_ROWS)
    running.app.log = Log("debug", "json", running.lines.append)
    seen: list[bool] = []

    async def during() -> None:
        running.native.idle = lambda: seen.append(admin.exists() and not data.exists()) or True  # type: ignore

    assert serving(running, during) == 0
    assert seen
    assert all(seen)
    assert not admin.exists()


def test_a_hang_up_applies_the_new_file_and_names_what_needs_a_restart(running: Running) -> None:
    async def during() -> None:
        running.rewrite("max_attempts: 2\nworkers: 9\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: len(running.native.snapshots) == 2)

    assert serving(running, during) == 0
    snapshot = msgspec.json.decode(running.native.snapshots[1])
    assert (snapshot["revision"], snapshot["max_attempts"]) == (2, 2)
    assert running.messages()[1:3] == ["reloaded", "workers changes with the next restart"]


def test_an_invalid_file_is_refused_whole_and_every_error_logged(running: Running) -> None:
    async def during() -> None:
        running.rewrite("max_attempts: 99\nlistn: x\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: len(running.messages()) == 4)
        running.rewrite("max_attempts: 3\n")
        assert running.app.reload() == []

    assert serving(running, during) == 0
    assert running.messages()[1].startswith("the configuration was refused; the one before it keeps serving")
    assert f"{running.file}:8:15: max_attempts: expected 1 to 16, not '99'" in running.messages()
    assert f"{running.file}:9:1: listn: unknown field (did you mean 'listen'?)" in running.messages()
    assert msgspec.json.decode(running.native.snapshots[-1])["revision"] == 2


def test_a_snapshot_that_native_refuses_leaves_the_old_one(running: Running) -> None:
    async def during() -> None:
        running.native.refuses = "provider openai: no"
        with pytest.raises(ConfigError, match="provider openai: no"):
            running.app.reload()
        running.native.refuses = ""
        assert running.app.status()["revision"] == 1

    assert serving(running, during) == 0


def test_the_admin_port_answers_with_the_token_of_the_data_dir(running: Running) -> None:
    async def during() -> None:
        token = (running.data / "admin.token").read_text().strip()
        headers = [["authorization", f"Bearer {token}"]]
        request = {"method": "GET", "path": "/admin/v1/status", "query": "", "headers": headers}
        running.native.ask(1, 1, msgspec.json.encode(request) + b"\n")
        await until(lambda: 1 in running.native.answers)
        head, _, body = running.native.answers[1].partition(b"\n")
        assert msgspec.json.decode(head)["status"] == 200
        status = msgspec.json.decode(body)
        assert (status["providers"], status["revision"], status["stopping"]) == (["openai"], 1, False)
        assert status["native"] == {"revision": 1, "in_flight": 0}
        assert (status["shared"], running.app.limits_away) == (None, False)

    assert serving(running, during) == 0


def test_the_instance_lives_as_long_as_the_process(running: Running) -> None:
    async def during() -> None:
        assert os.listdir(running.data / "journal") == [running.native.options["instance"]]

    assert serving(running, during) == 0
    assert os.listdir(running.data / "journal") == []


def test_a_port_in_use_is_a_start_error_before_native_starts(running: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = load(str(running.file), KEYS | {"PENSTOCK_LISTEN": f"127.0.0.1:{other.getsockname()[1]}"})
        app = App(config, str(running.file), KEYS, running._make, open_rows=NO_ROWS)

        async def main() -> None:
            with pytest.raises(StartError, match="already in use"):
                await app.run()

        on_uvloop(main)
    assert not running.natives
    assert os.listdir(running.data / "journal") == []


def test_requests_that_outlast_the_deadline_are_cut_and_named(running: Running) -> None:
    running.rewrite()
    running.file.write_text(running.file.read_text().replace("deadline: 5s", "deadline: 10ms"))
    running.app = App(load(str(running.file), KEYS), str(running.file), KEYS, running._make, open_rows=NO_ROWS)
    running.app.log = Log("debug", "json", running.lines.append)

    async def during() -> None:
        running.native.busy = 1_000_000

    assert serving(running, during) == 0
    assert "the deadline of the shutdown cut requests short" in running.messages()
