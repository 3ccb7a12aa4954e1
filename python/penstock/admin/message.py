"""Admin requests and answers as they cross: one line of JSON, a line break, the raw body."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.admin.shapes import Fault

PROBLEM = "application/problem+json"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What native hands over; header names are in lower case after `decode`."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for given, value in self.headers if given == name), None)


class Answer(msgspec.Struct, frozen=True):
    """Status, headers and body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


_decode = msgspec.json.Decoder(Request).decode


def decode(payload: bytes) -> Request:
    """Raises `msgspec.DecodeError` when the payload is not a request."""
    line, _, body = payload.partition(b"\n")
    request = _decode(line)
    headers = tuple((name.lower(), value) for name, value in request.headers)
    return msgspec.structs.replace(request, headers=headers, body=body)


def encode(answer: Answer) -> bytes:
    """The payload of an answer."""
    return msgspec.json.encode({"status": answer.status, "headers": answer.headers}) + b"\n" + answer.body


def json_answer(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """JSON that nobody may keep."""
    usual = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Answer(status, (*usual, *headers), msgspec.json.encode(value))


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Fault] = (),
    headers: tuple[tuple[str, str], ...] = (),
    **more: object,
) -> Answer:
    """An error as problem details (RFC 9457) with our stable code; `errors` is everything to mend."""
    body = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code, "detail": detail}
    body |= {"errors": errors} if errors else {}
    usual = (("content-type", PROBLEM), ("cache-control", "no-store"), ("x-penstock-error", code))
    return Answer(status, (*usual, *headers), msgspec.json.encode(body | more))
