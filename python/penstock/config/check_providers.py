"""The rules for one provider: names, headers, paths that may be opened."""

from __future__ import annotations

import re

from penstock.config.model import Provider, Secret, TextPart
from penstock.config.problem import Notes, Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")  # RFC 9110, section 5.6.2
_QUERY = re.compile(r"[!-\"$-~]*\Z")
_OPENED = re.compile(r"(/[A-Za-z0-9_.~-]+)+\Z")

OURS = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "accept-encoding", "content-encoding", "content-length"),
        *("expect", "host", "x-request-id", "traceparent"),
    )
)
"""Headers that belong to the connection or to Penstock."""

CREDENTIALS = frozenset(("authorization", "x-api-key", "api-key"))
"""Headers in which a caller's own credential may come."""

NEVER_FORWARDED = OURS | frozenset(
    (
        *(*CREDENTIALS, "x-penstock-key", "x-penstock-provider", "cookie"),
        *("openai-organization", "openai-project", "forwarded", "x-forwarded-for"),
    )
)
"""Headers that no client may choose: credentials, and whose account pays."""


def check(name: str, provider: Provider, carrier: str | None, found: Notes) -> None:
    """Notes what is wrong with a provider by itself; `carrier` is the header that carries its key, if it has one."""
    path: Path = ("providers", name)
    if not _NAME.match(name):
        found.add(path, "a provider's name is made of letters, digits, `-`, `_` and `.`", key=True)
    if provider.auth is not None:
        header = provider.auth.header
        if header is not None and (not _TOKEN.match(header) or header.lower() in OURS):
            found.add((*path, "auth", "header"), "cannot carry a key", "such as authorization or x-api-key")
        if not (provider.auth.prefix or "").isprintable():
            found.add((*path, "auth", "prefix"), "expected printable text")
    taken: set[str] = set()
    for header in provider.headers:
        if not _TOKEN.match(header) or header.lower() in OURS:
            found.add((*path, "headers", header), "this header cannot be set", key=True)
        if header.lower() == carrier:
            found.add((*path, "headers", header), "carries the key already", "leave out one of the two", key=True)
        if header.lower() in taken:
            found.add((*path, "headers", header), "stands twice in another spelling", key=True)
        taken.add(header.lower())
    for index, header in enumerate(provider.forward_headers or ()):
        if not _TOKEN.match(header) or header.lower() in NEVER_FORWARDED or header.lower() == carrier:
            hint = "set it under headers" if header.lower() not in OURS else ""
            found.add((*path, "forward_headers", index), f"{header!r} is never taken from a client", hint)
    if provider.credentials == "client":
        _client_credentials(path, provider, found)
    if provider.query and not _is_query(provider.query):
        found.add((*path, "query"), "expected name=value, joined by &, without the question mark")
    for index, pattern in enumerate(provider.patterns or ()):
        if not pattern or pattern.count("*") > 1 or not pattern.isprintable():
            found.add((*path, "patterns", index), "a pattern is a model's name with at most one *")
    for index, opened in enumerate(provider.passthrough):
        _passthrough((*path, "passthrough", index), opened, found)


def _client_credentials(path: Path, provider: Provider, found: Notes) -> None:
    """The caller's own credential goes upstream: nothing of ours may stand beside it or in its place."""
    if provider.api_key is not None:
        advice = "leave out api_key, or write credentials: own"
        found.add((*path, "api_key"), "stands beside credentials: client", advice)
    if provider.auth is not None:
        found.add((*path, "auth"), "has no meaning with credentials: client", "the caller's header passes as it came")
    for header in provider.headers:
        if header.lower() in CREDENTIALS:
            found.add((*path, "headers", header), "is where the caller's own credential may come", key=True)


def below_v1(path: str) -> str:
    """A path that is opened, without the `/v1` that may stand before it."""
    return path.removeprefix("/v1") if path.startswith("/v1/") else path


def _is_query(query: Secret) -> bool:
    """Whether what is known of it without resolving it can be one."""
    texts = [part.text for part in query.parts if isinstance(part, TextPart)]
    begins = isinstance(query.parts[0], TextPart) and texts[0].startswith(("?", "&"))
    return not begins and all(_QUERY.match(text) for text in texts)


def _passthrough(path: Path, opened: str, found: Notes) -> None:
    if not _OPENED.match(opened) or "/." in opened:
        found.add(path, f"expected a path such as /files, not {opened!r}", "it starts with / and has no query")
    elif below_v1(opened).split("/")[1:2] == ["organization"]:
        found.add(path, "organization is never passed on", "administer the provider's account elsewhere")
    elif opened == "/v1":
        found.add(path, "would open every path", "name each one, such as /files")
