"""What several commands share: the configuration's file, and how its errors leave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from penstock.config.load import Loaded
    from penstock.config.problem import ConfigError

WRONG = 2
"""The exit code of wrong use and wrong configuration."""

CONFIG = ("-c", "--config", "config")
CONFIG_HELP = "The configuration; else $PENSTOCK_CONFIG, else ./penstock.yaml if there is one."
config_option = click.option(*CONFIG, metavar="FILE", help=CONFIG_HELP)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def find_config(given: str | None) -> str | None:
    """The file that this call means: the one after the command, else the one before it."""
    from penstock.config.load import find  # `serve` watches its signals before this is loaded

    return find(given or click.get_current_context().find_root().params.get("config"), os.environ)


def load_config(given: str | None) -> Loaded:
    """The configuration of that file; ends the command where it is wrong."""
    from penstock.config.load import load
    from penstock.config.problem import ConfigError

    try:
        return load(find_config(given), os.environ)
    except ConfigError as error:
        refuse(error)


def refuse(error: ConfigError) -> NoReturn:
    """Every problem on a line of its own, then exit 2."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    click.echo(f"{count} problem{'s' if count > 1 else ''} in the configuration", err=True)
    raise SystemExit(WRONG)
