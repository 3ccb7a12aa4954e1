"""`penstock limits …`: what is limited somewhere and how much of it is used; beginning anew."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from penstock.cli.admin_client import Client, admin_options, connected, fail, problem_lines
from penstock.cli.limit_options import limit_lines
from penstock.cli.options import json_option
from penstock.cli.output import print_facts
from penstock.limits.policy import SCOPES

NOT_FOUND = 404


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
        print_facts([*facts, ("limits", shown(found, name or "") or ["none"])])


@command.command("reset")
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("name", required=False)
@admin_options
@json_option
def reset(
    scope: str, name: str | None, config: str | None, admin: str | None, token_file: str | None, as_json: bool
) -> None:
    """Forget what a running node, or all that share limits, counted there; requests that run still count as running."""
    path = _path(scope, name)
    with connected(config, admin, token_file) as client:
        done = client.call("POST", *path, "reset")
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        click.echo(f"began anew: {' '.join(path[1:])}" if done["reset"] else "nothing was counted there")


def in_force(client: Client, scope: str, id: str) -> dict[str, Any] | None:
    """What the API says of limits; None: not known, as a node of the release before does not tell."""
    status, answer = client.try_call("GET", "limits", scope, id)
    if status == NOT_FOUND:
        return None
    if status >= 400:
        fail(problem_lines(answer))
    return dict(answer)


def shown(limits: dict[str, Any] | None, team: str = "") -> list[str]:
    """Lines for people."""
    if limits is None:
        return ["not known: the node is of an older release"]
    return [limits["problem"]] if limits["problem"] else limit_lines(limits["limits"], team)


def _path(scope: str, name: str | None) -> tuple[Any, ...]:
    if (name is None) != (scope == "global"):
        raise click.UsageError("global takes no name" if scope == "global" else f"name the {scope}")
    return ("limits", scope) if name is None else ("limits", scope, name)
