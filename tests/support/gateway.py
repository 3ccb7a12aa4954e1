"""Launches `penstock serve` as users do, and holds it to what must be true when it ends."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import yaml

from . import raw
from .wait import until

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_KEYS = ("OPENAI_", "ANTHROPIC_", "OLLAMA_", "PENSTOCK_")
# What may never stand in the log of a healthy run.
_BROKEN = re.compile(r"Traceback \(most recent|panicked at|\"level\": ?\"error\"|ResourceWarning|never awaited")
# Shapes of what no log may hold, whoever wrote it: whole keys of ours, hashes of secrets.
_SECRET = re.compile(r"sk-pen-[0-9A-Za-z]{12}-[0-9A-Za-z]{20,}|\$argon2id\$|sha256:[0-9a-f]{64}")
# To PostgreSQL: kept on purpose as well, and not all there at the start.
_STORE_CONNECTIONS = 8
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")


@dataclass(frozen=True)
class Metrics:
    """One reading of `/metrics`."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with at least these labels; 0 if there is none."""
        wanted = set(labels.items())
        return sum(value for (each, found), value in self.samples.items() if each == name and wanted <= found)

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def parse_metrics(text: str) -> Metrics:
    """Reads Prometheus text 0.0.4; fails on a line that is not of that format."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.match(line)
        assert found, f"not a sample: {line!r}"
        labels = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', found[2] or "")
        key = (found[1], frozenset(labels))
        assert key not in samples, f"a sample twice: {line!r}"
        samples[key] = float(found[3])
    return Metrics(samples)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change the gateway's mind."""
    kept = {
        name: value for name, value in os.environ.items() if name.upper() not in _PROXIES and not name.startswith(_KEYS)
    }
    return kept | {"NO_PROXY": "", "PYTHONWARNINGS": "default"} | dict(extra or {})


def defaults(data_dir: Path) -> dict[str, Any]:
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "data_dir": str(data_dir),
        "auth": "open",
        "log": {"level": "debug", "format": "json"},
        "workers": 2,
        "shutdown": {"delay": "0s", "deadline": "10s"},
    }


