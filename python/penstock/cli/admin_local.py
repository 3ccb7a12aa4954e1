"""The admin API without a running process: the same router, straight on the store."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.admin.callers import Caller
from penstock.admin.message import Request
from penstock.admin.router import Router
from penstock.admin.routes import table
from penstock.audit.asked import Asked
from penstock.cli.admin_http import CallError
from penstock.config.load import Loaded
from penstock.keys.argon2id import Cost
from penstock.keys.hashing import Hasher
from penstock.keys.service import Ledger, unpublished
from penstock.observe.logs import Log
from penstock.policy.names import Names
from penstock.store.interface import Store, StoreError
from penstock.store.open import ALONE_S, make_asking, make_store


class LocalTransport:
    """Opens the store for a few calls; nodes that share it hear of what was done within a second."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        """Raises `CallError`."""
        config = loaded.config
        self._caller = Caller(f"cli:{_user()}", "admin")
        self._runner = asyncio.Runner()
        self._store: Store | None = None
        self._asked: Asked | None = None
        cost = config.keys.hash
        self._hasher = Hasher(Cost(cost.memory >> 10, cost.iterations, cost.parallelism))
        try:
            os.makedirs(config.data_dir, mode=0o700, exist_ok=True)
            given = config.store
            store = make_store(given.url, config.data_dir, password_file=given.password_file, pool=1)
            self._store = store
            self._runner.run(store.open(migrate=config.store.auto_migrate))
        except (StoreError, OSError) as error:
            self.close()
            reason = f"{config.data_dir}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise CallError(f"the store cannot be used: {reason}") from None
        names = Names(config, loaded.catalogue, environ)
        ledger = Ledger(store, unpublished, names, self._hasher)
        asking = make_asking(given.url, config.data_dir, password_file=given.password_file)
        self._asked = Asked(asking, config.data_dir, most_s=ALONE_S)
        self._router = Router(table(None, ledger, lambda: config.limits, self._asked), Log("error", "text"))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """See `Transport`."""
        url = urlsplit(path)
        content = b"" if body is None else msgspec.json.encode(body)
        request = Request(method=method, path=url.path, query=url.query, body=content)
        answer = self._runner.run(self._router.ask(request, self._caller))
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None

    def close(self) -> None:
        """See `Transport`."""
        self._hasher.close()
        try:
            if self._asked is not None:
                self._runner.run(self._asked.close())
                self._asked = None
            if self._store is not None:
                self._runner.run(self._store.close())
                self._store = None
        finally:
            self._runner.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container's user without a name
