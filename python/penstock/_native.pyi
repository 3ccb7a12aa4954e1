"""The data plane: what Python may ask of it. Written by hand and checked against the module by stubtest.

Text that crosses is UTF-8 JSON in ``bytes``. No method calls back into Python, none may be called from a signal handler
written in C, and all may be called from any thread. After ``fork`` every method raises ``RuntimeError`` in the child.
"""

from typing import final

__all__ = [
    "Encoding",
    "Engine",
    "JournalReader",
    "Rows",
    "__profile__",
    "__version__",
    "check_pattern",
    "error_codes",
    "forget_private",
    "measure",
    "verify_journals",
]

__version__: str
"""Version of the native library; equal to the package's."""

__profile__: str | None
"""Name of the profile that it was compiled with (``native/profile``); ``None``: without one."""

@final
class Engine:
    """The data plane as one object: it owns its threads, its connections and its copy of the listeners.

    No thread runs before `start`; none is left after `stop`. Dropping an engine that was not stopped stops it.
    """

    def __new__(cls, options: bytes) -> Engine:
        """Makes an engine that does nothing yet.

        ``options`` is ``{"workers": 2, "max_connections": 0, "log": {"level", "format"}, "instance": "…",
        "digest_key_file": "/…", "limits_file": "/…", "shared": {"timeout_us": 50000}, "journal": {"dir", "durability",
        "when_full", "max_bytes", "retain_ms", "pinned"}}``, where 0 connections means as many as the file limit allows;
        unknown fields are refused. The one file holds the 32 bytes by which digests of secrets are keyed; ``null``: a
        key of this process. The other keeps the counts of limits over a restart, and what the journal has beyond it is
        added at the start; ``null``: they begin at zero. With ``shared`` rates are spent from leases that questions of
        kind 3 ask for, for which a request waits so long at most; ``null``: this process counts for itself. The
        journal's ``dir`` is there and locked by the caller; 0 ``max_bytes`` is the smaller of 10 GiB and a tenth of the
        volume; a segment that is older than ``retain_ms`` goes, if it is ``pinned`` not before `journal_shipped` tells
        that a store has it; ``null``: nothing is recorded.

        Raises ``ValueError`` with the reason when the options are refused or the system gives no eventfd.
        """

    @property
    def question_fd(self) -> int:
        """An eventfd, readable while questions wait. It belongs to the engine: watch it, never read or close it."""

    def start(self, snapshot: bytes, listeners: list[tuple[int, str]]) -> None:
        """Takes the first snapshot and starts the workers.

        ``listeners`` are bound, listening, non-blocking sockets with what they are for, ``"data"`` or ``"admin"``. The
        engine duplicates the descriptors: the caller may close its own afterwards. Releases the GIL.

        Raises ``ValueError`` with the reason when the snapshot is refused or the engine was started before (nothing
        runs then that did not run already) or the journal cannot be, ``OSError`` when a descriptor cannot be
        duplicated.
        """

    def apply(self, snapshot: bytes) -> None:
        """Replaces the snapshot for requests that come from now on. Releases the GIL.

        Raises ``ValueError`` with the reason when it is refused: whole, and the old one keeps serving.
        """

    def put_keys(self, batch: bytes) -> None:
        """Applies rows to the key table: the document of ``penstock.policy.key_table.Batch``. Releases the GIL.

        Rows may come in any order and more than once; see ``Batch``. Requests that come from now on see all of it.
        Raises ``ValueError`` with the reason when the batch is refused: whole, and no row has changed.
        """

    def digest(self, credential: str) -> str:
        """The digest of a whole credential as ``Batch`` takes it: keyed BLAKE3, 64 hex digits."""

    def keys_current(self, current: bool) -> None:
        """Whether the key table is known to hold every key. While it is not (before the first load, and while the store
        is away) an id that is not in it is answered 503 instead of 401. False until said otherwise.
        """

    def used_keys(self) -> bytes:
        """The keys used since the last call: a JSON object, id → time of last use in microseconds UTC.

        A reset loses none.
        """

    def limits_use(self, scope: str, name: str) -> bytes:
        """What is used of the limits in one place: a JSON list of ``{"kind", "amount", "used", "reset_us"}``, beside
        them ``"window_us"`` or ``"period"`` unless the kind is ``concurrent``. Releases the GIL.

        ``scope`` is ``key``, ``team``, ``model``, ``provider`` or ``global``; ``name`` the id of a key or team, else
        the configured name, empty for ``global``. An empty list where nothing is limited.

        Raises ``ValueError`` for another scope.
        """

    def limits_reset(self, scope: str, name: str) -> bool:
        """Forgets what was counted in one place; what runs is still counted as running. ``False`` when nothing was.

        Of limits that nodes share it forgets what this process counted: reset the shared counts first.

        Raises ``ValueError`` for another scope.
        """

    def limits_earlier(self, used: bytes) -> None:
        """Counts what was used before anything that is known here, where limits are that survive a restart: a JSON list
        of ``[scope, name, until_us, requests, tokens, nanousd]``, scope and name as in ``limits_use``. All of one is
        counted as of ``until_us``, microseconds UTC: the last moment at which any of it was used, or now if that is
        earlier. Releases the GIL.

        Raises ``ValueError`` for anything else; then nothing is counted.
        """

    def limits_kept(self) -> bool | None:
        """Whether ``limits_earlier`` was called, here or by an earlier process, and all that it told is in the file of
        counts and survives a cut of power. May be asked after ``stop``, too. ``None``: another process has the file, or
        it is not known yet whose it is.
        """

    def shared_state(self, away: bool, nodes: int) -> None:
        """Whether the counts that nodes share can be asked now, and how many nodes share them, this one included; 0:
        that is not known. While they are ``away`` each limit goes by its policy. Away and 0 until said otherwise.

        Raises ``OverflowError`` for a number of nodes that is negative or 2³² and more.
        """

    def shared_pressed(self, tags: list[str]) -> None:
        """Another node was refused by these limits lately: leases of theirs that are idle here are given back early."""

    def journal_shipped(self, segments: list[tuple[str, int]]) -> None:
        """The store has all that is before these segments, each with its instance; 2⁶⁴-1: all there will ever be.

        Where the journal is ``pinned`` they go an hour after they were last written, or when room is needed.
        """

    def shipping(self, records: int, failures: int, oldest_us: int) -> None:
        """How shipping goes, for the metrics: records that the store took since the start, tries that failed, and when
        the oldest record that it lacks ended, in microseconds UTC; 0: there is none.
        """

    def questions(self) -> list[tuple[int, int, bytes]]:
        """All questions that wait, of each kind the oldest first, as ``(id, kind, payload)``. Silences `question_fd`;
        never waits.

        Kind 0 asks nothing: answer with ``b""`` at once, it measures the loop. Kind 1 is a request on the admin port: a
        JSON line ``{"method", "path", "query", "headers": [[name, value], …]}``, a newline, the body. Kind 2 asks
        whether a secret is right: ``{"key": id, "secret", "digest", "client": address or null}``; it holds the secret
        in clear. Kind 3 asks for leases of shared limits: a JSON list of at most 256 ``{"tag": limit, "args": [text,
        …]}``, each one call of ``limits/lease.lua``. Kind 4 asks what a key has spent: ``{"key": id}``.
        """

    def answer(self, id: int, payload: bytes) -> None:
        """Answers a question. An answer that comes too late, or a second time, is dropped.

        For kind 1 the payload is a JSON line ``{"status", "headers": [[name, value], …]}``, a newline, the body. For
        kind 2 it is ``{"verdict", "retry_after_ms"}`` with one of ``right`` (its digest was put before), ``wrong``,
        ``slow`` (too many wrong ones of this key from this address: 429) and ``away`` (it cannot be told now: 503). For
        kind 3 it is a JSON list of the same length: of each the 12 integers of the script, or ``null`` if there was no
        answer. For kind 4 it is the JSON that ``GET /v1/key`` shows as ``spend``, or ``null``.
        """

    def status(self) -> bytes:
        """What goes on now: a JSON object with ``revision``, ``workers``, ``connections``, ``in_flight``, ``tasks``,
        ``buffered_bytes``, the uptime and more, for people and tests.
        """

    def degraded(self, reasons: list[str]) -> None:
        """Sets what readiness names as degraded; an empty list means all is well. It stays ready either way."""

    def sinks(self, facts: bytes) -> None:
        """Sets what ``/metrics`` says of sinks: a JSON list of objects with ``name``, ``records``, ``skipped``,
        ``failures`` and ``lag_us``.

        Raises ``ValueError`` for anything else.
        """

    def drain(self) -> None:
        """Turns not ready. Still accepts and serves; answers close their connection."""

    def close_listeners(self) -> None:
        """Stops accepting and closes idle connections; requests in flight go on."""

    def idle(self) -> bool:
        """Whether no request is in flight."""

    def stop(self, timeout_ms: int) -> bool:
        """Ends what is in flight, ends every wait for an answer, and joins the threads. Releases the GIL.

        Waits at most ``timeout_ms`` milliseconds; ``False`` when a thread was still running then. Stopping again is
        allowed and does nothing.
        """

