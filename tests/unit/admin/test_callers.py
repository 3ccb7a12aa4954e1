"""Who calls: tokens of data_dir, configuration and store."""

from __future__ import annotations

import hashlib

import pytest

from penstock.admin.callers import Callers
from penstock.config.tokens import Known
from penstock.keys.model import AdminToken
from tests.unit.admin.conftest import TOKEN, VIEWER, Api

STORED = "pen-admin-of-the-store-0123"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def stored() -> dict[str, AdminToken]:
    tokens = [AdminToken(id=f"a{n}", name=f"n{n}", role="viewer", digest=digest(f"{STORED}{n}")) for n in range(3)]
    return {token.digest: token for token in tokens}


@pytest.fixture
def callers(stored: dict[str, AdminToken]) -> Callers:
    return Callers(TOKEN, [Known("ops", "admin", digest(VIEWER))], lambda: stored)


def test_each_kind_of_token_says_who_it_is(callers: Callers) -> None:
    assert callers.who(f"Bearer {TOKEN}") == ("admin.token", "admin")
    assert callers.who(f"Bearer {VIEWER}") == ("config:ops", "admin")
    assert callers.who(f"bearer {STORED}1") == ("token:n1:a1", "viewer")
    for nobody in (
        None,
        "",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \u00fcnknown",
        f"Bearer {STORED}",
    ):
        assert callers.who(nobody) is None


def test_tokens_of_one_name_are_told_apart(callers: Callers, stored: dict[str, AdminToken]) -> None:
    twins = [AdminToken(id=id, name="ops", role="admin", digest=digest(f"{STORED}{id}")) for id in ("b1", "b2")]
    stored |= {each.digest: each for each in twins}
    who = [callers.who(f"Bearer {text}") for text in (f"{STORED}b1", f"{STORED}b2", VIEWER)]
    assert [each.actor for each in who if each] == ["token:ops:b1", "token:ops:b2", "config:ops"]


def test_a_digest_is_no_token(callers: Callers) -> None:
    for text in (TOKEN, VIEWER, f"{STORED}1"):
        assert callers.who(f"Bearer {digest(text)}") is None


def test_a_token_that_is_gone_opens_nothing(callers: Callers, stored: dict[str, AdminToken]) -> None:
    stored.clear()
    assert callers.who(f"Bearer {STORED}1") is None
    assert callers.who(f"Bearer {TOKEN}") is not None


def test_a_reload_exchanges_the_tokens_of_the_configuration(callers: Callers) -> None:
    callers.configure([Known("new", "viewer", digest("new-token"))])
    assert callers.who("Bearer new-token") == ("config:new", "viewer")
    assert callers.who(f"Bearer {VIEWER}") is None
    assert VIEWER not in repr(callers) + repr(vars(callers))


async def test_what_is_made_or_deleted_here_counts_at_once(api: Api) -> None:
    assert (await api.ask("GET", "/admin/v1/status", token="nobody's")).status == 401
    made = await api.ask("POST", "/admin/v1/tokens", {"name": "grafana", "role": "viewer"})
    assert made.status == 201
    assert (await api.ask("GET", "/admin/v1/status", token=made.json["token"])).status == 200
    assert (await api.ask("DELETE", f"/admin/v1/tokens/{made.json['id']}")).status == 204
    assert (await api.ask("GET", "/admin/v1/status", token=made.json["token"])).status == 401


async def test_with_the_store_away_administration_goes_on_as_far_as_it_can(api: Api) -> None:
    api.store.away = True
    for token in (TOKEN, VIEWER):
        assert (await api.ask("GET", "/admin/v1/status", token=token)).status == 200
    assert (await api.ask("POST", "/admin/v1/reload")).status == 200
