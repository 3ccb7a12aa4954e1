"""What a reload cannot change."""

from __future__ import annotations

from penstock.config.diff import keep_settled, settled_changes
from penstock.config.model import Config


def test_fields_settled_at_the_start_are_named_and_kept() -> None:
    running = Config()
    wanted = Config(listen=("127.0.0.1:1",), workers=3, max_attempts=2)
    assert settled_changes(running, wanted) == ["listen", "workers"]
    assert keep_settled(running, wanted) == Config(max_attempts=2)


def test_nothing_settled_changed() -> None:
    assert settled_changes(Config(), Config(keepalive=1000)) == []
