"""The document that crosses to native, field for field what native/core/src/snapshot/document.rs reads."""

from __future__ import annotations

from msgspec import Struct, field

from penstock.config.model import Part
from penstock.limits.policy import Policy

FORMAT = 1


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds; 0 is no limit."""

    connect_ms: int
    first_token_ms: int
    between_bytes_ms: int
    total_ms: int
    header_read_ms: int
    body_read_idle_ms: int
    client_idle_ms: int


class SomeTimeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model limits for itself; None: the limit of the provider that is tried."""

    connect_ms: int | None
    first_token_ms: int | None
    between_bytes_ms: int | None
    total_ms: int | None


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on request bodies: one, and all in flight together."""

    max_bytes: int
    max_inflight_bytes: int


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What native writes to standard error; format is json or text."""

    level: str
    format: str
    access: bool


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """Authorities believed beside the system's."""

    ca_file: str | None


class Credential(Struct, frozen=True, forbid_unknown_fields=True):
    """The header that carries a provider's key."""

    header: str
    prefix: str
    secret: tuple[Part, ...]


class Base(Struct, frozen=True, forbid_unknown_fields=True):
    """Where one dialect of a provider is; the path is without its last slash."""

    scheme: str
    host: str
    port: int
    path: str
    auth: Credential | None


class Proxy(Struct, frozen=True, forbid_unknown_fields=True):
    """The proxy on the way to a provider; authorization is the whole header value."""

    scheme: str
    host: str
    port: int
    authorization: tuple[Part, ...] | None


class Provider(Struct, frozen=True, forbid_unknown_fields=True):
    """Who sells answers."""

    name: str
    kind: str | None
    dialects: dict[str, Base]
    headers: tuple[tuple[str, tuple[Part, ...]], ...]
    query: tuple[Part, ...]
    forward_headers: tuple[str, ...]
    supports_stream_usage: bool
    supports_count_tokens: bool
    passthrough: tuple[str, ...]
    lists_models: bool
    timeouts: Timeouts
    max_connections: int
    client_credentials: bool
    proxy: Proxy | None
    free: bool


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """Provider and upstream model; no model: the asked name passes through."""

    provider: str
    model: str | None
    weight: int


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """A name that clients ask for; one `*` makes it a wildcard."""

    name: str
    targets: tuple[Target, ...]
    fallback: tuple[Target, ...]
    timeouts: SomeTimeouts | None
    max_output_tokens: int | None


class Pattern(Struct, frozen=True, forbid_unknown_fields=True):
    """Names that go to a provider because its kind is known to serve them."""

    pattern: str
    provider: str


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of each key without its own, of everything together, of models and providers by name."""

    default: Policy | None
    global_: Policy | None = field(name="global")
    models: dict[str, Policy]
    providers: dict[str, Policy]
    unpriced: str
    zone: str


class Rates(Struct, frozen=True, array_like=True):
    """Nano-dollars per million tokens, seconds or characters."""

    input: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    image_input: int
    output: int
    audio_output: int
    image_output: int
    reasoning: int
    audio_second: int
    input_character: int


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of requests whose prompt has more tokens than this."""

    above: int
    rates: Rates


class Factors(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tier of service makes of the rates, in billionths."""

    batch: int
    flex: int
    priority: int
    ultrafast: int
    fast: int | None


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """The price of every model that fits the pattern, at providers of a kind; None: at all of them."""

    kind: str | None
    pattern: str
    rates: Rates
    above: tuple[Step, ...]
    factors: Factors


class Content(Struct, frozen=True, forbid_unknown_fields=True):
    """Which texts are recorded, of each so many bytes at most, and what is replaced in them."""

    prompts: bool
    answers: bool
    max_bytes: int
    redact: tuple[str, ...]


class Snapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole."""

    format: int
    revision: int
    auth: str
    trusted_proxies: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    timeouts: Timeouts
    max_attempts: int
    keepalive_ms: int
    body: Body
    log: Log
    tls: Tls
    providers: tuple[Provider, ...]
    models: tuple[Model, ...]
    patterns: tuple[Pattern, ...]
    default_provider: str | None
    limits: Limits
    prices: tuple[Price, ...]
    content: Content | None
    """None: no texts at all."""
