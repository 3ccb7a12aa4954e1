"""The configuration as the program reads it: frozen structs, every field with its default."""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import asdict, replace

from penstock.limits.policy import Limits

Duration = Annotated[int, Meta(ge=0, le=604_800_000, extra={"unit": "duration"})]
"""Milliseconds; written `100ms`, `5s`, `2m`, `1h` or a bare `0`; at most a week."""

Size = Annotated[int, Meta(ge=0, le=1 << 40, extra={"unit": "size"})]
"""Bytes; written `64MiB`, `10MB`, `512` …; at most 1 TiB."""

Usd = Annotated[int, Meta(ge=0, le=10**15, extra={"unit": "usd"})]
Factor = Annotated[int, Meta(ge=0, le=10**11, extra={"unit": "factor"})]
"""Nano-dollars; written in dollars, `10` or `1.25`; at most a million."""

DialectName = Literal["openai", "anthropic", "ollama"]

_DEFAULT = re.compile(r"(\$\{env:[A-Za-z0-9_]+:-)[^}]*\}")
_PASSWORD = re.compile(r"(://[^:/@]*:)(?!\$\{(?:env:[A-Za-z0-9_]+|file:[^}]*)\}@).*@")


class TextPart(Struct, frozen=True):
    """A literal piece of a secret. Its text is shown nowhere."""

    text: str

    def __repr__(self) -> str:
        return "TextPart(…)"


class EnvPart(Struct, frozen=True):
    """A piece that native reads from an environment variable."""

    env: str
    default: str | None = None

    def __repr__(self) -> str:
        return f"EnvPart({self.env})"


class FilePart(Struct, frozen=True):
    """A piece that native reads from a file, trailing line break cut off."""

    file: str

    def __repr__(self) -> str:
        return f"FilePart({self.file})"


Part = TextPart | EnvPart | FilePart


class Secret(Struct, frozen=True):
    """A value kept as references to where it stands; nothing in Python holds what they resolve to."""

    parts: tuple[Part, ...]

    def shown(self) -> str:
        """The value for people: references as they were written, literal text and defaults hidden."""
        return "".join(_shown(part) for part in self.parts)

    def __repr__(self) -> str:
        return f"Secret({self.shown()})"


def _shown(part: Part) -> str:
    match part:
        case TextPart():
            return "********"
        case EnvPart(env=name, default=None):
            return f"${{env:{name}}}"
        case EnvPart(env=name):
            return f"${{env:{name}:-********}}"
        case FilePart(file=path):
            return f"${{file:{path}}}"


class Referenced(str):
    """Text that was written with references: what it stands for, but shown as it was written."""

    written: str

    def __new__(cls, text: str, written: str) -> Referenced:
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)


class ServerUrl(Referenced):
    """Where a store or Redis is. A password in it is shown nowhere."""

    def __new__(cls, text: str, written: str = "") -> ServerUrl:
        made = super().__new__(cls, text, hide_password(written or text))
        assert isinstance(made, ServerUrl)  # noqa: S101 (for the type checker)
        return made


def hide_password(written: str) -> str:
    """A URL for people: a literal password and the defaults of references hidden."""
    return _PASSWORD.sub(r"\1********@", _DEFAULT.sub(r"\1********}", written))


def as_written(text: str) -> str:
    """The text for people: references unresolved, since a variable may hold a secret."""
    return text.written if isinstance(text, Referenced) else text


class Timeouts(Struct, frozen=True, kw_only=True):
    """Limits of waiting; 0 is no limit. `first_token`: request sent → first model frame or head of the answer."""

    connect: Duration = 5_000
    first_token: Duration = 600_000
    between_bytes: Duration = 300_000
    total: Duration = 0
    header_read: Duration = 10_000
    body_read_idle: Duration = 30_000
    client_idle: Duration = 620_000


class TimeoutsOverride(Struct, frozen=True, kw_only=True):
    """The limits that one provider or model sets for itself; None is what stands above. The others are the client's."""

    connect: Duration | None = None
    first_token: Duration | None = None
    between_bytes: Duration | None = None
    total: Duration | None = None


def overlay(limits: Timeouts, override: TimeoutsOverride) -> Timeouts:
    """The limits with what a provider or model sets for itself."""
    return replace(limits, **{name: value for name, value in asdict(override).items() if value is not None})


class Token(Struct, frozen=True, kw_only=True):
    """A further token of the admin port, beside the one in `data_dir`."""

    name: str = ""
    role: Literal["admin", "viewer"] = "viewer"
    token: Secret | None = None


class Admin(Struct, frozen=True, kw_only=True):
    """The port for the admin API, metrics and health; never the data port."""

    listen: tuple[str, ...] = ("127.0.0.1:4001",)
    tokens: tuple[Token, ...] = ()


