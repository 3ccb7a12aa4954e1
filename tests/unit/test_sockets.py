"""Listening sockets."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.config.addresses import Listen
from penstock.sockets import BindError, Listener, bind, bind_all, raise_file_limit


def test_port_0_becomes_the_port_that_was_given() -> None:
    listener = bind(Listen("127.0.0.1", 0), "data")
    assert listener.address.port > 0
    socket.create_connection(("127.0.0.1", listener.address.port), timeout=5).close()
    listener.close()


def test_both_families_may_have_the_same_port() -> None:
    first = bind(Listen("127.0.0.1", 0), "data")
    try:
        second = bind(Listen("::1", first.address.port), "data")
    except BindError:
        pytest.skip("this machine has no IPv6")
    finally:
        first.close()
    second.close()


def test_a_port_in_use_names_who_has_it_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BindError) as error:
            bind(Listen("127.0.0.1", port), "data")
    assert f"127.0.0.1:{port} is already in use by " in str(error.value)
    assert f"(pid {os.getpid()})" in str(error.value)
    assert "choose another address" in str(error.value)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BindError, match="this machine has no such address"):
        bind(Listen("192.0.2.1", 0), "data")


def test_one_that_fails_closes_them_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BindError):
            bind_all(("127.0.0.1:0",), (taken,))
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_unix_socket_is_for_owner_and_group_and_goes_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    listener = bind(Listen(path=str(path)), "data")
    assert path.stat().st_mode & 0o777 == 0o660
    listener.close()
    assert not path.exists()


def test_a_file_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bind(Listen(path=str(path)), "data").close()


def test_a_socket_in_use_and_a_plain_file_are_left_alone(tmp_path: Path) -> None:
    live, plain = tmp_path / "live.sock", tmp_path / "plain"
    plain.write_text("mine")
    first = bind(Listen(path=str(live)), "data")
    with pytest.raises(BindError, match="already in use"):
        bind(Listen(path=str(live)), "data")
    with pytest.raises(BindError, match="is not a socket"):
        bind(Listen(path=str(plain)), "data")
    assert plain.read_text() == "mine"
    first.close()


def test_a_successors_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    first = bind(Listen(path=str(path)), "data")
    path.rename(tmp_path / "old.sock")
    second = bind(Listen(path=str(path)), "data")
    first.close()
    assert path.exists()
    second.close()


def test_closing_twice_does_not_remove_a_successors_socket_with_the_same_inode(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    first = bind(Listen(path=str(path)), "data")
    first.close()
    second = bind(Listen(path=str(path)), "data")
    first.close()
    assert path.exists()
    second.close()


def test_a_file_that_was_replaced_by_one_with_the_same_inode_is_anothers(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    first = bind(Listen(path=str(path)), "data")
    path.rename(tmp_path / "other.sock")
    (tmp_path / "other.sock").rename(path)  # same device and inode, another change time
    first.close()
    assert path.exists()


def test_of_many_starts_on_a_stale_socket_one_wins_and_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    won: list[Listener] = []
    lost: list[BindError] = []

    def start(_: int) -> None:
        try:
            won.append(bind(Listen(path=str(path)), "data"))
        except BindError as error:
            lost.append(error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(64)))
    assert len(won) == 1
    assert all("already in use" in str(error) for error in lost)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        won[0].socket.accept()[0].close()
    won[0].close()


def test_a_missing_directory_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BindError, match=r"/none of a Unix socket: No such file or directory; make it"):
        bind(Listen(path=str(tmp_path / "none" / "p.sock")), "data")


def test_the_soft_limit_on_files_is_raised() -> None:
    import resource

    assert raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
