"""The first start: it says how a key is made, in words that work, and may listen for everybody."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.machine import free_port
from tests.support.gateway import Gateway, run
from tests.support.office import Office, verdict
from tests.support.raw import exchange, get, request
from tests.support.upstream import Upstream

from .conftest import config

ADVICE = re.compile(r"there is no key yet; this makes one: (penstock .*)$")


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    """As people write it: no word on `auth`, addresses for everybody, ports that are known."""
    listen = {"listen": f"0.0.0.0:{free_port()}", "admin": {"listen": f"127.0.0.1:{free_port()}"}}
    mine = config(upstream, **listen)
    gateway = Gateway(tmp_path, mine)
    del gateway.config["auth"]
    with gateway:
        gateway.data = [gateway.address.replace("0.0.0.0", "127.0.0.1")]
        yield gateway


def advice(gateway: Gateway) -> list[str]:
    found = [ADVICE.search(record["message"]) for record in gateway.log_records()]
    return [each[1] for each in found if each]


def test_the_command_that_it_prints_makes_a_key_that_works(gateway: Gateway) -> None:
    assert get(gateway.address, "/v1/models").status == 401
    (command,) = advice(gateway)
    program, *arguments = shlex.split(command.replace("NAME", "first"))
    assert program == "penstock"
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    gateway.secrets.add(key)
    assert verdict(gateway, key) == "ok"
    gateway.stop()
    gateway.start()
    assert len(advice(gateway)) == 1, "it says so though there is a key"


def test_the_command_works_from_another_folder_while_nothing_runs(gateway: Gateway, tmp_path: Path) -> None:
    (command,) = advice(gateway)
    gateway.stop()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run(*shlex.split(command.replace("NAME", "first"))[1:], cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    gateway.start()
    key = done.stdout.strip()
    gateway.secrets.add(key)
    gateway.data = [gateway.address.replace("0.0.0.0", "127.0.0.1")]
    assert verdict(gateway, key) == "ok"


def test_hosts_and_origins_are_free_where_there_are_keys(gateway: Gateway) -> None:
    key = Office(gateway).make()
    headers = {"authorization": f"Bearer {key.text}", "origin": "https://app.example"}
    got = exchange(gateway.address, request("GET", "/v1/models", headers=headers, host="llm.example"), "GET")
    assert got.status == 200, got.body
