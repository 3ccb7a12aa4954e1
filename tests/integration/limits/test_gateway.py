"""A gateway that shares its limits by a real Redis: what it says of that, and what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT
from tests.support.raw import get
from tests.support.redis import Redis
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until

pytestmark = pytest.mark.redis

REASON = "shared limits: Redis does not answer"
SOCKETS = 5
"""To Redis: kept on purpose, and not all there at the start."""


@pytest.fixture
def server() -> Iterator[Redis]:
    """One that a test may end."""
    with Redis() as running:
        yield running


class Sharing(Gateway):
    """A gateway with a limit of its key that nodes share."""

    def __init__(self, directory: Path, upstream: Upstream, server: Redis, **shared: Any) -> None:
        directory.mkdir(exist_ok=True)
        where = {"url": server.url, "timeout": "500ms"} | shared
        limits = {"default": {"requests": "5/min", "away": "closed"}}
        super().__init__(directory, config_of(upstream, shared=where, limits=limits))

    def start(self) -> None:
        super().start()
        self.baseline["sockets"] += SOCKETS

    def used(self) -> int:
        return int(self.ask("GET", "/admin/v1/limits/key/open").json()["limits"][0]["used"])

    def shared(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["shared"]
        return found

    def is_away(self) -> bool:
        return bool(self.shared()["away"])


def test_it_says_where_limits_are_shared_and_when_redis_is_away(
    upstream: Upstream, server: Redis, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    with Sharing(tmp_path, upstream, server) as gateway:
        shared = gateway.shared()
        assert (shared["url"], shared["away"], shared["error"], shared["nodes"]) == (server.url, False, None, 1)
        assert re.fullmatch("[0-9a-f]{16}", shared["node"])
        assert get(gateway.admin[0], "/health/ready").json() == {"status": "ready"}
        server.kill()
        until(gateway.is_away, "Redis is away", 1.5)
        ready = get(gateway.admin[0], "/health/ready")
        assert (ready.status, ready.json()) == (200, {"status": "degraded", "reasons": [REASON]})
        assert gateway.metrics().value("penstock_shared_up") == 0
        refused = ask(gateway, CHAT, stream=False)
        assert (refused.status, refused.error_code) == (503, "store_unavailable")
        assert refused.header("x-penstock-limits-away") == "closed"
        server.start()
        until(lambda: not gateway.is_away(), "Redis is back", 5.0)
        assert get(gateway.admin[0], "/health/ready").json() == {"status": "ready"}
        assert ask(gateway, CHAT, stream=False).status == 200
    said = [record["message"] for record in gateway.log_records() if record["message"].startswith("shared limits")]
    assert said == [
        f"{REASON}; until it does each limit goes by its policy `away`",
        "shared limits: Redis answers again",
    ]
    assert (tmp_path / "data/node").stat().st_mode & 0o777 == 0o600


def test_two_nodes_count_together_and_a_reset_on_one_is_one_on_both(
    upstream: Upstream, server: Redis, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    with Sharing(tmp_path / "one", upstream, server) as one, Sharing(tmp_path / "two", upstream, server) as two:
        until(lambda: {each.shared()["nodes"] for each in (one, two)} == {2}, "both know of two")
        answers = [ask(node, CHAT, stream=False).status for node in (one, two) * 5]
        assert answers.count(200) == 5
        assert set(answers) == {200, 429}
        assert one.used() + two.used() >= 5
        reset = ("limits", "reset", "key", "open", "--admin", f"http://{one.admin[0]}", "--token-file")
        done = run(*reset, str(one.data_dir / "admin.token"))
        assert (done.returncode, done.stdout) == (0, "began anew: key open\n"), done.stderr
        until(lambda: ask(two, CHAT, stream=False).status == 200, "there is room on the other node")
        server.kill()
        until(one.is_away, "Redis is away", 1.5)
        refused = run(*reset, str(one.data_dir / "admin.token"))
        assert refused.returncode == 1
        assert "nothing began anew" in refused.stderr


def test_a_node_that_stops_is_no_longer_counted_and_one_that_crashed_comes_back_as_itself(
    upstream: Upstream, server: Redis, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    with Sharing(tmp_path / "one", upstream, server) as one:
        with Sharing(tmp_path / "two", upstream, server) as two:
            until(lambda: one.shared()["nodes"] == 2, "two are there")
            before = two.shared()["node"]
            two.kill()
            two.start()
            assert two.shared()["node"] == before
            assert one.shared()["nodes"] == 2
        until(lambda: one.shared()["nodes"] == 1, "the other has left")


def test_a_password_is_shown_nowhere_and_may_become_right_later(
    upstream: Upstream, server: Redis, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    password = tmp_path / "password"
    password.write_text("hunter22hunter22\n")
    gateway = Sharing(tmp_path / "one", upstream, server, password_file=str(password))
    gateway.secrets.add("hunter22hunter22")
    with gateway:
        assert gateway.is_away()  # Redis has no password, and refuses ours
        assert server.call("CONFIG", "SET", "requirepass", "hunter22hunter22") == "+OK"
        until(lambda: not gateway.is_away(), "the password is right now")
