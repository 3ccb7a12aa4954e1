"""PostgreSQL: a bounded pool whose connections keep no state between transactions, so that a pooler may sit there."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from penstock.store.database import MOST_SUM, PATIENT_S, Flavour, Packed, Undo, Value, Work
from penstock.store.interface import ConflictError, StoreAwayError, StoreError, StoreHeldError
from penstock.store.postgres_connection import DRIVER_ERRORS, Connection, connect, explain, part, place
from penstock.store.postgres_listen import CHANNEL, Listener

T = TypeVar("T")
CALL_S = 2.0
"""Within which a call is usually answered, or the store is away. A second try on a fresh connection is inside it."""
IDLE_S = 60.0
"""How long a connection may rest: firewalls forget connections without a word."""

LEAVE_S = 1.0
"""How long a connection may take to tell the server that nobody waits any more for what it does."""
PIECE_BYTES = 1 << 16
"""Of rows that are sent; the loop turns to others between two pieces."""

# A node that stops in the middle of a change holds up every other one: the server ends that transaction. Nobody waits
# for its answer by then.
_LIMITS = "SET LOCAL statement_timeout = '{:.0f}s'; SET LOCAL idle_in_transaction_session_timeout = '3s'"
_PATIENT = f"SET LOCAL statement_timeout = '{PATIENT_S:.0f}s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
# What is acknowledged is on disk, whatever the database's default says.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
_MIGRATE = f"{_WRITE}; {_PATIENT}; {_DURABLE}"
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_TELL = f"NOTIFY {CHANNEL}; COMMIT"

FLAVOUR = Flavour(
    migrations="postgres",
    secrets=(
        "(SELECT coalesce(json_agg(json_build_array(s.generation, s.hash, s.until_us) ORDER BY s.generation), '[]')"
        "::text FROM penstock_secrets AS s WHERE s.key_id = r.id)"
    ),
    tagged="(r.tags ->> {name}::text) = {value}",
    tag_of="({tags}::jsonb ->> {name}::text)",
    tag_is="{tags} @> jsonb_build_object({name}::text, {value}::text)",
    in_bytes=' COLLATE "C"',
    month=(
        "(extract(year FROM to_timestamp({hour} * 3600.0) AT TIME ZONE 'UTC')::integer * 12"
        " + extract(month FROM to_timestamp({hour} * 3600.0) AT TIME ZONE 'UTC')::integer - 1)"
    ),
    part="strpos({text}, {part})",
    # It sums bigints to numeric, which another type would be here.
    sum=f"CAST(CASE WHEN sum({{value}}) > {MOST_SUM} THEN {MOST_SUM} ELSE sum({{value}}) END AS bigint)",
    # Locked in the order of ids, or two nodes that write the same keys at once would wait for each other.
    touch=(
        "UPDATE penstock_keys AS k SET last_used_us = u.at FROM"
        " (SELECT r.id, t.value::bigint AS at FROM jsonb_each_text($1::text::jsonb) AS t"
        " JOIN penstock_keys AS r ON r.id = t.key WHERE r.state <> 'deleted'"
        " AND (r.last_used_us IS NULL OR r.last_used_us < t.value::bigint) ORDER BY r.id FOR NO KEY UPDATE OF r) AS u"
        " WHERE k.id = u.id AND (k.last_used_us IS NULL OR k.last_used_us < u.at)"
    ),
    migrations_known="SELECT 1 WHERE to_regclass('penstock_migrations') IS NOT NULL",
    records_known="SELECT 1 WHERE to_regclass('penstock_shipped') IS NOT NULL",
    lock="SELECT pg_advisory_xact_lock(8098140918277501550)",
    partitions=(
        "SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'penstock_records'::regclass"
    ),
    tags="coalesce(r.tags::text, '{}')",
    usage_of="hour, key_id, team, model, target, status, hashtextextended(tags, 0)",
    row="instance, sequence",
    now_us="SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    wiped=None,
)


class PostgresDatabase:
    """At most `pool` connections, opened when they are needed, and one more for `watch`."""

    def __init__(
        self,
        url: str,
        *,
        password_file: str | None = None,
        pool: int = 4,
        call_s: float = CALL_S,
        patient_s: float = PATIENT_S,
    ) -> None:
        self._url = url
        self._password_file = password_file
        self._call_s, self._patient_s = call_s, patient_s
        limits = _LIMITS.format(call_s + 1)
        self._read, self._write = f"{_READ}; {limits}", f"{_WRITE}; {limits}; {_DURABLE}"
        self._places = asyncio.Semaphore(pool)
        self._idle: deque[tuple[Connection, float]] = deque()
        self._busy: set[Connection] = set()
        self._leaving: dict[Connection, asyncio.Task[None]] = {}
        self._listeners: set[Listener] = set()
        self._place = place(url)
        self._closed = False

    @property
    def flavour(self) -> Flavour:
        return FLAVOUR

    @property
    def place(self) -> str:
        return self._place

    async def open(self) -> None:
        """Connects with the first call."""
        self._closed = False

    async def close(self) -> None:
        """What is under way ends as if the server had gone."""
        self._closed = True
        for listener in list(self._listeners):
            await listener.stop()
        for connection in list(self._busy):
            connection.terminate()
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        await asyncio.gather(*(part(connection, self._call_s) for connection in idle), *self._leaving.values())

    async def read(self, work: Work[T]) -> T:
        return await self._call(self._read, work, "COMMIT", self._call_s)

    async def ask(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        return await self._call("", lambda session: session.fetch(sql, *values), "", self._call_s)

    async def write(self, work: Work[T], *, tell: bool = False, patient: bool = False) -> T:
        begin, seconds = (_MIGRATE, self._patient_s) if patient else (self._write, self._call_s)
        return await self._call(begin, work, _TELL if tell else "COMMIT", seconds)

    async def watch(self, woken: Callable[[], None]) -> Listener:
        listener = Listener(self._connect, woken, self._call_s)
        self._listeners.add(listener)
        listener.task.add_done_callback(lambda _: self._listeners.discard(listener))
        return listener

    async def _call(self, begin: str, work: Work[T], end: str, seconds: float) -> T:
        """One transaction, or one statement without `begin`; once more on a fresh connection if the first was cut."""
        in_doubt = False

        def commits() -> None:
            nonlocal in_doubt
            in_doubt = begin not in (self._read, "")

        try:
            async with asyncio.timeout(seconds), _Place(self._places) as here:
                try:
                    return await self._transact(begin, work, end, commits, here)
                except StoreHeldError:
                    raise  # a connection is not what was missing
                except StoreAwayError:
                    if self._closed:
                        raise
                    self._drop_idle()  # they go the same way
                    return await self._transact(begin, work, end, commits, here)
        except TimeoutError:
            raise StoreAwayError(f"{self._place} did not answer within {seconds:g} s", in_doubt=in_doubt) from None
        except ConflictError:
            raise  # found by a second try that waited for the end of the first, and so has seen what became of it
        except StoreError as error:
            if in_doubt:
                raise StoreAwayError(str(error), in_doubt=True) from None
            raise

    async def _transact(self, begin: str, work: Work[T], end: str, commits: Callable[[], None], here: _Place) -> T:
        if self._closed:
            raise StoreAwayError(f"{self._place} is closed")
        try:
            connection = self._rested() or await self._connect()
        except (*DRIVER_ERRORS, ValueError) as error:
            raise explain(error, self._place) from None
        self._busy.add(connection)
        try:
            if self._closed:  # while it was being made
                raise StoreAwayError(f"{self._place} is closed")
            if begin:
                await connection.execute(begin)
            result = await work(_Session(connection))
            if end:
                commits()
                await connection.execute(end)
        except (StoreError, Undo):
            await self._undo(connection)
            raise
        except DRIVER_ERRORS as error:
            connection.terminate()
            raise explain(error, self._place) from None
        except BaseException:
            here.leaving = self._leave(connection)
            raise
        finally:
            self._let_go(connection)
        return result

    def _let_go(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection in self._leaving:
            return
        if self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append((connection, time.monotonic()))

    def _leave(self, connection: Connection) -> asyncio.Task[None]:
        """Nobody waits any more: the server ends the statement, which it would finish for whoever has just gone."""
        task = asyncio.ensure_future(part(connection, LEAVE_S))
        self._leaving[connection] = task
        task.add_done_callback(lambda _: self._leaving.pop(connection, None))
        return task

    async def _undo(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            connection.terminate()  # which undoes it as well
        except BaseException:
            connection.terminate()
            raise

    def _rested(self) -> Connection | None:
        """The connection that was used last, if there is one; those that nobody needed for long are dropped."""
        while self._idle and (self._idle[0][1] < time.monotonic() - IDLE_S or self._idle[0][0].is_closed()):
            self._idle.popleft()[0].terminate()
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop()[0].terminate()

    async def _connect(self) -> Connection:
        return await connect(self._url, self._password_file, self._call_s)


class _Place:
    """One of the pool's places, taken by a call: free again when that has ended, and the connection that it leaves."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self.leaving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Place:
        await self._places.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.leaving is None:
            self._places.release()
        else:
            self.leaving.add_done_callback(lambda _: self._places.release())


class _Session:
    """A transaction, seen from inside."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        return await self._connection.fetch(sql, *values)

    async def fetch_page(self, sql: str, columns: Sequence[str], *values: Value) -> Sequence[Sequence[Any]]:
        return await self.fetch(sql, *values)

    async def script(self, sql: str) -> None:
        await self._connection.execute(sql)

    async def copy(self, table: str, columns: Sequence[str], rows: Packed) -> None:
        await self._connection.copy_to_table(table, source=_pieces(rows), columns=columns, format="binary")


async def _pieces(rows: Packed) -> AsyncIterator[bytes]:
    yield _COPY_HEAD
    for at in range(0, rows.size, PIECE_BYTES):
        yield rows.piece(at, PIECE_BYTES)
        await asyncio.sleep(0)
    yield _COPY_END
