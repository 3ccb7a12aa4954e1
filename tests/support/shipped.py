"""What a store has taken of the journals of a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

from penstock.store.interface import StoreError
from penstock.store.open import make_store

from .gateway import Gateway

Row = tuple[Any, ...]


def store_of(gateway: Gateway) -> tuple[str, str]:
    """Address and data_dir of its store."""
    return str(gateway.config.get("store", "sqlite")), str(gateway.config["data_dir"])


def asked(url: str, data_dir: str, sql: str) -> list[Row]:
    """The rows of a statement; none while the store is away or has no tables."""

    async def ask() -> list[Row]:
        store = make_store(url, data_dir)
        try:
            await store.open(migrate=False)
            return [tuple(row) for row in await store.database.ask(sql)]
        except StoreError:
            return []
        finally:
            await store.close()

    return asyncio.run(ask())


def requests(gateway: Gateway) -> list[Row]:
    """Instance, number, outcome and count of every request that the store has."""
    return asked(
        *store_of(gateway),
        "SELECT instance, number, outcome, count FROM penstock_records WHERE outcome IS NOT NULL"
        " ORDER BY instance, sequence",
    )


def marks(gateway: Gateway) -> dict[str, tuple[int, int]]:
    """By instance the sequence number up to which the store has it, and whether it has ended."""
    rows = asked(*store_of(gateway), "SELECT instance, sequence, ended FROM penstock_shipped")
    return {instance: (sequence, ended) for instance, sequence, ended in rows}


def check_whole(url: str, data_dir: str) -> int:
    """Every entry up to each watermark is one row, in the order of days, and the sums are those of the rows; how many
    requests that is."""
    rows = asked(
        url, data_dir, "SELECT instance, sequence, day, hash FROM penstock_records ORDER BY instance, sequence"
    )
    marks = asked(url, data_dir, "SELECT instance, sequence, hash, day FROM penstock_shipped")
    for instance, sequence, hash, day in marks:
        mine = [row for row in rows if row[0] == instance]
        assert [row[1] for row in mine] == list(range(1, sequence + 1)), f"{instance}: missing or twice"
        assert [row[2] for row in mine] == sorted(row[2] for row in mine)
        assert (bytes(mine[-1][3]), mine[-1][2]) == (bytes(hash), day)
    assert len(rows) == sum(mark[1] for mark in marks)
    ((count,),) = asked(url, data_dir, "SELECT coalesce(sum(count), 0) FROM penstock_records WHERE outcome IS NOT NULL")
    ((summed,),) = asked(url, data_dir, "SELECT coalesce(sum(requests), 0) FROM penstock_usage")
    assert count == summed
    return int(count)
