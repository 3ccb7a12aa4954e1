"""Limits as tests set them, and what a gateway says of them."""

from typing import Any

from .gateway import Gateway
from .kinds import ALL
from .raw import Answer
from .wait import until

TOKENS = 11
"""What every scripted answer of `kinds` states in all."""


def limited(**limits: Any) -> dict[str, dict[str, Any]]:
    """The same limits for a model of each kind of request: `m-NAME-KIND`."""
    return {f"m-{name}-{kind.name}": limit for name, limit in limits.items() for kind in ALL}


def used(gateway: Gateway, model: str, scope: str = "model") -> dict[str, int]:
    """What is used of each kind of limit."""
    shown = gateway.ask("GET", f"/admin/v1/limits/{scope}/{model}")
    assert shown.status == 200, (shown.head, shown.body)
    return {limit["kind"]: limit["used"] for limit in shown.json()["limits"]}


def record(gateway: Gateway, answered: Answer) -> dict[str, Any]:
    """The record of a request."""
    name = answered.header("x-request-id")
    found = until(lambda: [r for r in gateway.log_records() if r.get("request_id") == name], "the record")
    assert len(found) == 1
    return found[0]
