"""The OpenAPI document says what the table does."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest

from penstock.errors import ADMIN_TABLE, TABLE
from tests.unit.admin.conftest import Api


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    got = await api.ask("GET", "/admin/v1/openapi.json")
    assert got.status == 200
    return dict(got.json)


async def test_every_route_is_described_once(api: Api, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in api.table.routes}
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)
    assert document["openapi"].startswith("3.1")


async def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    used = set(re.findall(r"'#/components/schemas/([^']+)'", repr(document)))
    assert used == set(document["components"]["schemas"])


async def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for name in document["components"]["schemas"]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema)


async def test_what_is_answered_fits_what_is_described(api: Api, document: dict[str, Any]) -> None:
    def fits(path: str, method: str, status: int, value: Any) -> None:
        schema = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
        jsonschema_rs.validate(schema | {"components": document["components"]}, value)

    made = await api.ask("POST", "/admin/v1/keys", {"name": "a", "models": ["fast"]})
    fits("/admin/v1/keys", "post", 201, made.json)
    fits("/admin/v1/keys", "get", 200, (await api.ask("GET", "/admin/v1/keys")).json)
    team = await api.ask("POST", "/admin/v1/teams", {"name": "a"})
    fits("/admin/v1/teams", "post", 201, team.json)
    fits("/admin/v1/changes", "get", 200, (await api.ask("GET", "/admin/v1/changes")).json)


async def test_every_problem_lists_what_to_mend_as_it_is_described(api: Api, document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["properties"]["errors"]["items"] == {"$ref": "#/components/schemas/Fault"}
    assert schemas["Fault"]["required"] == ["field", "message"]
    # Only what is described, though others may add to it.
    strict = {name: schema | {"additionalProperties": name != "Fault"} for name, schema in schemas.items()}
    await api.ask("POST", "/admin/v1/teams", {"name": "a"})
    api.process.wrong = True
    for method, path, body, status in (
        ("POST", "/admin/v1/keys", {}, 400),
        ("GET", "/admin/v1/keys/none", None, 404),
        ("POST", "/admin/v1/teams", {"name": "a"}, 409),
        ("POST", "/admin/v1/reload", None, 422),
    ):
        got = await api.ask(method, path, body)
        assert (got.status, bool(got.json["errors"])) == (status, True)
        jsonschema_rs.validate(strict["Problem"] | {"components": {"schemas": strict}}, got.json)


async def test_every_code_of_a_route_stands_in_the_table(api: Api) -> None:
    known = {row.code for row in (*TABLE, *ADMIN_TABLE)}
    assert {code for route in api.table.routes for code in route.codes} <= known


async def test_what_a_viewer_may_not_do_says_so(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for method, operation in methods.items():
            assert ("403" in operation["responses"]) is (method != "get")
            assert {"401", "503", "default"} <= set(operation["responses"])
