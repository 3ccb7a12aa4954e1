"""The process: lock, bind, start, reload, drain, exit."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from penstock import __version__, memory, systemd
from penstock.admin.callers import Callers
from penstock.admin.gate import Gate
from penstock.admin.router import Router
from penstock.admin.routes import table
from penstock.admin.token import load_token
from penstock.audit.asked import Asked
from penstock.audit.spend import Spend
from penstock.config.diff import keep_settled, settled_changes
from penstock.config.load import Loaded, load
from penstock.config.model import Config
from penstock.config.problem import ConfigError, Mark, Problem
from penstock.config.tokens import known_tokens
from penstock.engine import ADMIN, LEASE, SPEND, VERIFY, Engine, Handler, MakeNative, OpenRows, open_rows
from penstock.instance import Instance, InstanceError
from penstock.keys.argon2id import Cost
from penstock.keys.desk import Desk
from penstock.keys.hashing import threads_on
from penstock.limits.lost import Lost, forget_mark, is_incomplete
from penstock.observe.degraded import Degraded
from penstock.observe.logs import Format, Log
from penstock.policy import machine
from penstock.policy.compile import Facts, compile_snapshot, encode
from penstock.policy.names import Names
from penstock.priority import yield_to_native
from penstock.private_file import PrivateFileError
from penstock.signals import Early
from penstock.sockets import BindError, Listener, bind_all, raise_file_limit
from penstock.store.interface import StoreError
from penstock.store.open import ASKING_S, make_asking, make_store
from penstock.tokens.counting import TABLES

if TYPE_CHECKING:
    from penstock.audit.shipping import Shipping
    from penstock.audit.sinks.running import Sinks
    from penstock.limits.earlier import Used
    from penstock.limits.sharing import Sharing
    from penstock.store.sql import SqlStore

IDLE_CHECK_S = 0.01
STOP_MS = 5_000
"""How long native may take to join its threads once nothing is in flight or the deadline has passed."""
SINKS_S = 2.0
"""How long sinks may take for the last records after that."""


class StartError(Exception):
    """The process cannot start; the message says why and what to do."""


class App:
    """One gateway process from start to exit."""

    def __init__(
        self,
        loaded: Loaded,
        file: str | None,
        environ: Mapping[str, str],
        make_native: MakeNative,
        started: Callable[[], None] = lambda: None,
        open_rows: OpenRows = open_rows,
    ) -> None:
        """`started` is called once native's threads run; `open_rows` makes native's other half, the reader."""
        self._config, self._catalogue = loaded.config, loaded.catalogue
        self._file, self._source, self._environ = file, loaded.source, environ
        self._warnings = loaded.warnings
        self._make_native, self._started_native, self._open_rows = make_native, started, open_rows
        self._memory = machine.memory_bytes()
        self._revision = 1
        self._started = time.time()
        self._stopping = asyncio.Event()
        self._signalled = False
        self._reloading_allowed = False
        self._listeners: list[Listener] = []
        self._degraded = Degraded(lambda reasons: self._engine.degraded(reasons))
        self._sharing: Sharing | None = None
        self._shipping: Shipping | None = None
        self._lost: Lost | None = None
        self._sinks: Sinks | None = None
        self.log = Log(self._config.log.level, log_format(self._config))

    async def run(self, ready_fd: int | None = None, parent_fd: int | None = None, early: Early | None = None) -> int:
        """Serves until a signal, or the end of `parent_fd`; the exit code. Raises `StartError`."""
        self._watch_signals()
        if early is not None and early.stop:
            self._stop(signal.SIGTERM)  # once up, in order
        _check_descriptor("--ready-fd", ready_fd, os.O_WRONLY)
        _check_descriptor("--parent-fd", parent_fd, os.O_RDONLY)
        if parent_fd is not None:
            try:
                asyncio.get_running_loop().add_reader(parent_fd, self._hear_parent, parent_fd)
            except OSError:
                raise StartError(f"--parent-fd {parent_fd}: is neither a pipe nor a socket") from None
        try:
            self._instance = Instance(self._config.data_dir)
        except InstanceError as error:
            raise StartError(str(error)) from None
        try:
            await self._serve(ready_fd)
        finally:
            self._close_listeners("data", "admin")
            self._instance.close()
        self.log.info("stopped")
        return 0

    def reload(self) -> list[str]:
        """Reads the configuration again and returns warnings. Raises `ConfigError`, and then nothing has changed."""
        if not self._reloading_allowed:
            raise ConfigError([Problem(Mark(self._source), (), "the process is starting or stopping")])
        systemd.notify(self._environ, "RELOADING")
        try:
            loaded = load(self._file, self._environ)
            config = keep_settled(self._config, loaded.config)
            snapshot = self._snapshot(config, loaded, self._revision + 1)
            try:
                tokens = known_tokens(config.admin.tokens, self._environ)
                self._engine.apply(snapshot)
            except ValueError as error:
                raise ConfigError([Problem(Mark(self._source), (), str(error))]) from None
        finally:
            systemd.notify(self._environ, "READY")
        warnings = [f"{name} changes with the next restart" for name in settled_changes(self._config, loaded.config)]
        warnings += loaded.warnings
        self._config, self._catalogue, self._revision = config, loaded.catalogue, self._revision + 1
        self._callers.configure(tokens)
        self._names.use(config, loaded.catalogue, self._environ)
        self.log.set(config.log.level, log_format(config))
        self.log.info("reloaded", revision=self._revision, source=self._source)
        for warning in warnings:
            self.log.warning(warning)
        return warnings

    def status(self) -> dict[str, object]:
        """What `GET /admin/v1/status` shows."""
        return {
            "version": __version__,
            "instance": self._instance.id,
            "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "configuration": self._source,
            "revision": self._revision,
            "stopping": self._stopping.is_set(),
            "listen": self._addresses("data"),
            "admin": self._addresses("admin"),
            "providers": list(self._config.providers),
            "models": list(self._config.models),
            "shared": self._sharing.status() if self._sharing else None,
            "native": self._engine.status(),
        }

    def limits_use(self, scope: str, name: str) -> bytes:
        """What native has counted against the limits of one place."""
        return self._engine.limits_use(scope, name)

    @property
    def limits_away(self) -> bool:
        """Whether limits are shared, and what was counted cannot be asked now."""
        return self._sharing is not None and self._sharing.is_away

    async def limits_reset(self, scope: str, name: str) -> bool:
        """Forgets it, for all nodes where limits are shared; False: nothing was counted. Raises `AwayError`."""
        shared = self._sharing
        # That one first: what this node still has of it is then the older count.
        done = await shared.reset(scope, name, self._engine.limits_use(scope, name)) if shared else False
        return self._engine.limits_reset(scope, name) or done

    async def _serve(self, ready_fd: int | None) -> None:
        raise_file_limit()
        try:
            token, warnings = load_token(self._config.data_dir)
            self._listeners = bind_all(self._config.listen, self._config.admin.listen)
            self._names = Names(self._config, self._catalogue, self._environ)
            self._store = self._make_store()
            self._desk = self._make_desk()
            self._asked = self._make_asked()
            self._sharing = self._make_sharing()
            self._sinks = self._make_sinks()
            tokens = known_tokens(self._config.admin.tokens, self._environ)
        except (PrivateFileError, BindError, StoreError, ValueError) as error:
            raise StartError(str(error)) from None
        for warning in (*warnings, *self._warnings):
            self.log.warning(warning)
        self._callers = Callers(token, tokens, lambda: self._desk.tokens)
        routes = table(self, self._desk.ledger, lambda: self._config.limits, self._asked)
        self._make_engine(Gate(self._callers, Router(routes, self.log)))
        try:
            await self._start()
            self._say_ready(ready_fd)
            memory.settle()
            await self._stopping.wait()
            await self._drain()
        finally:
            if self._lost is not None:
                await self._lost.settle()
            if not await self._engine.stop(STOP_MS):
                self.log.warning("native threads did not end in time")
            elif self._lost is not None:
                self._lost.stop()
            if self._shipping is not None:
                await self._shipping.stop()
            if self._sinks is not None:
                await self._sinks.stop(SINKS_S)
            await self._desk.stop()
            await self._asked.close()
            if self._sharing is not None:
                await self._sharing.stop()

    def _say_ready(self, ready_fd: int | None) -> None:
        addresses = {"data": self._addresses("data"), "admin": self._addresses("admin")}
        self._reloading_allowed = True
        self.log.info("serving", version=__version__, configuration=self._source, **addresses)
        if self._config.auth == "keys" and self._desk.is_empty:
            file = f" -c {self._file}" if self._file else ""
            self.log.info(f"there is no key yet; this makes one: penstock keys create --name NAME{file}")
        systemd.notify(self._environ, "READY")
        if ready_fd is None:
            return
        try:
            os.write(ready_fd, msgspec.json.encode(addresses) + b"\n")
            os.close(ready_fd)
        except OSError as error:
            raise StartError(f"--ready-fd {ready_fd}: {error.strerror}") from None

    def _make_store(self) -> SqlStore:
        given = self._config.store
        return make_store(given.url, self._config.data_dir, password_file=given.password_file, pool=given.pool)

    def _make_desk(self) -> Desk:
        cost = self._config.keys.hash
        return Desk(
            self._store,
            self._config.data_dir,
            self._names,
            self.log,
            cost=Cost(cost.memory >> 10, cost.iterations, cost.parallelism),
            threads=threads_on(machine.cores()),
            migrate=self._config.store.auto_migrate,
            degraded=self._degraded.part("keys"),
        )

    def _make_asked(self) -> Asked:
        given = self._config.store
        store = make_asking(given.url, self._config.data_dir, password_file=given.password_file, call_s=ASKING_S)
        return Asked(store, self._config.data_dir, within_s=ASKING_S)

    def _make_sharing(self) -> Sharing | None:
        """What limits need that nodes share; where they are not shared nothing is even imported."""
        if self._config.shared is None:
            return None
        try:
            from penstock.limits.sharing import Sharing
        except ImportError:
            raise StartError("shared: the package redis is missing: pip install 'penstock[redis]'") from None
        return Sharing(self._config.shared, self._config.data_dir, self.log, self._degraded.part("limits"))

    def _make_sinks(self) -> Sinks | None:
        """What gives records to sinks; where there is none nothing is even imported."""
        if not self._config.audit.sinks:
            return None
        from penstock.audit.sinks.running import Sinks

        part = self._degraded.part("sinks")
        return Sinks(self._config.audit.sinks, self._config.data_dir, self._instance.id, self.log, part)

    def _make_engine(self, gate: Gate) -> None:
        workers = self._config.workers
        options = {
            "workers": machine.cores() if workers == "auto" else workers,
            "max_connections": 0,
            "log": {"level": self._config.log.level, "format": log_format(self._config)},
            "instance": self._instance.id,
            "digest_key_file": self._desk.digest_key_file,
            "limits_file": os.path.join(self._config.data_dir, "limits"),
            "tokens_dir": str(TABLES),
            "shared": {"timeout_us": self._config.shared.timeout * 1000} if self._config.shared else None,
            "journal": self._journal_options(),
        }
        try:
            native = self._make_native(msgspec.json.encode(options))
        except ImportError:
            raise StartError("the native library is missing: install a wheel, or run `make` in a checkout") from None
        except ValueError as error:
            raise StartError(str(error)) from None
        handlers: dict[int, Handler] = {
            ADMIN: gate,
            VERIFY: self._desk.verify,
            SPEND: Spend(self._asked.store if self._ships else None),
        }
        if self._sharing is not None:
            handlers[LEASE] = self._sharing.lease
        self._engine = Engine(native, handlers, self.log.error)

    @property
    def _ships(self) -> bool:
        return self._config.audit.ship and self._config.journal.durability != "none"

    def _make_shipping(self) -> Shipping:
        """What brings records to the store; where they stay in the journal nothing is even imported."""
        from penstock.audit.shipping import Shipping
        from penstock.store.open import make_records

        given = self._config.store
        return Shipping(
            make_records(given.url, self._store, password_file=given.password_file),
            self._config.data_dir,
            self._instance.id,
            self._engine,
            self.log,
            retain_us=self._config.audit.retain * 1_000,
            room_bytes=self._engine.status().get("journal_max_bytes") or 0,
            degraded=self._degraded.part("records"),
            tidy=self._instance.remove_dead,
            open_rows=self._open_rows,
            before=None if self._lost is None else self._lost.complete,
        )

    def _make_lost(self) -> Lost:
        """What tells limits how much was used before, where data_dir does not."""
        from penstock.limits.earlier import Gathering  # only where it is needed

        gathering = Gathering(self._config)

        async def used() -> list[Used]:
            given = self._config.store
            # Whoever asks for records does not wait behind this, nor are its questions as short as theirs.
            store = make_asking(given.url, self._config.data_dir, password_file=given.password_file)
            try:
                return await gathering.ask(store, time.time_ns() // 1_000)
            finally:
                await store.close()

        return Lost(
            used,
            self._config.data_dir,
            self._engine,
            self.log,
            is_ready=lambda: not self._desk.is_away,
            degraded=self._degraded.part("lost limits"),
        )

    def _journal_options(self) -> dict[str, object] | None:
        given = self._config.journal
        if given.durability == "none":
            return None
        return {
            "dir": self._instance.path,
            "durability": given.durability,
            "when_full": given.when_full,
            "max_bytes": 0 if given.max_bytes == "auto" else given.max_bytes,
            "retain_ms": self._config.audit.retain,
            "pinned": self._ships,
        }

    async def _start(self) -> None:
        """The keys first: the first request finds them."""
        snapshot = self._snapshot(self._config, Loaded(self._config, self._catalogue, self._source), self._revision)
        try:
            is_lost = False
            if self._ships and self._sharing is None:
                is_lost = is_incomplete(self._config.data_dir, self._instance.id)
            elif self._ships:
                forget_mark(self._config.data_dir)  # the counts are in Redis
            await self._desk.start(self._engine)
            if self._sharing is not None:
                await self._sharing.start(self._engine)
            if self._sinks is not None:
                self._sinks.begin()
            self._engine.start(snapshot, [(each.socket.fileno(), each.role) for each in self._listeners])
            self._started_native()
            if self._ships:
                self._lost = self._make_lost() if is_lost else None
                self._shipping = self._make_shipping()
                self._shipping.start()
            if self._sinks is not None:
                self._sinks.start(self._engine)
        except (ValueError, OSError, StoreError) as error:
            raise StartError(str(error)) from None

    def _snapshot(self, config: Config, loaded: Loaded, revision: int) -> bytes:
        facts = Facts(self._environ, self._memory, log_format(config))
        return encode(compile_snapshot(config, loaded.catalogue, facts, revision))

    async def _drain(self) -> None:
        """Not ready → serve on → close the listeners → finish streams; native stops after that."""
        loop = asyncio.get_running_loop()
        limits = self._config.shutdown
        self._reloading_allowed = False
        self._engine.drain()
        systemd.notify(self._environ, "STOPPING")
        self.log.info("stopping", delay_ms=limits.delay, deadline_ms=limits.deadline)
        await asyncio.sleep(limits.delay / 1000)
        self._engine.close_listeners()
        self._close_listeners("data")  # the admin port serves on until the end
        deadline = loop.time() + limits.deadline / 1000
        while not self._engine.idle() and loop.time() < deadline:  # noqa: ASYNC110 (native has no event for it)
            await asyncio.sleep(IDLE_CHECK_S)
        if not self._engine.idle():
            self.log.warning("the deadline of the shutdown cut requests short")

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._stop, signal.SIGINT)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _stop(self, number: signal.Signals) -> None:
        if self._signalled:
            self._close_listeners("data", "admin")
            os._exit(128 + number)  # without a word: nothing may stand between a second signal and the end
        self._signalled = True
        self._stopping.set()

    def _hear_parent(self, fd: int) -> None:
        """Whoever started us holds the other end: when it is gone, so are we, in order."""
        if not os.read(fd, 4096):
            asyncio.get_running_loop().remove_reader(fd)
            self._stopping.set()

    def _close_listeners(self, *roles: str) -> None:
        for listener in [each for each in self._listeners if each.role in roles]:
            listener.close()
            self._listeners.remove(listener)

    def _hang_up(self) -> None:
        try:
            self.reload()
        except ConfigError as error:
            self.log.error("the configuration was refused; the one before it keeps serving", errors=len(error.problems))
            for found in error.problems:
                self.log.error(str(found))

    def _addresses(self, role: str) -> list[str]:
        return [str(listener.address) for listener in self._listeners if listener.role == role]


def _check_descriptor(option: str, fd: int | None, mode: int) -> None:
    """Raises `StartError` unless the descriptor is open for this: found before anything has started."""
    if fd is None:
        return
    try:
        opened = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError, OverflowError):
        raise StartError(f"{option} {fd}: no such descriptor is open; let this process inherit it") from None
    if opened not in (mode, os.O_RDWR):
        use = "writing" if mode == os.O_WRONLY else "reading"
        raise StartError(f"{option} {fd}: is not open for {use}; hand over the other end of the pipe")


def log_format(config: Config) -> Format:
    """The format in force: text for people at a terminal, JSON for everything else."""
    if config.log.format == "auto":
        return "text" if os.isatty(2) else "json"
    return config.log.format


class Descriptors(NamedTuple):
    """Inherited ones: where to say that we are ready; whose end means that our parent is gone."""

    ready: int | None = None
    parent: int | None = None


def serve(file: str | None, environ: Mapping[str, str], fds: Descriptors, make_native: MakeNative, early: Early) -> int:
    """Runs the process; the exit code. Raises `ConfigError` before anything has started."""
    import logging

    import uvloop

    from penstock.observe.logs import Forward

    loaded = load(file, environ)

    async def run() -> int:
        app = App(loaded, file, environ, make_native, yield_to_native)
        logging.getLogger().addHandler(Forward(app.log))
        try:
            return await app.run(fds.ready, fds.parent, early)
        except StartError as error:
            app.log.error(f"cannot start: {error}")
            return 1

    # The usual exit of the interpreter: native's threads have been joined by then.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run())
    sys.stderr.flush()
    return code
