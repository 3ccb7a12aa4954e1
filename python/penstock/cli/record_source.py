"""Where commands have records from: a running node, the configured store beside the journals, or a data_dir alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NoReturn, Protocol

import click
from msgspec.structs import replace

from penstock.audit.asked import Asked, Page
from penstock.audit.choice import Choice
from penstock.audit.shown import MOST_TEXTS, as_object
from penstock.cli.admin_client import PAGE, Client, connected
from penstock.keys.public import rfc3339
from penstock.store.asking import Asking
from penstock.store.interface import StoreError
from penstock.store.open import ALONE_S, FILE, SQLITE, make_asking

Object = dict[str, Any]
BEHIND = (
    "the journals hold more than was looked at: the store is behind, or one cannot be read;"
    " export with --data-dir reads all that it can, and says which it cannot"
)
PASSED_OVER = (
    "not everything has come: records are still in journals that were passed over;"
    " try again, or export with --data-dir on that node"
)


class Source(Protocol):
    """Records as JSON objects."""

    unread: Sequence[str]
    """Which journals of a data_dir could not be read, and why, once all was shown."""
    partial: bool
    """A node passed journals over, which may hold more."""

    def all(self, choice: Choice, *, texts: bool = False) -> Iterator[Object]:
        """Every one that is chosen, the oldest first; with `texts` with their prompts and answers."""

    def newest(self, choice: Choice, most: int, *, texts: bool = False) -> list[Object]:
        """The newest so many, the oldest of them first."""


@contextmanager
def record_source(
    config: str | None, data_dir: str | None, admin: str | None, token_file: str | None
) -> Iterator[Source]:
    """What these options mean: `data_dir` is read by itself, everything else as for keys."""
    if data_dir is not None:
        with asyncio.Runner() as runner:
            unread: list[str] = []
            asked = Asked(runner.run(sqlite_of(data_dir)), data_dir, most_s=ALONE_S, report=unread.append)
            try:
                yield _Here(asked, runner, unread)
            finally:
                runner.run(asked.close())
        return
    with connected(config, admin, token_file) as client:
        yield _Api(client)


def has_sqlite(data_dir: str) -> bool:
    """Whether a SQLite store is in a data_dir."""
    return os.path.exists(os.path.join(data_dir, FILE))


async def sqlite_of(data_dir: str) -> Asking | None:
    """The store in a data_dir, if it is there and of a release that keeps records."""
    if not has_sqlite(data_dir):
        return None
    store = make_asking(SQLITE, data_dir)
    try:
        if await store.has_records():
            return store
    except StoreError as error:
        failed(str(error))
    await store.close()
    return None


def fail_if_unread(source: Source) -> None:
    """Whatever could be read was shown before."""
    if source.unread:
        failed(f"not everything is shown: {'; '.join(source.unread)}")


def fail_if_partial(source: Source) -> None:
    """Where all is wanted."""
    if source.partial:
        failed(PASSED_OVER)


def say_if_partial(source: Source) -> None:
    """Where the latest are looked at."""
    _warn(source.partial)


def failed(message: str) -> NoReturn:
    """One line on standard error, then the end."""
    click.echo(f"penstock audit: {message}", err=True)
    raise SystemExit(1)


class _Here:
    """A data_dir by itself."""

    partial = False

    def __init__(self, asked: Asked, runner: asyncio.Runner, unread: Sequence[str]) -> None:
        self._asked, self._runner, self.unread = asked, runner, unread

    def all(self, choice: Choice, *, texts: bool = False) -> Iterator[Object]:
        rows = self._asked.everything(replace(choice, whole=texts))

        async def some() -> list[Object]:
            found = []
            async for row in rows:
                found.append(as_object(row, texts=texts))
                if len(found) == PAGE:
                    break
            return found

        while piece := self._run(some()):
            yield from piece

    def newest(self, choice: Choice, most: int, *, texts: bool = False) -> list[Object]:
        found: list[Object] = []
        after, choice = None, replace(choice, whole=texts)
        while len(found) < most:
            limit = min(most - len(found), PAGE)
            page: Page = self._run(self._asked.page(choice, newest=True, after=after, limit=limit))
            found += (as_object(row, texts=texts) for row in page.rows)
            _warn(page.partial and not self.unread)
            after = page.after
            if after is None:
                break
        return found[::-1]

    def _run(self, work: Any) -> Any:
        try:
            return self._runner.run(work)
        except (OSError, ImportError, StoreError) as error:
            failed(str(error))


class _Api:
    """The admin API of a node, or of the store itself where none runs."""

    unread: Sequence[str] = ()

    def __init__(self, client: Client) -> None:
        self._client = client
        self.partial = False

    def all(self, choice: Choice, *, texts: bool = False) -> Iterator[Object]:
        yield from self._items(choice, "oldest", PAGE, texts)

    def newest(self, choice: Choice, most: int, *, texts: bool = False) -> list[Object]:
        return list(islice(self._items(choice, "newest", min(most, PAGE), texts), most))[::-1]

    def _items(self, choice: Choice, order: str, limit: int, texts: bool) -> Iterator[Object]:
        wanted = _query(choice) | {"order": order, "limit": limit}
        if texts:
            wanted |= {"texts": "true", "limit": min(limit, MOST_TEXTS)}
        cursor = None
        while True:
            piece = self._client.call("GET", "records", query=wanted | {"cursor": cursor})
            self.partial = self.partial or piece["partial"]
            yield from piece["items"]
            cursor = piece["next"]
            if cursor is None:
                return


def _warn(partial: bool) -> None:
    context = click.get_current_context()
    if partial and not context.meta.get(BEHIND):
        context.meta[BEHIND] = True
        click.echo(BEHIND, err=True)


def _query(choice: Choice) -> dict[str, Any]:
    return {
        "since": rfc3339(choice.since_us or None),
        "until": rfc3339(choice.until_us),
        "tag": None if choice.tag is None else "=".join(choice.tag),
        **{
            name: getattr(choice, name)
            for name in ("key", "team", "model", "target", "status", "outcome", "request_id")
        },
    }
