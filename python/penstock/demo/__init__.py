"""`penstock demo`: a gateway and a toy provider on free ports, and one streamed chat through them."""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path

from .client import ChatFailed, chat
from .gateway import Gateway, GatewayFailed
from .provider import DemoProvider
from .voice import Pace

__all__ = ["DemoProvider", "Pace", "main"]

_PROMPT = "What is a penstock?"
_SHOWN = (
    "started",
    "key_id",
    "model",
    "target",
    "status",
    "outcome",
    "usage",
    "usage_source",
    "cost_nanousd",
    "client",
)
_LOOKS = 20
"""How often the record is looked for: it is there milliseconds after the answer."""
ID_END = len("sk-pen-") + 12
"""Where a key's public part ends."""

_GUIDE = """
The gateway is up. Change the base address, keep the SDK:

  OpenAI     http://{address}/v1
             curl http://{address}/v1/chat/completions -H 'authorization: Bearer {key}' \\
               -H 'content-type: application/json' --no-buffer \\
               -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'
             OpenAI(base_url="http://{address}/v1", api_key="{key}")
  Anthropic  http://{address}
             Anthropic(base_url="http://{address}", api_key="{key}")
  Ollama     http://{address}
             ollama.Client(host="http://{address}", headers={{"x-penstock-key": "{key}"}})

  key        {key}
  models     demo, or demo/demo-1, demo/demo-1-mini, demo/demo-embed
  metrics    http://{admin}/metrics
  provider   {provider}

Ctrl-C stops it.
"""


def main(serve: bool) -> int:
    """Runs the demo; with `serve` it stays up until it is told to stop. Returns the exit code."""
    return asyncio.run(_main(serve))


async def _main(serve: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(_run(serve))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        with contextlib.suppress(OSError):  # a terminal that hung up
            print("\nStopping.", file=sys.stderr)
        return 0 if serve else 130
    finally:
        for task in (running, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _run(serve: bool) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as directory:
            async with DemoProvider() as provider, Gateway(provider.base_url, Path(directory)) as gateway:
                key = await gateway.make_key()
                request_id = await _one_chat(gateway.address, key)
                await _audit(gateway, request_id)
                if serve:
                    facts = {"address": gateway.address, "admin": gateway.admin, "provider": provider.base_url}
                    facts["key"] = key
                    print(_GUIDE.format(**facts), flush=True)
                    return await gateway.wait()
                return 0
    except (ChatFailed, GatewayFailed, OSError) as error:
        print(f"penstock demo: {error}", file=sys.stderr)
        return 1


async def _one_chat(address: str, key: str) -> str:
    """Shows one chat; the id of its request."""
    print(f"key       {key[:ID_END]}…, made with: penstock keys create --name demo --model 'demo*'\n")
    print(f"> {_PROMPT}\n", flush=True)
    outcome = await chat(address, key, "demo", _PROMPT, lambda text: print(text, end="", flush=True))
    facts = {
        "request": outcome.headers.get("x-request-id", "?"),
        "target": outcome.headers.get("x-penstock-target", "?"),
        "tokens": f"{outcome.prompt_tokens} prompt, {outcome.completion_tokens} completion",
        "overhead": f"{outcome.headers.get('x-penstock-overhead-us', '?')} µs",
    }
    print("\n")
    for name, value in facts.items():
        print(f"{name:<9} {value}", flush=True)
    return facts["request"]


async def _audit(gateway: Gateway, request_id: str) -> None:
    """Shows what was recorded of the chat, and that it is what was written."""
    print(f"\nrecorded, as shown by: penstock audit query --request-id {request_id} --json\n")
    record = ""
    for _ in range(_LOOKS):
        if record := await gateway.audit("query", "--request-id", request_id, "--json"):
            break
    else:
        raise GatewayFailed("the chat was not recorded")
    shown = json.loads(record)
    for name in _SHOWN:
        print(f"  {name:<13} {json.dumps(shown[name])}")
    print("\npenstock audit verify\n")
    print(await gateway.audit("verify"), end="", flush=True)
