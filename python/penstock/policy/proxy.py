"""Which proxy leads to a provider: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as curl reads them."""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote

from penstock.config.addresses import Url, parse_url
from penstock.config.model import TextPart
from penstock.policy.snapshot import Proxy

_DEFAULT_PORTS = {"http": 80, "https": 443}


class ProxyError(ValueError):
    """A proxy variable that cannot be understood; neither message nor hint repeats its value."""

    def __init__(self, variable: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.variable, self.hint = variable, hint


def proxy_for(url: Url, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy towards a base address, or None for the direct way. Raises `ProxyError`."""
    if _is_loopback(url.host) or excluded(url.host, url.port, _variable("NO_PROXY", environ)[1]):
        return None
    for name in (f"{url.scheme.upper()}_PROXY", "ALL_PROXY"):
        found, value = _variable(name, environ)
        if value:
            return _parse(found, value)
    return None


def excluded(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host: `*`, a name and what is below it, an address, a network, each with or without
    a port."""
    for entry in no_proxy.replace(",", " ").split():
        if entry == "*":
            return True
        name, wanted = _with_port(entry.lower())
        if wanted is not None and wanted != port:
            continue
        name = name.removeprefix("*").strip("[]")
        bare = name.lstrip(".")
        if bare and (host == bare or host.endswith(f".{bare}") or _in_network(host, bare)):
            return True
    return False


def _with_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (name.endswith("]") or ":" not in name):
        return name, int(port)
    return entry, None


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The lower-case spelling wins; upper-case HTTP_PROXY is not believed inside a CGI program (httpoxy)."""
    if environ.get(name.lower()):
        return name.lower(), environ[name.lower()].strip()
    if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        return name, ""
    return name, environ.get(name, "").strip()


def _parse(name: str, value: str) -> Proxy:
    scheme, separator, rest = value.rpartition("://")
    scheme = scheme.lower() if separator else "http"
    if scheme not in _DEFAULT_PORTS:
        raise ProxyError(name, "names a kind of proxy that is not supported", "use http:// or https://")
    credentials, at, address = rest.rpartition("@")
    try:
        url = parse_url(f"{scheme}://{address.partition('/')[0]}")
    except ValueError:
        raise ProxyError(name, "is not the address of a proxy", "such as http://proxy.example:3128") from None
    authorization = None
    if at:
        pair = ":".join(unquote(piece) for piece in credentials.partition(":")[::2])
        authorization = (TextPart(f"Basic {binascii.b2a_base64(pair.encode(), newline=False).decode()}"),)
    return Proxy(scheme, url.host, url.port, authorization)
