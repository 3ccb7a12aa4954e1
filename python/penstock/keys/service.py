"""Every administrative operation on keys, teams and admin tokens: checked, saved with its change, published."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from msgspec import UNSET
from msgspec.structs import asdict, replace

from penstock.keys import checks
from penstock.keys.argon2id import Cost
from penstock.keys.checks import Names
from penstock.keys.hashing import Hasher, Rank
from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.keys.problem import FieldProblem, Findings, NotFound
from penstock.keys.public import recorded
from penstock.keys.secret import id_of, new_id, new_key_text, new_token_text, why_not_foreign
from penstock.keys.takeover import Imported, import_keys
from penstock.keys.teams import find_team
from penstock.keys.wishes import ForeignKey, KeyPatch, NewKey, NewTeam, NewToken, TeamPatch
from penstock.limits.policy import Limits
from penstock.limits.written import without
from penstock.store.interface import ConflictError, Store

TRIES = 5
"""Of a change whose row was changed by somebody else meanwhile."""

Publish = Callable[[Sequence[Row]], Awaitable[None]]
Remember = Callable[[str, int, str], None]
"""Told of a secret that was saved: the key's id, the generation, the whole text."""

RowT = TypeVar("RowT", Key, Team, AdminToken)
_KINDS: dict[type, str] = {Key: "key", Team: "team", AdminToken: "token"}


class Issued(NamedTuple):
    """A key, and its new secret, which is shown this once; None when it was made elsewhere."""

    key: Key
    secret: str | None

    def __repr__(self) -> str:
        return f"Issued(key={self.key.id!r})"


class IssuedToken(NamedTuple):
    """An admin token, and its text, which is shown this once."""

    token: AdminToken
    text: str

    def __repr__(self) -> str:
        return f"IssuedToken(token={self.token.id!r})"


async def unpublished(_rows: Sequence[Row]) -> None:
    """For a process that serves nobody: those that do hear from the store."""


def forgetting() -> Remember:
    """For the same: the first node that meets a secret verifies it."""
    return lambda _key, _generation, _text: None


