"""Tokens of text and of chats: exact for OpenAI's encodings, approximate for other vendors' models."""

from penstock.tokens.counting import count, count_messages

__all__ = ["count", "count_messages"]
