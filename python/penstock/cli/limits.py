"""`penstock limits …`: what is limited somewhere and how much of it is used; beginning anew."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from penstock.cli.admin_client import Client, admin_options, connected
from penstock.cli.limit_options import limit_lines
from penstock.cli.options import json_option
from penstock.cli.output import print_facts

SCOPES = ("key", "team", "model", "provider", "global")


@click.group("limits")
def command() -> None:
    """Show what is used of limits, and begin anew."""


@command.command("show")
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("name", required=False)
@admin_options
@json_option
def show(
    scope: str, name: str | None, config: str | None, admin: str | None, token_file: str | None, as_json: bool
) -> None:
    """Show the limits of a key (by its id), a team, a model, a provider, or of all requests together (global)."""
    path = _path(scope, name)
    with connected(config, admin, token_file) as client:
        found = client.call("GET", *path)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        facts = [(field, [found[field]] if found[field] else []) for field in ("scope", "name")]
        print_facts([*facts, ("limits", limit_lines(found["limits"], name or "") or ["none"])])


@command.command("reset")
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("name", required=False)
@admin_options
@json_option
def reset(
    scope: str, name: str | None, config: str | None, admin: str | None, token_file: str | None, as_json: bool
) -> None:
    """Forget what a running node has counted there; requests that run still count as running."""
    path = _path(scope, name)
    with connected(config, admin, token_file) as client:
        done = client.call("POST", *path, "reset")
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        click.echo(f"began anew: {' '.join(path[1:])}" if done["reset"] else "nothing was counted there")


def limits_of(client: Client, scope: str, id: str, team: str = "") -> list[str]:
    """Lines for `keys show` and `teams show`."""
    return limit_lines(client.call("GET", "limits", scope, id)["limits"], team)


def _path(scope: str, name: str | None) -> tuple[Any, ...]:
    if (name is None) != (scope == "global"):
        raise click.UsageError("global takes no name" if scope == "global" else f"name the {scope}")
    return ("limits", scope) if name is None else ("limits", scope, name)
