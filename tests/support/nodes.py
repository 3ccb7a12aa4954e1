"""Several gateways that share limits by one Redis, each over a line of its own that can be cut; and who asks them."""

import asyncio
import contextlib
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .gateway import Gateway
from .kinds import CHAT
from .loop import LoopThread
from .proxy import CuttingProxy
from .raw import Client, Closed, request
from .redis import Redis
from .wait import until

AWAY = "x-penstock-limits-away"

# Connections to Redis, which need not be there yet when a gateway is ready.
_REDIS_CONNECTIONS = 4


class Line(CuttingProxy):
    """A proxy that may also fall silent, or be slow to bring answers: nothing is lost by that, only late."""

    def __init__(self, loop: LoopThread, host: str, port: int) -> None:
        self._speaks = asyncio.Event()
        self._speaks.set()
        self.delay_s = 0.0
        """Added to each answer."""
        super().__init__(loop, host, port)

    def silence(self) -> None:
        """Connections stay open, new ones too, and nothing passes any more."""
        self._loop.run(self._say(False))

    def heal(self) -> None:
        """All is as it was in the beginning; what a silence held back passes now."""
        self.refuse, self.delay_s = False, 0.0
        self._loop.run(self._say(True))

    async def _say(self, speaks: bool) -> None:
        if speaks:
            self._speaks.set()
        else:
            self._speaks.clear()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on in order, each piece at its time: pieces may be on their way together."""
        peer = writer.get_extra_info("peername")
        is_answer = peer is None or peer[1] != self._to[1]
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(on_the_way, writer))
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    on_the_way.put_nowait((time.monotonic() + self.delay_s * is_answer, data))
            on_the_way.put_nowait((time.monotonic(), b""))
            with contextlib.suppress(OSError):
                await delivery
        finally:
            delivery.cancel()

    async def _deliver(self, on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at, data = await on_the_way.get()
            await asyncio.sleep(at - time.monotonic())
            await self._speaks.wait()
            if not data:
                return writer.write_eof()
            writer.write(data)
            await writer.drain()
            self.passed += len(data)


@dataclass
class Node:
    """One gateway and its line to Redis."""

    gateway: Gateway
    line: Line

    def is_up(self) -> bool:
        """Whether it says that Redis answers."""
        return self.gateway.metrics().value("penstock_shared_up") == 1

    def asks(self) -> float:
        """How often it has asked for leases."""
        return self.gateway.metrics().value("penstock_lease_asks_total")

    def start(self) -> None:
        """Again, after it was killed."""
        self.gateway.start()
        self.gateway.baseline["sockets"] += _REDIS_CONNECTIONS

    def cut(self) -> None:
        """Resets what is open and turns new connections away."""
        self.line.refuse = True
        self.line.cut()


class Nodes:
    """So many gateways with one configuration. Leaving the `with` block stops them and checks that they ended well."""

    def __init__(
        self,
        folder: Path,
        loop: LoopThread,
        redis: Redis,
        config: dict[str, Any],
        count: int = 4,
        timeout: str = "50ms",
    ) -> None:
        self._all = contextlib.ExitStack()
        self._folder, self._loop, self._redis, self._config = folder, loop, redis, config
        self._count, self._timeout = count, timeout
        self.each: list[Node] = []

    def __repr__(self) -> str:
        return f"Nodes({self.each})"

    def __enter__(self) -> "Nodes":
        with contextlib.ExitStack() as opened:
            for number in range(self._count):
                line = opened.enter_context(Line(self._loop, "127.0.0.1", self._redis.port))
                folder = self._folder / f"node-{number}"
                folder.mkdir()
                shared = {"url": f"redis://127.0.0.1:{line.port}/0", "timeout": self._timeout}
                gateway = opened.enter_context(Gateway(folder, self._config | {"shared": shared}))
                gateway.baseline["sockets"] += _REDIS_CONNECTIONS
                self.each.append(Node(gateway, line))
            self.settle()
            self._all = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.__exit__(kind, error, trace)

    def __getitem__(self, number: int) -> Node:
        return self.each[number]

    def settle(self, count: int | None = None) -> None:
        """Until every node that runs has Redis and knows of all others."""
        count = count or self._count

        def all_know() -> bool:
            read = [node.gateway.metrics() for node in self.each if node.gateway.alive()]
            return all(
                of.value("penstock_shared_up") == 1 and of.value("penstock_shared_nodes") == count for of in read
            )

        until(all_know, f"{count} nodes that know of each other", 30.0, 0.02)

    def heal(self) -> None:
        """Every line is as it was, and every node has noticed."""
        for node in self.each:
            node.line.heal()
        self.settle()

    @property
    def addresses(self) -> list[str]:
        return [node.gateway.address for node in self.each]

    def admitted(self, model: str, *only: int) -> "Admitted":
        """What all of them, or only some, have let through for a model, in earlier lives too."""
        found = [
            (record["admitted_boottime_us"], record.get("charged_tokens", 0))
            for number, node in enumerate(self.each)
            if not only or number in only
            for record in node.gateway.log_records()
            if record.get("model") == model and "admitted_boottime_us" in record
        ]
        return Admitted(sorted(found))


@dataclass(frozen=True)
class Admitted:
    """Stamps of admission on the one clock of the machine, and the tokens charged for each."""

    each: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.each)

    def since(self, at_us: int) -> "Admitted":
        return Admitted([one for one in self.each if one[0] >= at_us])

    def within(self, from_us: int, us: int) -> "Admitted":
        return Admitted([one for one in self.each if from_us <= one[0] < from_us + us])

    @property
    def first_us(self) -> int:
        return self.each[0][0]

    @property
    def tokens(self) -> int:
        return sum(tokens for _, tokens in self.each)

    def most(self, window_us: int) -> int:
        """The most requests in any interval of that length."""
        return most([(at, 1) for at, _ in self.each], window_us)

    def most_tokens(self, window_us: int) -> int:
        return most(self.each, window_us)


def most(stamps: Iterable[tuple[int, int]], window_us: int) -> int:
    """The largest sum of amounts in any interval of that length, its end not included; stamps rise."""
    stamps = list(stamps)
    largest = inside = first = 0
    for at, amount in stamps:
        inside += amount
        while stamps[first][0] <= at - window_us:
            inside -= stamps[first][1]
            first += 1
        largest = max(largest, inside)
    return largest


def boottime_us() -> int:
    """Now, as gateways stamp admissions."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


