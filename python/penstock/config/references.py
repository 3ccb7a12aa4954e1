"""`${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` inside values; `$${` is a literal `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.config.model import EnvPart, FilePart, Part, TextPart

MAX_FILE_BYTES = 64 << 10
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def split(text: str) -> tuple[Part, ...]:
    """The text as literal pieces and references. Raises ValueError, naming no literal text."""
    parts: list[Part] = []
    literal, at = "", 0
    for found in _REFERENCE.finditer(text):
        literal += text[at : found.start()]
        at = found.end()
        if found[0] == "$${":
            literal += "${"
            continue
        if found[1] is None:
            raise ValueError("a reference that opens with ${ never closes")
        if literal:
            parts.append(TextPart(literal))
            literal = ""
        parts.append(_reference(found[1]))
    literal += text[at:]
    if literal or not parts:
        parts.append(TextPart(literal))
    return tuple(parts)


def _reference(inside: str) -> Part:
    kind, colon, rest = inside.partition(":")
    if kind == "env" and colon:
        name, fallback, default = rest.partition(":-")
        if not _NAME.match(name):
            raise ValueError("${env:…} needs the name of an environment variable")
        return EnvPart(name, default if fallback else None)
    if kind == "file" and colon:
        if not rest.startswith("/"):
            raise ValueError("${file:…} needs an absolute path")
        return FilePart(rest)
    raise ValueError("a reference is ${env:NAME}, ${env:NAME:-default} or ${file:/path}; write $${ for a literal ${")


def resolve(part: Part, environ: Mapping[str, str]) -> str:
    """What one piece stands for. Raises ValueError, naming the reference and never its value."""
    match part:
        case TextPart(text=text):
            return text
        case EnvPart(env=name, default=default):
            if value := environ.get(name):
                return value
            if default is not None:
                return default
            state = "empty" if name in environ else "not set"
            raise ValueError(f"the environment variable {name} is {state}")
        case FilePart(file=path):
            return _read(path)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES >> 10} KiB")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
