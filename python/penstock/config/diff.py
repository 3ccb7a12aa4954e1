"""What a reload cannot change, because it was settled when the process started."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.config.addresses import parse_listen
from penstock.config.model import Config

SETTLED = ("listen", "data_dir", "workers", "store", "shared", "keys", "journal", "audit")


def settled_changes(running: Config, wanted: Config) -> list[str]:
    """The fields that need a restart to take effect."""
    wanted = _with_content(running, wanted)
    found = [name for name in SETTLED if getattr(running, name) != getattr(wanted, name)]
    if running.admin.listen != wanted.admin.listen:
        found.append("admin.listen")
    if _would_open(running, wanted):
        found.append("auth")
    return found


def keep_settled(running: Config, wanted: Config) -> Config:
    """The wanted configuration as far as a running process can have it."""
    kept = {name: getattr(running, name) for name in SETTLED}
    kept["audit"] = replace(running.audit, content=wanted.audit.content)
    admin = replace(wanted.admin, listen=running.admin.listen)
    auth = running.auth if _would_open(running, wanted) else wanted.auth
    return replace(wanted, **kept, admin=admin, auth=auth)


def _with_content(running: Config, wanted: Config) -> Config:
    """As wanted, but with the texts that are recorded now: which these are may change at any time."""
    return replace(wanted, audit=replace(wanted.audit, content=running.audit.content))


def _would_open(running: Config, wanted: Config) -> bool:
    """Whether addresses that stay bound, and that other machines reach, would let everyone in."""
    if (running.auth, wanted.auth) != ("keys", "open"):
        return False
    return not all(parse_listen(text).is_private for text in (*running.listen, *running.admin.listen))
