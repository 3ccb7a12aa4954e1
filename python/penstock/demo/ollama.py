"""The demo provider's Ollama side: chat, generate, embed, tags, show and version."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .http import Request, Responder
from .openai import MODELS, prompt_tokens, vector_of
from .schema import example
from .voice import Reply, Voice

NDJSON = "application/x-ndjson"
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "demo",
    "families": ["demo"],
    "parameter_size": "1B",
    "quantization_level": "Q4_K_M",
}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _last(reply: Reply, prompt: int) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": "length" if reply.cut else "stop",
        "total_duration": 1_000_000,
        "load_duration": 1_000,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 1_000,
        "eval_count": len(reply.tokens),
        "eval_duration": 1_000,
    }


def _reply(body: Mapping[str, Any], voice: Voice) -> Reply:
    limit = (body.get("options") or {}).get("num_predict")
    wanted = body.get("format")
    if isinstance(wanted, dict):
        return voice.say(json.dumps(example(wanted)), limit)
    return voice.reply(limit)


async def chat(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /api/chat`; an absent `stream` means true."""
    del number
    body = request.json()
    messages = body.get("messages") or [{}]
    prompt = prompt_tokens(messages)
    tools = body.get("tools") or []
    head = {"model": body.get("model", MODELS[0]), "created_at": _now()}
    if tools and messages[-1].get("role") != "tool":
        function = tools[0]["function"]
        arguments = example(function.get("parameters") or {"type": "object"})
        call = {"function": {"index": 0, "name": function["name"], "arguments": arguments}}
        said = voice.say(json.dumps(arguments))
        await voice.think()
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        if body.get("stream", True):
            await out.start(NDJSON)
            await out.line({**head, "message": message, "done": False})
            await out.line({**head, "message": {"role": "assistant", "content": ""}, **_last(said, prompt)})
            return await out.end()
        return await out.whole({**head, "message": message, **_last(said, prompt)})
    reply = _reply(body, voice)
    if not body.get("stream", True):
        await voice.think(len(reply.tokens))
        return await out.whole(
            {**head, "message": {"role": "assistant", "content": reply.text}, **_last(reply, prompt)}
        )
    await out.start(NDJSON)
    async for token in voice.speak(reply.tokens):
        await out.line({**head, "message": {"role": "assistant", "content": token}, "done": False})
    await out.line({**head, "message": {"role": "assistant", "content": ""}, **_last(reply, prompt)})
    await out.end()


async def generate(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /api/generate`; an absent `stream` means true."""
    del number
    body = request.json()
    prompt = prompt_tokens(body.get("prompt", ""))
    reply = _reply(body, voice)
    head = {"model": body.get("model", MODELS[0]), "created_at": _now()}
    if not body.get("stream", True):
        await voice.think(len(reply.tokens))
        return await out.whole({**head, "response": reply.text, **_last(reply, prompt)})
    await out.start(NDJSON)
    async for token in voice.speak(reply.tokens):
        await out.line({**head, "response": token, "done": False})
    await out.line({**head, "response": "", **_last(reply, prompt)})
    await out.end()


async def embed(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /api/embed`."""
    del number
    body = request.json()
    given = body.get("input", "")
    texts = given if isinstance(given, list) else [given]
    await voice.think()
    vectors = [vector_of(str(text), body.get("dimensions") or 8) for text in texts]
    await out.whole({"model": body.get("model", MODELS[2]), "embeddings": vectors, "prompt_eval_count": len(texts)})


async def embeddings(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /api/embeddings`, the older form."""
    del number
    body = request.json()
    await voice.think()
    await out.whole({"embedding": vector_of(str(body.get("prompt", "")), 8)})


async def show(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /api/show`."""
    del voice, number
    name = request.json().get("model", "")
    if name not in MODELS:
        return await out.whole({"error": f"model '{name}' not found"}, 404)
    card = {
        "details": _DETAILS,
        "model_info": {"general.architecture": "demo"},
        "capabilities": ["completion", "tools"],
    }
    await out.whole(card)


async def tags(request: Request, out: Responder) -> None:
    """`GET /api/tags`."""
    del request
    common = {"modified_at": "2026-01-01T00:00:00Z", "size": 1_000_000, "digest": "0" * 64, "details": _DETAILS}
    await out.whole({"models": [{"name": name, "model": name, **common} for name in MODELS]})


async def version(request: Request, out: Responder) -> None:
    """`GET /api/version`."""
    del request
    await out.whole({"version": "0.0.0-demo"})