class Store(Struct, frozen=True, kw_only=True):
    """Where keys, teams and admin tokens are kept; its URL alone may stand for it."""

    url: ServerUrl = ServerUrl("sqlite")
    auto_migrate: bool = True
    password_file: str | None = None
    pool: Annotated[int, Meta(ge=1, le=64)] = 4


class Shared(Struct, frozen=True, kw_only=True):
    """The Redis in which nodes share their limits; its URL alone may stand for it."""

    url: ServerUrl = ServerUrl("")
    timeout: Annotated[int, Meta(ge=1, le=2_000, extra={"unit": "duration"})] = 50
    """How long a request waits for Redis at most."""
    nodes: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    """How many there are at least, reckoned with while Redis is away."""
    prefix: str = "penstock"
    """What its keys begin with; nodes with another one share nothing."""
    password_file: str | None = None


class Hash(Struct, frozen=True, kw_only=True):
    """What one Argon2id check of a key costs; OWASP's minimum is the default and the floor."""

    memory: Annotated[int, Meta(ge=19 << 20, le=1 << 30, extra={"unit": "size"})] = 19 << 20
    iterations: Annotated[int, Meta(ge=2, le=64)] = 2
    parallelism: Annotated[int, Meta(ge=1, le=16)] = 1


class Keys(Struct, frozen=True, kw_only=True):
    """How keys are kept."""

    hash: Hash = Hash()


class Body(Struct, frozen=True, kw_only=True):
    """Bounds on request bodies: one, and all in flight together."""

    max_bytes: Annotated[int, Meta(ge=1024, le=1 << 30, extra={"unit": "size"})] = 64 << 20
    max_inflight_bytes: Size | Literal["auto"] = "auto"


class Shutdown(Struct, frozen=True, kw_only=True):
    """How long to serve on after a stop signal, and how long streams may take to finish after that."""

    delay: Duration = 0
    deadline: Duration = 300_000


class Log(Struct, frozen=True, kw_only=True):
    """Log lines on standard error; `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "warn", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    access: bool = False


class Tls(Struct, frozen=True, kw_only=True):
    """Certificate authorities (PEM) believed beside the system's."""

    ca_file: str | None = None


class Auth(Struct, frozen=True, kw_only=True):
    """Where a provider wants its key: `<header>: <prefix><key>`."""

    header: str = "authorization"
    prefix: str = "Bearer "


class GivenAuth(Struct, frozen=True, kw_only=True):
    """What a provider's configuration says of it; what is None is as its kind has it."""

    header: str | None = None
    prefix: str | None = None


class Provider(Struct, frozen=True, kw_only=True):
    """Who sells answers. What is None comes from the catalogue entry that `kind`, or else the name, points to."""

    kind: str | None = None
    base_url: str | None = None
    dialect: DialectName | None = None
    dialects: dict[DialectName, str] | None = None
    credentials: Literal["own", "client"] = "own"
    """`client`: the caller's own credential goes upstream as it came."""
    api_key: Secret | None = None
    auth: GivenAuth | None = None
    headers: dict[str, Secret] = {}
    query: Secret | None = None
    forward_headers: tuple[str, ...] | None = None
    supports_stream_usage: bool | None = None
    supports_count_tokens: bool | None = None
    lists_models: bool | None = None
    patterns: tuple[str, ...] | None = None
    passthrough: tuple[str, ...] = ()
    timeouts: TimeoutsOverride = TimeoutsOverride()
    max_connections: Annotated[int, Meta(ge=1, le=65_536)] = 1024
    free: bool | None = None


class Target(Struct, frozen=True, kw_only=True):
    """One place a model's requests may go; no model: the asked name passes through."""

    provider: str = ""
    model: str | None = None
    weight: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class Model(Struct, frozen=True, kw_only=True):
    """A name that clients ask for: targets by weight, then fallbacks in order."""

    targets: tuple[Target, ...] = ()
    fallback: tuple[Target, ...] = ()
    timeouts: TimeoutsOverride | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None


class AllLimits(Struct, frozen=True, kw_only=True):
    """Limits of all keys, of everything together, and of single models and providers."""

    default: Limits = Limits()
    """Of each key that has none of its own, kind by kind."""
    global_: Limits = field(default=Limits(), name="global")
    models: dict[str, Limits] = {}
    providers: dict[str, Limits] = {}
    unpriced: Literal["refuse", "allow"] = "refuse"
    zone: str = "UTC"


class Rates(Struct, frozen=True, kw_only=True):
    """What long prompts cost in usd per million tokens; what is not stated is as for short ones."""

    input: Usd | None = None
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    audio_input: Usd | None = None
    image_input: Usd | None = None
    output: Usd | None = None
    audio_output: Usd | None = None
    image_output: Usd | None = None
    reasoning: Usd | None = None
    audio_second: Usd | None = None
    input_character: Usd | None = None


