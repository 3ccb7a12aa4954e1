"""SQLite: one file in `data_dir`, written ahead, synced with every change; several processes may share it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import aiosqlite
import msgspec

from penstock.private_file import sync_directory, tighten
from penstock.store.database import MOST_SUM, Flavour, Packed, Undo, Value, Work
from penstock.store.interface import StoreAwayError, StoreError, StoreRefusedError
from penstock.store.sqlite_watch import FileWatch

T = TypeVar("T")
_page = msgspec.json.Decoder(list[list[Any]]).decode
BUSY_S = 5.0
"""How long another process may hold the file."""
AGAIN_S = 0.02
"""Between two tries to end a statement."""
TUPLES_AT_ONCE = 16
OLDEST = (3, 35, 0)
"""The first version with RETURNING."""

FLAVOUR = Flavour(
    migrations="sqlite",
    secrets=(
        "((SELECT json_group_array(json_array(s.generation, s.hash, s.until_us)) FROM"
        " (SELECT * FROM penstock_secrets WHERE key_id = r.id ORDER BY generation) AS s) || '')"
    ),
    tagged="EXISTS (SELECT 1 FROM json_each(r.tags) AS t WHERE t.key = {name} AND t.value = {value})",
    tag_of="(SELECT t.value FROM json_each({tags}) AS t WHERE t.key = {name})",
    tag_is="(SELECT t.value FROM json_each({tags}) AS t WHERE t.key = {name}) = {value}",
    in_bytes="",
    month=(
        "(CAST(strftime('%Y', {hour} * 3600, 'unixepoch') AS INTEGER) * 12"
        " + CAST(strftime('%m', {hour} * 3600, 'unixepoch') AS INTEGER) - 1)"
    ),
    part="instr({text}, {part})",
    # In two halves: a sum that 64 bits do not hold is an error here.
    sum=(
        f"CASE WHEN sum({{value}} / 1000000) >= {MOST_SUM // 10**6} THEN {MOST_SUM}"
        " ELSE sum({value} / 1000000) * 1000000 + sum({value} % 1000000) END"
    ),
    touch=(
        "UPDATE penstock_keys SET last_used_us = u.value FROM json_each($1) AS u"
        " WHERE penstock_keys.id = u.key AND penstock_keys.state <> 'deleted'"
        " AND (penstock_keys.last_used_us IS NULL OR penstock_keys.last_used_us < u.value)"
    ),
    migrations_known="SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'penstock_migrations'",
    records_known="SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'penstock_shipped'",
    lock=None,
    partitions=None,
    tags="coalesce(r.tags, '{}')",
    usage_of="hour, key_id, team, model, target, status, tags",
    row="rowid",
    now_us="SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    wiped="PRAGMA wal_checkpoint(TRUNCATE)",
)


class SqliteDatabase:
    """Two connections: one that writes, in line with itself, and one that reads beside it."""

    def __init__(
        self, path: str, busy_s: float = BUSY_S, *, call_s: float | None = None, is_prepared: bool = False
    ) -> None:
        """`call_s` bounds each statement or transaction; None: it takes what it takes. `is_prepared`: the file is there
        and private, and must be for a second database in one process: whoever opens and closes the file past SQLite
        drops the locks that this process has on it, and the next process to leave takes away what is mapped here
        (https://www.sqlite.org/howtocorrupt.html, section 2.2).
        """
        self._path, self._is_prepared = path, is_prepared
        self._busy_s, self._call_s = busy_s, call_s
        self._opening = asyncio.Lock()
        self._writer: _Side | None = None
        self._reader: _Side | None = None
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def flavour(self) -> Flavour:
        return FLAVOUR

    @property
    def place(self) -> str:
        return self._path

    async def open(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise StoreRefusedError(f"SQLite {sqlite3.sqlite_version} is too old: Python needs one from {wanted} on")
        # aiosqlite writes every statement with its values at this level: hashes are no matter for a log.
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        async with self._opening:
            with self._explained():
                if self._writer is None:
                    if not self._is_prepared:
                        _make_file(self._path)
                    self._writer = await self._connect()
                if self._reader is None:
                    self._reader = await self._connect()

    async def close(self) -> None:
        """What was begun is finished first."""
        async with self._opening:
            while self._running:
                await asyncio.wait(self._running)
            sides, self._writer, self._reader = (self._writer, self._reader), None, None
            for side in sides:
                if side is not None:
                    with contextlib.suppress(sqlite3.Error, ValueError):
                        await side.connection.close()

    async def read(self, work: Work[T]) -> T:
        return await self._wanted(self._transact(self._reader, "BEGIN", work))

    async def ask(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        return await self._wanted(self._ask(sql, *values))

    async def write(self, work: Work[T], *, tell: bool = False, patient: bool = False) -> T:
        return await self._whole(self._transact(self._writer, "BEGIN IMMEDIATE", work))

    async def watch(self, woken: Callable[[], None]) -> FileWatch:
        return FileWatch(self._path, woken)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs to its end even if nobody waits any more: another transaction cannot begin inside this one."""
        return await asyncio.shield(self._begin(work))

    async def _wanted(self, work: Coroutine[Any, Any, T]) -> T:
        """The same of what only reads: once nobody waits any more SQLite gives it up, and its line is free."""
        task = self._begin(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._reader is not None and self._reader.served is task:
                self._reader.interrupt()
            else:
                task.cancel()  # it waits in line, or is done
            raise

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever has gone away does not hear of it

    async def _ask(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        side = self._reader
        if side is None:
            raise StoreAwayError(f"{self._path} is closed")
        async with side.served_in_line():
            with self._explained(), side.within(self._call_s):
                return await side.fetch(sql, *values)

    async def _transact(self, side: _Side | None, begin: str, work: Work[T]) -> T:
        if side is None:
            raise StoreAwayError(f"{self._path} is closed")
        async with side.served_in_line():
            with self._explained(), side.within(self._call_s):
                await side.connection.execute_fetchall(begin)
                try:
                    result = await work(side)
                    await self._commit(side)
                except BaseException:
                    side.relent()
                    with contextlib.suppress(sqlite3.Error, ValueError):
                        await side.connection.execute_fetchall("ROLLBACK")
                    raise
                return result

    async def _commit(self, side: _Side) -> None:
        try:
            await side.connection.execute_fetchall("COMMIT")
        except sqlite3.Error as error:
            told = self._explain(error)
            if _code(error) == sqlite3.SQLITE_IOERR and side is self._writer:
                # Not in force, but a process that finds the file after a crash may take it from what was written ahead.
                raise StoreAwayError(str(told), in_doubt=True) from None
            raise told from None

    async def _connect(self) -> _Side:
        connection = aiosqlite.connect(_uri(self._path), uri=True, isolation_level=None, timeout=self._busy_s)
        # A process that ends without `close` does not wait for this thread for ever.
        connection._thread.daemon = True
        await connection
        try:
            mode = await self._written_ahead(connection)
            if mode != "wal":
                raise StoreRefusedError(f"{self._path} cannot be written ahead: put data_dir on a local file system")
            await connection.execute_fetchall("PRAGMA synchronous = FULL")
            await connection.execute_fetchall("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        except BaseException:
            await connection.close()
            raise
        return _Side(connection)

    async def _written_ahead(self, connection: aiosqlite.Connection) -> str:
        """Sets the mode, for which several processes that start on a new file stand in each other's way unwaited."""
        deadline = asyncio.get_running_loop().time() + self._busy_s
        while True:
            try:
                ((mode,),) = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
                return str(mode)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(0.01)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns SQLite's and the system's errors into the store's."""
        try:
            yield
        except (StoreError, Undo):
            raise
        except sqlite3.Error as error:
            raise self._explain(error) from None
        except OSError as error:
            advice = "let this user read and write data_dir and what is in it, or choose another data_dir"
            raise StoreRefusedError(f"{self._path}: {error.strerror}; {advice}") from None

    def _explain(self, error: sqlite3.Error) -> StoreError:
        if _is_busy(error):
            return StoreAwayError(f"{self._path} is held by another process")
        match _code(error):
            case sqlite3.SQLITE_INTERRUPT:
                return StoreAwayError(f"{self._path} did not answer within {self._call_s or 0:g} s")
            case sqlite3.SQLITE_IOERR:
                return StoreAwayError(f"{self._path}: {error}: look at the disk below data_dir")
            case sqlite3.SQLITE_FULL:
                return StoreRefusedError(f"{self._path}: {error}: make room on the disk")
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return StoreRefusedError(f"{self._path}: {error}: restore it from a backup")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return StoreRefusedError(f"{self._path}: {error}: let this user write data_dir and what is in it")
            case _:
                return StoreRefusedError(f"{self._path}: {error}")


class _Side:
    """A connection and the line before it; inside a transaction it is the session."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.served: asyncio.Task[Any] | None = None
        """Whose turn it is."""
        self._line = asyncio.Lock()
        self._ending: asyncio.Future[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._relents = True
        """Nothing may be ended."""

    @contextlib.asynccontextmanager
    async def served_in_line(self) -> AsyncIterator[None]:
        """The turn of the task that asks for it."""
        async with self._line:
            self.served, self._relents = asyncio.current_task(), False
            try:
                yield
            finally:
                self.served = None
                self.relent()

    async def fetch(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        named = {str(place): value for place, value in enumerate(values, 1)}
        return list(await self.connection.execute_fetchall(sql, named))

    async def fetch_page(self, sql: str, columns: Sequence[str], *values: Value) -> Sequence[Sequence[Any]]:
        """As one value: of rows each is a step, at which threads hand the interpreter's lock to and fro."""
        page = f"SELECT CAST(json_group_array(json_array({', '.join(columns)})) AS BLOB) FROM ({sql})"  # noqa: S608
        ((found,),) = await self.fetch(page, *values)
        try:
            return _page(found)
        except (msgspec.MsgspecError, ValueError):
            return await self.fetch(sql, *values)  # somebody else wrote a row: one by one, so that it can be named

    @contextlib.contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """Interrupts what still runs by then, at which SQLite gives up."""
        if seconds is None:
            yield
            return
        loop = asyncio.get_running_loop()
        ending = loop.call_later(seconds, self.interrupt)
        try:
            yield
        finally:
            ending.cancel()

    def interrupt(self) -> None:
        """Ends the statement of whose turn it is. SQLite forgets this where that has yet to begin: so again and again,
        until the turn is over.
        """
        if self._relents:
            return
        self._rest()
        self._ending = asyncio.ensure_future(self.connection.interrupt())
        self._again = asyncio.get_running_loop().call_later(AGAIN_S, self.interrupt)

    def relent(self) -> None:
        """Lets go on what runs until the turn is over: it is not what was to end."""
        self._relents = True
        self._rest()

    def _rest(self) -> None:
        for each in (self._again, self._ending):
            if each is not None:
                each.cancel()

    async def copy(self, table: str, columns: Sequence[str], rows: Packed) -> None:
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
        cursor = await self.connection.executemany(sql, _tuples(rows))
        await cursor.close()

    async def script(self, sql: str) -> None:
        """One by one: sqlite3's own way to run a script commits first."""
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                await self.connection.execute_fetchall(statement)
                statement = ""
        if re.sub(r"--.*", "", statement).strip():
            await self.connection.execute_fetchall(statement)


def _tuples(rows: Packed) -> Iterator[tuple[Any, ...]]:
    """Made a few at a time, in the thread that inserts them."""
    at = 0
    while at < rows.size:
        some, at = rows.tuples(at, TUPLES_AT_ONCE)
        yield from some


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 where the driver gave none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _uri(path: str) -> str:
    """Opens, never creates: a file made by SQLite could be read by others."""
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode=rw"


def _make_file(path: str) -> None:
    """Makes sure that the file is there and that only its owner can read it and what SQLite puts beside it."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o700, exist_ok=True)
    is_new = not os.path.lexists(path)
    _tighten(path, os.O_RDWR | os.O_CREAT)
    for each in (f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            _tighten(each, os.O_RDONLY | os.O_NONBLOCK)
    if is_new:
        sync_directory(folder)


def _tighten(path: str, flags: int) -> None:
    """Never through a link: what it points to may be anybody's."""
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise StoreRefusedError(f"{path} is a symbolic link: put the file itself there, or move data_dir") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StoreRefusedError(f"{path} is not a file: remove it, or choose another data_dir")
        tighten(fd, path)
    finally:
        os.close(fd)
