"""A password in a file of its own: of the store, of Redis."""

from __future__ import annotations

MAX_BYTES = 4096


def read_password(path: str) -> str:
    """The password in a file, its last line break cut off. Raises ValueError saying what is wrong with the file."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if not password or not password.isprintable():
        raise ValueError("holds no password: expected one line of text")
    return password
