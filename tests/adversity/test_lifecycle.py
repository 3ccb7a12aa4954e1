"""Reload under load, drain, second signals: what runs is never broken off without need."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, Kind
from tests.support.scene import ask, config_of, open_request, provider
from tests.support.script import LAST, Send, Step, WaitFor, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream, steps
from tests.support.wait import until


@pytest.fixture
def own(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of the test's own, which it may stop."""
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        yield gateway


def held(kind: Kind, gate: threading.Event) -> list[Step]:
    """A stream whose second frame waits for the gate."""
    first, *rest = [Send(chunk(frame)) for frame in kind.frames]
    return steps(stream_head(kind.media), first, WaitFor(gate), rest, Send(LAST))


def revision(gateway: Gateway) -> float:
    return gateway.metrics().value("penstock_snapshot_revision")


def await_reload(gateway: Gateway, before: float) -> None:
    until(lambda: revision(gateway) > before, "the new snapshot serves")


class Load:
    """Steady requests from several threads until it is left; every one must succeed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(4)
        self.done = 0

    def _work(self) -> None:
        while not self._stop.is_set():
            assert ask(self._gateway, CHAT).body == b"".join(CHAT.frames)
            self.done += 1

    def __enter__(self) -> "Load":
        self._futures = [self._pool.submit(self._work) for _ in range(4)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for future in self._futures:
            future.result(20)
        self._pool.shutdown()


def test_reloads_under_load_lose_nothing(own: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    with Load(own) as load:
        for number in range(10):
            before = revision(own)
            models = {**own.config["models"], f"new{number}": {"targets": [{"provider": "up"}]}}
            own.write_config(models=models)
            own.signal(signal.SIGHUP)
            await_reload(own, before)
            assert ask(own, CHAT, model=f"new{number}").status == 200
        done = load.done
        until(lambda: load.done > done + 20, "the load goes on")


@pytest.mark.parametrize(
    "broken",
    [
        "providers: [",
        "nonsense: true\n",
        "providers: {up: {dialect: openai, base_url: 'ftp://x'}}\n",
        "providers: {up: {dialect: openai, base_url: 'http://127.0.0.1:1/v1'}}\n"
        "models: {m: {targets: [{provider: typo}]}}\n",
        "",
    ],
)
def test_an_invalid_file_is_refused_whole_and_the_old_one_serves_on(
    own: Gateway, upstream: Upstream, broken: str
) -> None:
    own.checked = False
    upstream.always(stream(list(CHAT.frames)))
    before = revision(own)
    own.config_file.write_text(broken)
    own.signal(signal.SIGHUP)
    until(lambda: "config" in own.log().lower() and own.log().count('"error"') > 0, "the refusal is in the log")
    for _ in range(5):
        assert ask(own, CHAT).body == b"".join(CHAT.frames)
    assert revision(own) == before
    answer_ = own.ask("POST", "/admin/v1/reload")
    assert answer_.status in (400, 409, 422), answer_
    own.write_config()
    assert own.ask("POST", "/admin/v1/reload").status == 200
    assert "Traceback" not in own.log()


def test_a_stream_keeps_the_snapshot_it_began_with(own: Gateway, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.queue(held(CHAT, gate))
    with open_request(own, CHAT) as client:
        got = client.read_head()
        before = revision(own)
        own.write_config(providers={"other": provider("http://127.0.0.1:9")}, models={}, default_provider="other")
        own.signal(signal.SIGHUP)
        until(lambda: revision(own) > before, "the new snapshot serves")
        assert ask(own, CHAT).status == 404
        gate.set()
        for _ in client.pieces(got):
            pass
    assert got.body == b"".join(CHAT.frames)


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_streams_finish_after_sigterm_and_nobody_new_is_let_in(own: Gateway, upstream: Upstream, kind: Kind) -> None:
    gate = threading.Event()
    upstream.always(held(kind, gate))
    with open_request(own, kind) as client:
        got = client.read_head()
        own.signal(signal.SIGTERM)
        until(lambda: _refused(own), "the listener is closed")
        assert own.alive()
        gate.set()
        for _ in client.pieces(got):
            pass
    assert got.body == b"".join(kind.frames)
    assert own.wait() == 0


def _refused(gateway: Gateway) -> bool:
    try:
        raw.Client(gateway.address, 1.0).close()
    except ConnectionError:
        return True
    return False


def test_while_draining_it_serves_on_says_close_and_is_not_ready(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, shutdown={"delay": "2s", "deadline": "5s"})
    with Gateway(tmp_path, config) as gateway:
        assert raw.get(gateway.address, "/health/ready").status == 200
        gateway.signal(signal.SIGTERM)
        until(lambda: raw.get(gateway.address, "/health/ready").status == 503, "it says that it is not ready")
        assert raw.get(gateway.address, "/health/live").status == 200
        got = ask(gateway, CHAT, stream=False)
        assert got.status == 200
        assert got.header("connection") == "close"
        assert gateway.wait() == 0


def test_the_deadline_ends_what_does_not_end(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(held(CHAT, threading.Event()))
    config = config_of(upstream, shutdown={"delay": "0s", "deadline": "500ms"})
    with Gateway(tmp_path, config) as gateway, open_request(gateway, CHAT) as client:
        client.read_head()
        started = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert time.monotonic() - started < 4


def test_a_second_signal_exits_at_once(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(held(CHAT, threading.Event()))
    gateway = Gateway(tmp_path, config_of(upstream, shutdown={"delay": "0s", "deadline": "60s"}))
    gateway.start()
    with open_request(gateway, CHAT) as client:
        client.read_head()
        gateway.signal(signal.SIGTERM)
        until(lambda: _refused(gateway), "the drain began")
        started = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.wait()
        assert time.monotonic() - started < 2
    gateway.assert_healthy_log()


def test_sigint_stops_it_as_well(upstream: Upstream, tmp_path: Path) -> None:
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0


@pytest.mark.slow
def test_start_and_stop_under_load_again_and_again(upstream: Upstream, tmp_path: Path, rounds: int) -> None:
    upstream.always(stream(list(CHAT.frames)))
    for number in range(rounds):
        directory = tmp_path / str(number)
        directory.mkdir()
        gateway = Gateway(directory, config_of(upstream, shutdown={"delay": "0s", "deadline": "2s"}))
        gateway.start()
        stop = threading.Event()

        def work(gateway: Gateway = gateway, stop: threading.Event = stop) -> int:
            done = 0
            while not stop.is_set():
                try:
                    got = ask(gateway, CHAT)
                except (ConnectionError, raw.Closed):
                    break
                assert got.status == 503 or got.body == b"".join(CHAT.frames)
                done += 1
            return done

        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(work) for _ in range(3)]
            until(lambda: len(upstream.requests) > 5, "the load runs")
            gateway.stop()
            stop.set()
            assert sum(future.result(20) for future in futures) > 0
        upstream.requests.clear()
        upstream.heads.clear()


def test_one_data_dir_serves_one_instance_lock_each(own: Gateway, upstream: Upstream, tmp_path: Path) -> None:
    """Several processes may share a `data_dir`: a restart without a gap needs it."""
    upstream.always(answer(CHAT.whole))
    directory = tmp_path / "second"
    directory.mkdir()
    with Gateway(directory, {**config_of(upstream), "data_dir": own.config["data_dir"]}) as second:
        for gateway in (own, second):
            assert ask(gateway, CHAT, stream=False).status == 200


def test_a_gateway_killed_hard_starts_again_on_its_data_dir(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    gateway = Gateway(tmp_path, config_of(upstream))
    gateway.start()
    token = gateway.token()
    gateway.kill()
    with gateway:
        assert ask(gateway, CHAT, stream=False).status == 200
        assert gateway.token() == token
        assert json.loads(gateway.ask("GET", "/admin/v1/status").body)