@final
class JournalReader:
    """Reads the journal of one instance, its process alive or not. Takes no lock and changes nothing."""

    def __new__(cls, directory: str, *, past_cache: bool = False) -> JournalReader:
        """A reader of ``data_dir/journal/<instance>``, which need not be there yet.

        ``past_cache``: long pieces are read past the system's page cache where the file system can, as in the
        durability ``group`` they are written.
        """

    def read(
        self, segment: int, offset: int, most_bytes: int, live: bool
    ) -> tuple[list[tuple[int, int, int, int, bytes, bytes | None]], int, int, bool]:
        """Entries from a position on, about ``most_bytes`` of them, as ``(kind, sequence, segment, offset, public,
        private)``; then the segment and offset to read from next, and whether that is the end for now. 0 and 0 are the
        beginning. Releases the GIL.

        ``live``: the process of the instance is alive, so that only what it has committed is read (in the durability
        ``os``: written). Kinds are 1 record, 2 begin of a stream, 3 gap, 4 removed segment, 5 end; ``public`` and
        ``private`` are MessagePack, see ``penstock.audit.record``. ``private`` is ``None`` where there is none or it
        was forgotten. What is damaged is passed over.

        Raises ``OSError`` when the disk refuses.
        """

    def rows(
        self,
        place: tuple[int, int, int],
        most_bytes: int,
        live: bool,
        days: tuple[int, int],
        begun: bytes,
        *,
        spare: bool = False,
    ) -> Rows:
        """About ``most_bytes`` of entries from a place on, as rows of ``penstock_records``. Releases the GIL.

        ``place`` is segment, offset and the sequence number of the last entry that is a row: it and those before it are
        passed over. ``days`` are the day of that row and the last that a row may have. ``begun`` is what `Rows.begun`
        was there; empty at the beginning. ``spare``: a thread at the lowest priority does it, which takes only what
        requests leave over, while the caller waits. Raises ``OSError`` when the disk refuses.
        """

