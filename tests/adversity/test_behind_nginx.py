"""Behind a stock nginx `proxy_pass`, all its limits divided by 30, a long think and a long answer arrive whole."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import DIALECTS, TEXTS, Kind
from tests.support.nginx import Nginx
from tests.support.raw import Answer, Client, request
from tests.support.script import LAST, Pause, Script, Send, WaitFor, stream_head
from tests.support.script import chunk as framed
from tests.support.upstream import Upstream, steps

THINKS = 6.0
KEEPALIVE = 0.5
TOKENS = 2000
LIMITS = "proxy_connect_timeout 2s; proxy_send_timeout 2s; proxy_read_timeout 2s; send_timeout 2s;"


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    del module_upstream
    return {"keepalive": f"{KEEPALIVE * 1000:.0f}ms"}


@dataclass
class Long:
    """Six seconds of thought, then 2,000 tokens; the upstream goes on after the first, and says the last, only when the
    client has what was sent before. So anything that holds the answer back is a hang, however slow the machine."""

    kind: Kind
    first_heard: Event = field(default_factory=Event)
    nearly_all_heard: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        spoken = [frame for frame in self.kind.frames if self.kind.text(frame)]
        at = self.kind.frames.index(spoken[0])
        self.tokens = [spoken[0].replace(TEXTS[0].encode(), f" {number}".encode()) for number in range(TOKENS)]
        self.before = list(self.kind.frames[:at])
        self.after = list(self.kind.frames[at + len(spoken) :])

    @property
    def text(self) -> str:
        return "".join(f" {number}" for number in range(TOKENS))

    def script(self) -> Script:
        sends = [Send(framed(frame)) for frame in self.tokens]
        return steps(
            Pause(THINKS),
            stream_head(self.kind.media),
            *(Send(framed(frame)) for frame in self.before),
            sends[0],
            WaitFor(self.first_heard),
            *sends[1:-1],
            WaitFor(self.nearly_all_heard),
            sends[-1],
            *(Send(framed(frame)) for frame in self.after),
            Send(LAST),
        )

    def listen(self, address: str) -> tuple[Answer, float]:
        """The whole answer, and how long pieces of it had been coming when the first token came."""
        body = json.dumps(self.kind.request("m")).encode()
        thought = 0.0
        marks = [(self.tokens[0], self.first_heard), (self.tokens[-2], self.nearly_all_heard)]
        with Client(address, 20) as client:
            client.send(request("POST", self.kind.path, body, self.kind.headers))
            got = client.read_head()
            for piece in client.pieces(got):
                if marks and got.received.find(marks[0][0], max(0, len(got.received) - len(piece) - 1000)) >= 0:
                    marks.pop(0)[1].set()
                    thought = thought or got.pieces[-1][0] - got.pieces[0][0]
        return got, thought


@pytest.mark.nginx
@pytest.mark.slow
def test_a_long_think_and_a_long_answer_arrive_whole_and_unbuffered(
    gateway: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    made = {kind.path: Long(kind) for kind in DIALECTS}
    upstream.answer = lambda seen: made[seen.target].script()
    with Nginx(tmp_path, gateway.address, LIMITS) as nginx, ThreadPoolExecutor(len(made)) as pool:
        heard = list(pool.map(lambda long: long.listen(nginx.address), made.values()))
    for long, (got, thought) in zip(made.values(), heard, strict=True):
        assert got.status == 200
        assert long.kind.outcome(got.body) == "complete"
        assert long.kind.text(got.body) == long.text
        # Keep-alives came through while the model thought; a busy machine may be late with some of them.
        assert thought > THINKS / 2
        assert long.kind.keep_alives(got.body) >= THINKS / KEEPALIVE / 2
