"""A tiny streaming chat client on asyncio streams: what the demo needs to show one request, with no dependency."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class ChatFailed(Exception):
    """The chat did not end well; the text says how."""


@dataclass(frozen=True)
class Outcome:
    """What one streamed chat came to."""

    headers: Mapping[str, str]
    prompt_tokens: int
    completion_tokens: int


async def chat(address: str, key: str, model: str, prompt: str, show: Callable[[str], None]) -> Outcome:
    """Sends one streamed chat to `HOST:PORT` and shows the text as it comes; raises ChatFailed."""
    host, _, port = address.rpartition(":")
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(head.encode() + content)
        await writer.drain()
        status, headers = await _read_head(reader)
        if status != 200:
            raise ChatFailed(f"HTTP {status}: {(await reader.read()).decode(errors='replace')}")
        usage = await _read_events(reader, show)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise ChatFailed(f"the connection broke: {error}") from None
    finally:
        writer.close()
    return Outcome(headers, usage["prompt_tokens"], usage["completion_tokens"])


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, value in pairs}


async def _read_events(reader: asyncio.StreamReader, show: Callable[[str], None]) -> dict[str, int]:
    """Reads the chunked body; a frame may span chunks. Returns the usage."""
    pending = b""
    usage: dict[str, int] | None = None
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pending += (await reader.readexactly(size + 2))[:-2]
        *frames, pending = pending.split(b"\n\n")
        for frame in frames:
            if not frame.startswith(b"data:"):
                continue
            data = frame.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                if usage is None:
                    raise ChatFailed("the stream ended without usage")
                return usage
            chunk: dict[str, Any] = json.loads(data)
            if "error" in chunk:
                raise ChatFailed(str(chunk["error"].get("message")))
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices", []):
                if text := choice["delta"].get("content"):
                    show(text)
    raise ChatFailed("the stream ended early")
