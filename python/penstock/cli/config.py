"""`penstock config show`: the configuration in force."""

from __future__ import annotations

import click
import msgspec

from penstock.cli.options import config_option, json_option, load_config
from penstock.config.show import show as make_plain


@click.group("config")
def command() -> None:
    """Look at the configuration."""


@command.command("show")
@config_option
@json_option
def show(config: str | None, as_json: bool) -> None:
    """Print the merged configuration, defaults and variables included, secrets hidden."""
    loaded = load_config(config)
    plain = make_plain(loaded.config)
    if as_json:
        click.echo(msgspec.json.encode(plain))
        return
    import yaml

    click.echo(f"# from {loaded.source}")
    click.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
