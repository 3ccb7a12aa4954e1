"""From an address to a store: only what is used is imported, and nothing that is said repeats a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.store.interface import StoreRefusedError
from penstock.store.open import make_store
from penstock.store.postgres_connection import place
from tests.support.child import Child


@pytest.mark.parametrize(
    ("url", "imported"),
    [("sqlite", ["aiosqlite"]), ("postgresql://u@127.0.0.1:1/d", ["asyncpg"])],
)
def test_only_the_store_that_is_used_is_imported(url: str, imported: list[str], tmp_path: Path) -> None:
    with Child("tests.unit.store.imports", url, str(tmp_path)) as child:
        said, code = child.rest()
    assert (json.loads(said), code) == (imported, 0)


@pytest.mark.parametrize("url", ["", "sqlite:///x", "mysql://u:topsecret@h/d", "postgresql", "/tmp/x.sqlite"])
def test_an_address_of_nothing_we_know_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreRefusedError, match="expected sqlite or postgresql://") as caught:
        make_store(url, "")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user@db.example/penstock", "PostgreSQL at db.example"),
        ("postgresql://user:topsecret@db.example:6432/penstock?sslmode=require", "PostgreSQL at db.example:6432"),
        ("postgresql://user:top@secret@db/penstock", "PostgreSQL at db"),
        ("postgresql://user@[::1]:5432/penstock", "PostgreSQL at ::1:5432"),
        ("postgresql:///penstock?host=/run/postgresql", "PostgreSQL"),
        ("postgresql://user:top/secret@db/penstock", "PostgreSQL"),
        ("postgresql://user:top?secret@db/penstock", "PostgreSQL"),
        ("postgresql://user:top#secret@db/penstock", "PostgreSQL"),
        ("postgresql://db/penstock?password=top@secret", "PostgreSQL"),
        ("postgresql://a:1,b:2/penstock", "PostgreSQL"),
    ],
)
def test_a_place_is_the_server_and_never_a_secret(url: str, shown: str) -> None:
    assert place(url) == shown
    assert repr(make_store(url, "")) == f"SqlStore({shown!r}, not open)"
