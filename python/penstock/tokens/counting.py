"""The counting interface: a name becomes an encoding and a factor, native counts."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.engine import NativeEncoding, measure, open_encoding

TABLES = Path(__file__).parent
"""Where the package keeps `<encoding>.table`."""


def count(text: str | bytes, encoding_or_model: str) -> int:
    """Tokens of a text. Special tokens in it count as the text that they are, as a provider takes them.

    ``encoding_or_model`` is ``o200k_base``, ``cl100k_base`` or a model's name, also with a provider's before it
    (``openai/gpt-5-mini``). Exact for the encodings and for the models of OpenAI that use them. For other models the
    tokens of ``o200k_base`` are multiplied and rounded up: OpenAI's other ones by 1, Claude up to 4.6 by 1.2, later
    ones by 1.35, everyone else's by 1.1. Bytes are UTF-8; what in them is not, and each lone surrogate of a ``str``,
    counts as U+FFFD.

    Linear in the length of the text; releases the GIL. The first call with an encoding maps its table, about a
    millisecond. Raises ``OSError`` when that cannot be read, ``ValueError`` when it is damaged.

    Source: ``encode_ordinary`` of tiktoken 0.14, with its table of models.
    """
    encoding, per_mille, _ = measure(encoding_or_model)
    counted = _opened(encoding).count(_utf8(text))
    return -(-counted * per_mille // 1000)


def count_messages(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    *,
    system: str | Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
) -> int:
    """Tokens of the prompt that a chat makes: what its messages say and what models put around them.

    The arguments are the fields of a request in JSON, of OpenAI's chat completions or of Anthropic's messages (whose
    ``system`` stands beside the messages). Each message costs 3 tokens beside its role, content, name and calls of
    tools, a name 1 more, the beginning of the answer 3. Tools count as the TypeScript in which OpenAI shows them to its
    models, within about 5 %. A picture costs what the model's rule says of its size, which is read from its data;
    behind an address it is taken for 1024 x 1024 pixels, and nothing is fetched. Sound and files are not counted.

    Releases the GIL while it counts. Raises like `count`, and ``TypeError`` or ``ValueError`` for what cannot be JSON.

    Sources: OpenAI's cookbook ("How to count tokens with tiktoken") and guide to images and vision, Anthropic's pages
    on vision and tool use, LiteLLM's token counter for tools.
    """
    fields = {"messages": messages, "system": system, "tools": tools, "tool_choice": tool_choice}
    body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    return _opened(measure(model)[0]).count_chat(model, body)


@functools.cache
def _opened(encoding: str) -> NativeEncoding:
    """Mapped once a process, at first use: there are two."""
    return open_encoding(str(TABLES), encoding)


def _utf8(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Pairs of surrogates become the character that they stand for, lone ones U+FFFD.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
