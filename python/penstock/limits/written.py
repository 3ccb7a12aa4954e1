"""Limits as a row of the store has them: a piece that this release cannot read is kept as it stands."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from penstock.limits.policy import Limits, problems

_pieces = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_KINDS = {field.encode_name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(Limits)}


def read_limits(text: str | None) -> tuple[Limits | None, str | None]:
    """What it says, and the rest of it as JSON: kinds that a later release knows, values that nobody here wrote."""
    if text is None:
        return None, None
    try:
        pieces = _pieces(text)
    except (msgspec.MsgspecError, RecursionError):
        return None, text
    found, rest = {}, {}
    for name, piece in pieces.items():
        try:
            found[name] = _KINDS[name].decode(piece)
        except (KeyError, msgspec.MsgspecError):
            rest[name] = piece
    limits = Limits(**found)
    return None if limits == Limits() else limits, _text(rest)


def write_limits(limits: Limits | None, rest: str | None) -> str | None:
    """The reverse; where both speak of a kind the limits say what it is."""
    if limits is None:
        return rest
    pieces = _try_pieces(rest) or {}
    return _encode(pieces | msgspec.to_builtins(limits)).decode()


def without(rest: str | None, kinds: Collection[str]) -> str | None:
    """The rest when these kinds are said anew. What could not be read at all goes whole."""
    return _text({name: piece for name, piece in (_try_pieces(rest) or {}).items() if name not in kinds})


def unreadable(limits: Limits | None, rest: str | None) -> str | None:
    """Why nobody can say what is limited here; None: it can be said. Kinds that nobody here knows are passed over:
    a later release runs beside this one for a while."""
    if rest is not None:
        pieces = _try_pieces(rest)
        if pieces is None:
            return "its limits cannot be read: they are no JSON object"
        for name in pieces:
            if name in _KINDS:
                return f"its limits cannot be read: {name} says what this release does not know"
    for error in () if limits is None else problems(limits):
        return f"its limits cannot be read: {error.field}: {error}"
    return None


def _try_pieces(rest: str | None) -> dict[str, msgspec.Raw] | None:
    try:
        return {} if rest is None else _pieces(rest)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _text(pieces: dict[str, msgspec.Raw]) -> str | None:
    return _encode(pieces).decode() if pieces else None
