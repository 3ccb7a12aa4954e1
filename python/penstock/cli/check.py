"""`penstock check`: is the configuration right?"""

from __future__ import annotations

import os

import click
import msgspec

from penstock.cli.options import WRONG, config_option, find_config, json_option, refuse
from penstock.config.load import load
from penstock.config.problem import ConfigError


@click.command("check")
@config_option
@json_option
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def command(config: str | None, as_json: bool, schema: bool) -> None:
    """Check the configuration; every problem at once, with file, line and column."""
    if schema:
        from penstock.config.schema import schema as make_schema

        click.echo(msgspec.json.format(msgspec.json.encode(make_schema()), indent=2))
        return
    try:
        loaded = load(find_config(config), os.environ)
    except ConfigError as error:
        if not as_json:
            refuse(error)
        click.echo(msgspec.json.encode({"ok": False, "errors": [each.plain() for each in error.problems]}))
        raise SystemExit(WRONG) from None
    if as_json:
        click.echo(
            msgspec.json.encode({"ok": True, "source": loaded.source, "errors": [], "warnings": loaded.warnings})
        )
    else:
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
        providers, models = len(loaded.config.providers), len(loaded.config.models)
        click.echo(f"{loaded.source}: ok (providers: {providers}, models: {models})")
