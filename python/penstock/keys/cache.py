"""`data_dir/keys.sqlite`: the last rows and the digests of verified secrets, so that a restart needs no store.

A cache: whatever is wrong with it costs a warning and work that is done again, never a request. It lives in one thread
of its own, and several processes may share it. `life` changes with every reset: whoever loaded before writes no more.
By notes of changes that were put before the feed came to them, whoever shares the file finds what the store has lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

import msgspec

from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.model import AdminToken
from penstock.keys.rows import Kept, KeptKey, KeptTeam
from penstock.observe.logs import Log
from penstock.policy.key_table import Secret
from penstock.private_file import tighten

NAME = "keys.sqlite"
FORMAT = 7
BUSY_S = 5.0
GATHER_S = 0.25
"""How long a digest waits for others: one transaction for many costs requests less than one for each."""
PAGE = 2_000
"""Rows that are read in one step, other threads running in between."""
ROWS_A_STATEMENT = 100
"""Where there are many: at each statement threads hand the interpreter's lock to and fro."""
NOTES = 1_000
"""Versions back from the newest whose notes stay when the place does not pass them."""

_SCHEMA = f"""
CREATE TABLE place (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), life TEXT NOT NULL, fingerprint TEXT NOT NULL,
    store TEXT, version INTEGER NOT NULL, change TEXT NOT NULL, synced_us INTEGER NOT NULL);
CREATE TABLE rows (kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL,
    change TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX rows_deleted ON rows (version) WHERE deleted;
CREATE INDEX rows_ahead ON rows (version) WHERE change IS NOT NULL;
CREATE TABLE digests (key TEXT NOT NULL, generation INTEGER NOT NULL, digest BLOB NOT NULL,
    memory_kib INTEGER NOT NULL, iterations INTEGER NOT NULL, parallelism INTEGER NOT NULL,
    PRIMARY KEY (key, generation)) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""
_NOTES = """CREATE TABLE IF NOT EXISTS notes (version INTEGER NOT NULL, change TEXT NOT NULL, life TEXT NOT NULL,
    PRIMARY KEY (version, change, life)) WITHOUT ROWID"""
# A process of the version before has its notes in rows only: it finds there those of others, and leaves there its own.
_AHEAD = """SELECT version, change FROM notes WHERE life = ? AND version > (SELECT version FROM place)
    UNION SELECT version, change FROM rows WHERE change IS NOT NULL AND version > (SELECT version FROM place)"""
_PASSED = """DELETE FROM notes WHERE life != ?
    OR version <= max((SELECT version FROM place), (SELECT max(version) FROM notes) - ?)"""
_PUT = """INSERT INTO rows (kind, id, version, deleted, body, change) VALUES {}
    ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, deleted = excluded.deleted, body = excluded.body,
    change = excluded.change WHERE excluded.version > rows.version"""
_PUT_ROW, _PUT_ROWS = (_PUT.format(", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)) for rows in (1, ROWS_A_STATEMENT))
_KEYS = """SELECT r.id, r.body, group_concat(d.generation || ':' || hex(d.digest))
    FROM (SELECT id, body FROM rows WHERE kind = 'key' AND id > ? ORDER BY id LIMIT ?) r
    LEFT JOIN digests d ON d.key = r.id AND d.memory_kib >= ? AND d.iterations >= ? AND d.parallelism >= ?
    GROUP BY r.id ORDER BY r.id"""
_LEARN = """INSERT OR REPLACE INTO digests (key, generation, digest, memory_kib, iterations, parallelism)
    VALUES (?, ?, ?, ?, ?, ?)"""

_encode = msgspec.json.Encoder().encode
_keys = msgspec.json.Decoder(list[KeptKey]).decode
_teams = msgspec.json.Decoder(list[KeptTeam]).decode
_tokens = msgspec.json.Decoder(list[AdminToken]).decode
_KINDS: dict[type, str] = {KeptKey: "key", KeptTeam: "team", AdminToken: "token"}

ResultT = TypeVar("ResultT")
_Line = tuple[str, str, int, int, str, str | None]


class Place(NamedTuple):
    """How far the rows go: all changes of this store up to this version, the newest of which is `change`."""

    store: str | None = None
    version: int = 0
    change: str = ""
    """The id of that change: after data was lost, another one has its version."""
    synced_us: int = 0
    """When the store last said that there is nothing newer."""


class Note(NamedTuple):
    """A change that was put before the feed came to its version: after data was lost, another one has that version."""

    version: int
    change: str
    """Its id; empty when the store did not have it."""


class _Learnt(NamedTuple):
    key: str
    generation: int
    digest: str
    cost: Cost


class CacheLostError(Exception):
    """Rows could not be read: the file was set aside, and what was read before does not count."""


class Cache:
    """Opened by `open`; before, and when the file is of no use, it is empty and forgets what it is told.

    Every method but `learn` hands its step to the thread before it returns, behind the digests learnt before: they are
    done in the order in which they were asked, whether somebody still waits for them or not.
    """

    def __init__(self, data_dir: str, fingerprint: str, log: Log, cost: Cost = OWASP) -> None:
        self.cost = cost
        """What a new hash takes."""
        self._path = os.path.join(os.path.abspath(data_dir), NAME)
        self._fingerprint, self._log = fingerprint, log
        self._thread = ThreadPoolExecutor(1, "penstock-keys")
        self._database: sqlite3.Connection | None = None
        self._life = ""
        self._due: str | None = None
        """The store of a reset that the file did not take yet."""
        self._warned = ""
        self._closed = False
        self._learnt: list[_Learnt] = []
        self._gathering: asyncio.TimerHandle | None = None

    def open(self) -> asyncio.Future[Place]:
        """How far the rows in the file go. Sets a damaged file aside."""
        return self._do(self._open, Place())

    async def load(self) -> AsyncIterator[Sequence[Kept]]:
        """Every row, `PAGE` at a time, teams before keys; keys with their digests. Raises `CacheLostError`.

        Without those of secrets whose hash takes less than a new one: they have to be shown once more, so that it can
        be exchanged.
        """
        yield await self._page(self._read_others)
        after = ""
        while page := await self._page(partial(self._read_keys, after)):
            yield page
            after = page[-1].id

    def ahead(self) -> asyncio.Future[set[Note]]:
        """What every process on `data_dir` has noted and the place has not passed."""
        return self._do(self._ahead, set())

    def write(self, rows: Sequence[Kept], since: int, place: Place) -> asyncio.Future[None]:
        """Takes over all rows that changed after version `since`, up to `place`."""
        return self._do(lambda: self._write([(row, None) for row in rows], since, place), None)

    def write_ahead(self, rows: Sequence[tuple[Kept, str | None]]) -> asyncio.Future[None]:
        """Takes over rows, and notes the ids of their changes; what else has changed up to there is not known."""
        return self._do(lambda: self._write(rows, 0, None), None)

    def learn(self, key: str, generation: int, digest: str, cost: Cost) -> None:
        """Keeps the digest of a verified secret, and what its hash takes; on disk within `GATHER_S` and a write."""
        self._learnt.append(_Learnt(key, generation, digest, cost))
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> asyncio.Future[None]:
        """What was learnt is on its way to the disk; done when it is there."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        learnt, self._learnt = self._learnt, []
        return self._hand(lambda: self._learn(learnt), None)

    async def known(self, key: str) -> dict[int, str]:
        """The digests of a key by generation: those that this process and others on `data_dir` have verified."""
        nothing: dict[int, str] = {}
        waiting = {each.generation: each.digest for each in self._learnt if each.key == key}
        return await self._hand(lambda: self._known(key), nothing) | waiting

    def reset(self, store: str) -> asyncio.Future[None]:
        """Forgets everything: another store, or one that lost data."""
        return self._do(lambda: self._reset(store), None)

    async def close(self) -> None:
        """Finishes what was asked for; nothing is taken after that."""
        if not self._closed:
            last = self._do(self._close, None)
            self._closed = True
            await last
            self._thread.shutdown(wait=False)

    def _do(self, work: Callable[[], ResultT], otherwise: ResultT) -> asyncio.Future[ResultT]:
        if self._learnt:
            self.flush()
        return self._hand(work, otherwise)

    def _hand(self, work: Callable[[], ResultT], otherwise: ResultT) -> asyncio.Future[ResultT]:
        loop = asyncio.get_running_loop()
        if not self._closed:
            return asyncio.shield(loop.run_in_executor(self._thread, self._try, work, otherwise))
        nothing: asyncio.Future[ResultT] = loop.create_future()
        nothing.set_result(otherwise)
        return nothing

    async def _page(self, read: Callable[[], Sequence[Kept]]) -> Sequence[Kept]:
        page = await self._do(lambda: self._read(read), None)
        if page is None:
            raise CacheLostError
        return page

    # --- in the thread ---

    def _try(self, work: Callable[[], ResultT], otherwise: ResultT) -> ResultT:
        """Takes one step; a failure is a warning, once for as long as it stays the same."""
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            if (text := str(error)) != self._warned:
                self._warned = text
                advice = "keys work on; a restart checks secrets again, and needs the store"
                self._log.warning(f"{self._path} cannot be used: {text}; {advice}")
            return otherwise

    def _open(self) -> Place:
        try:
            return self._connect()
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
            self._set_aside(error)
            return self._connect()

    def _read(self, work: Callable[[], Sequence[Kept]]) -> Sequence[Kept] | None:
        """Rows; None when they cannot be read, and then there is a new file."""
        try:
            return work()
        except (sqlite3.Error, msgspec.MsgspecError, ValueError) as error:
            self._close()
            self._set_aside(error)
            self._connect()
            return None

    def _set_aside(self, error: Exception) -> None:
        aside = f"{self._path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path + end, aside + end)
        self._log.warning(f"{self._path} is damaged ({error}): set aside as {aside}, a new one is begun")

    def _connect(self) -> Place:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for warning in tighten(fd, self._path):
                self._log.warning(warning)
        finally:
            os.close(fd)
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            place = self._prepare(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return place

    def _prepare(self, database: sqlite3.Connection) -> Place:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "cache_size = -512",
            "temp_store = MEMORY",  # a statement of many rows keeps what pages were; on disk that would be in /tmp
            "journal_size_limit = 4194304",
        ):
            database.execute(f"PRAGMA {pragma}")
        with _transaction(database):
            (made,) = database.execute("PRAGMA user_version").fetchone()
            if made != FORMAT:
                tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                for (name,) in database.execute(tables).fetchall():
                    database.execute(f'DROP TABLE "{name}"')
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                self._put_place(database, None)
            database.execute(_NOTES)
            columns = "life, fingerprint, store, version, change, synced_us"
            self._life, fingerprint, *place = database.execute(f"SELECT {columns} FROM place").fetchone()  # noqa: S608
            if fingerprint != self._fingerprint:
                database.execute("DELETE FROM digests")
                database.execute("UPDATE place SET fingerprint = ?", (self._fingerprint,))
        return Place(*place)

    def _put_place(self, database: sqlite3.Connection, store: str | None) -> None:
        self._life = os.urandom(8).hex()
        values = (self._life, self._fingerprint, store)
        database.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?, 0, '', 0)", values)

    def _read_others(self) -> list[Kept]:
        if self._database is None:
            return []
        found: list[Kept] = []
        for kind, decode in (("team", _teams), ("token", _tokens)):
            bodies = self._database.execute("SELECT body FROM rows WHERE kind = ?", (kind,)).fetchall()
            found += decode(f"[{','.join(body for (body,) in bodies)}]")
        return found

    def _read_keys(self, after: str) -> list[KeptKey]:
        if self._database is None:
            return []
        read = self._database.execute(_KEYS, (after, PAGE, *self.cost)).fetchall()
        keys = _keys(f"[{','.join(body for _, body, _ in read)}]")
        return [_with_digests(key, known) if known else key for key, (_, _, known) in zip(keys, read, strict=True)]

    def _known(self, key: str) -> dict[int, str]:
        if self._database is None or not self._is_ours(self._database):
            return {}
        read = self._database.execute("SELECT generation, hex(digest) FROM digests WHERE key = ?", (key,))
        return {generation: digest.lower() for generation, digest in read}

    def _ahead(self) -> set[Note]:
        if self._database is None or not self._is_ours(self._database):
            return set()
        return {Note(version, change) for version, change in self._database.execute(_AHEAD, (self._life,))}

    def _write(self, rows: Sequence[tuple[Kept, str | None]], since: int, place: Place | None) -> None:
        self._make_up()
        if self._database is None:
            return
        with _transaction(self._database) as database:
            if not self._is_ours(database):
                return
            (there,) = database.execute("SELECT version FROM place").fetchone()
            newer = [each for each in rows if each[0].version > there]  # the others are in it, or were deleted since
            _put(database, sorted(_line(row, change) for row, change in newer))
            notes = [(row.version, change, self._life) for row, change in newer if change is not None]
            database.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", notes)
            (learnt,) = database.execute("SELECT EXISTS (SELECT 1 FROM digests)").fetchone()
            for row, _ in newer if learnt else ():  # a first load has nothing to forget
                if isinstance(row, KeptKey):
                    live = [secret.generation for secret in row.secrets]
                    marks = ",".join("?" * len(live))
                    sql = f"DELETE FROM digests WHERE key = ? AND generation NOT IN ({marks})"  # noqa: S608
                    database.execute(sql, (row.id, *live))
            # A write that failed leaves a gap: then rows are kept, but the place stays, and a restart asks from there.
            if place is not None and there >= since:
                if place.version >= there:
                    sql = "UPDATE place SET store = ?, version = ?, change = ?, synced_us = ?"
                    database.execute(sql, place)
                database.execute("DELETE FROM rows WHERE deleted AND version <= (SELECT version FROM place)")
            database.execute(_PASSED, (self._life, NOTES))

    def _learn(self, learnt: Sequence[_Learnt]) -> None:
        self._make_up()
        if self._database is None:
            return
        with _transaction(self._database) as database:
            if self._is_ours(database):
                lines = ((each.key, each.generation, bytes.fromhex(each.digest), *each.cost) for each in learnt)
                database.executemany(_LEARN, lines)

    def _reset(self, store: str) -> None:
        # What is in the file counts no more, even if it cannot be written now.
        self._life, self._due = "", store
        self._make_up()

    def _make_up(self) -> None:
        """Resets the file, if that is due."""
        if self._database is None or self._due is None:
            return
        with _transaction(self._database) as database:
            database.execute("DELETE FROM rows")
            database.execute("DELETE FROM digests")
            database.execute("DELETE FROM notes")
            self._put_place(database, self._due)
        self._due = None

    def _is_ours(self, database: sqlite3.Connection) -> bool:
        row = database.execute("SELECT life, fingerprint FROM place").fetchone()
        return bool(row == (self._life, self._fingerprint))

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _put(database: sqlite3.Connection, lines: Sequence[_Line]) -> None:
    whole = len(lines) // ROWS_A_STATEMENT * ROWS_A_STATEMENT
    for start in range(0, whole, ROWS_A_STATEMENT):
        database.execute(_PUT_ROWS, tuple(chain.from_iterable(lines[start : start + ROWS_A_STATEMENT])))
    database.executemany(_PUT_ROW, lines[whole:])


def _line(row: Kept, change: str | None) -> _Line:
    return _KINDS[type(row)], row.id, row.version, int(row.state == "deleted"), _encode(row).decode(), change


def _with_digests(key: KeptKey, known: str) -> KeptKey:
    digests = dict(each.split(":") for each in known.lower().split(","))
    secrets = tuple(Secret(s.generation, s.until_us, digests.get(str(s.generation))) for s in key.secrets)
    return msgspec.structs.replace(key, secrets=secrets)


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, and not the disk, its rights or another process."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "no such" in str(error)
