"""What a reload cannot change, because it was settled when the process started."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.config.model import Config

SETTLED = ("listen", "admin", "data_dir", "workers")


def settled_changes(running: Config, wanted: Config) -> list[str]:
    """The fields that need a restart to take effect."""
    return [name for name in SETTLED if getattr(running, name) != getattr(wanted, name)]


def keep_settled(running: Config, wanted: Config) -> Config:
    """The wanted configuration as far as a running process can have it."""
    return replace(wanted, **{name: getattr(running, name) for name in SETTLED})
