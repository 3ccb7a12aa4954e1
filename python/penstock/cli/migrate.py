"""`penstock migrate`: brings the store's schema up to date, for those who do not let the gateway do it."""

from __future__ import annotations

import asyncio

import click
import msgspec

from penstock.cli.options import config_option, json_option, load_config
from penstock.config.model import Config

FAILED = 1


@click.command("migrate")
@config_option
@json_option
def command(config: str | None, as_json: bool) -> None:
    """Apply the migrations that the configured store lacks; safe while nodes run, and more than once."""
    from penstock.store.interface import StoreError

    loaded = load_config(config)
    try:
        place, made = asyncio.run(_migrate(loaded.config))
    except StoreError as error:
        click.echo(str(error), err=True)
        raise SystemExit(FAILED) from None
    if as_json:
        click.echo(msgspec.json.encode({"ok": True, "store": place, "applied": made}))
        return
    for name in made:
        click.echo(f"{place}: applied {name}")
    if not made:
        click.echo(f"{place}: up to date")


async def _migrate(config: Config) -> tuple[str, list[str]]:
    """Where the store is, and the names of what was applied."""
    from penstock.store.open import make_store

    settings = config.store
    store = make_store(settings.url, config.data_dir, password_file=settings.password_file, pool=settings.pool)
    try:
        return store.place, await store.open(migrate=True)
    finally:
        await store.close()
