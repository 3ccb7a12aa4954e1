"""`penstock tokens …`: further tokens of the admin port."""

from __future__ import annotations

import click
import msgspec

from penstock.cli.admin_client import admin_options, connected
from penstock.cli.options import json_option
from penstock.cli.output import moment, print_table


@click.group("tokens")
def command() -> None:
    """Let others administer, or only look."""


@command.command("create")
@click.option("--name", required=True, help="Who uses it; stands in the log of changes.")
@click.option(
    "--role", type=click.Choice(["viewer", "admin"]), default="viewer", show_default=True, help="What it may."
)
@admin_options
@json_option
def create(name: str, role: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Make a token. It is printed this once."""
    with connected(config, admin, token_file) as client:
        made = client.call("POST", "tokens", body={"name": name, "role": role})
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    click.echo(made["token"])
    click.echo(f"made the token {made['id']} ({made['name']}, {made['role']}); it is not shown again", err=True)


@command.command("list")
@admin_options
@json_option
def list_(config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """List the tokens of the store."""
    with connected(config, admin, token_file) as client:
        tokens = list(client.items("tokens"))
    if as_json:
        click.echo(msgspec.json.encode(tokens))
        return
    rows = [(each["id"], each["name"], each["role"], moment(each["created"])) for each in tokens]
    print_table(("ID", "NAME", "ROLE", "CREATED"), rows)


@command.command("delete")
@click.argument("id")
@admin_options
@json_option
def delete(id: str, config: str | None, admin: str | None, token_file: str | None, as_json: bool) -> None:
    """Delete a token."""
    with connected(config, admin, token_file) as client:
        client.call("DELETE", "tokens", id)
    click.echo(msgspec.json.encode({"id": id, "deleted": True}) if as_json else f"deleted {id}")
