"""Who calls: tokens of data_dir, configuration and store, with the store there and away."""

from __future__ import annotations

import hashlib

import pytest

from penstock.admin.callers import Callers
from penstock.config.tokens import Known
from penstock.keys.model import AdminToken
from penstock.store.interface import StoreAwayError
from tests.unit.admin.conftest import TOKEN, VIEWER, Api
from tests.unit.admin.fakes import FakeStore

STORED = "pen-admin-of-the-store-0123"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> FakeStore:
    made = FakeStore()
    for number in range(3):
        text = STORED if number == 1 else f"other-{number}"
        made.put(
            AdminToken(id=f"a{number}", name=f"n{number}", role="viewer", digest=digest(text)), "token.create", "x"
        )
    return made


@pytest.fixture
def callers(store: FakeStore, clock: Clock) -> Callers:
    return Callers(TOKEN, [Known("ops", "admin", digest(VIEWER))], store, clock)


async def test_each_kind_of_token_says_who_it_is(callers: Callers) -> None:
    assert await callers.who(f"Bearer {TOKEN}") == ("admin.token", "admin")
    assert await callers.who(f"Bearer {VIEWER}") == ("token:ops", "admin")
    assert await callers.who(f"bearer {STORED}") == ("token:n1", "viewer")
    for nobody in (None, "", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer ünknown"):
        assert await callers.who(nobody) is None


async def test_the_store_is_asked_at_most_once_a_second(callers: Callers, store: FakeStore, clock: Clock) -> None:
    for _ in range(50):
        assert await callers.who("Bearer nobody's") is None
    assert store.reads == 3 + 1
    clock.now_s = 1.0
    assert await callers.who(f"Bearer {STORED}") is not None
    assert store.reads == 3 + 2


async def test_a_token_deleted_on_another_node_ends_within_a_second(
    callers: Callers, store: FakeStore, clock: Clock
) -> None:
    assert await callers.who(f"Bearer {STORED}") is not None
    store.rows.pop("a1")
    clock.now_s = 1.0
    assert await callers.who(f"Bearer {STORED}") is None


async def test_what_is_made_or_deleted_here_counts_at_once(api: Api) -> None:
    assert (await api.ask("GET", "/admin/v1/status", token="nobody's")).status == 401
    made = await api.ask("POST", "/admin/v1/tokens", {"name": "grafana", "role": "viewer"})
    assert made.status == 201
    assert (await api.ask("GET", "/admin/v1/status", token=made.json["token"])).status == 200
    assert (await api.ask("DELETE", f"/admin/v1/tokens/{made.json['id']}")).status == 204
    assert (await api.ask("GET", "/admin/v1/status", token=made.json["token"])).status == 401


async def test_with_the_store_away_the_other_tokens_work_and_none_is_taken_for_wrong(
    callers: Callers, store: FakeStore, clock: Clock
) -> None:
    store.away = True
    assert await callers.who(f"Bearer {TOKEN}") is not None
    assert await callers.who(f"Bearer {VIEWER}") is not None
    with pytest.raises(StoreAwayError):
        await callers.who(f"Bearer {STORED}")
    reads = store.reads
    with pytest.raises(StoreAwayError):
        await callers.who("Bearer nobody's")
    assert store.reads == reads
    store.away, clock.now_s = False, 1.0
    assert await callers.who(f"Bearer {STORED}") is not None
    store.away, clock.now_s = True, 2.0
    assert await callers.who(f"Bearer {STORED}") is not None  # known from before


async def test_a_reload_exchanges_the_tokens_of_the_configuration(callers: Callers) -> None:
    callers.configure([Known("new", "viewer", digest("new-token"))])
    assert await callers.who("Bearer new-token") == ("token:new", "viewer")
    assert await callers.who(f"Bearer {VIEWER}") is None


async def test_more_tokens_than_a_page_are_all_known(clock: Clock) -> None:
    store = FakeStore()
    for number in range(1200):
        store.put(AdminToken(id=f"a{number:04}", name="n", role="viewer", digest=digest(str(number))), "c", "x")
    callers = Callers(TOKEN, [], store, clock)
    assert await callers.who("Bearer 1199") is not None
    assert "1199" not in repr(callers)
