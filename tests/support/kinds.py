"""The six kinds of streamed answer: how each is asked for, sent, read, ended and broken."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import frames
from .raw import Answer
from .script import NDJSON, SSE

Outcome = Literal["complete", "error", "cut"]
VERSION = {"anthropic-version": "2023-06-01"}


@dataclass(frozen=True)
class Kind:
    """One endpoint that streams. `frames` are what a plain upstream sends, the end mark last."""

    name: str
    dialect: Literal["openai", "anthropic", "ollama"]
    path: str
    body: Mapping[str, Any]
    frames: Sequence[bytes]
    whole: Mapping[str, Any]
    text_of: Callable[[Any], str]
    media: str = SSE
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, model: str, stream: bool = True, **more: Any) -> dict[str, Any]:
        return {"model": model, **self.body, "stream": stream, **more}

    def values(self, body: bytes) -> list[Any]:
        """The JSON values of a body's whole frames, `[DONE]` as a string."""
        if self.media == NDJSON:
            return frames.json_lines(body)[0]
        return [event.data if event.data == "[DONE]" else event.json() for event in frames.sse_events(body)]

    def rest(self, body: bytes) -> bytes:
        """What is left of a body after its last whole frame."""
        return frames.json_lines(body)[1] if self.media == NDJSON else frames.sse_frames(body)[1]

    def text(self, body: bytes) -> str:
        """The answer's text as far as it came."""
        return "".join(self.text_of(value) for value in self.values(body) if isinstance(value, dict))

    def outcome(self, body: bytes) -> Outcome:
        """Whether a client would see an end, an error, or neither."""
        values = self.values(body)
        if any(self.is_error(value) for value in values):
            return "error"
        return "complete" if any(self.is_end(value) for value in values) else "cut"

    def is_error(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return bool(value.get("error")) or value.get("type") in ("error", "response.failed")

    def is_end(self, value: Any) -> bool:
        match self.name:
            case "chat" | "completions":
                return bool(value == "[DONE]")
            case "responses":
                return isinstance(value, dict) and value.get("type") in ("response.completed", "response.incomplete")
            case "messages":
                return isinstance(value, dict) and value.get("type") == "message_stop"
            case _:
                return isinstance(value, dict) and value.get("done") is True

    def keep_alives(self, body: bytes) -> int:
        """How many keep-alives of the dialect a body holds."""
        match self.dialect:
            case "openai":
                return frames.comments(body)
            case "anthropic":
                return sum(value.get("type") == "ping" for value in self.values(body))
            case "ollama":
                return sum(not self.text_of(value) and not value.get("done") for value in self.values(body))

    def error_message(self, answer: Answer) -> str:
        """The message of an error answer; fails when its shape is not the dialect's."""
        value = answer.json()
        match self.dialect:
            case "openai":
                error = value["error"]
                assert set(error) >= {"message", "type", "param", "code"}, value
                return str(error["message"])
            case "anthropic":
                assert value["type"] == "error", value
                assert isinstance(value["error"]["type"], str), value
                assert isinstance(value["request_id"], str), value
                return str(value["error"]["message"])
            case "ollama":
                assert isinstance(value["error"], str), value
                return value["error"]


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\n".encode() + data(value)


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


ASK = [{"role": "user", "content": "é?"}]
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
TEXTS = ("Hé", "😀!")


def chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": None,
    }


def _chat_text(value: Mapping[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in value.get("choices", []))


CHAT = Kind(
    name="chat",
    dialect="openai",
    path="/v1/chat/completions",
    body={"messages": ASK, "stream_options": {"include_usage": True}},
    frames=[
        *(data(chunk(text)) for text in TEXTS),
        data(chunk(None, "stop")),
        data({**chunk(None), "choices": [], "usage": USAGE}),
        b"data: [DONE]\n\n",
    ],
    whole={
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(TEXTS)}}],
        "usage": USAGE,
    },
    text_of=_chat_text,
)


