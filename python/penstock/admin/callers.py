"""Who calls the admin port: by the token in `data_dir`, one of the configuration, or one of the store."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.admin.token import presented
from penstock.config.tokens import Known
from penstock.keys.model import AdminToken
from penstock.store.interface import Filter, Store, StoreError

FRESH_S = 1.0
"""How long the store's tokens are believed without a look: a token deleted on another node ends within that."""

PAGE = 500


class Caller(NamedTuple):
    """Who it is, as the log of changes names it, and what it may do (`admin` or `viewer`)."""

    actor: str
    role: str


class Callers:
    """Tokens by their SHA-256. Those of `data_dir` and of the configuration work whatever the store does."""

    def __init__(
        self, token: str, configured: Sequence[Known], store: Store, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = Known("", "admin", _digest(token))
        self._store, self._now_s = store, now_s
        self._reading = asyncio.Lock()
        self._looked_s = -FRESH_S
        self._trouble: StoreError | None = None
        self._stored: tuple[AdminToken, ...] = ()
        self.configure(configured)

    def __repr__(self) -> str:
        return f"Callers(configured={[each.name for each in self._configured]}, stored={len(self._stored)})"

    def configure(self, configured: Sequence[Known]) -> None:
        """Takes the tokens of the configuration in force."""
        self._configured = tuple(configured)

    def forget(self) -> None:
        """Looks at the store anew with the next caller: a token was made or deleted here."""
        self._looked_s = -FRESH_S

    async def who(self, authorization: str | None) -> Caller | None:
        """Whose token the header carries; None: nobody's. Raises `StoreError` when that cannot be told now."""
        text = presented(authorization)
        if text is None:
            return None
        digest = _digest(text)
        if hmac.compare_digest(self._first.digest, digest):
            return Caller("admin.token", "admin")
        if found := _find(digest, self._configured):
            return Caller(f"token:{found.name}", found.role)
        await self._look()
        if stored := _find(digest, self._stored):
            return Caller(f"token:{stored.name}", stored.role)
        if self._trouble is not None:
            raise self._trouble
        return None

    async def _look(self) -> None:
        """Reads the store's tokens, once for all who wait and at most once in `FRESH_S`, be it there or away."""
        async with self._reading:
            if self._now_s() - self._looked_s < FRESH_S:
                return
            rows: list[AdminToken] = []
            after: str | None = None
            try:
                while True:
                    page = await self._store.list(AdminToken, Filter(), after, PAGE)
                    rows += [row for row in page.rows if isinstance(row, AdminToken) and row.state == "active"]
                    after = page.next
                    if after is None:
                        break
                self._stored, self._trouble = tuple(rows), None
            except StoreError as error:
                self._trouble = error  # what was known stays known
            self._looked_s = self._now_s()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _find(digest: str, tokens: Sequence[Known] | Sequence[AdminToken]) -> Known | AdminToken | None:
    """Compares with all of them, so that the time tells nothing."""
    found = [each for each in tokens if hmac.compare_digest(each.digest, digest)]
    return found[0] if found else None
