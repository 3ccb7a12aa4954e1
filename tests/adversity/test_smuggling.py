"""Every published request-smuggling shape is refused, closes its connection and reaches no upstream."""

import pytest

from tests.data.smuggling import SHAPES
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.raw import Client
from tests.support.scene import ask
from tests.support.script import answer
from tests.support.upstream import Upstream


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_refused_whole(gateway: Gateway, upstream: Upstream, shape: str) -> None:
    upstream.always(answer(CHAT.whole))
    with Client(gateway.address) as client:
        client.send(SHAPES[shape])
        answers = client.read_all()
    assert len(answers) <= 1, [each.head for each in answers]
    for each in answers:
        assert 400 <= each.status < 500 or each.status == 505, each.head
        assert each.error_code, each.head
        assert each.header("connection") == "close", each.head
        assert each.json()
    assert not upstream.heads


@pytest.mark.parametrize("shape", ["CL.TE", "TE.CL", "TE.TE", "bare LF after a field", "chunk size with 0x"])
def test_a_byte_at_a_time_changes_nothing(gateway: Gateway, upstream: Upstream, shape: str) -> None:
    upstream.always(answer(CHAT.whole))
    with Client(gateway.address) as client:
        for byte in SHAPES[shape]:
            try:
                client.send(bytes([byte]))
            except ConnectionError:
                break
        answers = client.read_all()
    assert all(400 <= each.status < 500 for each in answers)
    assert not upstream.heads


def test_the_gateway_serves_on_afterwards(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    assert ask(gateway, CHAT, stream=False).status == 200
