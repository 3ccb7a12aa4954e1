"""Many secrets of one id at the same moment: each gets its own verdict, and a wrong one slows its sender alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.keys.secret import new_key_text
from tests.support.gateway import Gateway
from tests.support.office import Made, Office, use
from tests.support.upstream import Upstream

from .conftest import config

AT_ONCE = 24


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, config(upstream, trusted_proxies=["127.0.0.1"])) as running:
        yield running


def forget(gateway: Gateway) -> None:
    """No secret is verified any more: its digests were made with another key."""
    gateway.stop()
    (gateway.data_dir / "digest.key").unlink()
    gateway.start()


def ask(gateway: Gateway, key: str, client: str) -> str:
    answer = use(gateway, key, headers={"x-forwarded-for": client})
    return answer.error_code or str(answer.status)


def made(office: Office, count: int) -> list[Made]:
    return [office.make(f"app-{number}") for number in range(count)]


def test_right_and_wrong_secrets_at_once_never_share_a_verdict(gateway: Gateway, rounds: int) -> None:
    office = Office(gateway)
    keys = made(office, 4)
    for _ in range(max(1, rounds // 10)):
        forget(gateway)
        asked: list[tuple[str, str, bool]] = []
        for number, key in enumerate(keys):
            wrong = [new_key_text(key.id).text for _ in range(6)]
            office.note(*wrong)
            asked += [(key.text, f"10.0.{number}.{n}", True) for n in range(12)]
            asked += [(text, f"10.1.{number}.{n}", False) for n, text in enumerate(wrong * 2)]
        random.shuffle(asked)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = list(pool.map(lambda each: ask(gateway, each[0], each[1]), asked))
        right = {verdict for verdict, each in zip(told, asked, strict=True) if each[2]}
        wrongs = {verdict for verdict, each in zip(told, asked, strict=True) if not each[2]}
        assert right == {"200"}
        assert wrongs == {"invalid_api_key"}


def test_a_secret_that_many_show_at_once_is_verified_once(gateway: Gateway) -> None:
    key = made(Office(gateway), 1)[0]
    forget(gateway)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = Counter(pool.map(lambda n: ask(gateway, key.text, f"10.0.0.{n}"), range(AT_ONCE)))
    assert told == {"200": AT_ONCE}
    assert gateway.metrics().value("penstock_keys") == 1


def test_a_wrong_secret_makes_its_sender_wait_and_nobody_else(gateway: Gateway) -> None:
    office = Office(gateway)
    key = made(office, 1)[0]
    forget(gateway)
    wrong = [new_key_text(key.id).text for _ in range(8)]
    office.note(*wrong)
    assert ask(gateway, wrong[0], "10.0.0.1") == "invalid_api_key"
    guessed = Counter(ask(gateway, text, "10.0.0.1") for text in wrong[1:])
    assert guessed["rate_limit_requests"] >= 6
    assert set(guessed) <= {"rate_limit_requests", "invalid_api_key"}
    slow = use(gateway, wrong[-1], headers={"x-forwarded-for": "10.0.0.1"})
    if slow.status == 429:
        assert int(slow.header("retry-after") or 0) >= 1
    assert ask(gateway, key.text, "10.0.0.2") == "200"
    # Verified by now, so that even the guesser may use the right one.
    assert ask(gateway, key.text, "10.0.0.1") == "200"


def test_unknown_ids_and_wrong_checksums_cost_no_question(gateway: Gateway) -> None:
    office = Office(gateway)
    made(office, 1)
    before = gateway.metrics().value("penstock_questions_total", kind="verify")
    for _ in range(20):
        text = new_key_text().text
        office.note(text)
        assert ask(gateway, text, "10.0.0.1") == "invalid_api_key"
        assert ask(gateway, f"{text[:-1]}{'a' if text[-1] != 'a' else 'b'}", "10.0.0.1") == "invalid_api_key"
    after = gateway.metrics()
    assert after.value("penstock_questions_total", kind="verify") == before
    assert after.value("penstock_auth_total", result="unknown") == 20
    assert after.value("penstock_auth_total", result="malformed") == 20