@dataclass(frozen=True)
class Told:
    """What one client was answered, and after how long."""

    at: float
    node: int
    status: int
    away: str | None
    took_s: float


class Hammer:
    """Clients that ask all the time: `clients` of them at each address, from the beginning of the `with` block to its
    end. Whoever is refused asks again after `pause_s`, or as soon as it was told if that is sooner."""

    def __init__(
        self, addresses: Sequence[str], model: str, clients: int = 1, pause_s: float = 0.004, eager: bool = True
    ) -> None:
        self.told: list[Told] = []
        self._end = threading.Event()
        self._pause_s, self._eager = pause_s, eager
        body = json.dumps(CHAT.request(model, False)).encode()
        self._request = request("POST", CHAT.path, body, CHAT.headers)
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(node, address), name=f"hammer-{node}-{number}")
            for node, address in enumerate(addresses)
            for number in range(clients)
        ]

    def __enter__(self) -> "Hammer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20.0)
        if error is None:
            assert not self._broken, self._broken[:3]

    def run(self, seconds: float) -> None:
        """Goes on for so long."""
        self._end.wait(seconds)

    def count(self, status: int = 200, node: int | None = None, away: str | None = None) -> int:
        """So many answers with this status, of one node or all, judged by a policy if one is named."""
        return sum(
            told.status == status and node in (None, told.node) and away in (None, told.away)
            for told in list(self.told)
        )

    def strays(self, *nodes: int, since: float = 0.0) -> int:
        """So many were let through by a policy since then, at all nodes or only some: where Redis is there, it took too
        long to answer, as it may on a machine that is busy."""
        return sum(
            told.status == 200 and told.away is not None and told.at >= since and (not nodes or told.node in nodes)
            for told in list(self.told)
        )

    def _ask(self, node: int, address: str) -> None:
        try:
            while not self._end.is_set():
                with contextlib.suppress(OSError, Closed), Client(address) as client:
                    self._converse(node, client)
                self._end.wait(0.05)
        except BaseException as error:
            self._broken.append(error)

    def _converse(self, node: int, client: Client) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            client.send(self._request)
            answer = client.read()
            self.told.append(Told(began, node, answer.status, answer.header(AWAY), time.monotonic() - began))
            if answer.status != 200:
                wait_s = int(answer.header("retry-after-ms") or 0) / 1_000
                self._end.wait(min(wait_s, self._pause_s) if wait_s else self._pause_s)
            elif not self._eager:
                self._end.wait(self._pause_s)


def p99_s(told: Sequence[Told]) -> float:
    """What 99 of 100 answers took at most."""
    return statistics.quantiles([one.took_s for one in told], n=100)[98]


@dataclass(frozen=True)
class Reading:
    """A counter's value at some moment between two others."""

    before: float
    value: float
    after: float


def growth_in_any(readings: Sequence[Reading], seconds: float) -> float:
    """The largest growth of a counter between two readings that are surely no further apart, however long they took."""
    pairs = itertools.combinations(readings, 2)
    return max((later.value - one.value for one, later in pairs if later.after - one.before <= seconds), default=0.0)


def watch(read: Callable[[], float], seconds: float, every_s: float = 0.1) -> list[Reading]:
    """Reads a counter again and again for so long."""
    readings: list[Reading] = []
    end = time.monotonic() + seconds

    def over() -> bool:
        before = time.monotonic()
        value = read()
        readings.append(Reading(before, value, time.monotonic()))
        return time.monotonic() >= end

    until(over, "the end of the watch", seconds + 10.0, every_s)
    return readings