class Price(Struct, frozen=True, kw_only=True):
    """What a model costs in usd per million tokens, by their kind; `input` and `output` are needed."""

    input: Usd | None = None
    cached_input: Usd | None = None
    """Of the prompt, what came from a cache; as `input` unless it is stated."""
    cache_write: Usd | None = None
    """Of the prompt, what was written to a cache; as `input` unless it is stated."""
    cache_write_1h: Usd | None = None
    """The same for an hour; as `cache_write` unless it is stated."""
    audio_input: Usd | None = None
    image_input: Usd | None = None
    output: Usd | None = None
    audio_output: Usd | None = None
    image_output: Usd | None = None
    reasoning: Usd | None = None
    audio_second: Usd | None = None
    """Usd per million seconds of sound, where its length is what is paid for."""
    input_character: Usd | None = None
    """Usd per million characters of a text to be spoken, where those are what is paid for."""
    above: dict[str, Rates] = {}
    """Tokens of a prompt → rates of all tokens of a request whose prompt has more."""
    batch: Factor | None = None
    """What this tier of service makes of all rates, in billionths; a half unless it is stated."""
    flex: Factor | None = None
    priority: Factor | None = None
    ultrafast: Factor | None = None
    """The same; one unless it is stated."""
    fast: Factor | None = None
    """What Anthropic's fast mode makes of all rates; unless it is stated nobody knows what that costs."""


class Journal(Struct, frozen=True, kw_only=True):
    """How finished requests are recorded in `data_dir`."""

    durability: Literal["flush", "group", "os", "none"] = "group"
    """`none`: nothing is recorded."""
    when_full: Literal["drop", "shed"] = "drop"
    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40, extra={"unit": "size"})] | Literal["auto"] = "auto"
    """`auto`: the smaller of 10 GiB and a tenth of the volume."""


STDOUT = "-"
"""The path that means standard output."""


class Sink(Struct, frozen=True, kw_only=True):
    """Who gets each record beside the store."""

    type: Literal["jsonl"] = "jsonl"
    path: str = ""
    """A file, or `-` for standard output."""
    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40, extra={"unit": "size"})] = 100 << 20
    """When the file is put aside for a new one."""
    keep: Annotated[int, Meta(ge=0, le=1_000)] = 5
    """How many files that were put aside are kept."""
    max_lag: Annotated[int, Meta(ge=1_000, le=604_800_000, extra={"unit": "duration"})] = 600_000
    """Milliseconds: what waits longer in the journal is skipped, and counted."""
    private: bool = True
    """Whether it gets the client's address and the end user too."""
    content: bool = False
    """Whether it gets prompts and answers too, where they are recorded; refused without `private`."""

    @property
    def place(self) -> str:
        """What is written to, by one sink only: a file wherever the process stands, or `-`."""
        return self.path if self.path == STDOUT else os.path.abspath(self.path)


class Content(Struct, frozen=True, kw_only=True):
    """Which texts of requests are recorded."""

    prompts: bool = False
    answers: bool = False
    max_bytes: Annotated[int, Meta(ge=64, le=24 << 10, extra={"unit": "size"})] = 16 << 10
    """Of each text: both together have to fit an entry of the journal."""
    redact: tuple[str, ...] = ()
    """Regular expressions: what they find is replaced."""


class Audit(Struct, frozen=True, kw_only=True):
    """What becomes of records."""

    retain: Annotated[int, Meta(ge=3_600_000, le=315_360_000_000, extra={"unit": "duration"})] = 7_776_000_000
    """Milliseconds after which records may go: an hour to ten years."""
    ship: bool = True
    """Whether the store takes records; else they stay in the journal alone."""
    sinks: tuple[Sink, ...] = ()
    content: Content = Content()


class Config(Struct, frozen=True, kw_only=True):
    """The whole file; everything but `providers` has a default."""

    listen: tuple[str, ...] = ("127.0.0.1:4000",)
    admin: Admin = Admin()
    data_dir: str = "./penstock-data"
    store: Store = Store()
    shared: Shared | None = None
    auth: Literal["keys", "open"] = "keys"
    keys: Keys = Keys()
    trusted_proxies: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    max_attempts: Annotated[int, Meta(ge=1, le=16)] = 4
    keepalive: Annotated[int, Meta(ge=10, le=3_600_000, extra={"unit": "duration"})] = 15_000
    body: Body = Body()
    shutdown: Shutdown = Shutdown()
    log: Log = Log()
    tls: Tls = Tls()
    workers: Annotated[int, Meta(ge=1, le=1024)] | Literal["auto"] = "auto"
    providers: dict[str, Provider] = {}
    models: dict[str, Model] = {}
    default_provider: str | None = None
    limits: AllLimits = AllLimits()
    prices: dict[str, Price] = {}
    journal: Journal = Journal()
    audit: Audit = Audit()


SHORT: dict[type[Struct], str] = {Store: "url", Shared: "url"}
"""Structs that may be written as one word: the field that it stands for."""

NONE: frozenset[type[Struct]] = frozenset({Content})
"""Structs that may be written as `none`: nothing of it."""
