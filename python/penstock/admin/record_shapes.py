"""What the admin API answers about records and sums, as types: OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.admin.shapes import Moment
from penstock.audit.record import Outcome, TextNote


class AttemptShape(Struct, frozen=True, kw_only=True):
    """One try at one target; `skipped` is 1 where it was passed over, as a limit of the provider was reached."""

    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    skipped: int
    us: int


class TokensShape(Struct, frozen=True, kw_only=True):
    """Tokens by kind; those of the prompt include the cached and the written ones."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    image_tokens: int


class PhasesShape(Struct, frozen=True, kw_only=True):
    """Microseconds by phase; the whole is `total_us`."""

    head_us: int
    body_wait_us: int
    route_us: int | UnsetType = UNSET
    connect_us: int | UnsetType = UNSET
    first_byte_us: int | UnsetType = UNSET
    total_us: int
    lease_us: int | UnsetType = UNSET
    admitted_us: int | UnsetType = UNSET


class StreamShape(Struct, frozen=True, kw_only=True):
    """Facts of a streamed answer."""

    first_token_us: int | UnsetType = UNSET
    frames: int
    longest_gap_us: int


class RecordShape(Struct, frozen=True, kw_only=True):
    """One finished request, or `count` refusals that were alike. What is not known is left out, or null.

    `client` and `end_user` are there for callers with the role admin, unless they were forgotten; so are `prompt` and
    `answer` where texts are recorded, in a listing if it is asked for them. A note says why one is not whole.
    """

    started: Moment
    instance: str
    sequence: int
    form: int
    number: int
    count: int
    request_id: str | None
    upstream_request_id: str | UnsetType = UNSET
    trace_id: str | UnsetType = UNSET
    key_id: str | None
    team: str | UnsetType = UNSET
    dialect: str | UnsetType = UNSET
    api: str | UnsetType = UNSET
    method: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    model: str | None
    target: str | None
    status: int | None
    outcome: Outcome
    error: str | UnsetType = UNSET
    attempts: tuple[AttemptShape, ...]
    usage: TokensShape | None
    usage_source: str | None
    cost_nanousd: int | None
    charged_tokens: int | UnsetType = UNSET
    charged_nanousd: int | UnsetType = UNSET
    phases: PhasesShape | UnsetType = UNSET
    admitted_boottime_us: int | UnsetType = UNSET
    queued_us: int | UnsetType = UNSET
    overhead_us: int | UnsetType = UNSET
    stream: StreamShape | UnsetType = UNSET
    received_bytes: int
    sent_bytes: int
    tags: dict[str, str] | UnsetType = UNSET
    limits: tuple[str, ...] | UnsetType = UNSET
    unpriced: int | UnsetType = UNSET
    client: str | UnsetType = UNSET
    end_user: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    prompt_note: TextNote | UnsetType = UNSET
    answer: str | UnsetType = UNSET
    answer_note: TextNote | UnsetType = UNSET


class RecordsShape(Struct, frozen=True, kw_only=True):
    """A piece of the records; `next` is the cursor of the following one, null at the end. `partial`: the journals of
    this node hold so much that the store does not have yet that some of it was passed over, or one of them cannot be
    read; of one request, it may also be that its id came more often.
    """

    items: tuple[RecordShape, ...]
    next: str | None
    partial: bool


class SumShape(Struct, frozen=True, kw_only=True):
    """What was used in the hour, day or month that begins `at` (null: in all of the time) by what `by` names, where
    null is not known. The cost has nothing of the `unpriced` requests: those that cost something, and nobody knows how
    much.
    """

    at: Moment | None
    by: dict[str, str | int | None]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    image_tokens: int
    cost_usd: Annotated[str, Meta(description="Exact, without an exponent")]
    cost_nanousd: int
    unpriced: int


class UsageShape(Struct, frozen=True, kw_only=True):
    """Sums of whole hours: `since` and `until` are where they begin and end, rounded outward from what was asked for.
    `partial`: see records.
    """

    since: Moment
    until: Moment
    per: Literal["hour", "day", "month"] | None
    items: tuple[SumShape, ...]
    partial: bool
