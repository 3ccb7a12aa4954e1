"""The usual scene: a gateway in front of one scripted upstream that speaks every dialect, and how to ask it."""

import json
from typing import Any

from .gateway import Gateway
from .kinds import Kind
from .raw import Answer, Client, post, request
from .upstream import Upstream

DIALECTS = {"openai": "/v1", "anthropic": "/", "ollama": "/"}


def provider(root: str, **more: Any) -> dict[str, Any]:
    """A provider of all dialects."""
    return {"base_url": root, "dialects": DIALECTS, "lists_models": False} | more


def config_of(upstream: Upstream, **more: Any) -> dict[str, Any]:
    """One provider `up`, whose model is `m`, and everything that begins with `m-`."""
    targets = {"targets": [{"provider": "up"}]}
    return {
        "providers": {"up": provider(upstream.root)},
        "models": {"m": targets, "m-*": targets},
        "default_provider": "up",
    } | more


def ask(gateway: Gateway, kind: Kind, stream: bool = True, model: str = "m", **more: Any) -> Answer:
    """One request of a kind, read whole; raises Closed when the answer is cut on the wire."""
    return post(gateway.address, kind.path, kind.request(model, stream, **more), kind.headers)


def open_request(gateway: Gateway, kind: Kind, stream: bool = True, model: str = "m", **more: Any) -> Client:
    """A client that has sent its request and not read yet."""
    client = Client(gateway.address)
    body = json.dumps(kind.request(model, stream, **more)).encode()
    client.send(request("POST", kind.path, body, kind.headers))
    return client


def assert_refused(answer: Answer, kind: Kind, status: int, code: str) -> str:
    """An error of ours in the caller's dialect; returns its message."""
    assert (answer.status, answer.error_code) == (status, code), (answer.head, answer.body)
    message = kind.error_message(answer)
    assert message
    assert answer.header("x-request-id")
    return message