class Ledger:
    """Changes what the store holds. Reads go straight to `store`.

    `found` are problems that `wishes.read` has found: they are raised together with the others. Beside `Invalid` and
    `NotFound`, every method may raise `StoreError`, `ConflictError` among them, and where it makes a key
    `HasherBusyError`; in each case nothing was changed, unless it is a `StoreAwayError` that is `in_doubt`.
    """

    def __init__(
        self,
        store: Store,
        publish: Publish,
        names: Names,
        hasher: Hasher,
        remembering: Callable[[], Remember] = forgetting,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self.store = store
        self.saved: Callable[[int, str], None] = lambda _version, _change: None
        """Told of the version and the id of every change that was saved, before its row is published."""
        self.names = names
        self._publish, self._remembering, self._hasher, self._now_us = publish, remembering, hasher, now_us

    # --- keys ---

    async def create_key(self, wish: NewKey, actor: str, found: Sequence[FieldProblem] = ()) -> Issued:
        """Makes a key, or takes over `wish.secret`. Raises `ConflictError` when that one is a key already."""
        findings = Findings(found)
        key = await self.draft(wish, findings)
        if wish.secret is not None and (why := why_not_foreign(wish.secret)):
            findings.add("secret", why)
        findings.raise_any()
        if wish.secret is not None:
            return Issued(await self.take_over(key, wish.secret, actor), None)
        made = new_key_text()
        secret = Secret(generation=1, hash=await self._hasher.hash(made.text))
        remember = self._remembering()
        created = await self._save("key.create", actor, None, replace(key, id=made.id, secrets=(secret,)))
        remember(created.id, secret.generation, made.text)
        return Issued(created, made.text)

    async def change_key(self, id: str, patch: KeyPatch, actor: str, found: Sequence[FieldProblem] = ()) -> Key:
        """Changes what the patch names."""
        findings = Findings(found)
        fields: dict[str, object] = {}
        if patch.name is not UNSET:
            fields["name"] = checks.name(findings, patch.name)
        if patch.owner is not UNSET:
            fields["owner"] = checks.owner(findings, patch.owner)
        if patch.team is not UNSET:
            fields["team"] = await self._team_id(findings, patch.team)
        if patch.expires is not UNSET:
            fields["expires_us"] = checks.expires(findings, patch.expires, self._now_us())
        if patch.content is not UNSET:
            fields["content"] = patch.content
        fields |= self._lists(findings, patch)
        return await self._change(Key, id, "key.update", actor, lambda key: _patched(key, fields, patch), findings)

    async def set_key_state(
        self, id: str, state: Literal["active", "disabled"], actor: str, *, cut: bool = False
    ) -> Key:
        """Disables a key, with `cut` what it has under way too, or enables it. A state it has already is no change."""
        findings = Findings()
        if state not in ("active", "disabled"):
            findings.add("state", f"{state!r} is no state to set; active or disabled is")
        if cut and state == "active":
            findings.add("cut", "goes with disabling a key only")

        def set_state(key: Key) -> Key:
            # Nodes' clocks differ: a cut that does not lie behind the one before would end nothing.
            cut_us = max(self._now_us(), (key.cut_us or 0) + 1) if cut else key.cut_us
            return replace(key, state=state, cut_us=cut_us)

        action = "key.enable" if state == "active" else "key.disable"
        return await self._change(Key, id, action, actor, set_state, findings)

    async def rotate_key(self, id: str, overlap_ms: int, actor: str, found: Sequence[FieldProblem] = ()) -> Issued:
        """Gives a key a new secret; the one before stays valid for `overlap_ms`, older ones end at once."""
        findings = Findings(found)
        if not 0 <= overlap_ms <= checks.OVERLAP_MS:
            findings.add("overlap", "has to lie between 0 and 366 days")
        findings.raise_any()
        await self._get(Key, id)
        text = new_key_text(id).text
        hash = await self._hasher.hash(text)

        def rotate(key: Key) -> Key:
            now_us = self._now_us()
            last = max((secret.generation for secret in key.secrets), default=0)
            kept = [secret for secret in key.secrets if secret.generation == last and overlap_ms]
            ends_us = now_us + overlap_ms * 1_000
            until = [replace(each, until_us=min(each.until_us or ends_us, ends_us)) for each in kept]
            return replace(key, secrets=(*until, Secret(generation=last + 1, hash=hash)))

        remember = self._remembering()
        rotated = await self._change(Key, id, "key.rotate", actor, rotate, findings)
        remember(id, rotated.secrets[-1].generation, text)
        return Issued(rotated, text)

    async def delete_key(self, id: str, actor: str) -> None:
        """Deletes a key for good; what it has under way goes on."""
        await self._delete(Key, id, actor)

    async def import_keys(
        self,
        foreign: Sequence[ForeignKey],
        actor: str,
        found: Mapping[int, Sequence[FieldProblem]] = MappingProxyType({}),
    ) -> Imported:
        """Takes over keys that were made elsewhere, by their secrets or the SHA-256 of them; see takeover.py.

        Raises `CutShortError` when some were made and some were not.
        """
        return await import_keys(self, foreign, actor, found)

    # --- what importing needs ---

    @property
    def cost(self) -> Cost:
        """What one hash takes."""
        return self._hasher.cost

    async def draft(self, wish: NewKey | ForeignKey, findings: Findings) -> Key:
        """The key that a wish describes, still without id and secret; problems go to `findings`."""
        now_us = self._now_us()
        return Key(
            id="",
            name=checks.name(findings, wish.name),
            team=await self._team_id(findings, wish.team),
            owner=checks.owner(findings, wish.owner),
            models=checks.models(findings, wish.models, self.names),
            paths=checks.paths(findings, wish.paths),
            networks=checks.networks(findings, wish.networks),
            limits=checks.limits(findings, wish.limits),
            expires_us=checks.expires(findings, wish.expires, now_us),
            tags=checks.tags(findings, wish.tags),
            content=wish.content,
            created_us=now_us,
        )

    async def take_over(self, key: Key, text: str, actor: str, rank: Rank = Rank.ADMIN) -> Key:
        """Makes a drafted key with a secret that was made elsewhere."""
        hash = await self._hasher.hash(text, rank)
        remember = self._remembering()
        taken = await self.keep_hash(replace(key, id=id_of(text)), hash, actor)
        remember(taken.id, taken.secrets[-1].generation, text)
        return taken

    async def keep_hash(self, key: Key, hash: str, actor: str) -> Key:
        """Makes a drafted key with the hash of its secret. Its id is not chance: there may have been one before."""
        # Nodes remember verified secrets by generation, and may never hear of a deletion that a creation has followed.
        last = await self.store.changes(key.id, None, 1)
        generation = max(
            (_last_generation(each) for change in last for each in (change.before, change.after)), default=0
        )
        secret = Secret(generation=generation + 1, hash=hash)
        return await self._save("key.import", actor, None, replace(key, secrets=(secret,)))

    # --- teams and tokens ---

    async def create_team(self, wish: NewTeam, actor: str, found: Sequence[FieldProblem] = ()) -> Team:
        """Makes a team. Raises `ConflictError` when its name is taken."""
        findings = Findings(found)
        team = Team(
            id=new_id(),
            name=checks.name(findings, wish.name),
            models=checks.models(findings, wish.models, self.names),
            paths=checks.paths(findings, wish.paths),
            networks=checks.networks(findings, wish.networks),
            limits=checks.limits(findings, wish.limits, lifts=False),
            tags=checks.tags(findings, wish.tags),
            content=wish.content,
            created_us=self._now_us(),
        )
        findings.raise_any()
        return await self._save("team.create", actor, None, team)

    async def change_team(self, id: str, patch: TeamPatch, actor: str, found: Sequence[FieldProblem] = ()) -> Team:
        """Changes what the patch names; it counts for all of the team's keys at once."""
        findings = Findings(found)
        fields: dict[str, object] = {}
        if patch.name is not UNSET:
            fields["name"] = checks.name(findings, patch.name)
        if patch.state is not UNSET:
            fields["state"] = patch.state
        if patch.content is not UNSET:
            fields["content"] = patch.content
        fields |= self._lists(findings, patch)
        return await self._change(Team, id, "team.update", actor, lambda team: _patched(team, fields, patch), findings)

    async def delete_team(self, id: str, actor: str) -> None:
        """Deletes a team. Raises `ConflictError` when it owns keys."""
        await self._delete(Team, id, actor)

    async def create_token(self, wish: NewToken, actor: str, found: Sequence[FieldProblem] = ()) -> IssuedToken:
        """Makes a further admin token."""
        findings = Findings(found)
        checks.name(findings, wish.name)
        if wish.role not in ("admin", "viewer"):
            findings.add("role", "is no role; admin or viewer is")
        findings.raise_any()
        text = new_token_text()
        digest = hashlib.sha256(text.encode()).hexdigest()
        token = AdminToken(id=new_id(), name=wish.name, role=wish.role, digest=digest, created_us=self._now_us())
        return IssuedToken(await self._save("token.create", actor, None, token), text)

    async def delete_token(self, id: str, actor: str) -> None:
        """Deletes an admin token for good."""
        await self._delete(AdminToken, id, actor)

    async def record(self, action: str, subject: str, facts: dict[str, object], actor: str) -> None:
        """Records what was done to something that is no row."""
        change = Change(
            id=os.urandom(16).hex(), at_us=self._now_us(), actor=actor, action=action, subject=subject,
            before=None, after=facts,
        )  # fmt: skip
        await self.store.record(change)

    # --- what all of them do ---

    async def _get(self, kind: type[RowT], id: str) -> RowT:
        row = await self.store.get(kind, id)
        if row is None:
            raise NotFound(_KINDS[kind], id)
        return row

    async def _change(
        self, kind: type[RowT], id: str, action: str, actor: str, make: Callable[[RowT], RowT], findings: Findings
    ) -> RowT:
        """Changes a row as it is now, again when somebody else was faster; nothing when nothing would differ."""
        for turn in range(TRIES):
            row = await self._get(kind, id)
            new = _pruned(make(row), self._now_us())
            if isinstance(new, Key | Team):
                checks.tags(findings, new.tags, getattr(row, "tags", {}))
                if new.limits != getattr(row, "limits", None):  # somebody may have written past us what is there
                    checks.limits(findings, new.limits, lifts=isinstance(new, Key))
            findings.raise_any()
            if new == row:
                break
            try:
                return await self._save(action, actor, row, new)
            except ConflictError as error:
                if error.reason != "changed" or turn == TRIES - 1:
                    raise
        return row

    async def _delete(self, kind: type[RowT], id: str, actor: str) -> None:
        def delete(row: RowT) -> RowT:
            return replace(row, state="deleted", **({"secrets": ()} if isinstance(row, Key) else {}))

        await self._change(kind, id, f"{_KINDS[kind]}.delete", actor, delete, Findings())

    async def _save(self, action: str, actor: str, before: RowT | None, after: RowT) -> RowT:
        change = Change(
            id=os.urandom(16).hex(),
            at_us=self._now_us(),
            actor=actor,
            action=action,
            subject=after.id,
            before=recorded(before),
            after=None if after.state == "deleted" else recorded(after),
        )
        version = await self.store.save(after, before.version if before else None, change)
        self.saved(version, change.id)
        saved = replace(after, version=version)
        await self._publish([saved])
        return saved

    async def _team_id(self, findings: Findings, wanted: str | None) -> str | None:
        """The id of a team that is named by its name or its id."""
        if wanted is None:
            return None
        before = len(findings.problems)
        checks.name(findings, wanted, "team")
        if len(findings.problems) == before:
            team = await find_team(self.store, wanted)
            if team is not None:
                return team.id
            findings.add("team", f"there is no team {wanted!r}; make it first, or name another")
        return None

    def _lists(self, findings: Findings, patch: KeyPatch | TeamPatch) -> dict[str, object]:
        fields: dict[str, object] = {}
        if patch.models is not UNSET:
            fields["models"] = checks.models(findings, patch.models, self.names)
        if patch.paths is not UNSET:
            fields["paths"] = checks.paths(findings, patch.paths)
        if patch.networks is not UNSET:
            fields["networks"] = checks.networks(findings, patch.networks)
        return fields


def _patched(row: RowT, fields: dict[str, object], patch: KeyPatch | TeamPatch) -> RowT:
    tags: dict[str, str] = asdict(row).get("tags", {})
    if patch.tags is None:
        fields = fields | {"tags": {}}
    elif patch.tags is not UNSET:
        merged = tags | patch.tags
        fields = fields | {"tags": {name: text for name, text in merged.items() if text is not None}}
    if patch.limits is None:
        fields = fields | {"limits": None, "limits_rest": None}
    elif patch.limits is not UNSET:
        given = {kind: limit for kind, limit in asdict(patch.limits).items() if limit is not UNSET}
        known = asdict(row)
        limits, rest = replace(known.get("limits") or Limits(), **given), known.get("limits_rest")
        if given:
            rest = without(rest, given)
        fields = fields | {"limits": None if limits == Limits() else limits, "limits_rest": rest}
    return replace(row, **fields)


def _pruned(row: RowT, now_us: int) -> RowT:
    """Without secrets that have ended."""
    if not isinstance(row, Key):
        return row
    live = tuple(each for each in row.secrets if each.until_us is None or each.until_us > now_us)
    return replace(row, secrets=live)


def _last_generation(recorded: dict[str, object] | None) -> int:
    secrets = (recorded or {}).get("secrets")
    if not isinstance(secrets, list):
        return 0
    return max((int(each["generation"]) for each in secrets), default=0)