@final
class Rows:
    """Rows one after another, each as PostgreSQL's binary COPY takes it, without header and trailer of the whole."""

    @property
    def size(self) -> int:
        """Bytes of all rows."""

    @property
    def count(self) -> int:
        """How many they are."""

    @property
    def records(self) -> int:
        """How many of them are of finished requests."""

    @property
    def segment(self) -> int:
        """Where the next reading goes on, with `offset`."""

    @property
    def offset(self) -> int:
        """Bytes from the segment's beginning."""

    @property
    def at_end(self) -> bool:
        """There is nothing more for now."""

    @property
    def ended(self) -> bool:
        """The last row says that the journal ended in order."""

    @property
    def sequence(self) -> int:
        """Of the last row; without rows that of ``place``."""

    @property
    def hash(self) -> bytes:
        """Of the last row, 32 bytes; without rows zeros."""

    @property
    def day(self) -> int:
        """Of the last row, since 1970; without rows the first of ``days``."""

    @property
    def days(self) -> list[int]:
        """Each day that a row has, once."""

    @property
    def oldest_us(self) -> int:
        """When the first of the requests ended, microseconds UTC; 0: there is none."""

    @property
    def begun(self) -> bytes:
        """Streams that have begun, up to the last row, and whose record has not come: number and sequence of each."""

    def interrupted(self) -> list[int]:
        """The sequence numbers of these."""

    def piece(self, at: int, most_bytes: int) -> bytes:
        """Bytes of the rows from ``at`` on."""

    def tuples(self, at: int, most: int) -> tuple[list[tuple[int | str | bytes | None, ...]], int]:
        """At most so many rows as the values of their columns, the first from ``at`` on, and where the next begins."""

