"""What a reload cannot change."""

from __future__ import annotations

from penstock.config.diff import keep_settled, settled_changes
from penstock.config.model import (
    Admin,
    AllLimits,
    Audit,
    Config,
    Content,
    Hash,
    Keys,
    Price,
    ServerUrl,
    Shared,
    Store,
    Token,
)
from penstock.limits.policy import Limits


def test_fields_settled_at_the_start_are_named_and_kept() -> None:
    running = Config()
    wanted = Config(listen=("127.0.0.1:1",), workers=3, max_attempts=2)
    assert settled_changes(running, wanted) == ["listen", "workers"]
    assert keep_settled(running, wanted) == Config(max_attempts=2)


def test_admin_tokens_change_with_a_reload_and_where_the_admin_port_listens_does_not() -> None:
    running = Config(admin=Admin(listen=("127.0.0.1:1",)))
    wanted = Config(admin=Admin(listen=("127.0.0.1:2",), tokens=(Token(name="ops"),)))
    assert settled_changes(running, wanted) == ["admin.listen"]
    assert keep_settled(running, wanted).admin == Admin(listen=("127.0.0.1:1",), tokens=(Token(name="ops"),))


def test_the_store_and_the_cost_of_a_hash_are_settled() -> None:
    wanted = Config(store=Store(pool=9), keys=Keys(hash=Hash(iterations=3)))
    assert settled_changes(Config(), wanted) == ["store", "keys"]
    assert keep_settled(Config(), wanted) == Config()


def test_whether_and_where_limits_are_shared_is_settled() -> None:
    running = Config(shared=Shared(url=ServerUrl("redis://a")))
    wanted = Config(shared=Shared(url=ServerUrl("redis://b")), keepalive=1000)
    assert settled_changes(running, wanted) == settled_changes(Config(), wanted) == ["shared"]
    assert keep_settled(running, wanted) == Config(shared=running.shared, keepalive=1000)


def test_no_reload_opens_addresses_that_other_machines_reach() -> None:
    """The file may name loopback addresses now: those that are bound stay bound."""
    running = Config(listen=("0.0.0.0:4000",), auth="keys")
    wanted = Config(listen=("127.0.0.1:4000",), auth="open")
    assert settled_changes(running, wanted) == ["listen", "auth"]
    assert keep_settled(running, wanted) == running
    assert keep_settled(Config(), Config(auth="open")).auth == "open"
    assert keep_settled(Config(auth="open"), Config()).auth == "keys"


def test_limits_and_prices_change_with_a_reload() -> None:
    wanted = Config(limits=AllLimits(default=Limits(requests="5/s"), zone="Asia/Tokyo"), prices={"m": Price(input=1)})
    assert settled_changes(Config(), wanted) == []
    assert keep_settled(Config(), wanted) == wanted


def test_which_texts_are_recorded_changes_with_a_reload_and_the_rest_of_auditing_does_not() -> None:
    texts = Content(prompts=True, redact=("a+",))
    wanted = Config(audit=Audit(content=texts, retain=3_600_000))
    assert settled_changes(Config(), Config(audit=Audit(content=texts))) == []
    assert settled_changes(Config(), wanted) == ["audit"]
    assert keep_settled(Config(), wanted) == Config(audit=Audit(content=texts))


def test_nothing_settled_changed() -> None:
    assert settled_changes(Config(), Config(keepalive=1000)) == []
