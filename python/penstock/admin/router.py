"""Admin requests by path and method: token first, then the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from penstock.admin.message import Answer, Request, decode, encode, problem
from penstock.admin.token import matches
from penstock.observe.logs import Log

Handler = Callable[[Request], Awaitable[Answer]]
Table = Mapping[str, Mapping[str, Handler]]
"""Path → method → handler."""


class Router:
    """Answers every admin question, whatever happens in a handler."""

    def __init__(self, token: str, table: Table, log: Log) -> None:
        self._token, self._table, self._log = token, table, log

    async def __call__(self, payload: bytes) -> bytes:
        """The payload of the answer; never raises but for cancellation."""
        try:
            return encode(await self._answer(decode(payload)))
        except msgspec.DecodeError:
            return encode(problem(400, "invalid_http", "The request could not be understood."))
        except Exception as error:
            self._log.error("an admin request failed", error=repr(error))
            return encode(problem(500, "internal", "Penstock failed to answer; its log says why."))

    async def _answer(self, request: Request) -> Answer:
        given = request.header("authorization")
        if not matches(self._token, given):
            code, detail = "invalid_api_key", "This is not the admin token."
            if given is None:
                code, detail = "missing_api_key", "Send Authorization: Bearer with the token in data_dir/admin.token."
            return problem(401, code, detail, headers=(("www-authenticate", 'Bearer realm="penstock admin"'),))
        methods = self._table.get(request.path.rstrip("/"))
        if methods is None:
            return problem(404, "path_not_found", f"There is no {request.path} here.", paths=sorted(self._table))
        method = "GET" if request.method == "HEAD" and "HEAD" not in methods else request.method
        if method not in methods:
            allow = ", ".join(sorted({*methods} | ({"HEAD"} if "GET" in methods else set())))
            detail = f"{request.path} takes {allow}."
            return problem(405, "method_not_allowed", detail, headers=(("allow", allow),))
        return await methods[method](request)
