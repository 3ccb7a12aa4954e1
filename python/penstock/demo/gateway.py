"""Starts `penstock serve` for the demo, as a process of its own with a configuration made for it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

_CONFIG = """\
# Made by `penstock demo`: one gateway in front of the demo provider.
listen: 127.0.0.1:0
admin: {{ listen: 127.0.0.1:0 }}
data_dir: {data_dir}
shutdown: {{ deadline: 5s }}
log: {{ level: warn }}
providers:
  demo: {{ free: true, base_url: "{base_url}", dialects: {{ openai: /v1, anthropic: /, ollama: / }} }}
models:
  demo: {{ targets: [ {{ provider: demo, model: demo-1 }} ] }}
default_provider: demo
"""
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


class GatewayFailed(Exception):
    """The gateway did not come up."""


class Gateway:
    """`async with Gateway(base_url, directory) as gateway:`; `gateway.address` and `gateway.admin` are `HOST:PORT`."""

    def __init__(self, provider_url: str, directory: Path, program: Sequence[str] = ("-m", "penstock")) -> None:
        self._provider_url = provider_url
        self._directory = directory
        self._program = program
        self._life = -1
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""
        self.admin = ""

    def __repr__(self) -> str:
        return f"Gateway(address={self.address!r}, admin={self.admin!r})"

    async def __aenter__(self) -> "Gateway":
        config = self._directory / "penstock.yaml"
        data_dir = json.dumps(str(self._directory / "data"))
        config.write_text(_CONFIG.format(data_dir=data_dir, base_url=self._provider_url))
        ready, write_end = os.pipe()
        # Its end is the end of this process, however that comes: the gateway then stops too.
        parent, self._life = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                *("serve", "-c", str(config), "--ready-fd", str(write_end), "--parent-fd", str(parent)),
                pass_fds=(write_end, parent),
                env=_environment(),
                # A Ctrl-C is for the demo, which then stops the gateway in good order.
                start_new_session=True,
            )
        finally:
            os.close(write_end)
            os.close(parent)
        try:
            line = await asyncio.wait_for(_read_line(ready), _START_SECONDS)
            addresses = json.loads(line)
        except (TimeoutError, ValueError):
            await self.stop()
            raise GatewayFailed("the gateway did not become ready") from None
        self.address, self.admin = addresses["data"][0], addresses["admin"][0]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def make_key(self) -> str:
        """A key for the model `demo`, made as a user makes one; raises GatewayFailed."""
        token_file = self._directory / "data" / "admin.token"
        words = ["keys", "create", "--name", "demo", "--model", "demo*", "--json"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._program, *words),
            *("--admin", f"http://{self.admin}", "--token-file", str(token_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        shown, why = await process.communicate()
        if process.returncode != 0:
            raise GatewayFailed(f"no key could be made: {why.decode(errors='replace').strip()}")
        key: str = json.loads(shown)["key"]
        return key

    async def audit(self, *words: str) -> str:
        """What `penstock audit …` shows of this gateway's records; raises GatewayFailed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._program, "audit", *words, "--data-dir", str(self._directory / "data")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        shown, why = await process.communicate()
        if process.returncode != 0:
            raise GatewayFailed(f"penstock audit {words[0]}: {why.decode(errors='replace').strip()}")
        return shown.decode()

    async def wait(self) -> int:
        """Returns when the gateway has ended by itself."""
        return await self._process.wait() if self._process is not None else 0

    async def stop(self) -> None:
        """Ends the gateway in good order; by force if it does not follow."""
        process = self._process
        if process is None or process.returncode is not None:
            self._let_go()
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self._life >= 0:
            os.close(self._life)
            self._life = -1


def _environment() -> dict[str, str]:
    """The demo is what it is: no variable may bend its configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}


async def _read_line(fd: int) -> bytes:
    """Reads a pipe to its end without blocking the loop."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(fd, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        return await reader.readline()
    finally:
        transport.close()
