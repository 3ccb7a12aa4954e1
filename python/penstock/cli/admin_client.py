"""What the commands that administer share: one call, to a running process or straight on the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import click

from penstock.cli.admin_http import CallError, NobodyListensError, Transport, to_listener, to_url
from penstock.cli.options import WRONG, config_option, find_config, refuse

FAILED = 1
PAGE = 1000
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_ADMIN_HELP = "A process elsewhere: http://HOST:PORT, https://HOST or unix:/PATH; else the one of data_dir."
_TOKEN_HELP = "The file with the admin token; else admin.token in data_dir."  # noqa: S105


def admin_options(command: CommandT) -> CommandT:
    """`-c`, `--admin` and `--token-file`."""
    command = click.option("--token-file", metavar="FILE", help=_TOKEN_HELP)(command)
    command = click.option("--admin", metavar="URL", help=_ADMIN_HELP)(command)
    return config_option(command)


class Client:
    """Calls that either work or end the command with one line for each problem."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def call(self, method: str, *path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """The body of a successful answer; `path` is what follows /admin/v1, step by step."""
        status, answer = self.try_call(method, *path, body=body, query=query)
        if status >= 400:
            fail(problem_lines(answer), WRONG if status == 400 else FAILED)
        return answer

    def try_call(
        self, method: str, *path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Status and body, whatever they say. Raises `click.UsageError` for an empty step: it would mean a listing."""
        if not all(path):
            raise click.UsageError("an id or name is empty")
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = "/admin/v1/" + "/".join(quote(step, safe="") for step in path)
        target += f"?{urlencode(given)}" if given else ""
        try:
            return self._transport.call(method, target, body)
        except CallError as error:
            fail([str(error)])

    def items(self, *path: str, query: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """A whole listing, piece by piece."""
        cursor = None
        while True:
            piece = self.call("GET", *path, query={**(query or {}), "cursor": cursor, "limit": PAGE})
            yield from piece["items"]
            cursor = piece["next"]
            if cursor is None:
                return

    def find_team(self, given: str) -> dict[str, Any]:
        """A team by its id, else by its name; ends the command when there is none."""
        return dict(self.call("GET", "teams", given))


@contextmanager
def connected(config: str | None, admin: str | None, token_file: str | None) -> Iterator[Client]:
    """A client for the process that these options mean; without a running one, for its store."""
    try:
        transport = _transport(find_config(config), admin, token_file)
    except CallError as error:
        fail([str(error)])
    try:
        yield Client(transport)
    finally:
        transport.close()


def problem_lines(answer: Any) -> list[str]:
    """What an error of the API says, one line for each problem."""
    if not isinstance(answer, dict):
        return ["the admin API failed without saying why"]
    faults = [each for each in answer.get("errors", ()) if isinstance(each, dict) and "message" in each]
    if answer.get("code") == "invalid_request" and faults:
        return [f"{each['field']}: {each['message']}" if each.get("field") else str(each["message"]) for each in faults]
    return [str(answer.get("detail") or answer.get("title") or "the admin API failed without saying why")]


def fail(lines: list[str], code: int = FAILED) -> NoReturn:
    """Every line on standard error, then the end."""
    for line in lines:
        click.echo(line, err=True)
    raise SystemExit(code)


def _transport(file: str | None, admin: str | None, token_file: str | None) -> Transport:
    from penstock.config.load import load_places
    from penstock.config.problem import ConfigError
    from penstock.instance import is_alive

    if admin is not None and token_file is not None:
        return _remote(admin, _token(token_file))  # needs no configuration
    try:
        places = load_places(file, os.environ)
    except ConfigError as error:
        refuse(error)
    path = token_file or os.path.join(places.data_dir, "admin.token")
    if admin is not None:
        return _remote(admin, _token(path))
    if token_file is None and not is_alive(places.data_dir):
        return _local(file)  # whoever listens at the address is somebody else, and none to show the token to
    for address in places.admin.listen:
        try:
            return to_listener(address, _token_of(path, address))
        except NobodyListensError:
            continue
        except ValueError:
            break  # the whole check below says what is wrong with it
    return _local(file)


def _remote(url: str, token: str) -> Transport:
    try:
        return to_url(url, token)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None


def _token(path: str) -> str:
    from penstock.admin.token import TokenError, read_token

    try:
        return read_token(path)
    except TokenError as error:
        advice = "run as the user of the gateway, or name the file with --token-file"
        raise CallError(f"{error}; {advice}") from None


def _token_of(path: str, address: str) -> str:
    """The token for an address, when somebody listens there; one that nobody needs is not missed."""
    try:
        return _token(path)
    except CallError:
        to_listener(address, "-").close()  # raises when nobody does
        raise


def _local(file: str | None) -> Transport:
    from penstock.config.load import load
    from penstock.config.problem import ConfigError

    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        refuse(error)
    from penstock.cli.admin_local import LocalTransport

    return LocalTransport(loaded, os.environ)
