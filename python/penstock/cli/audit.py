"""`penstock audit …`: what was recorded, by a running node or not; whether it still is what was written."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import click
import msgspec

from penstock.audit import journals
from penstock.audit.choice import Choice, parse_status, parse_tag
from penstock.audit.journals import Journal, Row
from penstock.audit.shown import CSV, TITLES, as_cells, as_line, as_object
from penstock.cli import audit_verify
from penstock.cli.admin_client import admin_options
from penstock.cli.audit_place import data_dir_option, parsed, place_of, read_time, say_if_nothing_is_recorded
from penstock.cli.options import config_option, json_option
from penstock.cli.output import print_table
from penstock.cli.record_source import (
    Object,
    Source,
    fail_if_partial,
    fail_if_unread,
    failed,
    record_source,
    say_if_partial,
)
from penstock.cli.written import written

LATEST = 50
"""Rows of a table unless it is asked for more."""
LOOK_S = 0.2
OUTCOMES = ("complete", "upstream_cut", "client_gone", "failed", "interrupted")


@click.group("audit")
def command() -> None:
    """Show, export and verify what was recorded."""


command.add_command(audit_verify.verify)
command.add_command(audit_verify.forget)


def _choosing(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose records."""
    for option in reversed(
        (
            click.option(
                "--since", metavar="TIME", callback=parsed(read_time), help="Begun then or later: 2h, 2026-01-31 …"
            ),
            click.option("--until", metavar="TIME", callback=parsed(read_time), help="Begun before."),
            click.option("--key", metavar="ID", help="Of this key."),
            click.option("--team", metavar="ID", help="Of this team."),
            click.option("--model", metavar="NAME", help="That asked for this model."),
            click.option("--target", metavar="TARGET", help="Answered by this provider/model, or provider."),
            click.option(
                "--status", metavar="CODE", callback=parsed(parse_status), help="With this status: 429, or 4xx."
            ),
            click.option("--outcome", type=click.Choice(OUTCOMES), help="That ended so."),
            click.option("--request-id", metavar="ID", help="This request."),
            click.option("--tag", metavar="NAME=VALUE", callback=parsed(parse_tag), help="Of a key with this tag."),
        )
    ):
        function = option(function)
    return function


def _choice(wanted: dict[str, Any]) -> Choice:
    since, until = wanted.pop("since"), wanted.pop("until")
    return Choice(since_us=since or 0, until_us=until, **wanted)


@command.command("query")
@admin_options
@data_dir_option
@json_option
@_choosing
@click.option("--limit", type=click.IntRange(min=0), help="The latest so many; 0: all. A table shows 50, JSON all.")
def query(
    config: str | None,
    admin: str | None,
    token_file: str | None,
    data_dir: str | None,
    as_json: bool,
    limit: int | None,
    **wanted: Any,
) -> None:
    """Show records, the oldest first; as JSON one a line."""
    choice = _choice(wanted)
    most = (0 if as_json else LATEST) if limit is None else limit
    say_if_nothing_is_recorded(config, data_dir, admin)
    with record_source(config, data_dir, admin, token_file) as source:
        found = source.newest(choice, most, texts=as_json) if most else source.all(choice, texts=as_json)
        if as_json:
            for shown in found:
                click.echo(msgspec.json.encode(shown))
        else:
            _table([as_line(shown) for shown in found], most)
        fail_if_unread(source)
        if as_json or not most:
            fail_if_partial(source)
        say_if_partial(source)


def _table(rows: list[tuple[str, ...]], most: int) -> None:
    print_table(TITLES, rows)
    if most and len(rows) == most:
        click.echo(f"the latest {most}; --limit 0 shows all", err=True)


@command.command("export")
@admin_options
@data_dir_option
@_choosing
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False), help="A file; else standard output.")
def export(
    config: str | None,
    admin: str | None,
    token_file: str | None,
    data_dir: str | None,
    form: str,
    output: str | None,
    **wanted: Any,
) -> None:
    """Write records as JSON lines or CSV. A file that is there stays as it is until all have come."""
    choice = _choice(wanted)
    say_if_nothing_is_recorded(config, data_dir, admin)
    with record_source(config, data_dir, admin, token_file) as source:
        try:
            with written(output) as out:
                _export(source, choice, form, out)
                fail_if_partial(source)
        except OSError as error:
            if output is None or output == "-":
                raise
            failed(f"{output}: {error.strerror}")
        fail_if_unread(source)


def _export(source: Source, choice: Choice, form: str, out: IO[str]) -> None:
    if form == "jsonl":
        for shown in source.all(choice, texts=True):
            out.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        lines = csv.writer(out)
        lines.writerow(CSV)
        lines.writerows(as_cells(shown) for shown in source.all(choice))


@command.command("tail")
@config_option
@data_dir_option
@json_option
@click.option("--lines", type=click.IntRange(min=0), default=10, show_default=True, help="Show so many of the last.")
def tail(config: str | None, data_dir: str | None, as_json: bool, lines: int) -> None:
    """Show the last records, then each as its request ends on a process of this data_dir."""
    place = place_of(config, data_dir)
    say_if_nothing_is_recorded(config, data_dir, None)
    show = _json_line if as_json else _line
    followed = _Followed(place)
    followed.rows(newest=True)  # from here on it follows: what came before is asked for
    shown: set[tuple[str, int]] = set()
    if lines:
        with record_source(config, data_dir, None, None) as source:
            for each in source.newest(Choice(), lines, texts=as_json):
                shown.add((each["instance"], each["sequence"]))
                show(each)
            say_if_partial(source)
    try:
        while True:
            for row in followed.rows():
                if (row.instance, row.sequence) not in shown:
                    show(as_object(row))
            sys.stdout.flush()
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return


class _Followed:
    """The journals of a data_dir. One that cannot be read holds up no other."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir
        self._journals: dict[str, Journal] = {}
        self._unread: set[str] = set()

    def rows(self, newest: bool = False) -> list[Row]:
        """What is new. `newest`: nothing yet, but from the end of each journal's newest segment on it will be."""
        found: list[Row] = []
        try:
            for path in journals.instances(self._data_dir):
                found += self._readable(path, newest)
        except (OSError, ImportError) as error:
            failed(str(error))
        return found

    def _readable(self, path: str, newest: bool) -> Iterator[Row]:
        try:
            # Whose end could not be seen before is followed from there once it can be.
            yield from self._rows(path, newest or path in self._unread)
            self._unread.discard(path)
        except NotADirectoryError:
            return  # it is no journal
        except OSError as error:
            if path not in self._unread:
                click.echo(f"penstock audit: {journals.unread(path, error)}; the others are followed", err=True)
            self._unread.add(path)

    def _rows(self, path: str, newest: bool) -> Iterator[Row]:
        if newest and path not in self._journals:
            self._journals[path] = _at_end(path)
            return
        if path not in self._journals:
            self._journals[path] = Journal(path)
        yield from self._journals[path].rows()


def _at_end(path: str) -> Journal:
    """Behind all that its newest segment holds."""
    journal = Journal(path, journals.last_segment(path))
    for _ in journal.rows():
        pass
    return journal


def _line(shown: Object) -> None:
    click.echo("  ".join(each if each.isprintable() else "�" for each in as_line(shown)))


def _json_line(shown: Object) -> None:
    click.echo(msgspec.json.encode(shown))
