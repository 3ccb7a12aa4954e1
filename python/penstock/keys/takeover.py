"""Taking over many keys that were made elsewhere: all are checked first, and nothing is written when one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from penstock.keys import checks
from penstock.keys.hashing import IMPORTED, THREADS, Rank
from penstock.keys.model import Key
from penstock.keys.problem import HINTS, FieldProblem, Findings, Invalid
from penstock.keys.secret import foreign_id, id_of, why_not_foreign
from penstock.keys.wishes import ForeignKey
from penstock.store.interface import ConflictError

if TYPE_CHECKING:
    from penstock.keys.service import Ledger

MOST = 10_000
MOST_SECRETS = 1_000
"""In clear: each takes a hash, and whoever asks waits for all of them."""


class Imported(NamedTuple):
    """Ids of keys that were made, of those that were there before, and entries that are refused, by their index."""

    created: list[str]
    unchanged: list[str]
    refused: list[tuple[int, list[FieldProblem]]]


async def import_keys(
    ledger: Ledger, foreign: Sequence[ForeignKey], actor: str, found: Mapping[int, Sequence[FieldProblem]]
) -> Imported:
    """Checks all, then writes one after the other: a store that goes away in between leaves whole keys, and a second
    try goes on behind them. Raises `Invalid` when there are too many at once.
    """
    bound(len(foreign), MOST, "keys")
    bound(sum(each.secret is not None for each in foreign), MOST_SECRETS, "secrets in clear")
    hints = HINTS
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
        some = list(zip(foreign[start : start + THREADS], drafts[start : start + THREADS], strict=True))
        results = await asyncio.gather(*(_take_over(ledger, *each, actor) for each in some), return_exceptions=True)
        for result, (_, key) in zip(results, some, strict=True):
            if isinstance(result, BaseException):
                raise result
            (done.created if result else done.unchanged).append(key.id)
    return done


def bound(count: int, most: int, what: str) -> None:
    """Raises `Invalid` when there are more than that at once."""
    if count > most:
        raise Invalid([FieldProblem("", f"{count} {what} at once; import at most {most}, then the others")])


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
