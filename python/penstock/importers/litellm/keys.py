"""LiteLLM's table of keys becomes a file for `penstock keys import`: hashes stay hashes, so nobody's key changes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from penstock.config.prices import some
from penstock.importers.litellm import dump, limits
from penstock.importers.litellm.allowed import Allowed
from penstock.importers.litellm.dump import Row
from penstock.importers.litellm.names import Names
from penstock.importers.litellm.notes import Note, Notes
from penstock.importers.litellm.teams import DASHBOARD, Team, Teams

_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")
_SECRET = re.compile(r"[!-~]{20,512}\Z")  # what `keys import` takes: printable ASCII without blanks
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_CREDENTIAL = re.compile(r"key|token|secret|passw|auth|credential|webhook|cookie", re.IGNORECASE)
_MOST_TAGS = 16
_ROUTES: dict[str, tuple[str, ...]] = {
    "llm_api_routes": ("*",),
    "openai_routes": (
        *("/chat/completions", "/completions", "/embeddings", "/responses", "/responses/*", "/moderations"),
        *("/images/*", "/audio/*", "/models", "/models/*"),
    ),
    "anthropic_routes": ("/messages", "/messages/*"),
}
_PATH = re.compile(r"(/[A-Za-z0-9_.~*-]+)+\Z")

_OF_KEY = "a key has the limits that its own columns say; write others with penstock keys update --limit"
_WIDER = "the keys may do more than before in this point: look at each before you import it"
_COLUMNS: dict[str, str] = {
    "soft_budget": "nobody is warned before a budget is used up",
    "budget_id": f"what this budget says is not looked at: {_OF_KEY}",
    "budget_limits": _OF_KEY,
    "model_max_budget": "a budget of a key holds for all of its models together",
    "aliases": "a key has no names of its own for models: write them under models for everybody",
    "config": "a key has no settings of its own",
    "router_settings": "a key has no settings of its own",
    "permissions": f"has no equivalent; {_WIDER}",
    "policies": f"requests are not inspected; {_WIDER}",
    "object_permission_id": f"what a key may reach beside models is not carried over; {_WIDER}",
    "organization_id": f"there are no organizations, and what theirs may use is not looked at; {_WIDER}",
    "project_id": f"there are no projects, and what theirs may use is not looked at; {_WIDER}",
    "access_group_ids": "models of these groups are not added to the key: write them into its models",
    "allowed_cache_controls": "answers are not cached",
    "auto_rotate": "a key is rotated by hand: penstock keys rotate",
}


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line for `penstock keys import`; None and empty are left out."""

    sha256: str
    name: str
    team: str | None = None
    models: list[str] | None = None
    paths: list[str] | None = None
    owner: str | None = None
    limits: limits.Limits = {}
    expires: str | None = None
    tags: dict[str, str] = {}


class Converted(NamedTuple):
    """`teams` must be there before the keys are imported."""

    keys: list[ForeignKey]
    teams: list[Team]
    notes: list[Note]

    @property
    def text(self) -> str:
        """JSON lines."""
        return "".join(f"{msgspec.json.encode(key).decode()}\n" for key in self.keys)


class LeftOut(Exception):
    """This key is not carried over; the message says why."""


def convert(
    rows: Iterable[Row], teams: Teams, allowed: Allowed, now: datetime, notes: Notes, unpriced: Sequence[str] = ()
) -> Converted:
    """`notes` must be the one that `teams` and `allowed` write to; `unpriced`: targets that a budget refuses."""
    reading = _Reading(teams, allowed, now, notes)
    found = [key for row in rows if (key := reading.key(row)) is not None]
    reading.note()
    allowed.note()
    teams.note()
    used = list(teams.used())
    limited = [key for key in found if "budget" in key.limits]
    _note_budgets(limited, [team for team in used if "budget" in team.limits], unpriced, notes)
    return Converted(found, used, list(notes))


def _note_budgets(keys: Sequence[ForeignKey], teams: Sequence[Team], unpriced: Sequence[str], notes: Notes) -> None:
    counts = [f"{len(found)} {what}" for found, what in ((keys, "keys"), (teams, "teams")) if found]
    if counts and unpriced:
        notes.add(
            " and ".join(counts) + " have budgets",
            f"under a budget a model without a price is refused: add prices for {some(list(unpriced))}",
        )


