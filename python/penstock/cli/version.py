"""`penstock version`."""

from __future__ import annotations

import click
import msgspec

from penstock import __version__
from penstock.cli.options import json_option


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    click.echo(msgspec.json.encode({"version": __version__}) if as_json else f"penstock {__version__}")
