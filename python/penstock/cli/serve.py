"""`penstock serve`: the gateway itself."""

from __future__ import annotations

import os

import click

from penstock.cli.options import config_option, find_config, refuse
from penstock.signals import Early


@click.command("serve")
@config_option
@click.option("--ready-fd", type=int, metavar="N", help="Write one JSON line with the addresses there when ready.")
@click.option("--parent-fd", type=int, metavar="N", hidden=True, help="Stop in order when this descriptor ends.")
def command(config: str | None, ready_fd: int | None, parent_fd: int | None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    early = Early()
    early.watch()  # before what takes long to import
    from penstock.app import serve
    from penstock.config.problem import ConfigError
    from penstock.descriptors import Descriptors
    from penstock.engine import make_native

    try:
        code = serve(find_config(config), os.environ, Descriptors(ready_fd, parent_fd), make_native, early)
    except ConfigError as error:
        refuse(error)
    raise SystemExit(code)
