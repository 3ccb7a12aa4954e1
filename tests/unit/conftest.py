"""What the unit tests share."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.config.load import load
from penstock.config.model import Config
from penstock.config.problem import ConfigError, Problem

WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KEYS = {"OPENAI_API_KEY": "sk-of-openai", "ANTHROPIC_API_KEY": "sk-of-anthropic"}


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """What a command watches in this process, a test's or pytest's own handler gets back."""
    before = {number: signal.getsignal(number) for number in WATCHED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Writes a configuration and returns its path."""

    def to_file(text: str) -> str:
        path = tmp_path / "penstock.yaml"
        path.write_text(text)
        return str(path)

    return to_file


@pytest.fixture
def read(write: Callable[[str], str]) -> Callable[..., Config]:
    """The configuration of a text; its environment has the usual keys and what else is given."""

    def from_text(text: str, **environ: str) -> Config:
        return load(write(text), KEYS | environ).config

    return from_text


@pytest.fixture
def refused(write: Callable[[str], str]) -> Callable[..., list[Problem]]:
    """The problems of a text."""

    def from_text(text: str, **environ: str) -> list[Problem]:
        with pytest.raises(ConfigError) as error:
            load(write(text), KEYS | environ)
        return list(error.value.problems)

    return from_text


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for a condition; a deadline, not a pause."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
