"""`penstock audit …`: what was recorded, and whether it still is what was written; with a gateway running or not."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

import click
import msgspec

from penstock.audit import journals
from penstock.audit.choice import Choice, parse_status, parse_time
from penstock.audit.journals import Journal, Row
from penstock.audit.shown import CSV, TITLES, as_cells, as_line, as_object
from penstock.cli.options import config_option, find_config, json_option, refuse
from penstock.cli.output import print_facts, print_table

LATEST = 50
"""Rows of a table unless it is asked for more."""
LOOK_S = 0.2
OUTCOMES = ("complete", "upstream_cut", "client_gone", "failed", "interrupted")


@click.group("audit")
def command() -> None:
    """Show, export and verify what was recorded in data_dir."""


data_dir_option = click.option("--data-dir", metavar="DIR", help="Look there, whatever the configuration says.")


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def callback(_: click.Context, __: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _time(text: str) -> int:
    return parse_time(text, datetime.now(UTC))


def _choosing(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose records."""
    for option in reversed(
        (
            click.option(
                "--since", metavar="TIME", callback=_parsed(_time), help="Begun then or later: 2h, 2026-01-31 …"
            ),
            click.option("--until", metavar="TIME", callback=_parsed(_time), help="Begun before."),
            click.option("--key", metavar="ID", help="Of this key."),
            click.option("--team", metavar="ID", help="Of this team."),
            click.option("--model", metavar="NAME", help="That asked for this model."),
            click.option("--target", metavar="TARGET", help="Answered by this provider/model, or provider."),
            click.option(
                "--status", metavar="CODE", callback=_parsed(parse_status), help="With this status: 429, or 4xx."
            ),
            click.option("--outcome", type=click.Choice(OUTCOMES), help="That ended so."),
            click.option("--request-id", metavar="ID", help="This request."),
        )
    ):
        function = option(function)
    return function


def _choice(wanted: dict[str, Any]) -> Choice:
    since, until = wanted.pop("since"), wanted.pop("until")
    return Choice(since_us=since or 0, until_us=until, **wanted)


@command.command("query")
@config_option
@data_dir_option
@json_option
@_choosing
@click.option("--limit", type=click.IntRange(min=0), help="The latest so many; 0: all. A table shows 50, JSON all.")
def query(config: str | None, data_dir: str | None, as_json: bool, limit: int | None, **wanted: Any) -> None:
    """Show records, the oldest first; as JSON one a line."""
    found = _found(_data_dir(config, data_dir), _choice(wanted))
    most = (0 if as_json else LATEST) if limit is None else limit
    if as_json:
        for row in _latest(found, most)[0]:
            click.echo(msgspec.json.encode(as_object(row)))
        return
    shown, count = _latest(found, most)
    print_table(TITLES, (as_line(row) for row in shown))
    if most and count > most:
        click.echo(f"the latest {most} of {count}; --limit 0 shows all", err=True)


@command.command("export")
@config_option
@data_dir_option
@_choosing
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False), help="A file; else standard output.")
def export(config: str | None, data_dir: str | None, form: str, output: str | None, **wanted: Any) -> None:
    """Write records as JSON lines or CSV."""
    found = _found(_data_dir(config, data_dir), _choice(wanted))
    with click.open_file(output or "-", "w", encoding="utf-8") as out:
        if form == "jsonl":
            for row in found:
                out.write(msgspec.json.encode(as_object(row)).decode() + "\n")
            return
        lines = csv.writer(out)
        lines.writerow(CSV)
        lines.writerows(as_cells(row) for row in found)


@command.command("tail")
@config_option
@data_dir_option
@json_option
@click.option("--lines", type=click.IntRange(min=0), default=10, show_default=True, help="Show so many of the last.")
def tail(config: str | None, data_dir: str | None, as_json: bool, lines: int) -> None:
    """Show the last records, then each as its request ends."""
    place = _data_dir(config, data_dir)
    show = _line if not as_json else _json_line
    followed: dict[str, Journal] = {}
    last: deque[Row] = deque(maxlen=lines)
    _follow(place, followed, last.append, newest=True)
    for row in last:
        show(row)
    try:
        while True:
            sys.stdout.flush()
            time.sleep(LOOK_S)
            _follow(place, followed, show, newest=False)
    except KeyboardInterrupt:
        return


