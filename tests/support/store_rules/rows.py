"""Rows and changes that the rules save, and how a rule is declared."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.limits.policy import Limits
from penstock.store.interface import ConflictError, Store

Make = Callable[[], Awaitable[Store]]
Rule = Callable[[Make], Awaitable[None]]
R = TypeVar("R", bound=Row)
RULES: list[Rule] = []

_ids = itertools.count(1)
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
AWKWARD = (
    "'; DROP TABLE penstock_keys; --",
    '" OR ""="',
    "back\\slash \\u0000 \\' \\",
    "%_*?[a-z]",
    "$1 $2 :name ?1 {0} {name} %s",
    "line\nbreak\ttab\r\x7f\x01",
    "naïve Ünïcøde 漢字 🔑 \u202e\ufeff",
    '{"json": [null]}',
    "NULL",
    " ",
    "x" * 10_000,
    "é" * 10_000,
)
"""Texts that a store keeps as they are."""


def rule(check: Rule) -> Rule:
    """Puts a check into `RULES`."""
    RULES.append(check)
    return check


def change(row: Row, *, id: str | None = None, at_us: int = 1, **facts: Any) -> Change:
    """A change that writes the row."""
    fields = {"actor": "test", "action": "test.save", "before": None, "after": {"id": row.id}} | facts
    return Change(id=id or f"change-{next(_ids)}", at_us=at_us, subject=row.id, **fields)


async def put(store: Store, row: R, expected: int | None = None) -> R:
    """Saves a row; what the store then holds of it."""
    return replace(row, version=await store.save(row, expected, change(row)))


async def drop(store: Store, row: Row, at_us: int = 1) -> int:
    """Deletes a row; the version of its tombstone."""
    gone = replace(row, state="deleted")
    return await store.save(gone, row.version, change(gone, at_us=at_us))


async def newest(store: Store) -> int:
    """The newest version."""
    return (await store.changed_since(2**62, 1)).version


async def everything(store: Store, limit: int = 1000) -> list[Row]:
    """All rows, tombstones included, in the order of versions."""
    rows: list[Row] = []
    seen, more = 0, True
    while more:
        delta = await store.changed_since(seen, limit)
        rows += delta.rows
        seen, more = delta.version, delta.more
    return rows


async def refusal(call: Awaitable[object]) -> str:
    """The reason of the `ConflictError` that a call must end with."""
    with pytest.raises(ConflictError, match=r"\w") as caught:
        await call
    return caught.value.reason


def key(id: str = "k1", **fields: Any) -> Key:
    return Key(**({"id": id, "name": f"name of {id}", "secrets": (Secret(generation=1, hash=HASH),)} | fields))


LIMITS = Limits(
    requests=("600/min", "10000/day"), tokens="none", budget="0.5 usd/24h", concurrent=5, queue="2s", reserve="cap"
)


def full_key(id: str = "kfull", team: str | None = None) -> Key:
    """A key with every field set."""
    return Key(
        id=id, name="Full", team=team, owner="someone", models=("gpt-*", "claude"), paths=("/chat/*",),
        networks=("10.0.0.0/8", "::1/128"), limits=LIMITS, expires_us=1_900_000_000_000_000, state="disabled",
        tags={"env": "prod", "": "", "a.b": "[]"}, content=False, created_us=1_700_000_000_000_001,
        last_used_us=1_700_000_000_000_002, cut_us=1_700_000_000_000_003,
        secrets=(
            Secret(generation=1, hash="sha256:" + "ab" * 32, until_us=1_800_000_000_000_000),
            Secret(generation=7, hash=HASH),
        ),
    )  # fmt: skip


FULL_TEAM = Team(
    id="tfull",
    name="Team",
    models=(),
    paths=("/a",),
    networks=("::/0",),
    limits=Limits(concurrent="none"),
    state="disabled",
    tags={"a": "b"},
    content=False,
    created_us=5,
)
TOKEN = AdminToken(id="afull", name="ops", role="viewer", digest="cd" * 32, created_us=9)
