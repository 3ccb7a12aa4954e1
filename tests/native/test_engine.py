"""The compiled module: options, descriptors, errors, forks."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from penstock import _native as native
else:
    native = pytest.importorskip("penstock._native", reason="the native library is not built")

pytestmark = pytest.mark.native

OPTIONS = {"workers": 1, "max_connections": 0, "log": {"level": "error", "format": "json"}, "instance": "test"}


def make() -> native.Engine:
    return native.Engine(json.dumps(OPTIONS).encode())


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="colour"):
        native.Engine(json.dumps({**OPTIONS, "colour": "red"}).encode())


def test_options_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="options"):
        native.Engine(b"{")


def test_a_snapshot_that_is_refused_leaves_the_engine_unstarted_and_stoppable() -> None:
    engine = make()
    with pytest.raises(ValueError, match="line 1"):
        engine.start(b"{", [])
    assert engine.idle()
    assert engine.stop(1000)
    assert engine.stop(1000), "stopping again does nothing"


def test_a_listener_with_an_unknown_role_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ValueError, match="role"):
        make().start(b"{}", [(listener.fileno(), "metrics")])


def test_a_descriptor_that_is_not_open_is_an_os_error() -> None:
    engine = make()
    beyond = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2**31 - 1)
    with pytest.raises(OSError, match=r"\[Errno 9\]"):
        engine.start(b"{}", [(beyond, "data")])
    with pytest.raises(ValueError, match="not a file descriptor"):
        engine.start(b"{}", [(-1, "data")])


def test_the_question_descriptor_is_silent_while_nothing_is_asked() -> None:
    engine = make()
    readable, _, _ = select.select([engine.question_fd], [], [], 0)
    assert readable == []
    assert engine.questions() == []
    engine.answer(1, b"nobody asked")


def test_status_is_a_json_object() -> None:
    status = json.loads(make().status())
    assert status["workers"] == 1
    assert status["instance"] == "test"


def test_error_codes_are_unique_and_have_an_error_status() -> None:
    codes = native.error_codes()
    assert len({code for code, _ in codes}) == len(codes)
    assert all(400 <= status <= 599 for _, status in codes)
    assert dict(codes)["upstream_connect"] == 502


def test_an_engine_refuses_to_work_in_a_fork() -> None:
    engine = make()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            engine.idle()
            said = "nothing"
        except RuntimeError as error:
            said = str(error)
        os.write(write, said.encode())
        del engine
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert b"after a fork" in answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.idle()


def test_limits_are_told_by_scope_and_another_scope_is_refused() -> None:
    engine = make()
    assert json.loads(engine.limits_use("global", "")) == []
    assert engine.limits_reset("key", "open") is False
    for ask in (engine.limits_use, engine.limits_reset):
        with pytest.raises(ValueError, match="planet"):
            ask("planet", "earth")


def test_what_limits_used_earlier_is_refused_whole_unless_all_of_it_can_be_read() -> None:
    engine = make()
    engine.limits_earlier(b'[["key","k",1,2,3,4],["global","",1,2,3,4]]')
    wrong = (b"{", b'[["key","k",1,2,3]]', b'[["global","",1,2,3,4],["planet","k",1,2,3,4]]', b'[["key","k",-1,2,3,4]]')
    for each in wrong:
        with pytest.raises(ValueError, match=r"planet|line 1"):
            engine.limits_earlier(each)


def test_what_is_said_of_sinks_is_refused_unless_it_is_a_list_of_facts() -> None:
    engine = make()
    engine.sinks(b'[{"name":"jsonl:-","records":1,"skipped":0,"failures":0,"lag_us":0}]')
    for wrong in (b"{", b'[{"name":"jsonl:-"}]', b'[{"name":7}]'):
        with pytest.raises(ValueError, match="line 1"):
            engine.sinks(wrong)