class Gateway:
    """A running gateway. Leaving the `with` block stops it and checks that it ended well."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        exit_code: int = 0,
    ) -> None:
        self.directory = directory
        self.config = defaults(directory / "data") | dict(config)
        self.config_file = directory / "penstock.yaml"
        self.log_file = directory / "penstock.log"
        self._environment = clean_environment(environment)
        self._expected_exit = exit_code
        self._process: subprocess.Popen[bytes] | None = None
        self.checked = True
        self.secrets: set[str] = set()
        """Texts that the log must not hold; whoever makes or sends one adds it."""
        self.data: list[str] = []
        self.admin: list[str] = []
        self.baseline: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Gateway(data={self.data}, admin={self.admin}, pid={self.pid if self._process else None})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
            return
        try:
            if self.alive():
                self.assert_idle()
            self.stop()
        finally:
            self.kill()

    # -- the process

    def start(self) -> None:
        """Starts and waits until it says that it is ready."""
        self.write_config()
        ready, write_end = os.pipe()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command(), "serve", "-c", str(self.config_file), "--ready-fd", str(write_end)],
                pass_fds=(write_end,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.directory,
            )
        os.close(write_end)
        try:
            readable, _, _ = select.select([ready], [], [], 20.0)
            line = os.read(ready, 65536) if readable else b""
        finally:
            os.close(ready)
        if not line:
            self.kill()
            raise AssertionError(f"the gateway did not become ready:\n{self.log()[-4000:]}")
        addresses = json.loads(line)
        self.data, self.admin = addresses["data"], addresses["admin"]
        self.baseline = self.counts()
        if "postgresql" in str(self.config.get("store")):
            self.baseline["sockets"] += _STORE_CONNECTIONS

    def write_config(self, **changes: Any) -> None:
        """Writes the configuration, with top-level changes."""
        self.config |= changes
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        """The exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self) -> None:
        """SIGTERM, then checks the exit code and the log."""
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no exit after SIGTERM:\n{self.log()[-4000:]}") from None
        assert code == self._expected_exit, f"exit {code}:\n{self.log()[-4000:]}"
        self.assert_no_secret()
        if self.checked:
            self.assert_healthy_log()

    def kill(self) -> None:
        if self.alive():
            self.signal(signal.SIGKILL)
            self.wait()

    # -- what it says

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def log_records(self) -> list[dict[str, Any]]:
        """The log lines that are JSON and whole: the last one may be on its way still, one page of it there."""
        whole = self.log().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def assert_healthy_log(self) -> None:
        found = [line for line in self.log().splitlines() if _BROKEN.search(line)]
        assert not found, "\n".join(found[:20])

    def assert_no_secret(self) -> None:
        """No key, hash or token stands in the log, in any line of the process's life."""
        text = self.log()
        token = self.data_dir / "admin.token"
        told = self.secrets | ({self.token()} if token.exists() else set())
        assert not [secret for secret in told if secret in text], "a secret stands in the log"
        assert not (found := _SECRET.search(text)), f"a secret stands in the log: {found[0][:24]}…"

    # -- addresses

    @property
    def address(self) -> str:
        return self.data[0]

    @property
    def root(self) -> str:
        """`http://HOST:PORT`, the base address for Anthropic's and Ollama's SDKs."""
        return f"http://{self.address}"

    @property
    def openai(self) -> str:
        return f"{self.root}/v1"

    # -- what it counts

    def metrics(self) -> Metrics:
        answer = raw.get(self.admin[0], "/metrics")
        assert answer.status == 200, answer
        assert (answer.header("content-type") or "").startswith("text/plain")
        return parse_metrics(answer.body.decode())

    def at_rest(self) -> Metrics:
        """What it has counted when no request is being served: one is counted after its client has the answer."""
        until(lambda: self.metrics().value("penstock_requests_in_flight") == 0, "no request is served")
        return self.metrics()

    @property
    def data_dir(self) -> Path:
        return Path(self.config["data_dir"])

    def token(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> raw.Answer:
        """A request to the admin port with its token, and a JSON body if there is one."""
        headers = {"authorization": f"Bearer {token or self.token()}", "connection": "close"}
        content = b"" if body is None else json.dumps(body).encode()
        return raw.exchange(self.admin[0], raw.request(method, path, content, headers), method, 20.0)

    def status(self) -> dict[str, Any]:
        answer = self.ask("GET", "/admin/v1/status")
        assert answer.status == 200, answer
        return cast("dict[str, Any]", answer.json())

    def descriptors(self) -> list[str]:
        """What each open descriptor of the process is, as Linux names it."""
        found = []
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(os.readlink(descriptor))
        return found

    def counts(self) -> dict[str, float]:
        """Everything that must return to where it was."""
        seen = self.metrics()
        idle = seen.value("penstock_upstream_connections", state="idle")
        return {
            "in flight": seen.value("penstock_requests_in_flight"),
            "buffered bytes": seen.value("penstock_buffered_bytes"),
            "data connections": seen.value("penstock_connections", listener="data"),
            "upstream in use": seen.value("penstock_upstream_connections", state="in_use"),
            "upstream queue": seen.value("penstock_upstream_queue"),
            "tasks": seen.value("penstock_tasks"),
            "panics": seen.value("penstock_panics_total"),
            # Idle upstream connections are kept on purpose; the sockets beyond them are not.
            "sockets": sum(not _is_kept(name) for name in self.descriptors()) - idle,
        }

    def assert_idle(self, seconds: float = 5.0) -> None:
        """Counts of sockets, tasks and buffered bytes are back where they were at the start."""
        last: dict[str, float] = {}

        def back() -> bool:
            nonlocal last
            last = self.counts()
            return all(value <= self.baseline[name] for name, value in last.items())

        try:
            until(back, "all counts back to where they began", seconds, 0.02)
        except AssertionError:
            grown = {name: (self.baseline[name], value) for name, value in last.items() if value > self.baseline[name]}
            open_now = sorted(self.descriptors())
            raise AssertionError(f"left behind (before, now): {grown}\nopen: {open_now}\n{self.metrics()}") from None


def _is_kept(name: str) -> bool:
    """Whether this open file comes with the first record, or the first question about one, and stays."""
    return ("/journal/" in name and not name.endswith("/lock")) or "/penstock.sqlite" in name


def command() -> list[str]:
    """How the gateway is run: this interpreter, as `penstock` itself does."""
    return [sys.executable, "-m", "penstock"]


def run(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a `penstock` command to its end, with `given` on its standard input."""
    return subprocess.run(
        [*command(), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(environment),
        cwd=cwd,
        input=given,
        check=False,
    )