@command.command("verify")
@config_option
@data_dir_option
@json_option
@click.option(
    "--heads", type=click.Path(exists=True, dir_okay=False), help="What --json printed before: it must stand."
)
def verify(config: str | None, data_dir: str | None, as_json: bool, heads: str | None) -> None:
    """Check that every entry is there, unchanged, once and in its order; exit 1 and say which is not."""
    from penstock.engine import verify_journals

    place = _data_dir(config, data_dir)
    kept = _heads(heads)
    try:
        live = journals.live_instances(place)
        found = verify_journals(journals.directory(place), msgspec.json.encode(kept), live)
    except (OSError, ValueError, ImportError) as error:
        _fail(str(error))
    reports: list[dict[str, Any]] = msgspec.json.decode(found)
    faults = [report for report in reports if report["fault"]]
    if as_json:
        click.echo(msgspec.json.encode({"ok": not faults, "journals": reports}))
    else:
        _show_reports(place, reports)
    if faults:
        for report in faults:
            click.echo(f"{report['instance']}: {report['fault']}", err=True)
        raise SystemExit(1)


@command.command("forget")
@config_option
@data_dir_option
@click.option("--before", metavar="TIME", required=True, callback=_parsed(_time), help="30d, 2026-01-31 …")
def forget(config: str | None, data_dir: str | None, before: int) -> None:
    """Delete client addresses and end users from whole segments that last changed before then; the chain holds."""
    from penstock.engine import forget_private
    from penstock.instance import LOCK, is_held

    try:
        paths = journals.instances(_data_dir(config, data_dir))
        count = sum(forget_private(path, before, is_held(os.path.join(path, LOCK))) for path in paths)
    except (OSError, ImportError) as error:
        _fail(str(error))
    click.echo(f"forgotten: {count}")


def _show_reports(place: str, reports: list[dict[str, Any]]) -> None:
    if not reports:
        click.echo(f"nothing is recorded in {place}")
        return
    titles = ("INSTANCE", "ENTRIES", "RECORDS", "DROPPED", "STATE", "HEAD", "VERDICT")
    rows = []
    for report in reports:
        head = report["head"]
        state = "open" if report["is_live"] else "ended" if report["ended"] else "broken off"
        counts = (str(report[name]) for name in ("entries", "records", "lost"))
        shown = f"{head['sequence']}:{head['hash'][:16]}" if head else "-"
        rows.append((report["instance"], *counts, state, shown, "FAULT" if report["fault"] else "ok"))
    print_table(titles, rows)
    unfinished = [
        (each["instance"], [f"{each['unfinished_bytes']} bytes"]) for each in reports if each["unfinished_bytes"]
    ]
    if unfinished:
        click.echo("the last write was not finished, as after a cut of power:")
        print_facts(unfinished)


def _heads(file: str | None) -> list[dict[str, Any]]:
    """The heads of an earlier verification."""
    if file is None:
        return []
    try:
        with open(file, "rb") as kept:
            return [each["head"] for each in msgspec.json.decode(kept.read())["journals"] if each["head"]]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        _fail(f"{file}: is not what `penstock audit verify --json` prints ({error})")


def _follow(data_dir: str, followed: dict[str, Journal], show: Callable[[Row], None], newest: bool) -> None:
    """Shows what is new. `newest`: begin with the newest segment of each journal."""
    try:
        for path in journals.instances(data_dir):
            if path not in followed:
                followed[path] = Journal(path, journals.last_segment(path) if newest else 0)
            for row in followed[path].rows():
                show(row)
    except (OSError, ImportError) as error:
        _fail(str(error))


def _found(data_dir: str, choice: Choice) -> Iterator[Row]:
    try:
        yield from (row for row in journals.rows(data_dir, choice.since_us) if choice.takes(row.record))
    except (OSError, ImportError) as error:
        _fail(str(error))


def _latest(found: Iterator[Row], most: int) -> tuple[Iterator[Row] | deque[Row], int]:
    """The last so many, and how many there were; all of them as they come where `most` is 0."""
    if not most:
        return found, 0
    count = 0
    last: deque[Row] = deque(maxlen=most)
    while piece := list(islice(found, 10_000)):
        count += len(piece)
        last.extend(piece)
    return last, count


def _line(row: Row) -> None:
    click.echo("  ".join(each if each.isprintable() else "�" for each in as_line(row)))


def _json_line(row: Row) -> None:
    click.echo(msgspec.json.encode(as_object(row)))


def _data_dir(config: str | None, given: str | None) -> str:
    if given is not None:
        return given
    from penstock.config.load import load
    from penstock.config.problem import ConfigError

    try:
        found = load(find_config(config), os.environ).config
    except ConfigError as error:
        refuse(error)
    if found.journal.durability == "none":
        click.echo("nothing is recorded: journal.durability is none; this is what was recorded before", err=True)
    return found.data_dir


def _fail(message: str) -> NoReturn:
    click.echo(f"penstock audit: {message}", err=True)
    raise SystemExit(1)
