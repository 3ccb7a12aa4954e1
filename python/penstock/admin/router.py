"""Admin requests of someone who is known: what is asked for, what the handler says; failures as problem details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.admin.callers import Caller
from penstock.admin.inputs import JSON, NotJson, read_body, read_query, reader
from penstock.admin.message import Answer, Request, problem
from penstock.admin.route import Call, Route, Table
from penstock.admin.shapes import Fault
from penstock.audit.room import BusyError
from penstock.keys.hashing import HasherBusyError
from penstock.keys.problem import FieldProblem, Invalid, NotFound
from penstock.keys.takeover import CutShortError
from penstock.limits.script import AwayError
from penstock.observe.logs import Log
from penstock.store.interface import ConflictError, StoreError

RETRY_AFTER = (("retry-after", "2"),)
_CONFLICTS = {"name_taken": "name", "team_missing": "team"}
"""The field at fault, where a conflict has one."""


class Router:
    """Answers whatever happens in a handler."""

    def __init__(self, table: Table, log: Log) -> None:
        self._table, self._log = table, log

    async def ask(self, request: Request, caller: Caller) -> Answer:
        """The answer to someone who is known; never raises but for cancellation."""
        try:
            return await self._answer(request, caller)
        except Invalid as error:
            return _invalid(error)
        except NotFound as error:
            detail = f"There is no {error.kind} {error.id}."
            return problem(404, "not_found", detail, errors=[Fault("id", f"is no {error.kind}'s")])
        except ConflictError as error:
            faults = [Fault(_CONFLICTS.get(error.reason, ""), str(error))]
            return problem(409, "conflict", str(error), reason=error.reason, errors=faults)
        except StoreError as error:
            self._log.warning("an admin request found no store", error=str(error))
            return _store_trouble(error, request.method)
        except AwayError as error:
            return _later("store_unavailable", f"{error}.")
        except CutShortError as error:
            self._log.warning("an import ended early", error=str(error), created=len(error.done.created))
            return _cut_short(error)
        except (HasherBusyError, BusyError) as error:
            return _later("overloaded", f"{error}.")
        except Exception as error:
            self._log.error("an admin request failed", error=repr(error))
            return problem(500, "internal", "Penstock failed to answer; its log says why.")

    async def _answer(self, request: Request, caller: Caller) -> Answer:
        found_path = self._table.find(request.path)
        if found_path is None:
            return problem(404, "path_not_found", f"There is no {request.path} here.", paths=self._table.paths)
        method = "GET" if request.method == "HEAD" else request.method
        route = found_path.methods.get(method)
        if route is None:
            allow = ", ".join(sorted({*found_path.methods} | ({"HEAD"} if "GET" in found_path.methods else set())))
            detail = f"{request.path} takes {allow}."
            return problem(405, "method_not_allowed", detail, headers=(("allow", allow),))
        if caller.role != "admin" and route.method != "GET":
            detail = f"The role {caller.role} may read, and this is a {route.method}: use a token with the role admin."
            return problem(403, "forbidden", detail)
        if refusal := _media_type(request, route):
            return refusal
        query, wrong = read_query(request.query, route.query)
        try:
            body, found = _read_body(request, route)
        except NotJson as error:
            return problem(400, "invalid_json", f"The body is not JSON: {error}.")
        every = [*wrong, *found]
        understood = body is not None and not wrong if route.query is None else query is not None
        if every and not (route.judges and understood):
            raise Invalid(every)
        return await route.handler(Call(caller.actor, found_path.id, body, query, every, caller.role))


def _read_body(request: Request, route: Route) -> tuple[Any, Sequence[FieldProblem]]:
    if route.method == "GET":
        return None, ()  # a body has no meaning there (RFC 9110, section 9.3.1)
    if route.body is None:
        return None, [FieldProblem("", f"{route.method} {route.path} takes no body")] if request.body else ()
    content = b"{}" if not request.body and not route.body_required else request.body
    return read_body(content, route.read or reader(route.body))


def _media_type(request: Request, route: Route) -> Answer | None:
    given = request.header("content-type")
    if route.method == "GET" or not request.body or given is None or JSON.match(given):
        return None
    return problem(415, "unsupported_media_type", "The body must be JSON: send content-type: application/json.")


def _invalid(error: Invalid) -> Answer:
    faults = [Fault(each.field, each.message) for each in error.problems]
    detail = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in error.problems[:10])
    more = f"; and {error.count - 10} more" if error.count > 10 else ""
    return problem(400, "invalid_request", f"{detail}{more}.", errors=faults)


def _store_trouble(error: StoreError, method: str) -> Answer:
    detail = f"{error or 'The store does not answer'}."
    if method in ("GET", "HEAD") or not getattr(error, "in_doubt", False):
        return _later("store_unavailable", detail)
    # Whoever repeats a rotation that was made ends the secret that clients have: no word of when to try again.
    unknown = "It cannot be told whether this was done: look first, then ask again if it was not."
    return problem(503, "store_unavailable", f"{detail} {unknown}", in_doubt=True)


def _cut_short(error: CutShortError) -> Answer:
    """Names what was made: nobody has to look, and repeating does no harm."""
    code = "store_unavailable" if isinstance(error.cause, StoreError) else "overloaded"
    done = error.done
    return problem(503, code, f"{error}.", headers=RETRY_AFTER, created=done.created, unchanged=done.unchanged)


def _later(code: str, detail: str) -> Answer:
    return problem(503, code, detail, headers=RETRY_AFTER)
