"""Keys that another gateway made: taken over by their text or by its SHA-256, so that a move rotates nobody's key."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.keys.secret import id_of
from tests.support.gateway import Gateway
from tests.support.office import Made, Office, verdict
from tests.support.wait import until

LITELLM = "sk-8Kd72hSgaPq0Zt5mVbYxLw"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def held(gateway: Gateway, id: str) -> str:
    """What the store holds of a key, as SQL."""
    with closing(sqlite3.connect(gateway.data_dir / "penstock.sqlite")) as store:
        return "\n".join(line for line in store.iterdump() if id in line)


def test_a_secret_from_standard_input_is_a_key_and_its_id_comes_of_it(gateway: Gateway, office: Office) -> None:
    secret = "opaque-secret-of-a-proxy/with+signs=1"
    office.note(secret)
    assert verdict(gateway, secret) == "invalid_api_key"
    done = office.command("keys", "create", "--name", "old", "--secret-stdin", "--json", given=f"{secret}\n")
    assert done.returncode == 0, done.stderr
    issued = json.loads(done.stdout)
    assert issued["id"] == id_of(secret)
    assert secret not in done.stdout + done.stderr
    assert verdict(gateway, secret) == "ok"
    again = office.command("keys", "create", "--name", "old", "--secret-stdin", given=secret)
    assert again.returncode == 1, again.stdout
    assert secret not in again.stdout + again.stderr


@pytest.mark.parametrize(
    "secret", ["sk-1234567890123456", "short", "has a blank in its middle", "ümlaut-" * 5, "a" * 513]
)
def test_a_weak_or_unusable_secret_is_refused(gateway: Gateway, office: Office, secret: str) -> None:
    refused = office.command("keys", "create", "--name", "old", "--secret-stdin", given=secret)
    assert refused.returncode == 2
    assert "secret" in refused.stderr
    assert secret not in refused.stdout + refused.stderr
    assert gateway.ask("POST", "/admin/v1/keys", {"name": "old", "secret": secret}).status == 400
    batch = {"keys": [{"name": "old", "secret": secret}]}
    assert gateway.ask("POST", "/admin/v1/keys/import", batch).status == 400
    if secret.isascii() and " " not in secret:
        assert verdict(gateway, secret) == "invalid_api_key"


def test_a_litellm_key_works_after_the_import_of_its_hash_which_argon2_replaces(
    gateway: Gateway, office: Office, file: Path
) -> None:
    digest = hashlib.sha256(LITELLM.encode()).hexdigest()
    office.note(LITELLM, digest)
    file.write_text(json.dumps({"name": "moved", "sha256": digest, "models": ["m"]}) + "\n")
    done = office.command("keys", "import", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"created": [id_of(LITELLM)], "unchanged": []}
    again = office.command("keys", "import", str(file), "--json")
    assert json.loads(again.stdout) == {"created": [], "unchanged": [id_of(LITELLM)]}
    assert digest in held(gateway, id_of(LITELLM))
    assert verdict(gateway, LITELLM) == "ok"
    assert verdict(gateway, LITELLM, model="m-1") == "model_not_allowed"
    until(lambda: "argon2id" in held(gateway, id_of(LITELLM)), "the hash is an Argon2id one")
    assert digest not in held(gateway, id_of(LITELLM))
    assert verdict(gateway, LITELLM) == "ok"
    assert "argon2id" not in json.dumps(office.show(Made(id_of(LITELLM), LITELLM)))


def test_the_hash_itself_is_no_key(gateway: Gateway, office: Office) -> None:
    secret = "sk-" + "x" * 40
    digest = hashlib.sha256(secret.encode()).hexdigest()
    office.note(secret, digest)
    office.call("POST", "/admin/v1/keys/import", {"keys": [{"name": "moved", "sha256": digest}]})
    assert verdict(gateway, digest) == "invalid_api_key"
    assert verdict(gateway, secret) == "ok"


def test_one_wrong_entry_leaves_the_whole_piece_out_and_every_problem_is_told_with_its_line(
    gateway: Gateway, office: Office, file: Path
) -> None:
    good = "sk-good-" + "g" * 30
    office.note(good)
    rows = [
        {"name": "good", "secret": good},
        {"name": "weak", "secret": "sk-weak"},
        {"name": "both", "secret": good + "2", "sha256": "0" * 64},
        {"name": "odd", "sha256": "zz"},
        {"name": "limits", "sha256": "1" * 64, "tpm": 5},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = office.command("keys", "import", str(file))
    assert done.returncode == 2, done.stdout + done.stderr
    for line in (2, 3, 4, 5):
        assert f"{file}:{line}" in done.stderr, done.stderr
    assert "sk-weak" not in done.stderr
    assert verdict(gateway, good) == "invalid_api_key"


def test_a_foreign_key_rotates_into_one_of_ours_and_keeps_its_id(gateway: Gateway, office: Office) -> None:
    secret = "sk-from-elsewhere-" + "y" * 20
    key = office.make(secret=secret)
    assert key.id == id_of(secret)
    assert verdict(gateway, key) == "ok"
    ours = office.rotate(key, "1h")
    assert ours.text.startswith(f"sk-pen-{key.id}-")
    assert [verdict(gateway, each) for each in (key, ours)] == ["ok", "ok"]
    office.rotate(key, "0")
    assert verdict(gateway, key) == "invalid_api_key"


def test_a_foreign_key_that_was_deleted_may_come_back(gateway: Gateway, office: Office) -> None:
    secret = "sk-comes-back-" + "z" * 20
    key = office.make(secret=secret)
    assert verdict(gateway, key) == "ok"
    office.delete(key)
    assert verdict(gateway, key) == "invalid_api_key"
    assert office.make(secret=secret).id == key.id
    assert verdict(gateway, key) == "ok"
