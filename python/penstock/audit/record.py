"""A record as native writes it: MessagePack lists whose places these structs name, one versioned schema.

Within a form places are only ever added, at the end and with a default: what an older release wrote decodes with the
rest unknown, and what a newer one adds is passed over. `native/core/src/observe/record_form.rs` is the other side.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, msgpack

RECORD, BEGIN, GAP, REMOVED, END = 1, 2, 3, 4, 5
"""Kinds of entry."""

INTERRUPTED = "interrupted"
"""The outcome of a stream whose process ended in the middle of it."""

Outcome = Literal["complete", "upstream_cut", "client_gone", "failed", "interrupted"]
"""How an answer ended. `interrupted`: its process ended in the middle of the stream; said by readers, never written."""


UsageSource = Literal["provider", "counted", "estimated"]
"""Who says what was used: the provider; a count here by the model's own encoding; any other count or guess."""


class Attempt(Struct, frozen=True, array_like=True):
    """One try at one target. `skipped`: it was passed over, as a limit of the provider was reached."""

    provider: str | None
    model: str | None
    status: int | None
    error: str | None
    skipped: int
    us: int


class Usage(Struct, frozen=True, array_like=True):
    """Tokens by kind; those of the prompt include the cached and the written ones."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    image_tokens: int


class Phases(Struct, frozen=True, array_like=True):
    """Microseconds by phase; None where the request never got that far. `total_us`: first byte in to the end."""

    head_us: int
    body_wait_us: int
    route_us: int | None
    connect_us: int | None
    first_byte_us: int | None
    total_us: int
    lease_us: int | None = None
    """Waiting for a lease of a limit that is shared between nodes."""
    admitted_us: int | None = None
    """First byte in to when its limits counted it: the day whose budget it is of."""


class Stream(Struct, frozen=True, array_like=True):
    """Facts of a streamed answer: request to first model frame, frames, the longest silence after that."""

    first_token_us: int | None
    frames: int
    longest_gap_us: int


class Record(Struct, frozen=True, array_like=True):
    """One finished request, or `count` refusals that were alike. What is not known is None."""

    form: int
    number: int
    count: int
    request_id: str | None
    upstream_request_id: str | None
    trace_id: str | None
    started_us: int
    """UTC."""
    key_id: str | None
    team: str | None
    dialect: str | None
    api: str | None
    method: str | None
    path: str | None
    model: str | None
    target: str | None
    status: int | None
    outcome: Outcome
    error: str | None
    attempts: tuple[Attempt, ...] = ()
    usage: Usage | None = None
    usage_source: UsageSource | None = None
    cost_nanousd: int | None = None
    charged_tokens: int | None = None
    charged_nanousd: int | None = None
    """What its limits of tokens and money were charged, where they hold."""
    phases: Phases | None = None
    admitted_boottime_us: int | None = None
    queued_us: int | None = None
    overhead_us: int | None = None
    stream: Stream | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    tags: dict[str, str] | None = None
    """Of the key, over those of its team."""
    limits: tuple[str, ...] | None = None
    """Those that counted it: `key:requests`, `global:budget` …"""
    counted: tuple[tuple[int, int, str | None], ...] | None = None
    """Where windows of an hour and more and periods counted it: rank of the scope, number of its latest telling to the
    checkpoint of limits before, and its name where the record has it nowhere else. By this a start completes them."""
    unpriced: int | None = None
    """1: it costs something, and how much nobody knows."""


class Begin(Struct, frozen=True, array_like=True):
    """A stream that began."""

    form: int
    number: int
    request_id: str | None
    started_us: int
    key_id: str | None
    team: str | None
    dialect: str | None
    api: str | None
    model: str | None
    target: str | None
    tags: dict[str, str] | None = None


TextNote = Literal["cut", "no_room", "slow"]
"""Why a text is not whole: it is longer than `audit.content.max_bytes`; there was no memory for it, or for its rest; to
redact it took too long."""


class Private(Struct, frozen=True, array_like=True):
    """What can be forgotten: the client's address, whom the client asked for, and texts where they are recorded."""

    client: str | None = None
    end_user: str | None = None
    prompt: str | None = None
    """JSON as it came, but for what was redacted, and notes in place of pictures, sound and files; it may be cut."""
    prompt_note: TextNote | None = None
    answer: str | None = None
    answer_note: TextNote | None = None


read_record = msgpack.Decoder(Record).decode
read_begin = msgpack.Decoder(Begin).decode
read_private = msgpack.Decoder(Private).decode

HEAD_BYTES = 1_024
"""So much of a private part, salt included, has its places before the texts, whatever stands in them."""
_NIL, _SHORT = 0xC0, 0x1F
_LENGTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Bytes of the length behind the mark of a longer text."""


def read_private_head(data: bytes) -> Private:
    """The places before the texts, of a private part that may be cut behind them."""
    texts: list[str | None] = []
    at = 1
    for _ in range(min(data[0] & 0x0F, 2)):
        mark, wide = data[at], _LENGTHS.get(data[at], 0)
        begin = at + 1 + wide
        length = int.from_bytes(data[at + 1 : begin], "big") if wide else mark & _SHORT
        at = begin if mark == _NIL else begin + length
        texts.append(None if mark == _NIL else data[begin:at].decode(errors="replace"))
    client, end_user, *_ = (*texts, None, None)
    return Private(client, end_user)


def interrupted(begin: Begin) -> Record:
    """What is known of a stream whose process ended in the middle of it."""
    return Record(
        form=begin.form,
        number=begin.number,
        count=1,
        request_id=begin.request_id,
        upstream_request_id=None,
        trace_id=None,
        started_us=begin.started_us,
        key_id=begin.key_id,
        team=begin.team,
        dialect=begin.dialect,
        api=begin.api,
        method=None,
        path=None,
        model=begin.model,
        target=begin.target,
        status=200,
        outcome="interrupted",
        error=None,
        tags=begin.tags,
    )