class _Reading:
    def __init__(self, teams: Teams, allowed: Allowed, now: datetime, notes: Notes) -> None:
        self.teams, self.allowed, self.now, self.notes = teams, allowed, now, notes
        self.names = Names()
        self.seen: set[str] = set()
        self.having: dict[str, list[str]] = {}  # column → names of the keys that have something in it
        self.sessions = 0

    def key(self, row: Row) -> ForeignKey | None:
        """None if it is left out; then that is noted."""
        cells = row.cells
        if cells.get("team_id") == DASHBOARD:
            self.sessions += 1
            return None
        alias = dump.word(cells.get("key_alias")) or dump.word(cells.get("key_name"))
        try:
            sha256 = self.hash(dump.word(cells.get("token")))
            if dump.flag(cells.get("blocked")):
                raise LeftOut("it is blocked")
            expires = self.expiry(cells)
            team = self.team(cells)
        except LeftOut as reason:
            self.notes.add(f"keys: {alias or f'row {row.line}'}", f"is left out: {reason}")
            return None
        self.seen.add(sha256)
        name = self.names.take(alias or f"litellm-{sha256[:8]}")
        for column in _COLUMNS:
            if dump.says_something(cells.get(column)):
                self.having.setdefault(column, []).append(name)
        return ForeignKey(
            sha256=sha256,
            name=name,
            team=team.name if team else None,
            models=self.models(cells, name, team),
            paths=self.paths(cells, name),
            owner=_owner(dump.word(cells.get("user_id"))),
            limits=self.limits(cells, name),
            expires=expires,
            tags=self.tags(dump.mapping(cells.get("metadata")), name),
        )

    def hash(self, token: str | None) -> str:
        """LiteLLM keeps SHA-256 in hex; very old rows hold the key itself, which is never written."""
        if token is None:
            raise LeftOut("it has no token")
        if _SHA256.match(token):
            sha256 = token.lower()
        elif token.startswith("sk-") and _SECRET.match(token):
            sha256 = hashlib.sha256(token.encode()).hexdigest()
        else:
            raise LeftOut("its token is neither a SHA-256 in hex nor a key of 20 to 512 characters")
        if sha256 in self.seen:
            raise LeftOut("the same token stands in the table before")
        return sha256

    def expiry(self, cells: dict[str, object]) -> str | None:
        try:
            end = dump.moment(cells.get("expires"))
        except (ValueError, OverflowError):
            raise LeftOut("its end cannot be read as a time") from None
        if end is None:
            return None
        if end <= self.now:
            raise LeftOut("it has expired")
        return end.strftime("%Y-%m-%dT%H:%M:%S") + (f".{end.microsecond:06}" if end.microsecond else "") + "Z"

    def team(self, cells: dict[str, object]) -> Team | None:
        id = dump.word(cells.get("team_id"))
        if id is None:
            return None
        team = self.teams.of(id)
        if team.blocked:
            raise LeftOut(f"its team {team.name} is blocked")
        return team

    def models(self, cells: dict[str, object], name: str, team: Team | None) -> list[str] | None:
        path = f"keys: {name}"
        if team is not None and team.models == []:
            self.notes.add(path, f"may use no model, as its team {team.name} may use none")
            return []
        try:
            listed = dump.words(cells.get("models"))
        except ValueError as error:
            self.notes.add(path, f"its models cannot be read ({error}), so it may use none: change it afterwards")
            return []
        return self.allowed.of_key(listed, team is not None, path)

    def limits(self, cells: dict[str, object], name: str) -> limits.Limits:
        found, wrong = limits.of_row(cells)
        for column in wrong:
            self.having.setdefault(column, []).append(name)
        return found

    def paths(self, cells: dict[str, object], name: str) -> list[str] | None:
        """What `allowed_routes` lets a key call, without `/v1`; LiteLLM's own paths are nothing here."""
        try:
            routes = dump.words(cells.get("allowed_routes"))
        except ValueError as error:
            self.notes.add(
                f"keys: {name}", f"its routes cannot be read ({error}), so it may call none: change it afterwards"
            )
            return []
        if not routes:
            return None
        found: dict[str, None] = {}
        for route in routes:
            path = route.removeprefix("/v1") if route.startswith("/v1/") else route
            known = _ROUTES.get(route, (path,) if _PATH.match(path) and len(path) <= 256 else ())
            found |= dict.fromkeys(known)
            if not known:
                self.having.setdefault("allowed_routes", []).append(name)
        if "*" in found or "/*" in found:
            return None
        if not found:
            self.notes.add(f"keys: {name}", "may call no path: none of its routes is one here")
        return list(found)[:200]

    def tags(self, metadata: dict[str, object], name: str) -> dict[str, str]:
        """Short texts of the metadata; nothing that may be a credential."""
        found: dict[str, str] = {}
        for tag, value in metadata.items():
            text = (
                ",".join(v for v in value if isinstance(v, str)) if tag == "tags" and isinstance(value, list) else value
            )
            if isinstance(text, bool):
                text = "true" if text else "false"
            elif isinstance(text, int):
                text = str(text)
            if not dump.says_something(text):
                continue
            text = text.strip() if isinstance(text, str) else text
            fits = isinstance(text, str) and len(text) <= 256 and text.isprintable() and "://" not in text
            if fits and _TAG.match(tag) and not _CREDENTIAL.search(tag) and len(found) < _MOST_TAGS:
                found[tag] = str(text)
            else:
                self.having.setdefault("metadata", []).append(name)
        return found

    def note(self) -> None:
        reasons = _COLUMNS | limits.LEFT_OUT | {"metadata": "only short texts that cannot be a credential become tags"}
        reasons["allowed_routes"] = "routes that are no path of the data port are left out of paths"
        for column, names in self.having.items():
            names = list(dict.fromkeys(names))
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            self.notes.add(f"column {column} of {', '.join(names[:5])}{more}", reasons[column])
        if self.sessions:
            self.notes.add(
                f"keys of {DASHBOARD}", f"{self.sessions} keys of sessions of the user interface are left out"
            )


def _owner(user: str | None) -> str | None:
    if user is None or user == "default_user_id":
        return None
    return "".join(c for c in user if c.isprintable())[:200].strip() or None
