"""What the commands of `penstock audit` share: which data_dir, times, and what the configuration says of recording."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from penstock.audit.choice import parse_time
from penstock.cli.options import find_config, refuse

data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="That directory alone, its journals and SQLite file, whatever is configured."
)


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that reads an option's text; wrong use where it raises ValueError."""

    def callback(_: click.Context, __: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def read_time(text: str) -> int:
    """Microseconds UTC. Raises ValueError."""
    return parse_time(text, datetime.now(UTC))


def place_of(config: str | None, given: str | None) -> str:
    """The data_dir that is meant."""
    if given is not None:
        return given
    from penstock.config.load import load_data_dir
    from penstock.config.problem import ConfigError

    try:
        return load_data_dir(find_config(config), os.environ)
    except ConfigError as error:
        refuse(error)


def say_if_nothing_is_recorded(config: str | None, data_dir: str | None, admin: str | None) -> None:
    """On standard error, as far as the configuration can be read here."""
    if data_dir is not None or admin is not None:
        return
    from penstock.config.load import load
    from penstock.config.problem import ConfigError

    try:
        durability = load(find_config(config), os.environ).config.journal.durability
    except ConfigError:
        return  # whatever needs it says so
    if durability == "none":
        click.echo("nothing is recorded: journal.durability is none; this is what was recorded before", err=True)
