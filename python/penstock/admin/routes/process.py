"""The process itself: how it is, and reading its configuration again."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from penstock.admin.message import Answer, json_answer, problem
from penstock.admin.route import Call, Route
from penstock.admin.shapes import Fault, Reloaded
from penstock.config.problem import ConfigError


class Process(Protocol):
    """What the handlers need of the process."""

    def status(self) -> dict[str, object]:
        """Facts for people and tools."""

    def reload(self) -> list[str]:
        """Reads the configuration again and returns warnings; raises `ConfigError`, and nothing has changed."""

    def limits_use(self, scope: str, name: str) -> bytes:
        """What was counted in one place, as native reports it."""

    @property
    def limits_away(self) -> bool:
        """Whether limits are shared, and what was counted cannot be asked now."""

    async def limits_reset(self, scope: str, name: str) -> bool:
        """Forgets it, for all nodes where limits are shared; False: nothing was counted there. Raises `AwayError`."""


def routes(running: Process) -> list[Route]:
    """Status and reload."""

    async def status(_: Call[None, None]) -> Answer:
        return json_answer(running.status())

    async def reload(_: Call[None, None]) -> Answer:
        try:
            warnings = running.reload()
        except ConfigError as error:
            detail = "The configuration was refused; the one before it keeps serving."
            faults = [msgspec.convert(each.plain(), Fault) for each in error.problems]
            return problem(422, "invalid_configuration", detail, errors=faults)
        return json_answer(Reloaded(True, tuple(warnings)))

    return [
        Route(
            method="GET",
            path="/admin/v1/status",
            handler=status,
            summary="How the process is",
            answers=dict[str, Any],
        ),
        Route(
            method="POST",
            path="/admin/v1/reload",
            handler=reload,
            summary="Read the configuration again; a wrong one is refused whole",
            answers=Reloaded,
            codes=("invalid_configuration",),
        ),
    ]
