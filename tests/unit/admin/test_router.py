"""Admin requests: token, path, method, answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.admin.handlers import table
from penstock.admin.message import Answer, Request, json_answer
from penstock.admin.router import Router
from penstock.config.problem import ConfigError, Mark, Problem
from penstock.observe.logs import Log

TOKEN = "pen-admin-0123456789"


class FakeProcess:
    """A process whose configuration is wrong on demand."""

    def __init__(self) -> None:
        self.reloads = 0
        self.wrong = False

    def status(self) -> dict[str, object]:
        return {"version": "1"}

    def reload(self) -> list[str]:
        if self.wrong:
            raise ConfigError([Problem(Mark("f.yaml", 3, 4), ("listen", 0), "is bad", "do better")])
        self.reloads += 1
        return ["listen changes with the next restart"]


def payload(method: str, path: str, token: str | None = TOKEN, body: bytes = b"") -> bytes:
    headers = [] if token is None else [["Authorization", f"Bearer {token}"]]
    return msgspec.json.encode({"method": method, "path": path, "query": "", "headers": headers}) + b"\n" + body


async def asked(router: Router, request: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = (await router(request)).partition(b"\n")
    answer = msgspec.json.decode(head)
    return answer["status"], dict(answer["headers"]), msgspec.json.decode(body)


@pytest.fixture
def process() -> FakeProcess:
    return FakeProcess()


@pytest.fixture
def lines() -> list[bytes]:
    return []


@pytest.fixture
def router(process: FakeProcess, lines: list[bytes]) -> Router:
    return Router(TOKEN, table(process), Log(write=lines.append))


async def test_status_is_told_to_whoever_has_the_token(router: Router) -> None:
    status, headers, body = await asked(router, payload("GET", "/admin/v1/status"))
    assert (status, body) == (200, {"version": "1"})
    assert headers == {"content-type": "application/json", "cache-control": "no-store"}


@pytest.mark.parametrize(
    ("token", "code"), [(None, "missing_api_key"), ("", "invalid_api_key"), (TOKEN + "x", "invalid_api_key")]
)
async def test_nothing_is_told_without_the_token(router: Router, token: str | None, code: str) -> None:
    for path in ("/admin/v1/status", "/admin/v1/nothing"):
        status, headers, body = await asked(router, payload("GET", path, token))
        assert (status, body["code"], headers["x-penstock-error"]) == (401, code, code)
        assert headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in headers
        assert TOKEN not in str(body)


async def test_a_reload_passes_its_warnings_on(router: Router, process: FakeProcess) -> None:
    status, _, body = await asked(router, payload("POST", "/admin/v1/reload"))
    assert (status, process.reloads) == (200, 1)
    assert body == {"reloaded": True, "warnings": ["listen changes with the next restart"]}


async def test_a_refused_reload_lists_every_error_with_its_place(router: Router, process: FakeProcess) -> None:
    process.wrong = True
    status, headers, body = await asked(router, payload("POST", "/admin/v1/reload"))
    assert (status, headers["x-penstock-error"]) == (422, "invalid_configuration")
    place = {"file": "f.yaml", "line": 3, "column": 4, "field": "listen[0]", "message": "is bad", "hint": "do better"}
    assert body["errors"] == [place]


async def test_another_method_is_told_which_ones_work(router: Router) -> None:
    status, headers, body = await asked(router, payload("DELETE", "/admin/v1/status"))
    assert (status, headers["allow"], body["code"]) == (405, "GET, HEAD", "method_not_allowed")
    assert (await asked(router, payload("HEAD", "/admin/v1/status")))[0] == 200


async def test_another_path_is_told_which_ones_there_are(router: Router) -> None:
    status, _, body = await asked(router, payload("GET", "/admin/v1/nothing"))
    assert (status, body["code"]) == (404, "path_not_found")
    assert body["paths"] == ["/admin/v1/reload", "/admin/v1/status"]


async def test_a_handler_that_fails_is_an_answer_and_a_log_line(lines: list[bytes]) -> None:
    async def fail(_: Request) -> Answer:
        raise KeyError("lost")

    router = Router(TOKEN, {"/x": {"GET": fail}}, Log(write=lines.append))
    status, _, body = await asked(router, payload("GET", "/x"))
    assert (status, body["code"]) == (500, "internal")
    assert "lost" not in str(body)
    assert b"KeyError('lost')" in lines[0]


async def test_a_payload_that_is_no_request_is_answered_too(router: Router) -> None:
    assert (await asked(router, b"not json\n"))[0] == 400


async def test_the_body_reaches_the_handler_as_it_came(lines: list[bytes]) -> None:
    async def echo(request: Request) -> Answer:
        return json_answer({"body": request.body.decode(), "type": request.header("authorization") is not None})

    router = Router(TOKEN, {"/x": {"PUT": echo}}, Log(write=lines.append))
    assert (await asked(router, payload("PUT", "/x", body=b"a\nb\n")))[2] == {"body": "a\nb\n", "type": True}
