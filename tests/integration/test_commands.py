"""The command line, end to end: `demo`, `check`, `config show`, `version`, `serve` with a wrong file."""

import json
import os
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import raw
from tests.support.gateway import clean_environment, command, run
from tests.support.kinds import DIALECTS

GOOD = (
    "providers: {local: {dialect: openai, base_url: 'http://127.0.0.1:9/v1', api_key: '${env:LOCAL_KEY:-sk-hidden}'}}\n"
)
BAD = """\
lisen: 127.0.0.1:4000
providers:
  local: { dialect: openai, base_url: "not a url" }
models:
  fast: { targets: [ { provider: locl } ] }
"""


def test_demo_shows_one_chat_and_ends() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^request +\S+", done.stdout, re.MULTILINE)
    assert re.search(r"^target +demo/demo-1$", done.stdout, re.MULTILINE)
    assert re.search(r"^tokens +\d+ prompt, \d+ completion$", done.stdout, re.MULTILINE)
    assert re.search(r"^overhead +\d+ µs$", done.stdout, re.MULTILINE)
    assert re.search(r'^ +outcome +"complete"$', done.stdout, re.MULTILINE)
    assert re.search(r"^ +cost_nanousd +0$", done.stdout, re.MULTILINE)
    assert done.stdout.rstrip().endswith(" ok")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_serve_stays_until_it_is_told_to_stop(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [*command(), "demo", "--serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment({"PYTHONUNBUFFERED": "1"}),
    )
    try:
        assert demo.stdout is not None
        address = key = ""
        for line in demo.stdout:
            if found := re.search(r"http://(127\.0\.0\.1:\d+)/v1", line):
                address = found[1]
            if found := re.search(r"^ +key +(sk-pen-\S+)$", line):
                key = found[1]
            if "Ctrl-C" in line:
                break
        assert address
        assert key
        refused = raw.post(address, DIALECTS[0].path, DIALECTS[0].request("demo"), DIALECTS[0].headers)
        assert refused.status == 401
        # At once, because the demo provider takes its time.
        with ThreadPoolExecutor(len(DIALECTS)) as pool:
            bearer = {"authorization": f"Bearer {key}"}
            asked = [(address, kind.path, kind.request("demo"), {**kind.headers, **bearer}) for kind in DIALECTS]
            answers = pool.map(lambda request: raw.post(*request), asked)
        for kind, got in zip(DIALECTS, answers, strict=True):
            assert kind.outcome(got.body) == "complete"
        demo.send_signal(number)
        out, err = demo.communicate(timeout=15)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 0, err
    assert "Traceback" not in out + err
    with pytest.raises(ConnectionError):
        raw.connect(address, 1.0)


def test_check_accepts_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(GOOD)
    assert run("check", "-c", str(file)).returncode == 0


def test_check_names_every_mistake_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(BAD)
    done = run("check", "-c", str(file))
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert f"{file}:1:1" in said
    assert "listen" in said
    assert f"{file}:3:" in said
    assert f"{file}:5:" in said
    assert "local" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("field", ["cors: {}", "audit: {texts: none}"])
def test_fields_of_what_is_not_built_are_unknown(tmp_path: Path, field: str) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(GOOD + field + "\n")
    assert run("check", "-c", str(file)).returncode == 2


@pytest.mark.parametrize("listen", ["0.0.0.0:4000", "'[::]:4000'", "192.168.1.1:4000", "example.com:4000"])
def test_an_open_gateway_does_not_leave_the_machine(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(GOOD + f"auth: open\nlisten: {listen}\n")
    for arguments in (["check"], ["serve"]):
        done = run(*arguments, "-c", str(file))
        assert done.returncode == 2, done.stdout + done.stderr


def test_targets_that_share_no_dialect_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "providers:\n"
        "  a: { dialect: openai, base_url: 'http://127.0.0.1:9/v1' }\n"
        "  b: { dialect: anthropic, base_url: 'http://127.0.0.1:9' }\n"
        "models: { m: { targets: [ { provider: a, model: x } ], fallback: [ { provider: b, model: y } ] } }\n"
    )
    done = run("check", "-c", str(file))
    assert done.returncode == 2
    assert "dialect" in done.stdout + done.stderr


def test_the_schema_is_json_schema() -> None:
    done = run("check", "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "$defs" in schema or "properties" in schema


def test_config_show_hides_secrets(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(GOOD)
    done = run("config", "show", "-c", str(file), environment={"LOCAL_KEY": "sk-very-secret"})
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9" in done.stdout
    assert "sk-very-secret" not in done.stdout + done.stderr
    assert "sk-hidden" not in done.stdout + done.stderr


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(GOOD)
    done = run("config", "show", environment={"PENSTOCK_CONFIG": str(file)}, cwd=tmp_path)
    assert done.returncode == 0
    assert "local" in done.stdout


def test_version_says_one_line() -> None:
    done = run("version")
    assert done.returncode == 0
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)


@pytest.mark.parametrize("arguments", [["serve", "-c", "/no/such/file"], ["nonsense"], ["serve", "--nonsense"]])
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = tmp_path / "penstock.yaml"
        file.write_text(GOOD + f"listen: 127.0.0.1:{taken.getsockname()[1]}\ndata_dir: {tmp_path}/data\n")
        done = run("serve", "-c", str(file))
    assert done.returncode == 1
    assert "in use" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stdout + done.stderr


def test_importing_the_package_starts_nothing() -> None:
    code = (
        "import sys, threading, penstock; "
        "assert threading.active_count() == 1; "
        "assert 'penstock._native' not in sys.modules"
    )
    environment = clean_environment({"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    done = subprocess.run(
        [command()[0], "-c", code], capture_output=True, text=True, timeout=20, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
