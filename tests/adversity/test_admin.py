"""The admin port: metrics and health without a token, everything else with one; and the kinds of listener."""

import json
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.scene import ask, config_of
from tests.support.script import answer, stream
from tests.support.upstream import Upstream
from tests.support.wait import until


def test_the_token_is_a_file_of_its_owner_alone(gateway: Gateway) -> None:
    file = gateway.directory / "data" / "admin.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(gateway.token()) >= 32
    assert gateway.token() not in gateway.log()


def test_status_needs_the_token(gateway: Gateway) -> None:
    assert gateway.status()
    assert gateway.ask("GET", "/admin/v1/status", token="wrong").status == 401
    assert raw.get(gateway.admin[0], "/admin/v1/status").status == 401
    assert gateway.ask("POST", "/admin/v1/reload", token=gateway.token()[:-1]).status == 401


def test_a_reload_by_the_admin_port_says_which_snapshot_serves(gateway: Gateway) -> None:
    before = gateway.metrics().value("penstock_snapshot_revision")
    gateway.write_config(models={**gateway.config["models"], "added": {"targets": [{"provider": "up"}]}})
    assert gateway.ask("POST", "/admin/v1/reload").status == 200
    assert gateway.metrics().value("penstock_snapshot_revision") > before


def test_unknown_admin_paths_are_404_and_wrong_methods_405(gateway: Gateway) -> None:
    assert gateway.ask("GET", "/admin/v1/nonsense").status == 404
    assert gateway.ask("DELETE", "/admin/v1/status").status == 405


def test_data_paths_are_not_on_the_admin_port(gateway: Gateway, upstream: Upstream) -> None:
    assert raw.post(gateway.admin[0], CHAT.path, {"model": "m"}).status in (401, 404)
    assert not upstream.heads


def test_health_is_on_the_admin_port(gateway: Gateway) -> None:
    for path in ("/health/live", "/health/ready"):
        assert raw.get(gateway.admin[0], path).status == 200


def test_metrics_count_what_happens(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    before = gateway.at_rest()
    for _ in range(3):
        assert ask(gateway, CHAT).status == 200
    upstream.always(answer({"error": {"message": "x"}}, 500))
    ask(gateway, CHAT)
    ask(gateway, CHAT, model="unknown")
    after = gateway.at_rest()

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("penstock_requests_total", dialect="openai", code="200") == 3
    assert grown("penstock_requests_total", dialect="openai", code="500") == 1
    assert grown("penstock_requests_total", dialect="openai", code="404") == 1
    assert grown("penstock_overhead_seconds_count") >= 4
    assert grown("penstock_first_token_seconds_count") == 3
    assert grown("penstock_upstream_errors_total", provider="up") == 1
    assert grown("penstock_attempts_total", provider="up") == 4
    assert grown("penstock_received_bytes_total") > 500
    assert grown("penstock_sent_bytes_total") > 3 * len(b"".join(CHAT.frames))
    for name in (
        "penstock_requests_in_flight",
        "penstock_buffered_bytes",
        "penstock_event_loop_lag_seconds",
        "penstock_upstream_connections",
        "penstock_tasks",
        "penstock_build_info",
    ):
        assert name in after.names() or f"{name}_count" in after.names(), name


def test_histograms_are_cumulative(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    ask(gateway, CHAT)
    samples = gateway.metrics().samples
    buckets = sorted(
        (float(dict(labels)["le"].replace("+Inf", "inf")), value)
        for (name, labels), value in samples.items()
        if name == "penstock_overhead_seconds_bucket"
    )
    assert buckets[-1][0] == float("inf")
    counts = [value for _, value in buckets]
    assert counts == sorted(counts)


def test_the_record_of_a_request_is_in_the_debug_log(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    request_id = ask(gateway, CHAT).header("x-request-id")
    found = until(
        lambda: [
            record
            for record in gateway.log_records()
            if record.get("message") == "request" and record.get("request_id") == request_id
        ],
        "the record",
    )
    assert len(found) == 1
    record = found[0]
    assert record["outcome"] == "complete"
    assert record["status"] == 200
    assert record["model"] == "m"
    assert record["target"] == "up/m"
    assert record["usage"]["prompt_tokens"] == 9
    assert "Hé" not in json.dumps(record, ensure_ascii=False)


def test_every_log_line_is_json(gateway: Gateway) -> None:
    for line in gateway.log().splitlines():
        assert {"ts", "level", "message"} <= set(json.loads(line)), line


def test_several_listeners_at_once(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    path = tmp_path / "s.sock"
    listens = ["127.0.0.1:0", "127.0.0.1:0", f"unix:{path}"]
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
            listens.append("[::1]:0")
        except OSError:
            pytest.skip("no IPv6 on this machine")
    with Gateway(tmp_path, config_of(upstream, listen=listens)) as gateway:
        assert len(gateway.data) == 4
        for address in gateway.data:
            where = address if not address.startswith("/") else f"unix:{address}"
            got = raw.post(where, CHAT.path, {"model": "m"})
            assert got.json() == CHAT.whole, address
    assert not path.exists()


def test_a_socket_left_behind_is_taken_over_and_a_live_one_is_not(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    path = tmp_path / "s.sock"
    config = config_of(upstream, listen=f"unix:{path}")
    first = Gateway(tmp_path, config)
    first.start()
    first.kill()
    with Gateway(tmp_path, config):
        assert raw.post(f"unix:{path}", CHAT.path, {"model": "m"}).status == 200


def test_it_answers_soon_after_it_is_started(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    started = time.monotonic()
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        assert ask(gateway, CHAT, stream=False).status == 200
        # The budget is 0.5 s; a loaded test machine is given more.
        assert time.monotonic() - started < 5
