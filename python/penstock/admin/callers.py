"""Who calls the admin port: by the token in `data_dir`, one of the configuration, or one of the store."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from penstock.admin.token import presented
from penstock.config.tokens import Known
from penstock.keys.model import AdminToken, Role

TokenT = TypeVar("TokenT", Known, AdminToken)
Stored = Callable[[], Mapping[str, AdminToken]]
"""The store's tokens in force by their SHA-256, as far as this node has heard; `Desk.tokens`."""


class Caller(NamedTuple):
    """Who it is, as the log of changes names it, and what it may do (`admin` or `viewer`)."""

    actor: str
    role: Role


class Callers:
    """Tokens by their SHA-256. Those of `data_dir` and of the configuration work whatever the store does."""

    def __init__(self, token: str, configured: Sequence[Known], stored: Stored) -> None:
        self._first = Known("", "admin", _digest(token))
        self._stored = stored
        self.configure(configured)

    def __repr__(self) -> str:
        return f"Callers(configured={[each.name for each in self._configured]})"

    def configure(self, configured: Sequence[Known]) -> None:
        """Takes the tokens of the configuration in force."""
        self._configured = tuple(configured)

    def who(self, authorization: str | None) -> Caller | None:
        """Whose token the header carries; None: nobody's."""
        text = presented(authorization)
        if text is None:
            return None
        digest = _digest(text)
        if _find(digest, (self._first,)):
            return Caller("admin.token", "admin")
        if configured := _find(digest, self._configured):
            return Caller(f"config:{configured.name}", configured.role)
        if stored := _find(digest, self._stored().values()):
            return Caller(f"token:{stored.name}:{stored.id}", stored.role)  # names of the store's are not unique
        return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _find(digest: str, tokens: Iterable[TokenT]) -> TokenT | None:
    """Compares with all of them, so that the time tells nothing."""
    found = [each for each in tokens if hmac.compare_digest(each.digest, digest)]
    return found[0] if found else None