def forget_private(directory: str, before_us: int, live: bool) -> tuple[int, int, int]:
    """Takes the private parts, and what is damaged, out of the whole segments in ``data_dir/journal/<instance>`` that
    last changed before a time, in microseconds UTC; how many parts they were, how many bytes, and how many segments are
    as they were, as another process was changing them: call it again. Releases the GIL.

    ``live``: the process of the instance is alive; its newest segment stays as it is. Raises ``OSError`` when the disk
    refuses; segments before that one are done.
    """

def verify_journals(directory: str, heads: bytes, live: list[str]) -> bytes:
    """Verifies all journals in ``data_dir/journal``: a JSON list with one object an instance: ``instance``,
    ``is_live``, ``segments``, ``entries``, ``records``, ``lost``, ``ended``, ``unfinished_bytes``, ``head``
    (``{"instance", "sequence", "hash"}`` or null) and ``fault``, the first one in words, or null. Releases the GIL.

    ``heads`` is a JSON list of heads that must stand in the chains; ``live`` names the instances whose processes are
    alive. Raises ``ValueError`` for other ``heads``, ``OSError`` when the disk refuses.
    """

@final
class Encoding:
    """A vocabulary, mapped from a file that all processes share; only what is looked up gets loaded."""

    def __new__(cls, directory: str, name: str) -> Encoding:
        """Opens ``<name>.table`` in a directory and checks it, in about a millisecond. Releases the GIL.

        ``name`` is ``o200k_base`` or ``cl100k_base``. The file must not be changed in place while it is open; replacing
        it by another of its name is safe.

        Raises ``OSError`` when it cannot be read, ``ValueError`` for another name and for a file that is damaged or of
        another encoding or version.
        """

    def count(self, text: bytes) -> int:
        """Tokens of a text in UTF-8, as `encode_ordinary` of tiktoken makes them. Releases the GIL.

        What is not UTF-8 counts as U+FFFD. Linear in the length; never raises.
        """

    def count_chat(self, model: str, body: bytes) -> int:
        """Tokens of the prompt that a request in JSON makes, of chat completions or Anthropic's messages. Releases the
        GIL.

        ``model`` chooses the rules of pictures and the factor of `measure`, whose encoding this one should be. Fields
        that do not count are passed over. Raises ``ValueError`` when the body is not such a request.
        """

def check_pattern(pattern: str) -> str | None:
    """What is wrong with a pattern of `audit.content.redact`, in one line; None: nothing. Releases the GIL.

    The language is that of the crate ``regex``: https://docs.rs/regex/latest/regex/#syntax
    """

def measure(model: str) -> tuple[str, int, bool]:
    """How the tokens of a model, or of an encoding by its name, are counted: ``(encoding, per_mille, is_exact)``.

    A thousand tokens of the encoding are about ``per_mille`` of the model. ``is_exact``: the encoding is the model's
    own, and the factor 1000.
    """

def error_codes() -> list[tuple[str, int]]:
    """Every error code that Penstock answers with, as ``(code, HTTP status)``, in the order of the native table."""
