"""The demo provider: a toy upstream that speaks OpenAI's, Anthropic's and Ollama's dialects, for trying things out.

It listens on loopback, needs no key, knows three models (`demo-1`, `demo-1-mini`, `demo-embed`) and makes its text up.
It is no measuring stick: the benchmarks have an upstream of their own.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

from . import anthropic, ollama, openai, responses
from .http import BadRequest, Request, Responder, Server
from .voice import Pace, Voice

_Post = Callable[[Request, Responder, Voice, int], Awaitable[None]]

_POSTS: Mapping[str, _Post] = {
    "/v1/chat/completions": openai.chat,
    "/v1/completions": openai.completions,
    "/v1/embeddings": openai.embeddings,
    "/v1/responses": responses.responses,
    "/v1/responses/input_tokens": responses.input_tokens,
    "/v1/messages": anthropic.messages,
    "/v1/messages/count_tokens": anthropic.count_tokens,
    "/api/chat": ollama.chat,
    "/api/generate": ollama.generate,
    "/api/embed": ollama.embed,
    "/api/embeddings": ollama.embeddings,
    "/api/show": ollama.show,
}


class DemoProvider:
    """The server. `async with DemoProvider() as provider:` listens on a free port of loopback."""

    def __init__(self, pace: Pace | None = None, seed: int = 1, port: int = 0) -> None:
        self._pace = pace or Pace()
        self._seed = seed
        self._wanted_port = port
        self._numbers = itertools.count(1)
        self._server = Server(self._handle, self._headers)
        self.port = 0

    def __repr__(self) -> str:
        return f"DemoProvider(port={self.port})"

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path: OpenAI's is below `/v1`, the others at the root."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "DemoProvider":
        self.port = await self._server.listen(self._wanted_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    def _headers(self) -> Mapping[str, str]:
        number = next(self._numbers)
        return {"x-request-id": f"req_demo{number}", "request-id": f"req_demo{number}"}

    async def _handle(self, request: Request, out: Responder) -> None:
        number = next(self._numbers)
        voice = Voice(self._seed + number, self._pace)
        from_anthropic = "anthropic-version" in request.headers
        try:
            if request.method == "POST" and (post := _POSTS.get(request.path)):
                await post(request, out, voice, number)
            elif request.method in ("GET", "HEAD"):
                await self._get(request, out, from_anthropic)
            else:
                await self._lost(request, out, from_anthropic)
        except BadRequest as error:
            await out.whole(_shape(request, from_anthropic, str(error)), 400)

    async def _get(self, request: Request, out: Responder, from_anthropic: bool) -> None:
        if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
            await (anthropic.models if from_anthropic else openai.models)(request, out)
        elif request.path == "/api/tags":
            await ollama.tags(request, out)
        elif request.path == "/api/version":
            await ollama.version(request, out)
        elif request.path == "/":
            await out.whole(b"The demo provider is running\n")
        else:
            await self._lost(request, out, from_anthropic)

    async def _lost(self, request: Request, out: Responder, from_anthropic: bool) -> None:
        await out.whole(_shape(request, from_anthropic, f"no such path: {request.method} {request.path}"), 404)


def _shape(request: Request, from_anthropic: bool, message: str) -> dict[str, object]:
    if request.path.startswith("/api/"):
        return {"error": message}
    if from_anthropic or request.path.startswith("/v1/messages"):
        return anthropic.failure("invalid_request_error", message)
    return openai.failure(message)
