"""`credentials: client`: the caller's own credential goes to the provider as it came, and a key of ours never does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, MESSAGES, Kind
from tests.support.office import Office, use
from tests.support.raw import post
from tests.support.scene import assert_refused, provider
from tests.support.script import answer
from tests.support.upstream import Upstream

from .conftest import UPSTREAM_KEY

OWN = "sk-ant-oat01-the-callers-own-subscription"
EVERY_KIND = pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    return {
        "providers": {
            "theirs": provider(module_upstream.root, credentials="client"),
            "ours": provider(module_upstream.root, api_key=UPSTREAM_KEY),
        },
        "models": {
            "m": {"targets": [{"provider": "theirs"}]},
            "house": {"targets": [{"provider": "ours"}]},
            "mixed": {"targets": [{"provider": "theirs"}], "fallback": [{"provider": "ours"}]},
        },
        "default_provider": "theirs",
    }


@EVERY_KIND
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_the_callers_own_credential_goes_up_untouched_and_the_key_does_not(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind, header: str
) -> None:
    key = office.make()
    office.note(OWN)
    own = f"Bearer  {OWN}" if header == "authorization" else OWN
    got = use(gateway, None, kind, headers={"x-penstock-key": key.text, header: own})
    assert got.status == 200, got.body
    seen = upstream.requests[0]
    assert seen.header(header) == own
    credentials = {"authorization", "x-api-key", "api-key", "x-penstock-key"}
    assert {name for name, _ in seen.headers} & credentials == {header}
    assert key.text.encode() not in seen.head + seen.body


def test_two_credentials_of_the_caller_both_go_up(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    key = office.make()
    headers = {"x-penstock-key": key.text, "authorization": "Bearer one-of-mine", "x-api-key": "another-of-mine"}
    assert use(gateway, None, MESSAGES, headers=headers).status == 200
    seen = upstream.requests[0]
    assert (seen.header("authorization"), seen.header("x-api-key")) == ("Bearer one-of-mine", "another-of-mine")


def test_a_provider_with_a_key_of_its_own_gets_nothing_of_the_callers(
    gateway: Gateway, office: Office, upstream: Upstream
) -> None:
    key = office.make()
    headers = {"x-penstock-key": key.text, "authorization": f"Bearer {OWN}", "x-api-key": OWN}
    assert use(gateway, None, model="house", headers=headers).status == 200
    seen = upstream.requests[0]
    assert OWN.encode() not in seen.head
    assert seen.header("authorization") == f"Bearer {UPSTREAM_KEY}"


def test_a_fallback_to_our_own_provider_carries_our_key_alone(
    gateway: Gateway, office: Office, upstream: Upstream
) -> None:
    key = office.make()
    upstream.queue(answer({"error": {"message": "busy"}}, 503))
    headers = {"x-penstock-key": key.text, "authorization": f"Bearer {OWN}"}
    assert use(gateway, None, model="mixed", headers=headers).status == 200
    assert [seen.header("authorization") for seen in upstream.requests] == [f"Bearer {OWN}", f"Bearer {UPSTREAM_KEY}"]


@EVERY_KIND
@pytest.mark.parametrize("status", [401, 403])
def test_the_providers_refusal_is_relayed_as_it_came(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind, status: int
) -> None:
    key = office.make()
    said = {"type": "error", "error": {"type": "authentication_error", "message": f"bad credential {status}"}}
    upstream.always(answer(said, status))
    headers = {"x-penstock-key": key.text, "authorization": f"Bearer {OWN}"}
    got = use(gateway, None, kind, headers=headers)
    assert (got.status, got.json(), got.error_code) == (status, said, None)
    assert len(upstream.requests) == 1


@EVERY_KIND
def test_without_a_credential_of_ones_own_nothing_is_asked(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind
) -> None:
    key, second = office.make(), office.make()
    for headers in (
        {"x-penstock-key": key.text},
        {"authorization": f"Bearer {key.text}"},
        {"x-api-key": key.text},
        {"x-penstock-key": key.text, "authorization": f"Bearer {key.text}"},
        {"x-penstock-key": key.text, "x-api-key": second.text},
    ):
        message = assert_refused(use(gateway, None, kind, headers=headers), kind, 401, "missing_api_key")
        assert "x-penstock-key" in message
    assert not upstream.heads


def test_a_key_of_ours_beside_the_callers_own_stays_here(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    key, second = office.make(), office.make()
    headers = {"x-penstock-key": key.text, "authorization": f"Bearer {OWN}", "x-api-key": second.text}
    assert use(gateway, None, headers=headers).status == 200
    seen = upstream.requests[0]
    assert seen.header("authorization") == f"Bearer {OWN}"
    assert seen.header("x-api-key") is None


def test_a_foreign_key_that_lets_in_does_not_go_up_either(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    secret = "sk-litellm-style-" + "k" * 24
    key = office.make(secret=secret)
    headers = {"authorization": f"Bearer {key.text}", "x-api-key": OWN}
    assert use(gateway, None, headers=headers).status == 200
    assert secret.encode() not in upstream.requests[0].head
    assert upstream.requests[0].header("x-api-key") == OWN


def test_a_credential_of_ones_own_is_no_key(gateway: Gateway, upstream: Upstream) -> None:
    got = post(gateway.address, CHAT.path, CHAT.request("m", False), {"authorization": f"Bearer {OWN}"})
    assert (got.status, got.error_code) == (401, "invalid_api_key")
    assert not upstream.heads
