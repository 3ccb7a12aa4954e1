"""Taking over many keys that were made elsewhere: checked together, then written one by one, safe to repeat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from penstock.keys import checks
from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.hashing import IMPORTED, THREADS, HasherBusyError, Rank
from penstock.keys.model import Key
from penstock.keys.problem import HINTS, FieldProblem, Findings, Invalid
from penstock.keys.secret import foreign_id, id_of, why_not_foreign
from penstock.keys.wishes import ForeignKey
from penstock.store.interface import ConflictError, StoreError

if TYPE_CHECKING:
    from penstock.keys.service import Ledger

MOST = 1_000
MOST_SECRETS, FEWEST_SECRETS = 100, 5
"""In clear: each takes a hash. The second, where hashes cost much more than the usual."""

LONGEST_S = 6.0
"""After so long an import ends where it is: after 10 s native tells whoever asks that nobody answers."""


class Imported(NamedTuple):
    """Ids of keys that were made, of those that were there before, and entries that are refused, by their index."""

    created: list[str]
    unchanged: list[str]
    refused: list[tuple[int, list[FieldProblem]]]


class CutShortError(Exception):
    """An import that has ended before its end. What was done stays, and the same import goes on behind it.

    `cause` is a `StoreError` or a `HasherBusyError`; None: it took too long.
    """

    def __init__(self, done: Imported, total: int, cause: Exception | None) -> None:
        self.done, self.cause = done, cause
        why = str(cause) if cause is not None else f"it took longer than {LONGEST_S:g} s"
        count = len(done.created) + len(done.unchanged)
        super().__init__(
            f"The import ended early, with {count} of {total} keys there ({why}); "
            "import them again: those that are there stay as they are"
        )


async def import_keys(
    ledger: Ledger, foreign: Sequence[ForeignKey], actor: str, found: Mapping[int, Sequence[FieldProblem]]
) -> Imported:
    """Checks all, and writes nothing when one is refused; then writes one after the other.

    Raises `Invalid` when there are too many at once, `CutShortError` when the writing ends early.
    """
    began, hints = time.monotonic(), HINTS
    bound(len(foreign), MOST, "keys")
    bound(sum(each.secret is not None for each in foreign), most_secrets(ledger.cost), "secrets in clear")
    drafts: list[Key] = []
    refused: list[tuple[int, list[FieldProblem]]] = []
    places: dict[str, int] = {}
    for index, entry in enumerate(foreign):
        await asyncio.sleep(0)  # others have their turn
        findings = Findings(found.get(index, ()), hints)
        key = await ledger.draft(entry, findings)
        hints = findings.hints
        if (id := _id(entry, findings)) is not None:
            if (first := places.setdefault(id, index)) != index:
                findings.add("secret" if entry.secret else "sha256", f"is the same key as entry {first}")
            key = replace(key, id=id)
        if findings.problems:
            refused.append((index, findings.problems))
        drafts.append(key)
    if refused:
        return Imported([], [], refused)
    done = Imported([], [], [])
    for start in range(0, len(foreign), THREADS):
        if done.created and time.monotonic() - began > LONGEST_S:  # each time it gets on
            raise CutShortError(done, len(foreign), None)
        some = list(zip(foreign[start : start + THREADS], drafts[start : start + THREADS], strict=True))
        results = await asyncio.gather(*(_take_over(ledger, *each, actor) for each in some), return_exceptions=True)
        for result, (_, key) in zip(results, some, strict=True):
            if not isinstance(result, BaseException):
                (done.created if result else done.unchanged).append(key.id)
        for result in results:
            if isinstance(result, StoreError | HasherBusyError):
                raise CutShortError(done, len(foreign), result) from None
            if isinstance(result, BaseException):
                raise result
    return done


def bound(count: int, most: int, what: str) -> None:
    """Raises `Invalid` when there are more than that at once."""
    if count > most:
        raise Invalid([FieldProblem("", f"{count} {what} at once; import at most {most}, then the others")])


def most_secrets(cost: Cost) -> int:
    """How many secrets in clear one import may hold: fewer where a hash costs more than usual."""
    usual, now = (each.memory_kib * each.iterations for each in (OWASP, cost))
    return max(FEWEST_SECRETS, min(MOST_SECRETS, MOST_SECRETS * usual // now))


async def _take_over(ledger: Ledger, entry: ForeignKey, key: Key, actor: str) -> bool:
    """Whether the key was made; False: it was there."""
    if await ledger.store.get(Key, key.id) is not None:
        return False
    try:
        if entry.secret is not None:
            await ledger.take_over(key, entry.secret, actor, Rank.REQUEST)
        else:
            await ledger.keep_hash(key, IMPORTED + (entry.sha256 or "").lower(), actor)
    except ConflictError as error:
        if error.reason != "exists":
            raise
        return False
    return True


def _id(entry: ForeignKey, findings: Findings) -> str | None:
    """The id that the key will have; None when it has no usable secret."""
    before = len(findings.problems)
    if (entry.secret is None) == (entry.sha256 is None):
        findings.add("secret", "either the secret or its sha256 is needed, and not both")
    elif entry.secret is not None:
        if why := why_not_foreign(entry.secret):
            findings.add("secret", why)
    elif entry.sha256 is not None:
        checks.sha256(findings, entry.sha256)
    if len(findings.problems) > before:
        return None
    if entry.secret is not None:
        return id_of(entry.secret)
    try:
        return foreign_id(bytes.fromhex(entry.sha256 or ""))
    except ValueError:
        return None  # its problem was found when it was read
