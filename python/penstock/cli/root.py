"""`penstock`: the table of commands."""

from __future__ import annotations

from importlib import import_module

import click

from penstock.cli.options import CONFIG, CONFIG_HELP

COMMANDS = {
    "serve": "penstock.cli.serve",
    "demo": "penstock.cli.demo",
    "keys": "penstock.cli.keys",
    "teams": "penstock.cli.teams",
    "limits": "penstock.cli.limits",
    "tokens": "penstock.cli.tokens",
    "audit": "penstock.cli.audit",
    "usage": "penstock.cli.usage",
    "check": "penstock.cli.check",
    "config": "penstock.cli.config",
    "import": "penstock.cli.import_",
    "migrate": "penstock.cli.migrate",
    "version": "penstock.cli.version",
}
"""Name → module; each module's command is called `command`."""


class Lazy(click.Group):
    """Imports a command's module only when it is used or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name]).command
        return command


root = Lazy(
    name="penstock",
    help="An LLM gateway: change base_url, keep the SDK.",
    params=[click.Option(CONFIG, metavar="FILE", help=CONFIG_HELP)],
)