def _piece(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


COMPLETIONS = Kind(
    name="completions",
    dialect="openai",
    path="/v1/completions",
    body={"prompt": "é?", "stream_options": {"include_usage": True}},
    frames=[
        *(data(_piece(text)) for text in TEXTS),
        data(_piece("", "stop")),
        data({**_piece(""), "choices": [], "usage": USAGE}),
        b"data: [DONE]\n\n",
    ],
    whole={**_piece("".join(TEXTS), "stop"), "usage": USAGE},
    text_of=lambda value: "".join(choice.get("text") or "" for choice in value.get("choices", [])),
)

_RESPONSE_USAGE = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
_RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
_AT = {"item_id": "i", "output_index": 0, "content_index": 0}

RESPONSES = Kind(
    name="responses",
    dialect="openai",
    path="/v1/responses",
    body={"input": "é?"},
    frames=[
        event({"type": "response.created", "sequence_number": 0, "response": {**_RESPONSE, "status": "in_progress"}}),
        *(
            event({"type": "response.output_text.delta", "sequence_number": number, **_AT, "delta": text})
            for number, text in enumerate(TEXTS, 1)
        ),
        event(
            {
                "type": "response.completed",
                "sequence_number": 3,
                "response": {**_RESPONSE, "status": "completed", "usage": _RESPONSE_USAGE},
            }
        ),
    ],
    whole={**_RESPONSE, "status": "completed", "usage": _RESPONSE_USAGE},
    text_of=lambda value: value.get("delta", ""),
)

_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}

MESSAGES = Kind(
    name="messages",
    dialect="anthropic",
    path="/v1/messages",
    body={"messages": ASK, "max_tokens": 10},
    headers=VERSION,
    frames=[
        event(
            {
                "type": "message_start",
                "message": {
                    **_MESSAGE,
                    "content": [],
                    "stop_reason": None,
                    "usage": {"input_tokens": 9, "output_tokens": 1},
                },
            }
        ),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *(
            event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
            for text in TEXTS
        ),
        event({"type": "content_block_stop", "index": 0}),
        event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        event({"type": "message_stop"}),
    ],
    whole={
        **_MESSAGE,
        "content": [{"type": "text", "text": "".join(TEXTS)}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 2},
    },
    text_of=lambda value: (value.get("delta") or {}).get("text", ""),
)

_OLLAMA = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
_OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 2}


def _said(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


OLLAMA_CHAT = Kind(
    name="ollama_chat",
    dialect="ollama",
    path="/api/chat",
    body={"messages": ASK},
    media=NDJSON,
    frames=[
        *(line({**_OLLAMA, **_said(text), "done": False}) for text in TEXTS),
        line({**_OLLAMA, **_said(""), **_OLLAMA_END}),
    ],
    whole={**_OLLAMA, **_said("".join(TEXTS)), **_OLLAMA_END},
    text_of=lambda value: (value.get("message") or {}).get("content", ""),
)

OLLAMA_GENERATE = Kind(
    name="ollama_generate",
    dialect="ollama",
    path="/api/generate",
    body={"prompt": "é?"},
    media=NDJSON,
    frames=[
        *(line({**_OLLAMA, "response": text, "done": False}) for text in TEXTS),
        line({**_OLLAMA, "response": "", **_OLLAMA_END}),
    ],
    whole={**_OLLAMA, "response": "".join(TEXTS), **_OLLAMA_END},
    text_of=lambda value: value.get("response", ""),
)

ALL = (CHAT, COMPLETIONS, RESPONSES, MESSAGES, OLLAMA_CHAT, OLLAMA_GENERATE)
"""Every kind."""

DIALECTS = (CHAT, MESSAGES, OLLAMA_CHAT)
"""One kind a dialect."""

USAGES = {"penstock": {"prompt_tokens": 9, "completion_tokens": 2}}
"""What a record of any of these answers must say."""
