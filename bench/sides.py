"""The sides of the comparison: nginx, Penstock, a bare relay, and no proxy at all."""

import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bench import keys, machine
from bench.load import Mock
from bench.machine import BenchError
from bench.postgres import Postgres
from bench.redis import Redis
from penstock.keys import cache
from tests.support.gateway import Metrics, parse_metrics

Result = dict[str, Any]

PEERS = Path(__file__).resolve().parent / "peers"
START_LIMIT_S = 20.0
# How often a port may turn out to be taken between its choice and its use.
PORTS_TRIED = 3
STOP_LIMIT_S = 10.0
# Fine enough for a start that is a matter of milliseconds.
ASK_EVERY_S = 0.001
LOOK_S = 0.1
# An ordinary store, and how long after a verification its memory has surely been given back.
FEW = 100
REST_S = 1.5
# By when a great many keys must be in data_dir.
WRITTEN_LIMIT_S = 60.0


@dataclass
class Side:
    """One server under measure. `plain` and `tls` name the address by the upstream that stands behind it."""

    name: str
    mock: Mock
    directory: Path
    plain: str = ""
    tls: str = ""
    model_tls: str = "bench"
    model_unstated: str = "bench"
    key: str = field(default="", repr=False)
    process: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None  # of its last life
    log: IO[bytes] | None = field(default=None, repr=False)
    start_limit_s = START_LIMIT_S

    def start(self) -> float:
        """Starts the server; returns the seconds until it had answered its first request."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        for left in reversed(range(PORTS_TRIED)):
            self.log = (self.directory / "log").open("wb")
            began = time.monotonic()
            try:
                self.launch()
                self.first_answer(began + self.start_limit_s)
                break
            except BenchError as error:
                if left == 0 or "in use" not in str(error):
                    raise
                self.stop()
        took = time.monotonic() - began
        for address in {self.plain, self.tls} - {""}:
            machine.check_listener(int(address.rpartition(":")[2]), self.pids())
        return took

    def rest(self) -> None:
        """To be called between the start and what is measured: waits until what a start leaves to do is done."""

    def launch(self) -> None:
        """Starts the process and learns its addresses; no proxy, no process."""

    def spawn(
        self, command: list[str], pass_fds: tuple[int, ...] = (), environment: dict[str, str] | None = None
    ) -> None:
        """Runs a command with its output in this side's log."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            cwd=self.directory,
            pass_fds=pass_fds,
            env=environment,
        )

    def first_answer(self, deadline: float) -> None:
        """Asks until answered."""
        body = b'{"model":"bench","user":"size=1024;chunks=0;pace_ms=0","messages":[]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.plain}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        request = head.encode() + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        host, _, port = self.plain.rpartition(":")
        last = b""
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                with socket.create_connection((host, int(port)), timeout=5) as client:
                    client.sendall(request)
                    last = client.recv(65536)
                if last.startswith(b"HTTP/1.1 200 "):
                    return
            except OSError:
                pass
            time.sleep(ASK_EVERY_S)
        raise BenchError(f"{self.name} does not answer: {last[:300]!r}{self.last_words()}")

    def run(self, drive: Callable[[], Result]) -> Result:
        """One run of the driver against this side."""
        return drive()

    def settle(self) -> None:
        """Waits until nothing is left of a run."""

    def _wait_until(self, is_done: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + limit_s
        while not is_done():
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: {otherwise} within {limit_s:.0f} s")
            time.sleep(LOOK_S)

    def check_alive(self) -> None:
        """Raises if the server has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise BenchError(f"{self.name} ended with {self.process.returncode}{self.last_words()}")

    def last_words(self) -> str:
        """End of the log, for an error's text."""
        logs = [machine.read(self.directory / name).strip() for name in ("log", "error.log")]
        return "".join("\n" + text[-1500:] for text in logs if text)

    def pids(self) -> list[int]:
        """Every process of this side."""
        return machine.tree(self.process.pid) if self.process is not None else []

    def stop(self) -> None:
        """Ends the server, by force if it must be."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
            self.exit_code = self.process.returncode
            self.process = None
        if self.log is not None:
            self.log.close()
            self.log = None

    def fill(self, template: str, **values: object) -> str:
        """A committed configuration with its @NAMES@ replaced, written beside the log; returns its path."""
        text = (PEERS / template).read_text()
        values |= {
            "DIR": self.directory,
            "UPSTREAM": self.mock.plain,
            "UPSTREAM_TLS": self.mock.tls,
            "CA_FILE": self.mock.ca_file,
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        path = self.directory / Path(template).name.removesuffix(".in")
        path.write_text(text)
        return str(path)


class Nginx(Side):
    """The mark: `proxy_pass` and nothing else."""

    def launch(self) -> None:
        """Starts nginx in the foreground with the committed configuration."""
        port, port_tls = machine.free_port(), machine.free_port()
        config = self.fill(
            "nginx.conf.in", PORT=port, PORT_TLS=port_tls, CORES=machine.cores(), NOFILE=machine.raise_file_limit()
        )
        self.plain, self.tls = f"127.0.0.1:{port}", f"127.0.0.1:{port_tls}"
        # run.prepare() has made sure that it is there.
        program = machine.find("nginx") or "nginx"
        self.spawn([program, "-p", str(self.directory), "-e", str(self.directory / "error.log"), "-c", config])


class Penstock(Side):
    """The product, as `penstock serve` starts it; bare: whoever reaches it may ask."""

    auth = "open"
    limits = "{}"
    # Where limits are shared between nodes.
    shared = "null"
    journal = "none"
    store = "sqlite"
    # Whether the store gets the records.
    ship = "true"
    # Whether the upstream is asked for the usage of its streams, as those of most vendors are.
    states_usage = "false"
    admin = ""

    def launch(self) -> None:
        """Starts the gateway and reads its addresses from the ready descriptor."""
        config = self.configured()
        ready, theirs = os.pipe()
        try:
            command = [sys.executable, "-m", "penstock", "serve", "-c", config, "--ready-fd", str(theirs)]
            self.spawn(command, pass_fds=(theirs,))
        finally:
            os.close(theirs)
        with os.fdopen(ready) as pipe:
            if not select.select([pipe], [], [], self.start_limit_s)[0]:
                raise BenchError(f"{self.name} is not ready after {self.start_limit_s:.0f} s{self.last_words()}")
            line = pipe.readline()
        if not line:
            assert self.process is not None
            self.process.wait(STOP_LIMIT_S)
            self.check_alive()
        addresses = json.loads(line)
        self.plain = self.tls = addresses["data"][0]
        self.admin = addresses["admin"][0]
        self.model_tls, self.model_unstated = "bench-tls", "bench-unstated"

    def configured(self) -> str:
        """Writes the configuration; returns its path."""
        kept = {"STORE": self.store, "JOURNAL": self.journal, "SHIP": self.ship, "STATES_USAGE": self.states_usage}
        return self.fill("penstock.yaml.in", AUTH=self.auth, LIMITS=self.limits, SHARED=self.shared, **kept)

    def metrics(self) -> Metrics:
        """What it counts now."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5) as page:
            return parse_metrics(page.read().decode())


class Keyed(Penstock):
    """The product as it is by default: who asks shows a key, of which the store has an ordinary number."""

    auth = "keys"
    strangers = FEW

    def start(self) -> float:
        """As any side; before that, and not timed, its store is made unless it is there."""
        if not self.key:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.stock(keys.Stock(self.mock.directory), self.directory / "data")
            self.key = keys.create(self.configured(), self.directory)
        return super().start()

    def rest(self) -> None:
        """Until the keys are in its data_dir, and memory of the load and of the first verification is given back."""
        self._wait_until(
            lambda: self._written() >= self.strangers, WRITTEN_LIMIT_S, f"the keys were not in {cache.NAME}"
        )
        time.sleep(REST_S)

    def _written(self) -> int:
        try:
            with closing(sqlite3.connect(f"file:{self.directory}/data/{cache.NAME}?mode=ro", uri=True)) as database:
                ((count,),) = database.execute("SELECT count(*) FROM rows WHERE kind = 'key'").fetchall()
        except sqlite3.Error:
            return 0
        return int(count)

    def stock(self, stock: keys.Stock, data_dir: Path) -> None:
        """Fills its store unless it is there."""
        if not data_dir.exists():
            stock.copy(self.strangers, data_dir)


class Default(Keyed):
    """The same with the journal that it keeps by default."""

    journal = "group"


class Many(Keyed):
    """The same with a great many keys."""

    strangers = keys.MANY


class Limited(Many):
    """The same, each key with three limits that are far away."""

    limits = "{ requests: 1000000000/min, tokens: 1000000000000/min, concurrent: 100000 }"


class Shipping(Default):
    """The product with a store on a server, which gets the records."""

    postgres: Postgres | None = None
    # Whether the server takes only time that nothing else wants.
    last = False

    def start(self) -> float:
        """As any side, with a server that is up before it."""
        if self.postgres is None:
            self.postgres = Postgres(last=self.last)
        self.store = self.postgres.url
        return super().start()

    def stock(self, stock: keys.Stock, data_dir: Path) -> None:
        """Copies what a store of files would hold."""
        assert self.postgres is not None
        migrate = [sys.executable, "-m", "penstock", "migrate", "-c", self.configured()]
        done = subprocess.run(migrate, cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"penstock migrate: {done.stderr.strip()}")
        aside = self.directory / "stock"
        stock.copy(self.strangers, aside)
        self.postgres.fill(aside)

    def halt(self) -> None:
        """Ends the gateway alone."""
        super().stop()

    def stop(self) -> None:
        """Ends the gateway, then the server."""
        try:
            self.halt()
        finally:
            if self.postgres is not None:
                self.postgres.stop()
                self.postgres = None


class Governed(Shipping):
    """All that a company wants: a key, three limits and a budget that are far away, every request in the journal and
    then in PostgreSQL, which stands for a server elsewhere.
    """

    strangers = keys.MANY
    last = True
    states_usage = "true"
    limits = "{ requests: 1000000000/min, tokens: 1000000000000/min, concurrent: 100000, budget: 1000000 usd/day }"
    # Until the records of a run must be in the store.
    shipped_limit_s = 60.0

    def run(self, drive: Callable[[], Result]) -> Result:
        """CPU is all that it takes until the records are in the store, for each of them, whenever that is done."""
        recorded, cpu_ns = self.metrics().value("penstock_journal_records_total"), machine.cpu_ns(self.pids())
        result = drive()
        self.settle()
        recorded = self.metrics().value("penstock_journal_records_total") - recorded
        if recorded:
            result["cpu_us_per_request"] = (machine.cpu_ns(self.pids()) - cpu_ns) / 1000 / recorded
        return result

    def settle(self) -> None:
        """Waits for the store, so that no other side has that beside it."""
        self._wait_until(lambda: not self._is_behind(), self.shipped_limit_s, "records were not shipped")

    def _is_behind(self) -> bool:
        found = self.metrics()
        recorded, shipped = (found.value(f"penstock_{name}_records_total") for name in ("journal", "shipped"))
        return recorded > shipped


class Shared(Limited):
    """The same with limits that it shares, by a Redis on loopback, with nodes that are not there."""

    redis: Redis | None = None

    def start(self) -> float:
        """As any side, with a Redis that is up before it."""
        if self.redis is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.redis = Redis(self.directory)
        self.shared = self.redis.url
        return super().start()

    def stop(self) -> None:
        """Ends the gateway, then Redis."""
        try:
            super().stop()
        finally:
            if self.redis is not None:
                self.redis.stop()
                self.redis = None


class Refusing(Keyed):
    """Each key has had the one request that it may make."""

    limits = "{ requests: 1/7d }"


class Trial(Side):
    """A bare relay named by PENSTOCK_TRIAL: what the machine allows. Plain upstream only."""

    def launch(self) -> None:
        """Starts the relay: threads, address to listen on, upstream."""
        self.plain = f"127.0.0.1:{machine.free_port()}"
        self.spawn([os.environ["PENSTOCK_TRIAL"], str(machine.cores()), self.plain, self.mock.plain])


class Direct(Side):
    """No proxy: the floor that driver, mock and kernel set. The driver speaks no TLS, so only plain."""

    def start(self) -> float:
        """Nothing to start: the mock stands already."""
        self.plain = self.mock.plain
        return 0.0


KINDS: dict[str, type[Side]] = {
    "direct": Direct,
    "nginx": Nginx,
    "nginx_again": Nginx,
    "penstock": Penstock,
    "penstock_keys": Many,
    "penstock_limits": Limited,
    "penstock_governed": Governed,
    "penstock_shared": Shared,
    "penstock_refusing": Refusing,
    "trial": Trial,
}
# For memory and start-up: the product as it is by default.
FRESH = KINDS | {"penstock": Default}


def make(name: str, mock: Mock, directory: Path, kinds: dict[str, type[Side]] = KINDS) -> Side:
    """A side by name, not yet started."""
    return kinds[name](name, mock, directory / name)


def available(name: str) -> bool:
    """Whether a side can be had here: the bare relay only if its binary was named."""
    return name != "trial" or "PENSTOCK_TRIAL" in os.environ
