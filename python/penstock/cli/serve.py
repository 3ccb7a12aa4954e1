"""`penstock serve`: the gateway itself."""

from __future__ import annotations

import os

import click

from penstock.app import serve
from penstock.cli.options import config_option, find_config, refuse
from penstock.config.problem import ConfigError
from penstock.engine import make_native


@click.command("serve")
@config_option
@click.option("--ready-fd", type=int, metavar="N", help="Write one JSON line with the addresses there when ready.")
def command(config: str | None, ready_fd: int | None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    try:
        code = serve(find_config(config), os.environ, ready_fd, make_native)
    except ConfigError as error:
        refuse(error)
    raise SystemExit(code)
