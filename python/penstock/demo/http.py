"""A small HTTP/1.1 server side for the demo provider: enough for SDKs and proxies, nothing more."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 64 * 1024 * 1024
JSON = "application/json"


class BadRequest(Exception):
    """The peer sent something that is not a request; the connection ends with a 400."""


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises BadRequest for anything else."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise BadRequest("the body is not a JSON object")
        return value


class Responder:
    """Writes one answer: whole, or as a chunked stream."""

    def __init__(self, writer: asyncio.StreamWriter, head_only: bool, extra: Mapping[str, str]) -> None:
        self._writer = writer
        self._head_only = head_only
        self._extra = extra
        self.started = False

    async def whole(self, value: Any, status: int = 200) -> None:
        """Sends a JSON value, or bytes as plain text."""
        plain = isinstance(value, bytes)
        body = value if plain else json.dumps(value, ensure_ascii=False).encode()
        self._head(status, "text/plain; charset=utf-8" if plain else JSON, f"content-length: {len(body)}")
        if not self._head_only:
            self._writer.write(body)
        await self._writer.drain()

    async def start(self, content_type: str) -> None:
        """Sends the head of a stream."""
        self._head(200, content_type, "transfer-encoding: chunked\r\ncache-control: no-cache")
        await self._writer.drain()

    async def send(self, piece: bytes) -> None:
        """Sends one piece of a stream as one chunk."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await self._writer.drain()

    async def event(self, data: Mapping[str, Any], name: str | None = None) -> None:
        """Sends one server-sent event."""
        head = f"event: {name}\n" if name else ""
        await self.send(f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode())

    async def line(self, data: Mapping[str, Any]) -> None:
        """Sends one line of JSON."""
        await self.send(json.dumps(data, ensure_ascii=False).encode() + b"\n")

    async def end(self) -> None:
        """Ends a stream."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _head(self, status: int, content_type: str, framing: str) -> None:
        self.started = True
        extra = "".join(f"{name}: {value}\r\n" for name, value in self._extra.items())
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{framing}\r\n{extra}\r\n"
        self._writer.write(head.encode("latin-1"))


Handler = Callable[[Request, Responder], Awaitable[None]]


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Handler,
    headers: Callable[[], Mapping[str, str]],
) -> None:
    """Answers the requests of one connection until either side ends it."""
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read_request(reader, writer)) is not None:
                await handle(request, Responder(writer, request.method == "HEAD", headers()))
                if "close" in request.headers.get("connection", "").lower():
                    break
    except BadRequest:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadRequest("the request head is incomplete") from None
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest("the request head is too long") from None
    first, *lines = head.decode("latin-1").strip("\r\n").split("\r\n")
    try:
        method, target, _version = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    except ValueError:
        raise BadRequest("the request head is malformed") from None
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _read_body(reader, headers)
    return Request(method, unquote(urlsplit(target).path), headers, body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = bytearray()
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += await reader.readexactly(_bounded(size + len(body)) - len(body))
                await reader.readexactly(2)
            while (await reader.readline()).strip():
                pass
            return bytes(body)
        return await reader.readexactly(_bounded(int(headers.get("content-length", "0"))))
    except ValueError:
        raise BadRequest("the body's length is malformed") from None


def _bounded(size: int) -> int:
    if not 0 <= size <= _BODY_LIMIT:
        raise BadRequest("the body is too large")
    return size


class Server:
    """A listener on loopback that knows its connections, so that closing it closes them."""

    def __init__(self, handle: Handler, headers: Callable[[], Mapping[str, str]]) -> None:
        self._handle = handle
        self._headers = headers
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> int:
        """Listens; port 0 takes a free one. Returns the port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=_HEAD_LIMIT)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Stops listening and ends every connection."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = serve_connection(reader, writer, self._handle, self._headers)
        task = asyncio.get_running_loop().create_task(serving)
        self._open.add(task)
        task.add_done_callback(self._open.discard)
