"""However an upstream's bytes are chopped into TCP pieces, the same frames and the same usage come out."""

import itertools
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway import Gateway
from tests.support.kinds import ALL, Kind
from tests.support.scene import ask
from tests.support.script import Pause, Script, Send, head, joined, stream
from tests.support.upstream import Upstream
from tests.support.wait import until

EXAMPLES = max(5, int(os.environ.get("ROUNDS", "20")) // 2)
CHOPPING = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def chopped(data: bytes, cuts: list[int]) -> Script:
    """The bytes in pieces, each sent on its own."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    steps: list[Any] = []
    for start, end in itertools.pairwise(edges):
        # The pause is longer than a turn of either loop, so that most pieces are read alone.
        steps += [Send(data[start:end]), Pause(0.001)]
    return steps


def usage_of(gateway: Gateway, request_id: str) -> dict[str, int]:
    """The usage in the record of a request, from the debug log."""

    def found() -> dict[str, Any] | None:
        for record in reversed(gateway.log_records()):
            if record.get("message") == "request" and record.get("request_id") == request_id:
                return dict(record)
        return None

    record = until(found, f"the record of {request_id}")
    assert record is not None
    assert record["outcome"] == "complete", record
    usage: dict[str, int] = record["usage"]
    return usage


def check(gateway: Gateway, upstream: Upstream, kind: Kind, script: Script) -> None:
    upstream.always(script)
    got = ask(gateway, kind)
    assert got.body == b"".join(kind.frames)
    usage = usage_of(gateway, got.header("x-request-id") or "")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 2), usage


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@CHOPPING
@given(cuts=st.lists(st.integers(0, 5000), max_size=40))
def test_any_chopping_of_a_chunked_stream(gateway: Gateway, upstream: Upstream, kind: Kind, cuts: list[int]) -> None:
    check(gateway, upstream, kind, chopped(joined(stream(list(kind.frames), kind.media)), cuts))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@CHOPPING
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=60))
def test_any_chunking_of_a_stream(gateway: Gateway, upstream: Upstream, kind: Kind, sizes: list[int]) -> None:
    body = b"".join(kind.frames)
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    check(gateway, upstream, kind, stream([piece for piece in [*pieces, body] if piece], kind.media))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_byte_at_a_time(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    body = b"".join(kind.frames)
    sent = head(200, {"content-type": kind.media, "content-length": str(len(body))})
    check(gateway, upstream, kind, [Send(sent), *(Send(bytes([byte])) for byte in body)])


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_the_record_of_a_whole_answer_has_its_usage(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    data = json.dumps(kind.whole).encode()
    sent = head(200, {"content-type": "application/json", "content-length": str(len(data))})
    upstream.always([Send(sent), *(Send(bytes([byte])) for byte in data)])
    got = ask(gateway, kind, stream=False)
    usage = usage_of(gateway, got.header("x-request-id") or "")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 2), usage
