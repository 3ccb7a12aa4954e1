"""The demo's gateway as a process, with the fake engine."""

import asyncio
import os
from pathlib import Path

import pytest

from penstock.demo.gateway import Gateway

ROOT = Path(__file__).parents[3]


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'python'}:{ROOT}")
    return Gateway("http://127.0.0.1:9", tmp_path, ("-m", "tests.unit.serve_with_fake"))


async def test_the_users_variables_do_not_bend_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_LISTEN", "nowhere")
    before = len(os.listdir("/proc/self/fd"))
    async with gateway:
        assert gateway.address.startswith("127.0.0.1:")
        assert gateway.admin != gateway.address
    assert await gateway.wait() == 0
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the loop's own


async def test_it_ends_when_the_demo_dies(gateway: Gateway) -> None:
    async with gateway:
        os.close(gateway._life)  # what the kernel does then
        gateway._life = -1
        async with asyncio.timeout(20):
            assert await gateway.wait() == 0
