"""The OpenAPI 3.1 document, made from the same table that answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import fields

from penstock import __version__
from penstock.admin.message import PROBLEM, Answer, json_answer
from penstock.admin.route import PARAMETER, Call, Route
from penstock.admin.shapes import Problem
from penstock.errors import ADMIN_TABLE, TABLE

ALWAYS = ("missing_api_key", "invalid_api_key", "internal", "store_unavailable")
"""What every path may answer with."""

_STATUS = {row.code: row.status for row in (*TABLE, *ADMIN_TABLE)} | {"store_unavailable": 503}
_MEANING = {
    400: "Something in the request is wrong; `errors` lists all of it",
    401: "No admin token, or an unknown one",
    403: "The token's role may only read",
    404: "There is none with this id",
    409: "Someone else changed it, its name is taken, or what it refers to is missing",
    415: "The body is not JSON",
    422: "The configuration was refused; `errors` lists why",
    500: "Penstock failed; its log says why",
    503: "The store does not answer, or too much waits; `retry-after` says when to try again",
}


def document_route(routes: Iterable[Route]) -> Route:
    """The route that serves the document; it describes itself too."""
    described = list(routes)

    async def serve(_: Call[None, None]) -> Answer:
        return json_answer(document(described))

    own = Route(
        method="GET",
        path="/admin/v1/openapi.json",
        handler=serve,
        summary="This document",
        answers=dict[str, Any],
    )
    described.append(own)
    return own


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document as plain data."""
    every = list(routes)
    types: list[Any] = [Problem]
    for route in every:
        types += [each for each in (route.body, route.answers, route.query) if each is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = {repr(each): schema for each, schema in zip(types, schemas, strict=True)}
    for route in every:
        if route.query is not None:
            components.pop(route.query.__name__, None)  # they are spelled out as parameters
    paths: dict[str, dict[str, Any]] = {}
    for route in every:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock admin API",
            "version": __version__,
            "description": "Keys, teams, their limits, and admin tokens of one gateway and all that share its store.",
        },
        "servers": [{"url": "/"}],
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "admin": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "From data_dir/admin.token, the configuration, or /admin/v1/tokens",
                }
            },
        },
    }


def _operation(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "tags": [route.path.split("/")[3]]}
    if parameters := _parameters(route):
        made["parameters"] = parameters
    if route.body is not None:
        media = {"schema": by_type[repr(route.body)]}
        kinds = ["application/json", *(["application/merge-patch+json"] if route.method == "PATCH" else [])]
        made["requestBody"] = {"required": route.body_required, "content": {kind: media for kind in kinds}}
    made["responses"] = {str(route.status): _success(route, by_type), **_failures(route)}
    return made


def _success(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    if route.answers is None:
        return {"description": "Done"}
    made: dict[str, Any] = {
        "description": "Made" if route.status == 201 else "Done",
        "content": {"application/json": {"schema": by_type[repr(route.answers)]}},
    }
    if route.status == 201:
        made["headers"] = {"location": {"description": "Where it is now", "schema": {"type": "string"}}}
    return made


def _failures(route: Route) -> dict[str, Any]:
    codes = {*ALWAYS, *route.codes, "invalid_request"}
    if route.method != "GET":
        codes |= {"forbidden"}
    if route.body is not None:
        codes |= {"unsupported_media_type"}
    found = {}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted({_STATUS[code] for code in codes}):
        names = sorted(code for code in codes if _STATUS[code] == status)
        found[str(status)] = {"description": f"{_MEANING[status]} ({', '.join(names)})", "content": content}
    found["default"] = {"description": "Any other error", "content": content}
    return found


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if PARAMETER in route.path:
        schema = {"type": "string", "minLength": 1}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    for info in fields(route.query) if route.query else ():
        schema = _without_null(msgspec.json.schema(info.type))
        if info.default is not None and not info.required:
            schema["default"] = info.default
        described = {"description": schema.pop("description")} if "description" in schema else {}
        found.append({"name": info.name, "in": "query", "required": False, "schema": schema, **described})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is never null."""
    arms = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    if len(arms) == 1:
        return {**arms[0]}
    if "enum" in schema:
        return schema | {"enum": [word for word in schema["enum"] if word is not None]}
    return schema
