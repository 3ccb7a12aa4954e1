"""What a database must do for `SqlStore`: transactions, and the few places where its SQL is its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from penstock.store.interface import Watch

T = TypeVar("T")
Value = str | int | bytes | None
MOST_SUM = 9 * 10**18
"""What a sum that is asked for comes to at most: 64 bits hold it."""
PATIENT_S = 600.0
"""How long a migration may take, and wait for tables that somebody reads or writes, and for another node's."""


class Undo(Exception):
    """Raised by the work of a transaction: it is rolled back, and the caller gets this."""


class Flavour(Struct, frozen=True, kw_only=True):
    """SQL that differs. Values stand as `$1`, `$2` … in all SQL."""

    migrations: str
    """The folder below store/migrations."""
    secrets: str
    """A value: the secrets of the key `r.id` as a JSON list of [generation, hash, until_us], oldest first."""
    tagged: str
    """A condition on the row `r`: the tag `{name}` has the value `{value}`."""
    tag_of: str
    """A value: what the tag `{name}` has in the JSON `{tags}`; NULL where there is no such tag."""
    tag_is: str
    """A condition on the column `{tags}` of a record: the tag `{name}` has the value `{value}`."""
    in_bytes: str
    """Behind a column of text: compared byte by byte, as an index has it."""
    month: str
    """A value: the months from year 0 to the one in which the hour `{hour}` since 1970 is."""
    part: str
    """A value: greater than 0 where `{part}` is part of `{text}`."""
    sum: str
    """A value: the sum of the whole numbers `{value}`; no more than `MOST_SUM`, however many there are."""
    touch: str
    """Raises `last_used_us` of many keys: `$1` is a JSON object of ids and times."""
    migrations_known: str
    """A query: one row where the table of migrations exists."""
    records_known: str
    """A query: one row where the tables of records exist."""
    lock: str | None
    """Held by one migrating node until its transaction ends; None where a writing transaction is alone anyway."""
    partitions: str | None
    """A query: the tables of which `penstock_records` consists, one a day; None where it is a table of its own."""
    tags: str
    """A value: the tags of the record `r` as text."""
    usage_of: str
    """What makes a row of `penstock_usage` the only one."""
    row: str
    """Columns that name a record among those of its day, in an order that an index has."""
    now_us: str
    """A query: the time that the database has."""
    wiped: str | None
    """A query, run behind a deletion that must not leave a trace on disk: one row, whose first value is not 0 where
    others were in the way. None where the deletion itself leaves none, or nothing can be done."""


class Packed(Protocol):
    """Rows that are ready to be sent: see `_native.Rows`."""

    @property
    def size(self) -> int: ...
    def piece(self, at: int, most_bytes: int) -> bytes: ...
    def tuples(self, at: int, most: int) -> tuple[list[tuple[int | str | bytes | None, ...]], int]: ...


class Session(Protocol):
    """A transaction, seen from inside."""

    async def fetch(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        """Runs one statement; its rows, if it gives any."""

    async def fetch_page(self, sql: str, columns: Sequence[str], *values: Value) -> Sequence[Sequence[Any]]:
        """The same for a query of many rows: its columns, which have these names, and no bytes in them."""

    async def script(self, sql: str) -> None:
        """Runs several statements without values."""

    async def copy(self, table: str, columns: Sequence[str], rows: Packed) -> None:
        """Appends rows of these columns."""


Work = Callable[[Session], Awaitable[T]]
"""What happens inside a transaction. It may run twice, so it leaves nothing behind but rows."""


class Database(Protocol):
    """Connections and transactions. All its errors are `StoreAwayError` or `StoreRefusedError`."""

    @property
    def flavour(self) -> Flavour: ...

    @property
    def place(self) -> str:
        """Where it is, for messages; without a secret."""

    async def open(self) -> None:
        """Makes ready; allowed again after it failed."""

    async def close(self) -> None: ...

    async def read(self, work: Work[T]) -> T:
        """Runs `work` on one unchanging view of the rows."""

    async def ask(self, sql: str, *values: Value) -> Sequence[Sequence[Any]]:
        """One reading statement by itself, which costs whoever polls less than a transaction."""

    async def write(self, work: Work[T], *, tell: bool = False, patient: bool = False) -> T:
        """Runs `work` and commits, or changes nothing; an error while committing is `in_doubt`.

        `tell` wakes the other nodes; `patient` waits minutes.
        """

    async def watch(self, woken: Callable[[], None]) -> Watch: ...
