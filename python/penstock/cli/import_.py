"""`penstock import litellm`: the configuration and the keys of a LiteLLM proxy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import WRONG, json_option
from penstock.config.problem import ConfigError

if TYPE_CHECKING:
    from penstock.importers.litellm import convert, keys

FAILED = 1
"""The exit code when something was not written, or does not pass `penstock check` yet."""


@click.group("import")
def command() -> None:
    """Move here from another gateway."""


@command.command("litellm")
@click.argument("config", metavar="CONFIG.YAML")
@click.option("--out", metavar="FILE", help="Write the configuration there instead of printing it.")
@click.option("--keys", "dump", metavar="DUMP", help="LiteLLM_VerificationToken, dumped as CSV, JSON or JSON lines.")
@click.option("--teams", metavar="DUMP", help="LiteLLM_TeamTable, dumped the same way: names and models of teams.")
@click.option("--keys-out", metavar="FILE", default="keys.jsonl", show_default=True, help="Write the keys there.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@json_option
def litellm(
    config: str, out: str | None, dump: str | None, teams: str | None, keys_out: str, force: bool, as_json: bool
) -> None:
    """Make a penstock.yaml of a LiteLLM configuration, and a file for `penstock keys import` of its keys.

    What has no equivalent is listed with the reason, at the top of the file and here. No secret is copied.
    """
    from penstock.importers.litellm import files

    if teams and not dump:
        raise click.UsageError("--teams says more of the keys of --keys, which is missing.")
    try:
        for file in [*([out] if out else []), *([keys_out] if dump else [])]:
            files.must_be_new(file, force)
        converted, moved = _convert(config, out, dump, teams)
        if out:
            files.write(out, converted.text, force)
        if moved:
            files.write(keys_out, moved.text, force)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo("nothing was written", err=True)
        raise SystemExit(WRONG) from None
    except files.WriteError as error:
        click.echo(str(error), err=True)
        raise SystemExit(FAILED) from None
    written = [*([out] if out else []), *([keys_out] if moved else [])]
    if as_json:
        click.echo(msgspec.json.encode(_plain(converted, moved, written, out)))
    else:
        _show(converted, moved, written, out)
    raise SystemExit(FAILED if converted.problems else 0)


def _convert(
    config: str, out: str | None, dump: str | None, teams: str | None
) -> tuple[convert.Converted, keys.Converted | None]:
    from penstock.importers.litellm import convert

    converted = convert.convert(config, out or "penstock.yaml")
    if dump is None:
        return converted, None
    from penstock.importers.litellm import allowed, keys
    from penstock.importers.litellm.dump import rows
    from penstock.importers.litellm.notes import Notes
    from penstock.importers.litellm.teams import Teams

    notes = Notes()
    models = allowed.Allowed(converted.names, converted.access_groups, notes)
    known = Teams(rows(teams, "team_id") if teams else (), models, notes)
    return converted, keys.convert(rows(dump, "token"), known, models, datetime.now(UTC), notes, converted.unpriced)


def _plain(
    converted: convert.Converted, moved: keys.Converted | None, written: list[str], out: str | None
) -> dict[str, object]:
    every = [*converted.problems, *converted.notes, *(moved.notes if moved else ())]
    return {
        "written": written,
        "notes": [{"path": note.path, "reason": note.reason} for note in every],
        "problems": len(converted.problems),
        "variables": converted.variables,
        "teams": [{"name": team.name, "models": team.models, "limits": dict(team.limits)} for team in moved.teams]
        if moved
        else [],
        **({} if out else {"config": converted.text}),
    }


def _show(converted: convert.Converted, moved: keys.Converted | None, written: list[str], out: str | None) -> None:
    from penstock.importers.litellm.notes import lines

    if not out:
        click.echo(converted.text, nl=False)
    for line in lines([*converted.problems, *converted.notes, *(moved.notes if moved else ())]):
        click.echo(line, err=True)
    for file in written:
        count = f" ({len(moved.keys)} keys)" if moved and file == written[-1] else ""
        click.echo(f"wrote {file}{count}", err=True)
    if converted.problems:
        click.echo("the configuration does not pass `penstock check` yet: the first lines say why", err=True)
