"""The provider that a deployment needs: its kind or dialect, its address, its key and its headers."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.importers.litellm import addresses, headers, parameters
from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.prefixes import Prefix
from penstock.importers.litellm.values import Field, Value, text, value
from penstock.providers.catalogue import Catalogue

KEYLESS = frozenset(
    ("", "none", "null", "empty", "no-key", "not-needed", "dummy", "fake", "fake-key", "anything", "sk-")
)
"""What people write where a server wants no key."""


@dataclass(frozen=True)
class Spec:
    """A provider without its name; equal ones become one."""

    kind: str | None
    base_url: str | None
    api_key: Value | None
    headers: tuple[tuple[str, Value], ...] = ()
    query: Value | None = None
    label: str = "server"


class Dropped(Exception):
    """This deployment is not carried over; the message says why and what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def read(params: dict[str, Field], prefix: Prefix, catalogue: Catalogue, notes: Notes) -> Spec:
    """The provider that a deployment needs. Raises `Dropped`."""
    kind = prefix.kind
    address = _address(params, prefix, notes)
    base_url = address.base_url if address else None
    at = params.get("api_base") or params.get("base_url") or params["model"]
    if address and kind and _is_own(base_url, kind, catalogue):
        if not prefix.elsewhere:
            raise Dropped(at.path, f"LiteLLM speaks {kind}'s own dialect there, Penstock speaks OpenAI's to {kind}")
        if kind == "openai":
            kind = addresses.vendor(address.base_url, catalogue)  # a vendor that is asked in OpenAI's dialect
    if kind and base_url and addresses.is_at_home(base_url, kind, catalogue):
        base_url = None
    if kind == "azure" and base_url is None:
        raise Dropped(at.path, "it has no api_base")
    query = address.query if address and base_url else None
    api_key = _api_key(params, prefix, kind, base_url, catalogue, notes)
    carrier = catalogue[kind].auth.header if kind else "authorization"
    sent = headers.read(params, carrier.lower() if api_key else None, notes)
    label = (address.label if address else "") or "server"
    return Spec(kind, base_url, api_key, sent, query, label)


def _is_own(base_url: str | None, kind: str, catalogue: Catalogue) -> bool:
    """Whether the server is another than the vendor's."""
    return base_url is not None and not addresses.is_at_home(base_url, kind, catalogue)


def _address(params: dict[str, Field], prefix: Prefix, notes: Notes) -> addresses.Address | None:
    at = params.get("api_base") or params.get("base_url")
    written = text(at)
    if at is None or not written:
        if prefix.base_url:
            return addresses.convert(Value(prefix.base_url), None)
        if prefix.base:
            notes.add(
                params["model"].path, f"names no api_base, so the address comes from {prefix.base}, as in LiteLLM"
            )
            return addresses.convert(Value(prefix.base, "env"), prefix.kind)
        if prefix.kind is None:
            raise Dropped(params["model"].path, "it has no api_base")
        return None
    try:
        found = addresses.convert(value(written, secret=False), prefix.kind)
    except ValueError as error:
        raise Dropped(at.path, f"this address cannot be used: {error}") from None
    for note in found.notes:
        notes.add(at.path, note)
    return found


def _api_key(
    params: dict[str, Field], prefix: Prefix, kind: str | None, base_url: str | None, catalogue: Catalogue, notes: Notes
) -> Value | None:
    written = text(params.get("api_key"))
    known = catalogue[kind] if kind else None
    if written is not None and written.strip().lower() not in KEYLESS:
        return value(written, secret=True)
    tokens = [name for name in parameters.TOKENS if name in params]
    if tokens and kind == "azure":
        raise Dropped(params[tokens[0]].path, "tokens of Entra ID are not fetched here; use an API key of the resource")
    at = params.get("api_key", params["model"])
    at_home = "api_base" not in params and "base_url" not in params
    if known is not None and known.key == "optional":
        return None
    if known is not None and (base_url is None or known.base_url is None):
        usual = prefix.key or known.env
        if written is not None:
            notes.add(at.path, f"is taken to mean no key of its own; {usual} is read")
        return Value(usual, "env") if usual and usual != known.env else None
    if prefix.key and (prefix.base or at_home):  # the vendor's key goes to nobody else
        return Value(prefix.key, "env")
    if written is None:
        notes.add(
            at.path, "no key is sent to this address; if it wants one, write api_key: ${env:NAME} for its provider"
        )
    else:
        notes.add(at.path, "is taken to mean that no key is wanted, and none is sent")
    return None
