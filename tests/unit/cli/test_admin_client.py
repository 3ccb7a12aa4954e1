"""Which process or store a command talks to, and what it says when that comes to nothing."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, ClassVar

import pytest

from penstock.cli.admin_client import problem_lines
from penstock.cli.admin_http import AGAIN, CallError, NobodyListensError, to_listener, to_url
from penstock.instance import Instance
from tests.unit.cli.conftest import Run

TOKEN = "pen-admin-0123456789"
LISTED: dict[str, Any] = {"items": [], "next": None}


class Answering(BaseHTTPRequestHandler):
    """Answers as it is told, and remembers what it was asked."""

    asked: ClassVar[list[tuple[str, str, str | None, bytes]]]
    answer: tuple[int, str, bytes]
    later: ClassVar[int] = 0
    why: ClassVar[str] = "overloaded"
    """So many answers say to come again."""

    def answer_it(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.asked.append((self.command, self.path, self.headers.get("authorization"), body))
        status, kind, content = self.answer
        if status == 0:
            return  # leaves without a word
        if type(self).later > 0:
            type(self).later -= 1
            self.send_response(503)
            self.send_header("retry-after", "0")
            self.send_header("content-type", "application/problem+json")
            told = json.dumps({"code": self.why}).encode()
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)
            return
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer_it

    def log_message(self, *_: object) -> None:
        return

    def address_string(self) -> str:
        return "unix"


class UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class Served:
    """A server on TCP or a Unix socket that stands in for a running process."""

    def __init__(self, path: str | None = None) -> None:
        class Handler(Answering):
            asked: ClassVar = []
            answer = (200, "application/json", b"{}")

        self.handler: type[Answering] = Handler
        if path is None:
            server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
            self.address = f"127.0.0.1:{server.server_address[1]}"
        else:
            server = UnixServer(path, self.handler)  # type: ignore[assignment]
            self.address = f"unix:{path}"
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def asked(self) -> list[tuple[str, str, str | None, bytes]]:
        return self.handler.asked

    def answers(self, status: int, content: Any, kind: str = "application/json") -> None:
        self.handler.answer = (status, kind, content if isinstance(content, bytes) else json.dumps(content).encode())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[None]:
    """A process that serves from the data_dir of `write_config`."""
    instance = Instance(str(tmp_path / "data"))
    yield
    instance.close()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def write_config(tmp_path: Path, listen: str, more: str = "") -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "penstock.yaml").write_text(
        f"admin: {{listen: ['{listen}'], tokens: [{{name: ops, token: '${{env:NOT_HERE}}'}}]}}\ndata_dir: data\n"
        f"providers: {{openai: {{api_key: '${{env:NOT_HERE}}'}}}}\n{more}"
    )


@pytest.mark.usefixtures("running")
def test_a_running_process_is_asked_with_the_token_of_its_data_dir(run: Run, served: Served, tmp_path: Path) -> None:
    """What its providers need is not needed here."""
    write_config(tmp_path, served.address)
    (tmp_path / "data/admin.token").write_text(TOKEN + "\n")
    served.answers(200, LISTED)
    assert run("keys", "list", "--json").stdout == "[]\n"
    assert served.asked == [("GET", "/admin/v1/keys?limit=1000", f"Bearer {TOKEN}", b"")]


@pytest.mark.usefixtures("running")
def test_a_running_process_is_found_on_a_unix_socket(run: Run, tmp_path: Path) -> None:
    unix = Served(str(tmp_path / "admin.sock"))
    try:
        write_config(tmp_path, unix.address)
        (tmp_path / "data/admin.token").write_text(TOKEN)
        unix.answers(201, {"id": "k", "name": "a", "key": "sk-pen-x"})
        assert run("keys", "create", "--name", "a").stdout == "sk-pen-x\n"
        assert unix.asked[0][3] == b'{"name":"a"}'
    finally:
        unix.close()


def test_whoever_listens_where_no_process_serves_from_data_dir_gets_no_token(
    run: Run, served: Served, tmp_path: Path
) -> None:
    """Such as the gateway of another data_dir on the usual port."""
    write_config(tmp_path, served.address)
    (tmp_path / "data/admin.token").write_text(TOKEN)
    made = run("keys", "create", "--name", "app", NOT_HERE="x" * 20)
    assert made.exit_code == 0, made.stderr
    assert not served.asked
    assert (tmp_path / "data/penstock.sqlite").exists()


def test_a_token_that_is_named_goes_to_the_configured_address(run: Run, served: Served, tmp_path: Path) -> None:
    """Its process may serve from a data_dir that is not here."""
    write_config(tmp_path, served.address)
    (tmp_path / "token").write_text(TOKEN)
    served.answers(200, LISTED)
    assert run("keys", "list", "--token-file", "token").exit_code == 0
    assert served.asked[0][2] == f"Bearer {TOKEN}"


def test_a_process_elsewhere_needs_no_configuration(run: Run, served: Served, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    served.answers(200, LISTED)
    assert run("keys", "list", "--admin", f"http://{served.address}", "--token-file", "token").exit_code == 0
    assert served.asked[0][2] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("url", ["ftp://h", "127.0.0.1:4001", "http://h/admin/v1", "http://u:p@h", "http://", "unix:x"])
def test_an_address_that_is_none_is_wrong_use(run: Run, tmp_path: Path, url: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    done = run("keys", "list", "--admin", url, "--token-file", "token")
    assert done.exit_code == 2
    assert "--admin" in done.stderr


@pytest.mark.usefixtures("running")
def test_a_token_that_cannot_be_read_is_told_when_somebody_listens(run: Run, served: Served, tmp_path: Path) -> None:
    write_config(tmp_path, served.address)
    done = run("keys", "list")
    assert done.exit_code == 1
    assert "data/admin.token cannot be read: No such file" in done.stderr
    assert "--token-file" in done.stderr
    assert not served.asked


def test_where_nobody_listens_the_whole_configuration_is_needed(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, free_address())
    done = run("keys", "list")
    assert done.exit_code == 2
    assert "providers.openai.api_key: the environment variable NOT_HERE is not set" in done.stderr


def test_a_configuration_that_cannot_be_read_is_wrong_use(run: Run, tmp_path: Path) -> None:
    assert run("keys", "list", "-c", "/not/there").exit_code == 2
    write_config(tmp_path, "nonsense")
    done = run("keys", "list", NOT_HERE="x" * 20)
    assert done.exit_code == 2
    assert "expected host:port" in done.stderr


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ((401, {"code": "invalid_api_key", "detail": "No."}), ["No."]),
        ((403, {"code": "forbidden", "detail": "Only read."}), ["Only read."]),
        ((409, {"code": "conflict", "detail": "taken", "errors": [{"field": "name", "message": "taken"}]}), ["taken"]),
        ((500, {"title": "internal"}), ["internal"]),
        ((503, []), ["the admin API failed without saying why"]),
    ],
)
def test_an_error_of_the_api_is_said_and_ends_with_1(
    run: Run, served: Served, tmp_path: Path, answer: tuple[int, Any], lines: list[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    served.answers(*answer, "application/problem+json")
    done = run("keys", "list", "--admin", f"http://{served.address}", "--token-file", "token")
    assert (done.exit_code, done.stderr.splitlines()) == (1, lines)


def test_another_server_is_not_taken_for_a_penstock(served: Served) -> None:
    served.answers(200, b"<html>", "text/html")
    with closing(to_listener(served.address, TOKEN)) as transport:
        with pytest.raises(CallError, match="is it the admin port of a Penstock"):
            transport.call("GET", "/admin/v1/keys")
        served.answers(200, b"{", "application/json")
        with pytest.raises(CallError, match="not with JSON"):
            transport.call("GET", "/admin/v1/keys")


def test_a_connection_that_is_cut_says_that_the_change_may_have_been_made(served: Served) -> None:
    served.answers(0, b"")
    with closing(to_listener(served.address, TOKEN)) as transport:
        with pytest.raises(CallError, match=r"did not answer.*whether it was done"):
            transport.call("POST", "/admin/v1/keys", {})
        with pytest.raises(CallError) as error:
            transport.call("GET", "/admin/v1/keys")
    assert "whether" not in str(error.value)
    assert TOKEN not in str(error.value)


def test_an_answer_without_a_body_is_none(served: Served) -> None:
    served.answers(204, b"")
    with closing(to_url(f"http://{served.address}/", TOKEN)) as transport:
        assert transport.call("DELETE", "/admin/v1/keys/k") == (204, None)
        assert transport.call("DELETE", "/admin/v1/keys/k") == (204, None)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é"])
def test_a_token_that_no_header_can_carry_is_not_sent(served: Served, token: str) -> None:
    with pytest.raises(CallError, match="no header can carry"):
        to_listener(served.address, token)


def test_nobody_listening_is_told_apart_from_nobody_let_in(tmp_path: Path) -> None:
    with pytest.raises(NobodyListensError):
        to_listener(free_address(), TOKEN)
    with pytest.raises(NobodyListensError):
        to_listener(f"unix:{tmp_path}/none.sock", TOKEN)
    (tmp_path / "file").write_text("")
    with pytest.raises(NobodyListensError):
        to_listener(f"unix:{tmp_path}/file", TOKEN)
    (tmp_path / "a").mkdir()
    with pytest.raises(CallError) as error:
        to_listener(f"unix:{tmp_path}/file/x", TOKEN)
    assert not isinstance(error.value, NobodyListensError)


def test_problems_are_told_whatever_their_shape() -> None:
    def said(*errors: Any) -> list[str]:
        return problem_lines({"code": "invalid_request", "errors": errors})

    assert said({"field": "a", "message": "b"}, {"field": "", "message": "c"}, {"x": 1}, 7) == ["a: b", "c"]
    assert problem_lines(None) == ["the admin API failed without saying why"]


def test_no_proxy_stands_between(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    served.answers(200, LISTED)
    with closing(to_listener(served.address, TOKEN)) as transport:
        assert transport.call("GET", "/admin/v1/keys")[0] == 200
    assert os.environ["http_proxy"]


@pytest.mark.parametrize(("later", "status"), [(3, 200), (100, 503)])
def test_what_only_asks_is_asked_again_where_too_many_ask(served: Served, later: int, status: int) -> None:
    served.answers(200, LISTED)
    served.handler.later = later
    with closing(to_listener(served.address, TOKEN)) as transport:
        assert transport.call("GET", "/admin/v1/keys")[0] == status
        assert len(served.asked) == min(later, AGAIN) + 1
        served.handler.later = 1
        assert transport.call("POST", "/admin/v1/keys", {})[0] == 503, "what changes something is not"
        served.handler.later, served.handler.why = 1, "store_unavailable"
        assert transport.call("GET", "/admin/v1/keys")[0] == 503, "nor where a store is away"
