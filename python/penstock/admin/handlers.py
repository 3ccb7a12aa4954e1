"""What the admin API can do: tell how the process is, and reload its configuration."""

from __future__ import annotations

from typing import Protocol

from penstock.admin.message import Answer, Request, json_answer, problem
from penstock.admin.router import Table
from penstock.config.problem import ConfigError


class Process(Protocol):
    """What the handlers need of the process."""

    def status(self) -> dict[str, object]:
        """Facts for people and tools."""

    def reload(self) -> list[str]:
        """Reads the configuration again and returns warnings; raises `ConfigError`, and nothing has changed."""


def table(process: Process) -> Table:
    """Every path of the admin API."""

    async def status(_: Request) -> Answer:
        return json_answer(process.status())

    async def reload(_: Request) -> Answer:
        try:
            warnings = process.reload()
        except ConfigError as error:
            detail = "The configuration was refused; the one before it keeps serving."
            return problem(422, "invalid_configuration", detail, errors=[each.plain() for each in error.problems])
        return json_answer({"reloaded": True, "warnings": warnings})

    return {"/admin/v1/status": {"GET": status}, "/admin/v1/reload": {"POST": reload}}
