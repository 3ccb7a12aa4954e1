"""Reads catalogue.yaml: what is known of each kind of provider."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from penstock.config.model import Auth, DialectName

FILE = Path(__file__).with_name("catalogue.yaml")


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry; the head of the file says what each field means."""

    dialects: dict[DialectName, str]
    base_url: str | None = None
    auth: Auth = Auth()
    env: str | None = None
    env_host: str | None = None
    key: Literal["required", "optional"] = "required"
    supports_stream_usage: bool = False
    supports_count_tokens: bool = True
    lists_models: bool = True
    free: bool = False
    patterns: tuple[str, ...] = ()
    forward_headers: tuple[str, ...] = ()


Catalogue = dict[str, Kind]


def load_catalogue() -> Catalogue:
    """Every kind by name, in the order of the file. Raises `msgspec.ValidationError` if the file does not fit."""
    import yaml  # once a start or reload

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return msgspec.convert(yaml.load(FILE.read_bytes(), loader), Catalogue)  # noqa: S506 (both are safe loaders)
