"""`penstock keys …`: make, list, show, change, rotate, take out of use, delete, import."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from penstock.cli.admin_client import admin_options, connected, fail
from penstock.cli.key_options import (
    access_options,
    content_option,
    lift_options,
    lists_patch,
    lists_wish,
    opt_out_option,
    read_expiry,
    read_tags,
    tag_option,
    untag_option,
)
from penstock.cli.limit_options import lift_limits_option, limit_option, limits_patch, limits_wish
from penstock.cli.limits import in_force, shown
from penstock.cli.options import WRONG, json_option
from penstock.cli.output import content_lines, listed, moment, print_facts, print_table, tagged
from penstock.cli.spent import spend_of, spent_lines

EXPIRES = "A time (RFC 3339), or a duration from now on such as 30d."


@click.group("keys")
def command() -> None:
    """Say who may ask: keys, by a running process or straight on its store."""


@command.command("create")
@click.option("--name", required=True, help="What it is for; for people.")
@click.option("--team", metavar="TEAM", help="The team that owns it, by name or id.")
@click.option("--owner", help="Who answers for it.")
@access_options
@limit_option
@click.option("--expires", metavar="WHEN", help=EXPIRES)
@tag_option
@opt_out_option
@click.option("--secret-stdin", is_flag=True, help="Take over the key that stands on standard input.")
@admin_options
@json_option
def create(
    name: str,
    team: str | None,
    owner: str | None,
    limits: tuple[str, ...],
    expires: str | None,
    tags: tuple[str, ...],
    no_content: bool,
    secret_stdin: bool,
    config: str | None,
    admin: str | None,
    token_file: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Make a key. It is printed this once: nobody can read it later."""
    wish: dict[str, Any] = {"name": name, **lists_wish(lists), **limits_wish(limits)}
    given = {"team": team, "owner": owner, "expires": read_expiry(expires), "tags": read_tags(tags) or None}
    wish |= {field: value for field, value in given.items() if value is not None}
    if no_content:
        wish["content"] = False
    if secret_stdin:
        wish["secret"] = _secret()
    with connected(config, admin, token_file) as client:
        made = client.call("POST", "keys", body=wish)
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    if made["key"] is None:
        click.echo(made["id"])
        click.echo(f"took over a key for {made['name']}; this is its id", err=True)
        return
    click.echo(made["key"])
    click.echo(f"made the key {made['id']} for {made['name']}; keep it, it is not shown again", err=True)


@command.command("list")
@click.option("--team", metavar="TEAM", help="Only of this team, by name or id.")
@click.option("--state", type=click.Choice(["active", "disabled"]), help="Only in this state.")
@click.option("--owner", help="Only of this owner.")
@click.option("--name", metavar="PART", help="Only with this in the name.")
@click.option("--tag", metavar="NAME=VALUE", help="Only with this tag.")
@admin_options
@json_option
def list_(config: str | None, admin: str | None, token_file: str | None, as_json: bool, **narrowed: Any) -> None:
    """List keys."""
    with connected(config, admin, token_file) as client:
        keys = list(client.items("keys", query=narrowed))
    if as_json:
        click.echo(msgspec.json.encode(keys))
        return
    titles = ("ID", "NAME", "TEAM", "OWNER", "STATE", "MODELS", "EXPIRES", "LAST USED")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    print_table(titles, [_row(key, now) for key in keys])


