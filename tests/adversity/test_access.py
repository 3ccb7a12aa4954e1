"""Who may ask what with `auth: open`: Host and Origin are checked, stored objects and foreign dialects are closed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, MESSAGES, OLLAMA_CHAT, Kind
from tests.support.loop import LoopThread
from tests.support.raw import Client, exchange, get, post, request
from tests.support.scene import DIALECTS as ALL_DIALECTS
from tests.support.scene import ask, assert_refused, config_of, provider
from tests.support.script import answer
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def lister(loop: LoopThread) -> Iterator[Upstream]:
    with Upstream(loop) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream, lister: Upstream) -> dict[str, Any]:
    plain = config_of(module_upstream)
    plain["providers"] = {
        "up": provider(module_upstream.root, passthrough=["/files"], api_key="sk-up", headers={"x-org": "ours"}),
        "only-openai": {"dialect": "openai", "base_url": f"{module_upstream.root}/v1"},
        "lister": {"base_url": lister.root, "dialects": ALL_DIALECTS},
    }
    plain["models"] |= {
        "openai-only": {"targets": [{"provider": "only-openai"}]},
        "fast": {"targets": [{"provider": "up", "model": "gpt-5-mini"}]},
        "far-*": {"targets": [{"provider": "lister"}]},
    }
    return plain


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4000", "localhost.evil.example", "1.2.3.4", "[::2]"])
@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_foreign_host_is_misdirected(gateway: Gateway, upstream: Upstream, kind: Kind, host: str) -> None:
    body = b'{"model":"m"}'
    got = exchange(gateway.address, request("POST", kind.path, body, kind.headers, host=host))
    assert_refused(got, kind, 421, "host_not_allowed")
    assert not upstream.heads


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4000", "127.0.0.1", "127.0.0.1:80", "[::1]:4000"])
def test_a_host_of_ours_is_served(gateway: Gateway, upstream: Upstream, host: str) -> None:
    upstream.always(answer(CHAT.whole))
    assert exchange(gateway.address, request("POST", CHAT.path, b'{"model":"m"}', host=host)).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_foreign_origin_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, origin: str) -> None:
    got = post(gateway.address, kind.path, {"model": "m"}, {**kind.headers, "origin": origin})
    assert_refused(got, kind, 403, "origin_not_allowed")
    assert got.header("access-control-allow-origin") is None
    preflight = exchange(
        gateway.address,
        request("OPTIONS", kind.path, headers={"origin": origin, "access-control-request-method": "POST"}),
        "OPTIONS",
    )
    assert preflight.status >= 400
    assert not upstream.heads


STORED = [
    "/v1/batches",
    "/v1/uploads/u1/complete",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/input_items",
    "/v1/chat/completions/c1",
    "/v1/conversations/conv_1",
    "/v1/vector_stores",
    "/v1/fine_tuning/jobs",
    "/v1/evals",
    "/v1/containers",
    "/v1/organization/users",
    "/v1/organization/admin_api_keys",
    "/v1/%6Frganization/users",
    "/v1/files/../batches",
    "/v1/files/%2e%2e/batches",
    "/v1//batches",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", STORED)
def test_stored_objects_are_closed(gateway: Gateway, upstream: Upstream, path: str, method: str) -> None:
    got = exchange(gateway.address, request(method, path), method)
    assert 400 <= got.status < 500
    assert got.error_code in ("path_closed", "path_not_found", "method_not_allowed", "invalid_http"), got.head
    assert not upstream.heads


def test_a_passthrough_path_is_open(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({"object": "list", "data": []}))
    got = get(gateway.address, "/v1/files?limit=2")
    assert got.json() == {"object": "list", "data": []}
    assert upstream.requests[0].target == "/v1/files?limit=2"
    assert upstream.requests[0].header("authorization") == "Bearer sk-up"
    assert get(gateway.address, "/v1/files/f1/content").status == 200


def test_a_dialect_that_no_target_speaks_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    for kind in (MESSAGES, OLLAMA_CHAT):
        message = assert_refused(ask(gateway, kind, model="openai-only"), kind, 400, "dialect_not_supported")
        assert "openai" in message
    assert not upstream.heads


def test_the_headers_that_go_up_are_a_short_list(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    headers = {
        "authorization": "Bearer sk-caller",
        "x-api-key": "sk-caller",
        "api-key": "sk-caller",
        "x-penstock-key": "sk-caller",
        "proxy-authorization": "Basic sk-caller",
        "cookie": "sk-caller",
        "openai-organization": "theirs",
        "openai-project": "theirs",
        "x-forwarded-for": "10.9.8.7",
        "forwarded": "for=10.9.8.7",
        "x-stainless-lang": "python",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "connection": "x-hop",
        "x-hop": "theirs",
        "x-org": "theirs",
        "referer": "http://theirs/",
        "openai-beta": "assistants=v2",
        "user-agent": "mine/1",
        "accept": "application/json",
        "idempotency-key": "k1",
    }
    assert post(gateway.address, CHAT.path, {"model": "fast"}, headers).status == 200
    seen = upstream.requests[0]
    names = {name for name, _ in seen.headers}
    allowed = {
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
        "openai-beta",
        "idempotency-key",
        "authorization",
        "x-org",
        "traceparent",
        "tracestate",
        "x-request-id",
        "connection",
    }
    assert names <= allowed
    assert b"sk-caller" not in seen.head
    assert b"theirs" not in seen.head
    assert seen.header("authorization") == "Bearer sk-up"
    assert seen.header("x-org") == "ours"
    assert seen.header("openai-beta") == "assistants=v2"
    assert seen.header("user-agent") == "mine/1"
    assert seen.header("idempotency-key") == "k1"
    assert seen.json()["model"] == "gpt-5-mini"


def test_the_headers_that_come_down_are_cleaned(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(
        answer(
            CHAT.whole,
            set_cookie="a=b",
            alt_svc="h3",
            strict_transport_security="max-age=1",
            server="them",
            connection="x-hop",
            x_hop="y",
            keep_alive="timeout=5",
            x_request_id="req_up",
            x_ratelimit_remaining_requests="7",
            openai_processing_ms="12",
        )
    )
    got = ask(gateway, CHAT, stream=False)
    names = {name for name, _ in got.headers}
    assert not names & {"set-cookie", "alt-svc", "strict-transport-security", "x-hop", "keep-alive"}
    assert got.header("server") != "them"
    assert got.header("x-request-id") != "req_up"
    assert got.header("x-penstock-upstream-request-id") == "req_up"
    assert got.header("x-penstock-upstream-ratelimit-remaining-requests") == "7"
    assert "x-ratelimit-remaining-requests" not in names


def test_no_secret_is_shown_anywhere(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({"error": {"message": "bad key sk-up"}}, 401))
    got = post(gateway.address, CHAT.path, {"model": "m"}, {"authorization": "Bearer sk-caller"})
    shown = got.head + got.body + gateway.log().encode()
    assert b"sk-up" not in shown
    assert b"sk-caller" not in shown


@pytest.mark.parametrize("name", ["up/anything", "up/a/b", "m-anything"])
def test_names_reach_their_provider(gateway: Gateway, upstream: Upstream, name: str) -> None:
    upstream.always(answer(CHAT.whole))
    got = ask(gateway, CHAT, stream=False, model=name)
    assert got.status == 200
    assert upstream.requests[0].json()["model"] == name.removeprefix("up/")


def test_the_default_provider_takes_paths_without_a_model(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({"ok": 1}))
    assert post(gateway.address, "/v1/moderations", {"input": "x"}).json() == {"ok": 1}


def test_a_header_names_the_provider_of_paths_without_a_model(gateway: Gateway, lister: Upstream) -> None:
    lister.reset()
    lister.always(answer({"ok": 2}))
    got = post(gateway.address, "/v1/moderations", {"input": "x"}, {"x-penstock-provider": "lister"})
    assert got.json() == {"ok": 2}


def test_lists_of_models_are_merged_and_kept(gateway: Gateway, upstream: Upstream, lister: Upstream) -> None:
    lister.reset()
    names = ["far-1", "far-2", "near-1"]
    lister.always(answer({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}))
    first = get(gateway.address, "/v1/models").json()
    shown = {model["id"] for model in first["data"]}
    assert {"m", "fast", "openai-only", "far-1", "far-2"} <= shown
    assert not {name for name in shown if "*" in name}
    assert "near-1" not in shown
    for _ in range(20):
        assert get(gateway.address, "/v1/models").json() == first
    # Each worker may keep a list of its own.
    assert len(lister.requests) <= gateway.config["workers"]
    assert not upstream.heads


def test_health_is_answered_on_the_data_port(gateway: Gateway) -> None:
    for path in (
        "/health/live",
        "/health/ready",
        "/livez",
        "/readyz",
        "/health/liveliness",
        "/health/readiness",
        "/",
    ):
        assert get(gateway.address, path).status == 200


def test_the_admin_api_is_not_on_the_data_port(gateway: Gateway) -> None:
    for path in ("/metrics", "/admin/v1/status"):
        assert get(gateway.address, path).status == 404


def test_hundreds_of_connections_are_served_at_once(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    clients = [Client(gateway.address) for _ in range(400)]
    try:
        for client in clients:
            client.send(request("POST", CHAT.path, b'{"model":"m"}'))
        assert all(client.read().status == 200 for client in clients)
        assert gateway.metrics().value("penstock_connections", listener="data") == len(clients)
    finally:
        for client in clients:
            client.close()
