"""The parts of a gateway process, each made of its configuration; what is not configured is not even imported."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from penstock.audit.asked import Asked
from penstock.config.model import Config
from penstock.engine import Engine, OpenRows
from penstock.instance import Instance
from penstock.keys.argon2id import Cost
from penstock.keys.checks import Names
from penstock.keys.desk import Desk
from penstock.keys.hashing import threads_on
from penstock.limits.lost import Lost
from penstock.observe.degraded import Degraded
from penstock.observe.logs import Log, format_of
from penstock.policy import machine
from penstock.store.open import ASKING_S, make_asking, make_records, make_store
from penstock.store.sql import SqlStore
from penstock.tokens.counting import TABLES

if TYPE_CHECKING:
    from penstock.audit.shipping import Shipping
    from penstock.audit.sinks.running import Sinks
    from penstock.limits.earlier import Used
    from penstock.limits.sharing import Sharing


def ships(config: Config) -> bool:
    """Whether records are brought to the store."""
    return config.audit.ship and config.journal.durability != "none"


def make_key_store(config: Config) -> SqlStore:
    """What holds keys, and what is shipped. Raises `StoreRefusedError` for an address of no store."""
    given = config.store
    return make_store(given.url, config.data_dir, password_file=given.password_file, pool=given.pool)


def make_desk(config: Config, store: SqlStore, names: Names, log: Log, degraded: Degraded) -> Desk:
    """All about keys. Raises `PrivateFileError`, ValueError."""
    cost = config.keys.hash
    return Desk(
        store,
        config.data_dir,
        names,
        log,
        cost=Cost(cost.memory >> 10, cost.iterations, cost.parallelism),
        threads=threads_on(machine.cores()),
        migrate=config.store.auto_migrate,
        degraded=degraded.part("keys"),
    )


def make_asked(config: Config, log: Log) -> Asked:
    """What answers questions about records."""
    given = config.store

    def report(trouble: str) -> None:
        log.warning("answers lack the records of a journal", error=trouble)

    store = make_asking(given.url, config.data_dir, password_file=given.password_file, call_s=ASKING_S)
    return Asked(store, config.data_dir, within_s=ASKING_S, report=report)


def make_sharing(config: Config, log: Log, degraded: Degraded) -> Sharing | None:
    """What limits need that nodes share; None: they are not shared. Raises `PrivateFileError`, ValueError."""
    if config.shared is None:
        return None
    try:
        from penstock.limits.sharing import Sharing
    except ImportError:
        raise ValueError("shared: the package redis is missing: pip install 'penstock[redis]'") from None
    return Sharing(config.shared, config.data_dir, log, degraded.part("limits"))


def make_sinks(config: Config, instance: Instance, log: Log, degraded: Degraded) -> Sinks | None:
    """What gives records to sinks; None: there is none."""
    if not config.audit.sinks:
        return None
    from penstock.audit.sinks.running import Sinks

    return Sinks(config.audit.sinks, config.data_dir, instance.id, log, degraded.part("sinks"))


def engine_options(config: Config, instance: Instance, digest_key_file: str) -> bytes:
    """What native is made of: the document of `_native.Engine`."""
    workers = config.workers
    options = {
        "workers": machine.cores() if workers == "auto" else workers,
        "max_connections": 0,
        "log": {"level": config.log.level, "format": format_of(config.log.format)},
        "instance": instance.id,
        "digest_key_file": digest_key_file,
        "limits_file": os.path.join(config.data_dir, "limits"),
        "tokens_dir": str(TABLES),
        "shared": {"timeout_us": config.shared.timeout * 1000} if config.shared else None,
        "journal": _journal_options(config, instance),
    }
    return msgspec.json.encode(options)


def _journal_options(config: Config, instance: Instance) -> dict[str, object] | None:
    given = config.journal
    if given.durability == "none":
        return None
    return {
        "dir": instance.path,
        "durability": given.durability,
        "when_full": given.when_full,
        "max_bytes": 0 if given.max_bytes == "auto" else given.max_bytes,
        "retain_ms": config.audit.retain,
        "pinned": ships(config),
    }


def make_lost(
    config: Callable[[], Config], instance: Instance, engine: Engine, desk: Desk, log: Log, degraded: Degraded
) -> Lost:
    """What tells limits how much was used before, where data_dir does not; `config` is the one in force."""
    from penstock.limits.earlier import Gathering  # only where it is needed

    gathering = Gathering(config)

    async def used() -> list[Used]:
        given, data_dir = config().store, config().data_dir
        # Whoever asks for records does not wait behind this, nor are its questions as short as theirs.
        store = make_asking(given.url, data_dir, password_file=given.password_file)
        try:
            return await gathering.ask(store, time.time_ns() // 1_000)
        finally:
            await store.close()

    return Lost(
        used,
        config().data_dir,
        instance.id,
        engine,
        log,
        is_ready=lambda: not desk.is_away,
        degraded=degraded.part("lost limits"),
    )


def make_shipping(
    config: Config,
    instance: Instance,
    engine: Engine,
    store: SqlStore,
    log: Log,
    degraded: Degraded,
    *,
    open_rows: OpenRows,
    before: Callable[[], Awaitable[bool]] | None,
) -> Shipping:
    """What brings records to the store; see `Shipping` for `before`."""
    from penstock.audit.shipping import Shipping

    return Shipping(
        make_records(config.store.url, store, password_file=config.store.password_file),
        config.data_dir,
        instance.id,
        engine,
        log,
        retain_us=config.audit.retain * 1_000,
        room_bytes=engine.status().get("journal_max_bytes") or 0,
        degraded=degraded.part("records"),
        tidy=instance.remove_dead,
        open_rows=partial(open_rows, past_cache=config.journal.durability == "group"),
        before=before,
    )
