"""Options that several commands about keys and teams share, and what they become in a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from penstock.config.units import parse_duration

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
LISTS = ("model", "path", "network")
_NUMBER = re.compile(r"[\d.]+\s?[a-z]*\Z", re.ASCII)


def access_options(command: CommandT) -> CommandT:
    """`--model`, `--path` and `--network`, each as often as needed."""
    about = {
        "model": "Allow this model; * stands for any characters. Repeat for more; without any, all are allowed.",
        "path": "Allow this path, such as /chat/completions. Repeat for more; without any, all are allowed.",
        "network": "Allow clients of this network, such as 10.0.0.0/8. Repeat for more; without any, all are allowed.",
    }
    for name in reversed(LISTS):
        command = click.option(f"--{name}", f"{name}s", multiple=True, metavar=name.upper(), help=about[name])(command)
    return command


def lift_options(command: CommandT) -> CommandT:
    """`--all-models` and the like: take a list away."""
    for name in reversed(LISTS):
        about = f"Allow all {name}s again."
        command = click.option(f"--all-{name}s", f"all_{name}s", is_flag=True, help=about)(command)
    return command


def tag_option(command: CommandT) -> CommandT:
    """`--tag NAME=VALUE`."""
    return click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Add a tag; repeat for more.")(
        command
    )


def untag_option(command: CommandT) -> CommandT:
    """`--untag NAME`."""
    return click.option("--untag", "untags", multiple=True, metavar="NAME", help="Take a tag away.")(command)


def opt_out_option(command: CommandT) -> CommandT:
    """`--no-content`, for what is made."""
    about = "Never record texts of its requests, whatever is configured."
    return click.option("--no-content", is_flag=True, help=about)(command)


def content_option(command: CommandT) -> CommandT:
    """`--content/--no-content`, for what is there."""
    about = "Record texts of its requests where they are configured, or never."
    return click.option("--content/--no-content", default=None, help=about)(command)


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Raises `click.BadParameter`."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"expected NAME=VALUE, not {each!r}", param_hint="--tag")
        found[name] = value
    return found


def read_expiry(given: str | None, now: datetime | None = None) -> str | None:
    """RFC 3339 of a time as it was given, or of a duration from now on. Raises `click.BadParameter`."""
    if given is None or not _NUMBER.match(given):
        return given  # the API says whether it is a time
    try:
        later = (now or datetime.now(UTC)) + timedelta(milliseconds=parse_duration(given))
    except (ValueError, OverflowError):
        message = "expected a time such as 2031-01-31T12:00:00Z, or a duration such as 30d"
        raise click.BadParameter(message, param_hint="--expires") from None
    return later.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lists_patch(given: dict[str, Any]) -> dict[str, Any]:
    """What a patch says of the lists. Raises `click.UsageError` when one is set and lifted."""
    found: dict[str, Any] = {}
    for name in (f"{each}s" for each in LISTS):
        if given[name] and given[f"all_{name}"]:
            raise click.UsageError(f"--{name[:-1]} and --all-{name} exclude each other")
        if given[f"all_{name}"]:
            found[name] = None
        elif given[name]:
            found[name] = list(given[name])
    return found


def lists_wish(given: dict[str, Any]) -> dict[str, Any]:
    """The lists of something new; one that was not given allows all."""
    return {f"{each}s": list(given[f"{each}s"]) for each in LISTS if given[f"{each}s"]}
