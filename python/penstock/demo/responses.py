"""The demo provider's side of OpenAI's Responses API."""

import json
import time
from collections.abc import Mapping
from typing import Any

from .http import Request, Responder
from .openai import MODELS, SSE, prompt_tokens
from .schema import example
from .voice import Reply, Voice


def _wanted(body: Mapping[str, Any]) -> dict[str, Any] | None:
    tools = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
    given = body.get("input")
    answered = isinstance(given, list) and given and given[-1].get("type") == "function_call_output"
    return None if not tools or answered or body.get("tool_choice") == "none" else dict(tools[0])


def _reply(body: Mapping[str, Any], voice: Voice, tool: Mapping[str, Any] | None) -> Reply:
    if tool is not None:
        return voice.say(json.dumps(example(tool.get("parameters") or {"type": "object"})))
    limit = body.get("max_output_tokens")
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        return voice.say(json.dumps(example(wanted.get("schema"))), limit)
    return voice.reply(limit)


class _Answer:
    """The response object in its states."""

    def __init__(self, body: Mapping[str, Any], number: int, tool: Mapping[str, Any] | None) -> None:
        self.item_id = f"item_demo{number}"
        self.tool = tool
        self._number = number
        self._head: dict[str, Any] = {
            "id": f"resp_demo{number}",
            "object": "response",
            "created_at": int(time.time()),
            "model": body.get("model", MODELS[0]),
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "metadata": body.get("metadata") or {},
            "parallel_tool_calls": True,
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
        }

    def item(self, text: str, status: str) -> dict[str, Any]:
        if self.tool is not None:
            call = {"call_id": f"call_demo{self._number}", "name": self.tool["name"], "arguments": text}
            return {"type": "function_call", "id": self.item_id, "status": status, **call}
        content = [self.part(text)] if status == "completed" else []
        return {"type": "message", "id": self.item_id, "role": "assistant", "status": status, "content": content}

    def part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def state(
        self, status: str, output: list[Any], usage: Mapping[str, Any] | None, cut: bool = False
    ) -> dict[str, Any]:
        details = {"reason": "max_output_tokens"} if cut else None
        return {**self._head, "status": status, "output": output, "usage": usage, "incomplete_details": details}


async def responses(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/responses`."""
    body = request.json()
    tool = _wanted(body)
    reply = _reply(body, voice, tool)
    answer = _Answer(body, number, tool)
    prompt = prompt_tokens([body.get("instructions"), body.get("input")])
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(reply.tokens),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + len(reply.tokens),
    }
    status = "incomplete" if reply.cut else "completed"
    final = answer.state(status, [answer.item(reply.text, "completed")], usage, reply.cut)
    if not body.get("stream"):
        await voice.think(len(reply.tokens))
        return await out.whole(final)
    sequence = 0

    async def event(kind: str, **payload: Any) -> None:
        nonlocal sequence
        await out.event({"type": kind, "sequence_number": sequence, **payload}, kind)
        sequence += 1

    await out.start(SSE)
    await event("response.created", response=answer.state("in_progress", [], None))
    await event("response.in_progress", response=answer.state("in_progress", [], None))
    await event("response.output_item.added", output_index=0, item=answer.item("", "in_progress"))
    where = {"item_id": answer.item_id, "output_index": 0}
    if tool is not None:
        async for token in voice.speak(reply.tokens):
            await event("response.function_call_arguments.delta", **where, delta=token)
        await event("response.function_call_arguments.done", **where, name=tool["name"], arguments=reply.text)
    else:
        at = {**where, "content_index": 0}
        await event("response.content_part.added", **at, part=answer.part(""))
        async for token in voice.speak(reply.tokens):
            await event("response.output_text.delta", **at, delta=token, logprobs=[])
        await event("response.output_text.done", **at, text=reply.text, logprobs=[])
        await event("response.content_part.done", **at, part=answer.part(reply.text))
    await event("response.output_item.done", output_index=0, item=answer.item(reply.text, "completed"))
    await event(f"response.{status}", response=final)
    await out.end()


async def input_tokens(request: Request, out: Responder, voice: Voice, number: int) -> None:
    """`POST /v1/responses/input_tokens`."""
    del voice, number
    body = request.json()
    count = prompt_tokens([body.get("instructions"), body.get("input")])
    await out.whole({"object": "response.input_tokens", "input_tokens": count})
