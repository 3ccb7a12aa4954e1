"""Administers a running gateway as people do, and asks it with the keys that come of that."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import raw
from .gateway import Gateway, run
from .kinds import CHAT, Kind
from .raw import Answer
from .wait import until

KEYS = "/admin/v1/keys"


@dataclass(frozen=True)
class Made:
    """A key: its id, and the text that clients send."""

    id: str
    text: str = field(repr=False)


class Office:
    """The admin API of one gateway. Secrets that pass through here may not stand in its log, nor in `others'`."""

    def __init__(self, gateway: Gateway, *others: Gateway) -> None:
        self.gateway = gateway
        self._all = (gateway, *others)

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of the answer, which must have this status."""
        answer = self.gateway.ask(method, path, body)
        assert answer.status == status, (method, path, answer.head, answer.body)
        return answer.json() if answer.body else None

    def make(self, name: str = "app", **wish: Any) -> Made:
        made = self.call("POST", KEYS, {"name": name, **wish}, 201)
        return self._noted(Made(made["id"], made["key"] or wish["secret"]))

    def change(self, key: Made, **patch: Any) -> None:
        self.call("PATCH", f"{KEYS}/{key.id}", patch)

    def rotate(self, key: Made, overlap: str) -> Made:
        return self._noted(Made(key.id, self.call("POST", f"{KEYS}/{key.id}/rotate", {"overlap": overlap})["key"]))

    def disable(self, key: Made, cut: bool = False) -> None:
        self.call("POST", f"{KEYS}/{key.id}/disable", {"cut": cut})

    def enable(self, key: Made) -> None:
        self.call("POST", f"{KEYS}/{key.id}/enable")

    def delete(self, key: Made) -> None:
        self.call("DELETE", f"{KEYS}/{key.id}", status=204)

    def show(self, key: Made) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"{KEYS}/{key.id}")
        return shown

    def note(self, *secrets: str) -> None:
        """These may not stand in any log."""
        for gateway in self._all:
            gateway.secrets.update(secrets)

    def command(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """`penstock ARGUMENTS` by the admin API of this gateway."""
        token = str(self.gateway.data_dir / "admin.token")
        return run(*arguments, "--admin", f"http://{self.gateway.admin[0]}", "--token-file", token, given=given)

    def _noted(self, key: Made) -> Made:
        self.note(key.text, key.text.rsplit("-", 1)[-1])
        return key


def use(
    gateway: Gateway,
    key: Made | str | None,
    kind: Kind = CHAT,
    model: str = "m",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One unstreamed request with a key."""
    sent = dict(kind.headers)
    if key is not None:
        sent["authorization"] = f"Bearer {key if isinstance(key, str) else key.text}"
    return raw.post(gateway.address, kind.path, kind.request(model, False), {**sent, **(headers or {})})


def verdict(gateway: Gateway, key: Made | str, **more: Any) -> str:
    """`ok`, or the code of the refusal."""
    answer = use(gateway, key, **more)
    assert (answer.status == 200) == (answer.error_code is None), (answer.head, answer.body)
    return answer.error_code or "ok"


def becomes(gateway: Gateway, key: Made | str, wanted: str, seconds: float = 1.0, **more: Any) -> None:
    """The verdict on a key is this one within the second that a change may take from node to node."""
    until(lambda: verdict(gateway, key, **more) == wanted, f"{wanted} for the key", seconds, 0.02)
