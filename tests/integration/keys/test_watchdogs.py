"""What every test is held to at its end does bite: a key of ours at a provider, a secret in a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.keys.secret import new_key_text
from tests.support.gateway import Gateway
from tests.support.loop import LoopThread
from tests.support.raw import get
from tests.support.script import answer
from tests.support.upstream import Upstream


@pytest.mark.parametrize("header", ["authorization", "X-Penstock-Key", "cookie"])
def test_an_upstream_that_gets_a_key_of_ours_says_so_at_its_end(loop: LoopThread, header: str) -> None:
    upstream = Upstream(loop, lambda seen: answer({}))
    text = new_key_text().text if header != "X-Penstock-Key" else "anything"
    get(f"127.0.0.1:{upstream.port}", "/v1/models", {header: text})
    upstream.reset()
    with pytest.raises(AssertionError, match="went upstream"):
        upstream.__exit__(None, None, None)


@pytest.mark.parametrize("what", ["key", "hash", "noted", "token"])
def test_a_log_that_holds_a_secret_is_found_out(tmp_path: Path, what: str) -> None:
    gateway = Gateway(tmp_path, {})
    gateway.data_dir.mkdir()
    (gateway.data_dir / "admin.token").write_text("the-token-of-the-first-start\n")
    gateway.secrets.add("a-secret-that-a-test-knows")
    shown = {
        "key": new_key_text().text,
        "hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        "noted": "a-secret-that-a-test-knows",
        "token": "the-token-of-the-first-start",
    }
    gateway.log_file.write_text(f'{{"message":"{shown[what]}"}}\n')
    with pytest.raises(AssertionError, match="a secret stands in the log"):
        gateway.assert_no_secret()
    gateway.log_file.write_text('{"message":"the key sk-pen-0123456789ab-******** was made"}\n')
    gateway.assert_no_secret()
