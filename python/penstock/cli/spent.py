"""What a key has spent today and this month, from the sums of the admin API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from penstock.cli.admin_client import Client
from penstock.config.units import show_usd


def spend_of(client: Client, key: str) -> dict[str, dict[str, Any]] | None:
    """Sums as `GET /v1/key` shows them; None: they are not known, as the store or an older node does not tell."""
    today = datetime.now(UTC).date()
    asked = {"key": key, "per": "day", "since": today.replace(day=1).isoformat()}
    status, answer = client.try_call("GET", "usage", query=asked)
    if status >= 400:
        return None
    of_today = [item for item in answer["items"] if item["at"].startswith(today.isoformat())]
    return {"today": _sum(of_today), "month": _sum(answer["items"])}


def spent_lines(spend: dict[str, dict[str, Any]] | None) -> list[str]:
    """Lines for people."""
    if spend is None:
        return ["not known: the store does not answer, or the node is of an older release"]
    return [_line(name, spend[name]) for name in ("today", "month")]


def _sum(items: list[dict[str, Any]]) -> dict[str, Any]:
    def total(*names: str) -> int:
        return sum(int(item[name]) for item in items for name in names)

    cost = show_usd(total("cost_nanousd"))
    tokens = total("prompt_tokens", "completion_tokens")
    return {"requests": total("requests"), "tokens": tokens, "cost_usd": cost, "unpriced": total("unpriced")}


def _line(name: str, spent: dict[str, Any]) -> str:
    unpriced = f", and {spent['unpriced']} requests without a price" if spent["unpriced"] else ""
    when = "today" if name == "today" else "this month"
    return f"{when} {spent['requests']} requests, {spent['tokens']} tokens, {spent['cost_usd']} usd{unpriced}"
