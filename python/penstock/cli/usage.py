"""`penstock usage`: requests, tokens and cost, summed."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from penstock.cli.admin_client import admin_options, connected
from penstock.cli.options import json_option
from penstock.cli.output import print_table
from penstock.cli.record_source import BEHIND

NUMBERS = ("REQUESTS", "PROMPT", "CACHED", "COMPLETION", "COST USD", "UNPRICED")


@click.command("usage")
@admin_options
@json_option
@click.option("--by", default="", metavar="FIELDS", help="Of key, team, model, target, status, tag:NAME; with commas.")
@click.option("--per", type=click.Choice(["hour", "day", "month"]), help="A sum for each; else one of all the time.")
@click.option("--since", metavar="TIME", help="2h, 2026-01-31 …; else since the month of the last hour began (UTC).")
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--key", metavar="ID", help="Of this key.")
@click.option("--team", metavar="TEAM", help="Of this team, by name or id.")
@click.option("--model", metavar="NAME", help="That asked for this model.")
@click.option("--target", metavar="TARGET", help="Answered by this provider/model, or provider.")
@click.option("--status", metavar="CODE", help="With this status: 429, or 4xx.")
@click.option("--tag", metavar="NAME=VALUE", help="Of keys with this tag.")
def command(config: str | None, admin: str | None, token_file: str | None, as_json: bool, **wanted: Any) -> None:
    """Sum requests, tokens and cost over whole hours, UTC."""
    with connected(config, admin, token_file) as client:
        found = client.call("GET", "usage", query=wanted)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    fields = [name.strip() for name in wanted["by"].split(",") if name.strip()]
    timed = ["TIME"] if found["per"] else []
    titles = (*timed, *(name.upper() for name in fields), *NUMBERS)
    print_table(titles, [_row(item, found["per"], fields) for item in found["items"]])
    click.echo(f"from {found['since']} to {found['until']}", err=True)
    if found["partial"]:
        click.echo(BEHIND, err=True)


def _row(item: dict[str, Any], per: str | None, fields: list[str]) -> tuple[str, ...]:
    lengths = {"hour": 16, "day": 10, "month": 7}
    time = [item["at"][: lengths[per]].replace("T", " ")] if per else []
    of = (str(item["by"][name]) if item["by"][name] is not None else "-" for name in fields)
    names = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd", "unpriced")
    return (*time, *of, *(str(item[name]) for name in names))
