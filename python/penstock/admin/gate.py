"""Admin questions of native: who asks, then the router."""

from __future__ import annotations

import msgspec

from penstock.admin.callers import Callers
from penstock.admin.message import Answer, decode, encode, problem
from penstock.admin.router import Router


class Gate:
    """Lets those through who have a token; a handler of `Engine`."""

    def __init__(self, callers: Callers, router: Router) -> None:
        self._callers, self._router = callers, router

    async def __call__(self, payload: bytes) -> bytes:
        """The payload of the answer; never raises but for cancellation."""
        try:
            request = decode(payload)
        except msgspec.DecodeError:
            return encode(problem(400, "invalid_http", "The request could not be understood."))
        given = request.header("authorization")
        caller = self._callers.who(given)
        if caller is None:
            return encode(_unknown_caller(given))
        return encode(await self._router.ask(request, caller))


def _unknown_caller(given: str | None) -> Answer:
    code, detail = "invalid_api_key", "No admin token is like this one."
    if given is None:
        code, detail = "missing_api_key", "Send Authorization: Bearer with the token in data_dir/admin.token."
    return problem(401, code, detail, headers=(("www-authenticate", 'Bearer realm="penstock admin"'),))
