"""Answers of an OpenAI upstream, as small as the SDK accepts them."""

import json
from typing import Any

from tests.support.script import Step, stream

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": USAGE,
    } | more


def sse(*values: Any) -> list[bytes]:
    return [b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n" for value in values]


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | more


def chat_frames(*texts: str, usage: bool = False) -> list[bytes]:
    blank = {"usage": None} if usage else {}
    values = [chat_chunk({"role": "assistant", "content": ""}, **blank)]
    values += [chat_chunk({"content": text}, **blank) for text in texts]
    values += [chat_chunk({}, "stop", **blank)]
    if usage:
        values += [{**chat_chunk({}), "choices": [], "usage": USAGE}]
    return [*sse(*values), b"data: [DONE]\n\n"]


def chat_stream(*texts: str, usage: bool = False) -> list[Step]:
    return stream(chat_frames(*texts, usage=usage))


def error(message: str, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
