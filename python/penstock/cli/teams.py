"""`penstock teams …`: make, list, show, change, delete."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from penstock.cli.admin_client import admin_options, connected
from penstock.cli.key_options import (
    access_options,
    content_option,
    lift_options,
    lists_patch,
    lists_wish,
    opt_out_option,
    read_tags,
    tag_option,
    untag_option,
)
from penstock.cli.limit_options import lift_limits_option, limits_patch, limits_wish, pool_option
from penstock.cli.limits import in_force, shown
from penstock.cli.options import json_option
from penstock.cli.output import content_lines, listed, moment, print_facts, print_table, tagged


@click.group("teams")
def command() -> None:
    """Group keys: what a key and its team both allow is allowed, and they share the limits of the team."""


@command.command("create")
@click.option("--name", required=True, help="Unique among teams.")
@access_options
@pool_option
@tag_option
@opt_out_option
@admin_options
@json_option
def create(
    name: str,
    limits: tuple[str, ...],
    tags: tuple[str, ...],
    no_content: bool,
    config: str | None,
    admin: str | None,
    token_file: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Make a team."""
    wish: dict[str, Any] = {"name": name, **lists_wish(lists), **limits_wish(limits)}
    if tags:
        wish["tags"] = read_tags(tags)
    if no_content:
        wish["content"] = False
    with connected(config, admin, token_file) as client:
        team = client.call("POST", "teams", body=wish)
    _done(team, "made", as_json)


@command.command("list")
@click.option("--name", metavar="PART", help="Only with this in the name.")
@click.option("--tag", metavar="NAME=VALUE", help="Only with this tag.")
@admin_options
@json_option
def list_(config: str | None, admin: str | None, token_file: str | None, as_json: bool, **narrowed: Any) -> None:
    """List teams."""
    with connected(config, admin, token_file) as client:
        teams = list(client.items("teams", query=narrowed))
    if as_json:
        click.echo(msgspec.json.encode(teams))
        return
    print_table(
        ("ID", "NAME", "STATE", "MODELS", "TAGS", "CREATED"),
        [
            (
                *(team["id"], team["name"], team["state"], listed(team["models"])),
                *(tagged(team["tags"]) or "-", moment(team["created"])),
            )
            for team in teams
        ],
    )


@command.command("show")
@click.argument("team")
@admin_options
@json_option
def show(team: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Show TEAM, by name or id, and what is used of its limits."""
    with connected(config, admin, token_file) as client:
        found = client.find_team(team)
        limits = in_force(client, "team", found["id"])
    if as_json:
        click.echo(msgspec.json.encode(found | {"in_force": None if limits is None else limits["limits"]}))
        return
    print_facts(
        [
            ("id", [found["id"]]),
            ("name", [found["name"]]),
            ("state", [found["state"]]),
            *((name, [listed(found[name])]) for name in ("models", "paths", "networks")),
            ("limits", shown(limits, found["name"]) or ["none"]),
            ("tags", [tagged(found["tags"])] if found["tags"] else []),
            ("content", content_lines(found)),
            ("created", [moment(found["created"])]),
        ]
    )


@command.command("update")
@click.argument("team")
@click.option("--name", help="Another name.")
@click.option("--state", type=click.Choice(["active", "disabled"]), help="The keys of a disabled team are disabled.")
@access_options
@lift_options
@pool_option
@lift_limits_option
@tag_option
@untag_option
@content_option
@admin_options
@json_option
def update(
    team: str,
    name: str | None,
    state: str | None,
    limits: tuple[str, ...],
    no_limits: bool,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    content: bool | None,
    config: str | None,
    admin: str | None,
    token_file: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Change TEAM, by name or id. A list, or the limits of a kind, take the place of those before."""
    patch = lists_patch(lists) | limits_patch(limits, no_limits)
    patch |= {
        field: value for field, value in (("name", name), ("state", state), ("content", content)) if value is not None
    }
    if tags or untags:
        patch["tags"] = {**read_tags(tags), **dict.fromkeys(untags)}
    if not patch:
        raise click.UsageError("say what is to change")
    with connected(config, admin, token_file) as client:
        changed = client.call("PATCH", "teams", client.find_team(team)["id"], body=patch)
    _done(changed, "changed", as_json)


@command.command("delete")
@click.argument("team")
@admin_options
@json_option
def delete(team: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Delete TEAM, by name or id; only one that owns no keys can go."""
    with connected(config, admin, token_file) as client:
        found = client.find_team(team)
        client.call("DELETE", "teams", found["id"])
    if as_json:
        click.echo(msgspec.json.encode({"id": found["id"], "deleted": True}))
    else:
        click.echo(f"deleted {found['id']} ({found['name']})")


def _done(team: dict[str, Any], what: str, as_json: bool) -> None:
    click.echo(msgspec.json.encode(team) if as_json else f"{what} {team['id']} ({team['name']})")
