"""The demo provider's OpenAI side: chat, completions, responses, embeddings and models."""

import base64
import hashlib
import json
import struct
import time
from collections.abc import Mapping
from typing import Any

from .http import Request, Responder
from .schema import example
from .voice import Reply, Voice, tokens_of

MODELS = ("demo-1", "demo-1-mini", "demo-embed")
SSE = "text/event-stream; charset=utf-8"


def text_of(content: Any) -> str:
    """The text of a message's content, whatever its shape."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(text_of(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def prompt_tokens(value: Any) -> int:
    """A plausible count: four letters of JSON a token."""
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


def failure(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def wanted_tool(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The function to call: the first one, unless tools are off or a result has just come back."""
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    messages = body.get("messages") or [{}]
    if not tools or body.get("tool_choice") == "none" or messages[-1].get("role") == "tool":
        return None
    return dict(tools[0])


def reply_to(body: Mapping[str, Any], voice: Voice) -> Reply:
    """What to say: JSON of the wanted schema, or prose."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return voice.say(json.dumps(example(wanted["json_schema"].get("schema"))), limit)
    if wanted.get("type") == "json_object":
        return voice.say('{"answer": "yes"}', limit)
    return voice.reply(limit)


def usage_of(prompt: int, completion: int) -> dict[str, Any]:
    """The tokens of prompt and completion as an answer tells them."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


async def chat(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/chat/completions`."""
    body = request.json()
    if not isinstance(body.get("messages"), list):
        return await out.whole(failure("messages is required", "messages"), 400)
    tool = wanted_tool(body)
    prompt = prompt_tokens(body["messages"])
    head = {"id": f"chatcmpl-demo{number}", "created": int(time.time()), "model": body.get("model", MODELS[0])}
    if tool is not None:
        arguments = json.dumps(example(tool.get("parameters") or {"type": "object"}))
        reply = voice.say(arguments)
        finish = "tool_calls"
    else:
        reply = reply_to(body, voice)
        finish = "length" if reply.cut else "stop"
    usage = usage_of(prompt, len(reply.tokens))
    call_head = {"id": f"call_demo{number}", "type": "function"}
    if not body.get("stream"):
        await voice.think(len(reply.tokens))
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
        if tool is not None:
            function = {"name": tool["name"], "arguments": reply.text}
            message |= {"content": None, "tool_calls": [{**call_head, "function": function}]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return await out.whole(answer)
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    blank = {"usage": None} if with_usage else {}

    async def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        await out.event({**head, "object": "chat.completion.chunk", "choices": [choice], **blank})

    await out.start(SSE)
    await chunk({"role": "assistant", "content": "" if tool is None else None})
    if tool is not None:
        function = {"name": tool["name"], "arguments": ""}
        await chunk({"tool_calls": [{"index": 0, **call_head, "function": function}]})
    async for token in voice.speak(reply.tokens):
        if tool is None:
            await chunk({"content": token})
        else:
            await chunk({"tool_calls": [{"index": 0, "function": {"arguments": token}}]})
    await chunk({}, finish)
    if with_usage:
        await out.event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    await out.send(b"data: [DONE]\n\n")
    await out.end()


async def completions(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/completions`."""
    body = request.json()
    reply = voice.reply(body.get("max_tokens", 16))
    usage = usage_of(prompt_tokens(body.get("prompt", "")), len(reply.tokens))
    head = {
        "id": f"cmpl-demo{number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.get("model", MODELS[0]),
    }
    finish = "length" if reply.cut else "stop"

    def choice(text: str, finish_reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}]

    if not body.get("stream"):
        await voice.think(len(reply.tokens))
        return await out.whole({**head, "choices": choice(reply.text, finish), "usage": usage})
    await out.start(SSE)
    async for token in voice.speak(reply.tokens):
        await out.event({**head, "choices": choice(token, None)})
    await out.event({**head, "choices": choice("", finish)})
    if (body.get("stream_options") or {}).get("include_usage"):
        await out.event({**head, "choices": [], "usage": usage})
    await out.send(b"data: [DONE]\n\n")
    await out.end()


async def embeddings(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/embeddings`: unit vectors that depend on the text alone."""
    del number
    body = request.json()
    texts = body.get("input", "")
    texts = texts if isinstance(texts, list) and not (texts and isinstance(texts[0], int)) else [texts]
    size = body.get("dimensions") or 8
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        vector = vector_of(str(text), size)
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        shown = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    await voice.think()
    count = sum(len(tokens_of(str(text))) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    await out.whole({"object": "list", "data": data, "model": body.get("model", MODELS[2]), "usage": usage})


def vector_of(text: str, size: int) -> list[float]:
    """A unit vector made from a hash of the text."""
    stream = hashlib.shake_128(text.encode()).digest(size)
    raw = [(byte - 127.5) / 127.5 for byte in stream]
    norm = sum(part * part for part in raw) ** 0.5
    return [part / norm for part in raw]


def model_card(name: str) -> dict[str, Any]:
    """A model as listings show it."""
    return {"id": name, "object": "model", "created": 1767225600, "owned_by": "demo"}


async def models(request: Request, out: Responder) -> None:
    """`GET /v1/models` and `GET /v1/models/{id}`."""
    name = request.path.removeprefix("/v1/models").strip("/")
    if not name:
        await out.whole({"object": "list", "data": [model_card(name) for name in MODELS]})
    elif name in MODELS:
        await out.whole(model_card(name))
    else:
        await out.whole(failure(f"The model '{name}' does not exist", "model", "model_not_found"), 404)
