"""Stores full of keys: what the product reads of rows that the benchmark wrote past it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bench import keys
from penstock.keys.argon2id import OWASP, Blocks, decode
from penstock.keys.model import Key
from penstock.keys.secret import own_id
from penstock.store.interface import Filter
from penstock.store.open import SQLITE, make_store
from penstock.store.sql import SqlStore

T = TypeVar("T")


def asked(data_dir: Path, ask: Callable[[SqlStore], Awaitable[T]]) -> T:
    """What the product's own store says."""

    async def open_and_ask() -> T:
        store = make_store(SQLITE, str(data_dir))
        made = await store.open(migrate=True)
        try:
            assert made == []
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(open_and_ask())


def test_the_product_reads_every_key_that_was_written_and_goes_on_counting_behind_them(tmp_path: Path) -> None:
    keys.fill(tmp_path / "data", keys.strangers(30))
    page = asked(tmp_path / "data", lambda store: store.list(Key, Filter(), None, 100))
    assert {row.id for row in page.rows} == set(islice(keys.ids(), 30))
    delta = asked(tmp_path / "data", lambda store: store.changed_since(0, 1000))
    assert [row.version for row in delta.rows] == list(range(1, keys.TEAMS + 31))
    assert delta.version == keys.TEAMS + 30


def test_a_strangers_hash_costs_what_any_other_does() -> None:
    (key,) = keys.strangers(1)
    assert decode(key.secrets[0].hash).cost == OWASP


def test_a_holders_key_is_the_one_of_its_hash_and_is_kept_for_the_next_run(tmp_path: Path) -> None:
    kept = tmp_path / "target" / "keys.json"
    (made,) = keys.hashed(1, kept)
    assert Blocks().is_right(made.text.encode(), decode(made.hash))
    assert [key.id for key in keys.holders([made])] == [own_id(made.text)]
    assert keys.hashed(1, kept) == [made]
    assert made.text not in repr(made)
    assert kept.stat().st_mode & 0o077 == 0
    assert json.loads(kept.read_text()) == [[made.text, made.hash]]


def test_wrong_keys_are_well_formed_and_none_is_shown_twice() -> None:
    known = list(islice(keys.ids(), 3))
    shown = list(keys.wrong(known, 1000, 1))
    found = [own_id(text) for text in shown]
    assert None not in found
    assert len(set(shown)) == 1000
    assert set(found[1::2]) == set(known)
    assert not set(found[::2]) & set(known)
    assert not set(shown) & set(keys.wrong(known, 1000, 2))


def test_a_store_is_filled_once_and_then_copied(tmp_path: Path) -> None:
    stock = keys.Stock(tmp_path)
    stock.copy(3, tmp_path / "one")
    (tmp_path / "keys-3" / "mark").touch()
    stock.copy(3, tmp_path / "two")
    assert (tmp_path / "two" / "mark").exists()
    assert (tmp_path / "one" / "penstock.sqlite").read_bytes() == (tmp_path / "two" / "penstock.sqlite").read_bytes()
