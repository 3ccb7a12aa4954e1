"""The rules for the store: SQLite or a PostgreSQL URL; nothing said here repeats a password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from penstock.config import check_password
from penstock.config.model import Store
from penstock.config.problem import Notes, Path, did_you_mean

SCHEMES = ("postgresql", "postgres")
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PARAMETERS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "host", "port"),
    *("application_name", "target_session_attrs"),
)
_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]*\Z")
_EXPECTED = "expected sqlite or postgresql://user@host/database"


def check(store: Store, found: Notes) -> None:
    """Notes what is wrong with a store's fields; nothing is connected to."""
    if store.url == "sqlite":
        if store.password_file is not None:
            found.add(("store", "password_file"), "has no meaning for SQLite", "leave it out")
        return
    place: Path = ("store", "url")
    if not _SHAPE.match(store.url):
        found.add(place, _EXPECTED, _nearest(store.url))
        return
    scheme = store.url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        found.add(place, _EXPECTED, did_you_mean(scheme, SCHEMES[:1]) if scheme != "sqlite" else _nearest("sqlite"))
        return
    try:
        url = urlsplit(store.url)
        url.port  # noqa: B018 (raises when it is none)
    except ValueError:
        found.add(place, "is no address", "such as postgresql://user@host:5432/database")
        return
    if url.fragment:
        found.add(place, "has a # in it", "in a user's name or password it is written %23")
    if len(url.path) < 2 or "/" in url.path[1:]:
        found.add(place, "names no database", "such as postgresql://user@host/penstock")
    _parameters(place, url.query, bool(url.hostname), found)
    check_password.check("store", store.password_file, bool(url.password), found)


def _nearest(text: str) -> str:
    """A hint for a word that is no URL; nothing of it is repeated."""
    if text.lower().startswith("sqlite"):
        return "its file is data_dir/penstock.sqlite: write store: sqlite"
    return "a PostgreSQL URL begins with postgresql://" if text.lower().startswith("postgre") else ""


def _parameters(place: Path, query: str, has_host: bool, found: Notes) -> None:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name in ("password", "passfile", "user"):
            found.add(
                place, f"{name} does not belong behind the ?", "write user@host, and the password in password_file"
            )
        elif name not in PARAMETERS:
            hint = did_you_mean(name, PARAMETERS) if name.isidentifier() else ""
            found.add(place, "has an unknown parameter behind the ?", hint)
    if (mode := given.get("sslmode")) is not None and mode not in MODES:
        found.add(place, "sslmode is none that PostgreSQL has", f"one of {', '.join(MODES)}")
    if not has_host and not given.get("host"):
        found.add(place, "names no host", "postgresql://user@host/database, or ?host=/run/postgresql for a Unix socket")
