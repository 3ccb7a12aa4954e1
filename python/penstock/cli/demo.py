"""`penstock demo`: gateway and demo provider on free ports, one chat through them."""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--serve", is_flag=True, help="Keep both up until Ctrl-C.")
def command(serve: bool) -> None:
    """Try Penstock with nothing but Penstock: one streamed chat, shown as it comes."""
    from penstock.demo import main

    raise SystemExit(main(serve))
