"""What the fields of keys and teams may be: each check notes every problem and returns the value as it is kept."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Container, Iterable
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from penstock.keys.problem import Findings
from penstock.limits.policy import Limits, problems

NAME, OWNER = 128, 256
TAGS, TAG_NAME, TAG_VALUE = 32, 64, 256
MODELS, PATHS, NETWORKS = 500, 200, 200
PATTERN = 256
OVERLAP_MS = 366 * 86_400_000
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}\Z", re.ASCII)
_WITH_ZONE = Annotated[datetime.datetime, Meta(tz=True)]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Names(Protocol):
    """What the configuration knows of models."""

    def problem(self, pattern: str, hint: bool = True) -> str | None:
        """Why a name or pattern in a key's list can match nothing, with `hint` what may be meant; None when it can."""


def name(found: Findings, value: str, field: str = "name") -> str:
    """What a key, team or token is called."""
    _text(found, field, value, NAME)
    return value


def owner(found: Findings, value: str | None) -> str | None:
    """Who answers for a key: free text, such as an e-mail address."""
    if value is not None:
        _text(found, "owner", value, OWNER)
    return value


def tags(found: Findings, value: dict[str, str], known: Container[str] = ()) -> dict[str, str]:
    """Free names with free values. Records are asked for by `name=value`, sums by a list with commas: a name that could
    not be told there is refused, unless it is `known` from before.
    """
    if len(value) > TAGS:
        found.add("tags", f"has {len(value)} tags; at most {TAGS} are kept")
        return value
    for tag, text in value.items():
        field = f"tags.{tag}"[:100]
        _text(found, field, tag, TAG_NAME, what="the name")
        if tag not in known and ("=" in tag or "," in tag):
            found.add(field, "the name has = or a comma in it, so that nothing could ask for it; choose another")
        if text:
            _text(found, field, text, TAG_VALUE)
    return value


def models(found: Findings, value: tuple[str, ...] | None, names: Names) -> tuple[str, ...] | None:
    """Names of models as they are asked for, with `*` for any characters."""

    def check(pattern: str) -> str | None:
        if why := _pattern_problem(pattern):
            return why
        if why := names.problem(pattern, found.hints > 0):
            found.hints -= 1
        return why

    return _each(found, "models", value, MODELS, check)


def paths(found: Findings, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Paths of the data port without `/v1`, with `*` for any characters."""
    return _each(found, "paths", value, PATHS, _path_problem)


def networks(found: Findings, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Networks of clients in CIDR; a single address is a network of one."""
    checked = _each(found, "networks", value, NETWORKS, _network_problem)
    if found.problems or checked is None:
        return checked
    import ipaddress

    return tuple(dict.fromkeys(str(ipaddress.ip_network(text)) for text in checked))


def limits(found: Findings, value: Limits | None, *, lifts: bool = True) -> Limits | None:
    """Limits of its own; where none is set there are none. Those of a key may lift the default."""
    if value is None or value == Limits():
        return None
    for error in problems(value, lifts=lifts):
        kind, dot, place = error.field.partition(".")
        found.add(f"limits.{kind}" + (f"[{place}]" if dot else ""), str(error))
    return value


def expires(found: Findings, value: str | None, now_us: int) -> int | None:
    """When a key ends, in microseconds UTC."""
    if value is None:
        return None
    try:
        at = msgspec.convert(value, _WITH_ZONE)
        at_us = (at - _EPOCH) // datetime.timedelta(microseconds=1)
    except (msgspec.ValidationError, OverflowError):
        found.add("expires", "is no time with a time zone; write one such as 2030-01-31T12:00:00Z")
        return None
    if at_us <= now_us:
        found.add("expires", f"lies in the past ({value}); give a later time, or none")
    return at_us


def sha256(found: Findings, value: str) -> str:
    """The SHA-256 of a foreign secret."""
    if not _SHA256.match(value):
        found.add("sha256", "is no SHA-256: 64 hex digits are expected")
    return value.lower()


def _each(
    found: Findings, field: str, value: Iterable[str] | None, most: int, problem: Callable[[str], str | None]
) -> tuple[str, ...] | None:
    """A list without repetitions; None stays None."""
    if value is None:
        return None
    listed = tuple(dict.fromkeys(value))
    if len(listed) > most:
        found.add(field, f"has {len(listed)} entries; at most {most} are kept: use patterns with *")
        return listed
    for index, text in enumerate(value):
        if why := problem(text):
            found.add(f"{field}[{index}]", why)
    return listed


def _text(found: Findings, field: str, value: str, most: int, what: str = "") -> None:
    lead = f"{what} " if what else ""
    if not 1 <= len(value) <= most:
        found.add(field, f"{lead}has {len(value)} characters; 1 to {most} are expected")
    elif not value.isprintable():
        found.add(field, f"{lead}holds characters that cannot be shown, such as line breaks; leave them out")
    elif value != value.strip():
        found.add(field, f"{lead}begins or ends with a blank; leave it out")


def _pattern_problem(text: str) -> str | None:
    if not 1 <= len(text) <= PATTERN:
        return f"has {len(text)} characters; 1 to {PATTERN} are expected"
    if not text.isprintable() or any(character.isspace() for character in text):
        return "holds blanks or characters that cannot be shown; leave them out"
    return None


def _path_problem(text: str) -> str | None:
    if why := _pattern_problem(text):
        return why
    if not text.startswith(("/", "*")):
        return f"does not begin with /; did you mean '/{text}'?"
    if text == "/v1" or text.startswith("/v1/"):
        return f"paths are written without /v1; did you mean '{text.removeprefix('/v1') or '/*'}'?"
    if any(wrong in text for wrong in ("?", "#", "//", "/../", "%")) or text.endswith("/.."):
        return "is no plain path: leave out ?, #, %, // and .."
    return None


def _network_problem(text: str) -> str | None:
    import ipaddress  # only where somebody names networks

    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            hint = f"; did you mean '{ipaddress.ip_network(text, strict=False)}'?"
        except ValueError:
            hint = "; write one such as 10.0.0.0/8 or 2001:db8::/32"
        return f"is no network in CIDR notation{hint}"
    if isinstance(network, ipaddress.IPv6Network):
        if network.network_address.scope_id is not None:
            return "has a zone; leave out % and what follows"
        if network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped):
            return f"is IPv4 in IPv6; did you mean '{mapped}/{network.prefixlen - 96}'?"
    return None
