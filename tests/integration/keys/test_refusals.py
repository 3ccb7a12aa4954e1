"""Who is refused, in the caller's dialect: keys in every header, models, paths, networks; and what a key may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from penstock.keys.secret import new_key_text
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, MESSAGES, VERSION, Kind
from tests.support.office import Made, Office, becomes, use, verdict
from tests.support.raw import exchange, get, post
from tests.support.scene import assert_refused, provider
from tests.support.upstream import Upstream

from .conftest import UPSTREAM_KEY

HEADERS = {
    "x-penstock-key": "{}",
    "authorization": "Bearer {}",
    "x-api-key": "{}",
    "api-key": "{}",
}
EVERY_KIND = pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    up = provider(module_upstream.root, api_key=UPSTREAM_KEY, passthrough=["/files"])
    targets = {"targets": [{"provider": "up"}]}
    return {
        "trusted_proxies": ["127.0.0.1"],
        "providers": {"up": up},
        "models": {"m": targets, "m-*": targets, "fast": targets, "slow": targets},
    }


@EVERY_KIND
@pytest.mark.parametrize("header", HEADERS)
def test_a_key_is_taken_from_every_header(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind, header: str
) -> None:
    key = office.make()
    got = use(gateway, None, kind, headers={header: HEADERS[header].format(key.text)})
    assert got.status == 200, got.body
    seen = upstream.requests[0]
    assert key.text.encode() not in seen.head + seen.body
    assert UPSTREAM_KEY in (seen.header("authorization") or seen.header("x-api-key") or "")


def test_the_first_header_counts_and_a_wrong_one_is_not_made_good_by_another(gateway: Gateway, office: Office) -> None:
    key = office.make()
    wrong = new_key_text().text
    order = list(HEADERS)
    for first, second in pairwise(order):
        good_first = {first: HEADERS[first].format(key.text), second: HEADERS[second].format(wrong)}
        assert use(gateway, None, headers=good_first).status == 200
        wrong_first = {first: HEADERS[first].format(wrong), second: HEADERS[second].format(key.text)}
        assert use(gateway, None, headers=wrong_first).error_code == "invalid_api_key"


@EVERY_KIND
def test_401s_speak_the_callers_dialect(gateway: Gateway, office: Office, upstream: Upstream, kind: Kind) -> None:
    disabled = office.make()
    office.disable(disabled)
    expired = office.make(expires=(datetime.now(UTC) + timedelta(milliseconds=200)).isoformat())
    becomes(gateway, expired, "key_expired", 2.0)
    known = office.make()
    made = new_key_text(known.id).text
    upstream.requests.clear()
    cases: dict[str, list[Made | str | None]] = {
        "missing_api_key": [None],
        "invalid_api_key": [new_key_text().text, made, known.text[:-1] + "_", known.text[:-1], "sk-pen-", "sk-other"],
        "key_disabled": [disabled],
        "key_expired": [expired],
    }
    for code, keys in cases.items():
        for key in keys:
            got = use(gateway, key, kind)
            assert_refused(got, kind, 401, code)
            assert got.header("www-authenticate") == 'Bearer realm="penstock"'
            assert got.header("x-should-retry") in (None, "false")
            if isinstance(key, str) and len(key) > 20:
                assert key.encode() not in got.head + got.body
    assert not upstream.requests


@EVERY_KIND
def test_403s_speak_the_callers_dialect(gateway: Gateway, office: Office, upstream: Upstream, kind: Kind) -> None:
    cases: dict[str, dict[str, Any]] = {
        "model_not_allowed": {"models": ["slow"]},
        "path_closed": {"paths": ["/embeddings"]},
        "network_not_allowed": {"networks": ["192.0.2.0/24"]},
    }
    for code, lists in cases.items():
        got = use(gateway, office.make(**lists), kind)
        assert_refused(got, kind, 403, code)
        assert got.header("www-authenticate") is None
    assert not upstream.requests


def test_a_scheme_that_is_not_bearer_is_refused(gateway: Gateway, office: Office) -> None:
    key = office.make()
    for scheme, status in (("bearer", 200), ("BEARER", 200), ("Basic", 401), ("Token", 401)):
        got = use(gateway, None, headers={"authorization": f"{scheme} {key.text}"})
        assert got.status == status, scheme


def test_a_header_that_stands_twice_is_no_key(gateway: Gateway, office: Office) -> None:
    key = office.make()
    line = f"authorization: Bearer {key.text}\r\n"
    head = f"POST {CHAT.path} HTTP/1.1\r\nhost: localhost\r\n{line}{line}content-length: 13\r\n\r\n"
    assert exchange(gateway.address, head.encode() + b'{"model":"m"}').status == 400


def test_a_key_in_the_query_is_refused_and_goes_nowhere(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    key = office.make()
    headers = {"authorization": f"Bearer {key.text}"}
    got = post(gateway.address, f"{CHAT.path}?key={key.text}", CHAT.request("m", False), headers)
    assert got.status == 400
    assert key.text.encode() not in got.head + got.body
    assert not upstream.heads


@pytest.mark.parametrize(
    ("forwarded", "allowed"),
    [
        ("10.1.2.3", True),
        ("192.0.2.1", False),
        ("10.1.2.3, 192.0.2.1", False),  # what stands left of the nearest stranger was written by him
        ("192.0.2.1, 10.1.2.3", True),
        ("192.0.2.1, 10.1.2.3, 127.0.0.1", True),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("nonsense", False),
    ],
)
def test_a_network_is_that_of_the_client_behind_trusted_proxies(
    gateway: Gateway, office: Office, forwarded: str, allowed: bool
) -> None:
    key = office.make(networks=["10.0.0.0/8", "2001:db8::/32"])
    got = use(gateway, key, headers={"x-forwarded-for": forwarded})
    assert (got.error_code or "ok") == ("ok" if allowed else "network_not_allowed")


def test_stored_objects_stay_closed_whatever_a_key_allows(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    everything, files = office.make(), office.make(paths=["/files", "/files/*"])
    for path, key, wanted in (
        ("/v1/files", everything, 200),
        ("/v1/files", files, 200),
        ("/v1/files/f1", files, 200),
        ("/v1/batches", everything, 403),
        ("/v1/organization/users", everything, 403),
    ):
        got = get(gateway.address, path, {"authorization": f"Bearer {key.text}"})
        assert got.status == wanted, path
        if wanted == 403:
            assert got.error_code == "path_closed"
    assert verdict(gateway, files) == "path_closed"


def test_a_model_is_allowed_by_the_name_that_is_asked(gateway: Gateway, office: Office) -> None:
    key = office.make(models=["fast", "m-*"])
    names = {"fast": "ok", "m-1": "ok", "up/fast": "model_not_allowed", "m": "model_not_allowed"}
    assert {name: verdict(gateway, key, model=name) for name in names} == names
    direct = office.make(models=["up/*"])
    assert verdict(gateway, direct, model="up/fast") == "ok"
    assert verdict(gateway, direct, model="fast") == "model_not_allowed"


def test_a_key_with_models_may_not_ask_without_one(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    key = office.make(models=["fast"])
    got = post(gateway.address, "/v1/moderations", {"input": "x"}, {"authorization": f"Bearer {key.text}"})
    assert (got.status, got.error_code) == (403, "model_not_allowed")
    assert not upstream.heads


@pytest.mark.parametrize("models", [None, ["fast"], ["fast", "slow"], []])
def test_lists_of_models_show_what_the_key_may_use(gateway: Gateway, office: Office, models: list[str] | None) -> None:
    key = office.make(models=models)
    bearer = {"authorization": f"Bearer {key.text}"}
    all_of_them = {"m", "fast", "slow"}
    wanted = all_of_them if models is None else set(models)
    openai = get(gateway.address, "/v1/models", bearer)
    assert {each["id"] for each in openai.json()["data"]} == wanted
    anthropic = get(gateway.address, "/v1/models", bearer | VERSION)
    assert {each["id"] for each in anthropic.json()["data"]} == wanted
    ollama = get(gateway.address, "/api/tags", bearer)
    assert {each["name"] for each in ollama.json()["models"]} == wanted
    for name in all_of_them:
        one = get(gateway.address, f"/v1/models/{name}", bearer)
        assert (one.status == 200) == (name in wanted), name


def test_lists_of_models_need_a_key(gateway: Gateway) -> None:
    for path in ("/v1/models", "/v1/models/fast", "/api/tags", "/v1/key"):
        got = get(gateway.address, path)
        assert (got.status, got.error_code) == (401, "missing_api_key"), path


def test_health_needs_no_key(gateway: Gateway) -> None:
    for path in ("/health/live", "/health/ready", "/livez", "/readyz"):
        assert get(gateway.address, path).status == 200


def test_a_key_is_told_what_it_may_do(gateway: Gateway, office: Office) -> None:
    team = office.call("POST", "/admin/v1/teams", {"name": "readers", "models": ["fast", "slow"]}, 201)
    key = office.make(
        team="readers",
        models=["fast"],
        paths=["/chat/*"],
        networks=["127.0.0.1"],
        expires="2040-01-01T00:00:00Z",
    )
    told = get(gateway.address, "/v1/key", {"authorization": f"Bearer {key.text}"}).json()
    assert told["id"] == key.id
    assert told["team"] == {"id": team["id"], "name": "readers"}
    assert told["state"] == "active"
    assert told["expires"].startswith("2040-01-01T00:00:00")
    assert sorted(map(sorted, told["allowed"]["models"])) == [["fast"], ["fast", "slow"]]
    assert told["allowed"]["paths"] == [["/chat/*"]]
    plain = office.make()
    told = get(gateway.address, "/key", {"x-api-key": plain.text}).json()
    assert told["team"] is None
    assert told["expires"] is None
    assert set(told["allowed"].values()) == {None}
    assert "argon2" not in str(told)


def test_an_anthropic_client_may_ask_with_x_api_key(gateway: Gateway, office: Office) -> None:
    key = office.make()
    assert use(gateway, None, MESSAGES, headers={"x-api-key": key.text}).status == 200
