"""Finds, reads and checks a configuration: file, overriding variables, or the vendors' variables without a file."""

from __future__ import annotations

import os
from collections.abc import Mapping as Environ
from typing import NamedTuple

from penstock.config import check_sinks, check_store, prices
from penstock.config.check import Findings, check
from penstock.config.model import Config
from penstock.config.problem import ConfigError, Mark, Path, Problem, did_you_mean
from penstock.config.read import Reader, Wrong
from penstock.config.tree import Mapping, Scalar, parse
from penstock.providers.catalogue import Catalogue, load_catalogue

DEFAULT_FILE = "penstock.yaml"
MAX_FILE_BYTES = 4 << 20
PREFIX = "PENSTOCK_"
NO_FILE = "no configuration file"


class Loaded(NamedTuple):
    """A checked configuration and what it was made of."""

    config: Config
    catalogue: Catalogue
    source: str
    warnings: tuple[str, ...] = ()
    """What is allowed and yet hardly meant."""


def find(given: str | None, environ: Environ[str, str]) -> str | None:
    """The file to read: the one named, else `PENSTOCK_CONFIG`, else ./penstock.yaml if there is one."""
    if named := given or environ.get("PENSTOCK_CONFIG"):
        return named
    return DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None


def load(file: str | None, environ: Environ[str, str]) -> Loaded:
    """Raises `ConfigError` with every problem at once."""
    catalogue = load_catalogue()
    tree = parse(_read(file), file) if file else Mapping({}, Mark(NO_FILE))
    reader = Reader(environ)
    _override(tree, environ, reader)
    if not file and "providers" not in tree.entries:
        tree.entries["providers"] = (tree.mark, _discover(catalogue, environ))
    try:
        config = reader.struct(tree, Config)
    except Wrong:
        config = Config()
    check(config, catalogue, environ, reader, tree.mark)
    if reader.problems:
        raise ConfigError(reader.problems)
    warnings = (*prices.warnings(config, catalogue, environ), *check_sinks.warnings(config))
    return Loaded(config, catalogue, file or NO_FILE, warnings)


def load_places(file: str | None, environ: Environ[str, str]) -> Config:
    """Only where a running process is found, `admin.listen` and `data_dir`; the rest has its default.

    For commands that talk to it: what its providers need may be missing where they run. Raises `ConfigError`.
    """
    tree = _part(file, environ, ("admin", "data_dir"))
    mark, admin = tree.entries.get("admin", (tree.mark, None))
    if isinstance(admin, Mapping):
        listen = {name: entry for name, entry in admin.entries.items() if name == "listen"}
        tree.entries["admin"] = (mark, Mapping(listen, admin.mark))
    return _checked(tree, environ)


def load_data_dir(file: str | None, environ: Environ[str, str]) -> str:
    """The `data_dir`, whatever else the configuration says. Raises `ConfigError`."""
    return _checked(_part(file, environ, ("data_dir",)), environ).data_dir


def load_store(file: str | None, environ: Environ[str, str]) -> Config:
    """Only where the store is, `store` and `data_dir`; the rest has its default.

    For commands that need nothing else of what it serves. Raises `ConfigError`.
    """
    return _checked(_part(file, environ, ("store", "data_dir")), environ)


def _checked(tree: Mapping, environ: Environ[str, str]) -> Config:
    """What a part says. Raises `ConfigError`."""
    reader = Reader(environ)
    config = reader.struct(tree, Config)
    check_store.check(config.store, Findings(reader, tree.mark))
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def _part(file: str | None, environ: Environ[str, str], names: tuple[str, ...]) -> Mapping:
    """These fields alone, whatever the others say."""
    tree = parse(_read(file), file) if file else Mapping({}, Mark(NO_FILE))
    _override(tree, environ, Reader(environ))
    return Mapping({name: entry for name, entry in tree.entries.items() if name in names}, tree.mark)


def _read(file: str) -> str:
    def refuse(message: str, line: int = 0, column: int = 0) -> ConfigError:
        return ConfigError([Problem(Mark(file, line, column), (), message)])

    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise refuse(f"is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].rpartition(b"\n")
        raise refuse("not UTF-8", before[0].count(b"\n") + 1 + bool(before[1]), len(before[2]) + 1) from None


def _override(tree: Mapping, environ: Environ[str, str], reader: Reader) -> None:
    """Lays `PENSTOCK_TIMEOUTS__CONNECT=2s` over the file.

    A variable without `__` that names no field is someone else's (a container platform sets PENSTOCK_PORT and the like
    for a service of that name); one with `__` must be ours.
    """
    known = Config.__struct_fields__
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == "PENSTOCK_CONFIG" or not environ[variable]:
            continue  # empty is what `X=${X:-}` leaves of a variable nobody set
        path: Path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        mark = Mark(variable)
        if path[0] not in known:
            if len(path) > 1:
                hint = did_you_mean(str(path[0]), known)
                reader.problems.append(Problem(mark, path, "names no field", hint))
            continue
        place = tree
        for step in path[:-1]:
            name = _existing(place, str(step))
            child = place.entries.get(name, (mark, None))[1]
            if not isinstance(child, Mapping):
                child = Mapping({}, mark)
                place.entries[name] = (mark, child)
            place = child
        name = _existing(place, str(path[-1]))
        place.entries[name] = (mark, Scalar(environ[variable], mark, env=variable))


def _existing(place: Mapping, step: str) -> str:
    """The entry that a lower-case word means: variables cannot spell capitals, dots or hyphens."""
    for name in place.entries:
        if name.lower().replace("-", "_").replace(".", "_") == step:
            return name
    return step


def _discover(catalogue: Catalogue, environ: Environ[str, str]) -> Mapping:
    """The providers whose usual environment variables are set."""
    found: dict[str, tuple[Mark, Mapping | Scalar]] = {}
    for name, kind in catalogue.items():
        if kind.env and kind.base_url and environ.get(kind.env) and not kind.env_host:
            found[name] = (Mark(kind.env), Mapping({}, Mark(kind.env)))
        elif kind.env_host and environ.get(kind.env_host):
            mark = Mark(kind.env_host)
            base_url = Scalar(host_url(environ[kind.env_host], kind.base_url or ""), mark, env=kind.env_host)
            found[name] = (mark, Mapping({"base_url": (mark, base_url)}, mark))
    return Mapping(dict(found), Mark(NO_FILE))


def host_url(value: str, usual: str) -> str:
    """The base address that OLLAMA_HOST means: host, host:port or URL; a server's 0.0.0.0 is this machine."""
    scheme, given, rest = value.strip().rpartition("://")
    host, slash, path = rest.partition("/")
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or (":" in name and not name.startswith("[")):
        name, port = host, "" if given else usual.rpartition(":")[2]
    if name in ("", "0.0.0.0", "[::]"):
        name = "127.0.0.1"
    elif ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return f"{scheme or 'http'}://{name}{':' + port if port else ''}{slash}{path}".rstrip("/")
