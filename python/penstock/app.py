"""The process: lock, bind, start, reload, drain, exit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from penstock import __version__, memory, parts, systemd
from penstock.admin.callers import Callers
from penstock.admin.gate import Gate
from penstock.admin.router import Router
from penstock.admin.routes import table
from penstock.admin.token import load_token
from penstock.audit.spend import Spend
from penstock.config.diff import keep_settled, settled_changes
from penstock.config.load import Loaded, load
from penstock.config.model import Config
from penstock.config.problem import ConfigError, Mark, Problem
from penstock.config.tokens import known_tokens
from penstock.descriptors import Descriptors
from penstock.engine import ADMIN, LEASE, SPEND, VERIFY, Engine, Handler, MakeNative, OpenRows, open_rows
from penstock.instance import Instance, InstanceError
from penstock.limits.lost import Lost, forget_mark, is_incomplete
from penstock.observe.degraded import Degraded
from penstock.observe.logs import Log, format_of
from penstock.policy import machine
from penstock.policy.compile import Facts, compile_snapshot, encode
from penstock.policy.names import Names
from penstock.priority import yield_to_native
from penstock.private_file import PrivateFileError
from penstock.signals import Early
from penstock.sockets import BindError, Listener, bind_all, raise_file_limit
from penstock.store.interface import StoreError

if TYPE_CHECKING:
    from penstock.audit.shipping import Shipping
    from penstock.audit.sinks.running import Sinks
    from penstock.limits.sharing import Sharing

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
        self.log = Log(self._config.log.level, format_of(self._config.log.format))

    async def run(self, fds: Descriptors = Descriptors(), early: Early | None = None) -> int:  # noqa: B008 (immutable)
        """Serves until a signal, or the end of `fds.parent`; the exit code. Raises `StartError`."""
        self._watch_signals()
        if early is not None and early.stop:
            self._stop(signal.SIGTERM)  # once up, in order
        try:
            fds.check()
            self._watch_parent(fds.parent)
            self._instance = Instance(self._config.data_dir)
        except (ValueError, InstanceError) as error:
            raise StartError(str(error)) from None
        try:
            await self._serve(fds.ready)
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
        self.log.set(config.log.level, format_of(config.log.format))
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
            self._store = parts.make_key_store(self._config)
            self._desk = parts.make_desk(self._config, self._store, self._names, self.log, self._degraded)
            self._asked = parts.make_asked(self._config, self.log)
            self._sharing = parts.make_sharing(self._config, self.log, self._degraded)
            self._sinks = parts.make_sinks(self._config, self._instance, self.log, self._degraded)
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

    def _make_engine(self, gate: Gate) -> None:
        try:
            native = self._make_native(parts.engine_options(self._config, self._instance, self._desk.digest_key_file))
        except ImportError:
            raise StartError("the native library is missing: install a wheel, or run `make` in a checkout") from None
        except ValueError as error:
            raise StartError(str(error)) from None
        handlers: dict[int, Handler] = {
            ADMIN: gate,
            VERIFY: self._desk.verify,
            SPEND: Spend(self._asked.store if parts.ships(self._config) else None),
        }
        if self._sharing is not None:
            handlers[LEASE] = self._sharing.lease
        self._engine = Engine(native, handlers, self.log.error)

    async def _start(self) -> None:
        """The keys first: the first request finds them."""
        snapshot = self._snapshot(self._config, Loaded(self._config, self._catalogue, self._source), self._revision)
        try:
            is_lost = self._is_lost()
            await self._desk.start(self._engine)
            if self._sharing is not None:
                await self._sharing.start(self._engine)
            if self._sinks is not None:
                self._sinks.begin()
            self._engine.start(snapshot, [(each.socket.fileno(), each.role) for each in self._listeners])
            self._started_native()
            if parts.ships(self._config):
                self._ship(is_lost)
            if self._sinks is not None:
                self._sinks.start(self._engine)
        except (ValueError, OSError, StoreError) as error:
            raise StartError(str(error)) from None

    def _is_lost(self) -> bool:
        """Whether limits are to be told what was used before, asked before native writes anything."""
        if not parts.ships(self._config):
            return False
        if self._sharing is not None:
            forget_mark(self._config.data_dir)  # the counts are in Redis
            return False
        return is_incomplete(self._config.data_dir, self._instance.id)

    def _ship(self, is_lost: bool) -> None:
        config, engine = self._config, self._engine
        if is_lost:
            self._lost = parts.make_lost(
                lambda: self._config, self._instance, engine, self._desk, self.log, self._degraded
            )
        self._shipping = parts.make_shipping(
            config,
            self._instance,
            engine,
            self._store,
            self.log,
            self._degraded,
            open_rows=self._open_rows,
            before=None if self._lost is None else self._lost.complete,
        )
        self._shipping.start()

    def _snapshot(self, config: Config, loaded: Loaded, revision: int) -> bytes:
        facts = Facts(self._environ, self._memory, format_of(config.log.format))
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

    def _watch_parent(self, fd: int | None) -> None:
        if fd is None:
            return
        try:
            asyncio.get_running_loop().add_reader(fd, self._hear_parent, fd)
        except OSError:
            raise StartError(f"--parent-fd {fd}: is neither a pipe nor a socket") from None

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


def serve(file: str | None, environ: Mapping[str, str], fds: Descriptors, make_native: MakeNative, early: Early) -> int:
    """Runs the process; the exit code. Raises `ConfigError` before anything has started."""
    import logging

    import uvloop

    from penstock.observe.logs import Forward

    loaded = load(file, environ)

    async def run() -> int:
        holds_answers = loaded.config.journal.durability == "flush"
        app = App(loaded, file, environ, make_native, partial(yield_to_native, holds_answers=holds_answers))
        logging.getLogger().addHandler(Forward(app.log))
        try:
            return await app.run(fds, early)
        except StartError as error:
            app.log.error(f"cannot start: {error}")
            return 1

    # The usual exit of the interpreter: native's threads have been joined by then.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run())
    sys.stderr.flush()
    return code
