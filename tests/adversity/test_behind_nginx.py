"""Behind a stock nginx `proxy_pass`, all its limits divided by 30, a long think and a long answer arrive whole."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, Kind, chunk, data
from tests.support.nginx import Nginx
from tests.support.raw import Answer, post
from tests.support.script import LAST, Pause, Send, stream_head
from tests.support.script import chunk as framed
from tests.support.upstream import Upstream, steps

THINKS = 6.0
TOKENS = 2000
LIMITS = "proxy_connect_timeout 2s; proxy_send_timeout 2s; proxy_read_timeout 2s; send_timeout 2s;"


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    del module_upstream
    return {"keepalive": "500ms"}


def long_answer(kind: Kind) -> tuple[list[Any], bytes]:
    """Six seconds of thought, then 2,000 tokens in about a second; the script and the bytes it must come to."""
    if kind is CHAT:
        tokens = [data(chunk(f" {number}")) for number in range(TOKENS)]
        first, last = [], list(kind.frames[-3:])
    else:
        middle = next(frame for frame in kind.frames if kind.text(frame))
        tokens = [middle] * TOKENS
        first = [frame for frame in kind.frames[: kind.frames.index(middle)]]
        last = [frame for frame in kind.frames[kind.frames.index(middle) :] if not kind.text(frame)]
    parts: list[Any] = [Pause(THINKS), stream_head(kind.media)]
    parts += [Send(framed(frame)) for frame in first]
    for start in range(0, TOKENS, 20):
        parts += [Send(framed(frame)) for frame in tokens[start : start + 20]]
        parts.append(Pause(0.01))
    parts += [*(Send(framed(frame)) for frame in last), Send(LAST)]
    return steps(*parts), b"".join([*first, *tokens, *last])


def speaks(kind: Kind, piece: bytes) -> bool:
    """Whether a piece of the body has text of the answer; one that TCP cut inside a frame is no keep-alive."""
    try:
        return len(piece) > 500 or bool(kind.text(piece + b"\n\n"))
    except ValueError:
        return True


def check(kind: Kind, got: Answer, expected: bytes) -> None:
    assert got.status == 200
    assert kind.outcome(got.body) == "complete"
    assert kind.keep_alives(got.body) >= THINKS / 0.5 - 4
    assert kind.text(got.body) == kind.text(expected)
    times = [at for at, _ in got.pieces]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    # Keep-alives came through while the model thought, and the answer came as it was made, not at its end.
    assert max(waits) < 1.5
    spoken = [at for at, piece in got.pieces if speaks(kind, piece)]
    assert spoken[-1] - spoken[0] > 0.5
    assert len(spoken) > 20


@pytest.mark.nginx
@pytest.mark.slow
def test_a_long_think_and_a_long_answer_arrive_whole_and_unbuffered(
    gateway: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    made = {kind.path: long_answer(kind) for kind in DIALECTS}
    upstream.answer = lambda seen: made[seen.target][0]
    with Nginx(tmp_path, gateway.address, LIMITS) as nginx, ThreadPoolExecutor(len(DIALECTS)) as pool:
        answers = list(
            pool.map(lambda kind: post(nginx.address, kind.path, kind.request("m"), kind.headers, seconds=30), DIALECTS)
        )
    for kind, got in zip(DIALECTS, answers, strict=True):
        check(kind, got, made[kind.path][1])
