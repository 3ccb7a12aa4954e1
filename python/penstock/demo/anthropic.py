"""The demo provider's Anthropic side: messages, token counts and models."""

import json
from collections.abc import Mapping
from typing import Any

from .http import Request, Responder
from .openai import MODELS, SSE, prompt_tokens
from .schema import example
from .voice import Voice


def failure(kind: str, message: str, request_id: str = "req_demo") -> dict[str, Any]:
    """An error in Anthropic's shape."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def _wanted(body: Mapping[str, Any]) -> dict[str, Any] | None:
    tools = [tool for tool in body.get("tools") or [] if "input_schema" in tool]
    last = (body.get("messages") or [{}])[-1].get("content")
    answered = isinstance(last, list) and any(part.get("type") == "tool_result" for part in last)
    choice = (body.get("tool_choice") or {}).get("type")
    return None if not tools or answered or choice == "none" else dict(tools[0])


async def messages(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/messages`."""
    body = request.json()
    for field in ("model", "messages", "max_tokens"):
        if field not in body:
            return await out.whole(failure("invalid_request_error", f"{field}: Field required"), 400)
    tool = _wanted(body)
    prompt = prompt_tokens([body.get("system"), body["messages"]])
    reply = voice.reply(body["max_tokens"])
    arguments: Any = {}
    if tool is not None:
        arguments = example(tool["input_schema"])
        reply = voice.say(json.dumps(arguments))
    stop = "tool_use" if tool is not None else "max_tokens" if reply.cut else "end_turn"
    head = {"id": f"msg_demo{number}", "type": "message", "role": "assistant", "model": body["model"]}
    block: dict[str, Any] = {"type": "text", "text": reply.text}
    if tool is not None:
        block = {"type": "tool_use", "id": f"toolu_demo{number}", "name": tool["name"], "input": arguments}
    usage = {"input_tokens": prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    ended = {"stop_reason": stop, "stop_sequence": None}
    if not body.get("stream"):
        await voice.think(len(reply.tokens))
        spent = {**usage, "output_tokens": len(reply.tokens)}
        return await out.whole({**head, "content": [block], **ended, "usage": spent})

    async def event(kind: str, **payload: Any) -> None:
        await out.event({"type": kind, **payload}, kind)

    await out.start(SSE)
    opened = {**head, "content": [], "stop_reason": None, "stop_sequence": None}
    await event("message_start", message={**opened, "usage": {**usage, "output_tokens": 1}})
    empty = {**block, "input": {}} if tool is not None else {**block, "text": ""}
    await event("content_block_start", index=0, content_block=empty)
    await event("ping")
    async for token in voice.speak(reply.tokens):
        text_delta = {"type": "text_delta", "text": token}
        json_delta = {"type": "input_json_delta", "partial_json": token}
        await event("content_block_delta", index=0, delta=text_delta if tool is None else json_delta)
    await event("content_block_stop", index=0)
    await event("message_delta", delta=ended, usage={"output_tokens": len(reply.tokens)})
    await event("message_stop")
    await out.end()


async def count_tokens(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/messages/count_tokens`."""
    del voice, number
    body = request.json()
    await out.whole({"input_tokens": prompt_tokens([body.get("system"), body.get("messages")])})


def _card(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}


async def models(request: Request, out: Responder) -> None:
    """`GET /v1/models` and `GET /v1/models/{id}` for Anthropic clients."""
    name = request.path.removeprefix("/v1/models").strip("/")
    cards = [_card(model) for model in MODELS]
    if not name:
        await out.whole({"data": cards, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})
    elif name in MODELS:
        await out.whole(_card(name))
    else:
        await out.whole(failure("not_found_error", f"model: {name}"), 404)