@command.command("show")
@click.argument("id")
@admin_options
@json_option
def show(id: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Show a key, for each list and limit who sets it, and what was spent; from a running node, what is used of each
    limit."""
    with connected(config, admin, token_file) as client:
        key = client.call("GET", "keys", id)
        team = key["team"]
        own = in_force(client, "key", key["id"])
        pool = in_force(client, "team", team["id"]) if team else None
        spend = spend_of(client, key["id"])
    if as_json:
        parts = [own, pool] if team else [own]
        both = None if None in parts else [limit for part in parts if part for limit in part["limits"]]
        click.echo(msgspec.json.encode(key | {"in_force": both, "spend": spend}))
        return
    limits = shown(own) + (shown(pool, team["name"]) if team else [])
    print_facts(
        [
            ("id", [key["id"]]),
            ("name", [key["name"]]),
            ("team", [f"{team['name']} ({team['id']})"] if team else []),
            ("owner", [key["owner"]] if key["owner"] else []),
            ("state", [key["state"]]),
            *((name, _origins(key, name)) for name in ("models", "paths", "networks")),
            ("limits", limits or ["none"]),
            ("spent", spent_lines(spend)),
            ("expires", [moment(key["expires"], "never")]),
            ("tags", [tagged(key["tags"])] if key["tags"] else []),
            ("content", content_lines(key)),
            ("created", [moment(key["created"])]),
            ("last used", [moment(key["last_used"], "never")]),
            ("secrets", [_secret_line(each) for each in key["secrets"]]),
        ]
    )


@command.command("update")
@click.argument("id")
@click.option("--name", help="Another name.")
@click.option("--team", metavar="TEAM", help="Another team, by name or id.")
@click.option("--no-team", is_flag=True, help="No team any more.")
@click.option("--owner", help="Another owner.")
@click.option("--no-owner", is_flag=True, help="No owner any more.")
@access_options
@lift_options
@limit_option
@lift_limits_option
@click.option("--expires", metavar="WHEN", help=f"{EXPIRES} `never` takes it away.")
@tag_option
@untag_option
@content_option
@admin_options
@json_option
def update(
    id: str,
    name: str | None,
    team: str | None,
    no_team: bool,
    owner: str | None,
    no_owner: bool,
    limits: tuple[str, ...],
    no_limits: bool,
    expires: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    content: bool | None,
    config: str | None,
    admin: str | None,
    token_file: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Change a key. A list, or the limits of a kind, take the place of those before."""
    if (team and no_team) or (owner and no_owner):
        raise click.UsageError("--team and --no-team, --owner and --no-owner exclude each other")
    patch = lists_patch(lists) | limits_patch(limits, no_limits)
    given = {"name": name, "team": team, "owner": owner, "expires": read_expiry(expires), "content": content}
    patch |= {field: value for field, value in given.items() if value is not None}
    patch |= {
        field: None for field, gone in (("team", no_team), ("owner", no_owner), ("expires", expires == "never")) if gone
    }
    if tags or untags:
        patch["tags"] = {**read_tags(tags), **dict.fromkeys(untags)}
    if not patch:
        raise click.UsageError("say what is to change")
    with connected(config, admin, token_file) as client:
        key = client.call("PATCH", "keys", id, body=patch)
    _done(key, "changed", as_json)


@command.command("rotate")
@click.argument("id")
@click.option("--overlap", default="24h", show_default=True, metavar="TIME", help="How long the old one stays valid.")
@admin_options
@json_option
def rotate(id: str, overlap: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Give a key a new secret; for the overlap the old one is valid too."""
    with connected(config, admin, token_file) as client:
        made = client.call("POST", "keys", id, "rotate", body={"overlap": overlap})
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    click.echo(made["key"])
    click.echo(f"rotated {made['id']} ({made['name']}); keep the new key, it is not shown again", err=True)
    for until in sorted({each["until"] for each in made["secrets"] if each["until"]}):
        click.echo(f"the old one is valid until {moment(until)} UTC", err=True)


@command.command("disable")
@click.argument("id")
@click.option("--cut", is_flag=True, help="End its running requests too.")
@admin_options
@json_option
def disable(id: str, cut: bool, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Take a key out of use; what runs finishes, unless --cut."""
    with connected(config, admin, token_file) as client:
        key = client.call("POST", "keys", id, "disable", body={"cut": cut})
    _done(key, "disabled", as_json)


@command.command("enable")
@click.argument("id")
@admin_options
@json_option
def enable(id: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Put a key to use again."""
    with connected(config, admin, token_file) as client:
        key = client.call("POST", "keys", id, "enable")
    _done(key, "enabled", as_json)


@command.command("delete")
@click.argument("id")
@admin_options
@json_option
def delete(id: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Delete a key for good; what runs finishes: to end it, `disable --cut` the key first."""
    with connected(config, admin, token_file) as client:
        client.call("DELETE", "keys", id)
    click.echo(msgspec.json.encode({"id": id, "deleted": True}) if as_json else f"deleted {id}")


@command.command("import")
@click.argument("file")
@click.option(
    "--format", "form", type=click.Choice(["auto", "json", "jsonl", "csv"]), default="auto", show_default=True
)
@admin_options
@json_option
def import_(file: str, form: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Take over keys of another gateway from FILE (- is standard input)."""
    from penstock.cli.key_file import FileError, pieces, read_file

    try:
        rows = read_file(file, form)
    except FileError as error:
        fail(error.lines, WRONG)
    created: list[str] = []
    unchanged: list[str] = []
    with connected(config, admin, token_file) as client:
        for piece in pieces(rows):
            status, answer = client.try_call("POST", "keys", "import", body={"keys": [row.key for row in piece]})
            if status >= 400:
                lines = piece.problem_lines(file, answer)
                created += answer.get("created", ()) if isinstance(answer, dict) else ()
                if created:
                    then = "mend the file and import it again" if status == 400 else "import the file again"
                    lines.append(f"{len(created)} keys were imported before; {then}")
                fail(lines, WRONG if status == 400 else 1)
            created += answer["created"]
            unchanged += answer["unchanged"]
    if as_json:
        click.echo(msgspec.json.encode({"created": created, "unchanged": unchanged}))
    else:
        click.echo(f"imported {len(created)} keys; {len(unchanged)} were there already")


def _secret() -> str:
    text = sys.stdin.read(8192).removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError("standard input holds no key")
    return text


def _row(key: dict[str, Any], now: str) -> tuple[str, ...]:
    expired = key["expires"] is not None and key["expires"] < now
    return (
        key["id"],
        key["name"],
        key["team"]["name"] if key["team"] else "-",
        key["owner"] or "-",
        "expired" if expired and key["state"] == "active" else key["state"],
        listed(key["models"]),
        moment(key["expires"], "never"),
        moment(key["last_used"], "never"),
    )


def _origins(key: dict[str, Any], name: str) -> list[str]:
    """What is allowed, a line for each that sets a list; what all of them allow is allowed."""
    parts = key["allowed"][name]
    if not parts:
        return ["all"]
    team = key["team"]["name"] if key["team"] else ""
    origins = {"key": "from the key", "team": f"from the team {team}"}
    return [f"{listed(part['list'])}  ({origins[part['from']]})" for part in parts]


def _secret_line(secret: dict[str, Any]) -> str:
    until = f"until {moment(secret['until'])} UTC" if secret["until"] else "as long as the key"
    return f"{secret['generation']}: {until}"


def _done(key: dict[str, Any], what: str, as_json: bool) -> None:
    click.echo(msgspec.json.encode(key) if as_json else f"{what} {key['id']} ({key['name']})")
