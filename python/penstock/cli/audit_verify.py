"""`penstock audit verify` and `forget`: journals and store."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from penstock.audit import journals
from penstock.audit.stored import Head, Report
from penstock.cli.audit_place import data_dir_option, parsed, place_of, read_time
from penstock.cli.options import config_option, find_config, json_option
from penstock.cli.output import print_facts, print_table
from penstock.cli.record_source import failed, has_sqlite
from penstock.store.asking import Asking
from penstock.store.interface import StoreError, StoreRefusedError
from penstock.store.records import Watermark

if TYPE_CHECKING:
    from penstock.config.model import Config

Journal = dict[str, Any]
"""What native says of one."""

PATIENCE_S = 30.0
"""Another process takes a second to look through what one left, and less to remove a segment."""
AGAIN_S = 0.1


@click.command("verify")
@config_option
@data_dir_option
@json_option
@click.option(
    "--heads", type=click.Path(exists=True, dir_okay=False), help="What --json printed before: it must stand."
)
def verify(config: str | None, data_dir: str | None, as_json: bool, heads: str | None) -> None:
    """Check that every entry of the journals and of the store is there, unchanged, once and in its order; exit 1 and
    say which is not."""
    place = place_of(config, data_dir)
    kept = _heads(heads)
    stored, marks, away = asyncio.run(_verify_store(config, data_dir, kept))
    try:
        found = _verify_journals(place, kept, stored, marks, is_all_asked=not away)
    except (OSError, ValueError, ImportError) as error:
        failed(str(error))
    faults = [("store", f"not verified: {away}")] if away else []
    faults += [(each["instance"], each["fault"]) for each in found if each["fault"]]
    faults += [(f"store: {each.instance}", each.fault) for each in stored if each.fault]
    if as_json:
        rows = [msgspec.to_builtins(each) for each in stored]
        click.echo(msgspec.json.encode({"ok": not faults, "journals": found, "store": rows}))
    else:
        _show(place, found, stored)
    for instance, fault in faults:
        click.echo(f"{instance}: {fault}", err=True)
    if faults:
        raise SystemExit(1)


@click.command("forget")
@config_option
@data_dir_option
@click.option("--before", metavar="TIME", required=True, callback=parsed(read_time), help="30d, 2026-01-31 …")
def forget(config: str | None, data_dir: str | None, before: int) -> None:
    """Delete client addresses, end users, prompts and answers of requests that began before then from the store, and of
    whole segments that last changed before then from the journals, what is damaged there included; the chain holds.
    Exit 1 and say where not all is forgotten."""
    # The journals first: what they still had would come to the store behind our back.
    count, damaged, left = _forget_in_journals(place_of(config, data_dir), before)
    in_store = 0
    try:
        in_store = asyncio.run(_forget_in_store(config, data_dir, before))
    except (OSError, StoreError) as error:
        left.append(f"the store: {error}")
    wiped = f", {damaged} bytes of damaged entries" if damaged else ""
    click.echo(f"forgotten: {count} in journals{wiped}, {in_store} in the store")
    if left:
        failed(f"not everything is forgotten: {'; '.join(left)}")


def _forget_in_journals(place: str, before_us: int) -> tuple[int, int, list[str]]:
    """How many private parts, and how many bytes of what is damaged; which journals may still have some, and why."""
    parts, damaged = 0, 0
    left: list[str] = []
    try:
        paths = journals.instances(place)
    except OSError as error:
        return 0, 0, [str(error)]
    for path in paths:
        try:
            for some_parts, some_damaged in _forget_in_journal(path, before_us):
                parts, damaged = parts + some_parts, damaged + some_damaged
        except OSError as error:
            left.append(f"{path}: {error}")
        except ImportError as error:
            failed(str(error))
    return parts, damaged, left


def _forget_in_journal(path: str, before_us: int) -> Iterator[tuple[int, int]]:
    """What is forgotten each time, again and again while another process is at its files. Raises OSError."""
    from penstock.engine import forget_private
    from penstock.instance import is_live

    until = time.monotonic() + PATIENCE_S
    while True:
        parts, damaged, left = forget_private(path, before_us, is_live(path))
        yield parts, damaged
        if not left:
            return
        if time.monotonic() > until:
            raise OSError(f"another process changes its files ({left} are left): run it again")
        time.sleep(AGAIN_S)


async def _forget_in_store(config: str | None, data_dir: str | None, before_us: int) -> int:
    from penstock.store.open import SQLITE, make_forgetting

    if data_dir is None:
        found = _store_place(config)
        forgetting = make_forgetting(found.store.url, found.data_dir, password_file=found.store.password_file)
    elif has_sqlite(data_dir):
        forgetting = make_forgetting(SQLITE, data_dir)
    else:
        return 0
    try:
        return await forgetting.forget(before_us)
    finally:
        await forgetting.close()


async def _verify_store(
    config: str | None, data_dir: str | None, heads: Sequence[Head]
) -> tuple[list[Report], dict[str, Watermark], str]:
    """Reports, the watermarks of before, and why the store could not be asked; empty: it could."""
    from penstock.audit import stored

    try:
        store = _store_of(config, data_dir)
    except StoreError as error:
        return [], {}, str(error)
    if store is None:
        return [], {}, ""
    try:
        if not await store.has_records():
            return [], {}, ""
        marks = dict(await store.all_marks())
        return await stored.verify(store, heads), marks, ""
    except StoreError as error:
        return [], {}, str(error)
    finally:
        await store.close()


def _store_of(config: str | None, data_dir: str | None) -> Asking | None:
    """The store of the configuration, or the one in a data_dir, if there is one. Raises `StoreRefusedError`."""
    from penstock.store.open import SQLITE, make_asking

    if data_dir is not None:
        return make_asking(SQLITE, data_dir) if has_sqlite(data_dir) else None
    found = _store_place(config)
    return make_asking(found.store.url, found.data_dir, password_file=found.store.password_file)


def _store_place(config: str | None) -> Config:
    """Where the configured store is, whatever else is wrong. Raises `StoreRefusedError`: that is not known."""
    from penstock.config.load import load_store
    from penstock.config.problem import ConfigError

    try:
        return load_store(find_config(config), os.environ)
    except ConfigError as error:
        raise StoreRefusedError("; ".join(str(problem) for problem in error.problems)) from None


def _verify_journals(
    place: str, heads: Sequence[Head], stored: Sequence[Report], marks: dict[str, Watermark], is_all_asked: bool
) -> list[Journal]:
    """Also against the store: the entry of a watermark must stand in the journal, if that still has it. Where the store
    could not be asked, a head of a journal that is not here may stand there."""
    from penstock.engine import verify_journals

    last = {each.instance: each.head.sequence if each.head else each.removed for each in stored}
    wanted = [head for head in heads if head.sequence > last.get(head.instance, 0)]
    here = {os.path.basename(path) for path in journals.instances(place) if journals.last_segment(path) > 0}
    wanted = [head for head in wanted if is_all_asked or head.instance in here]
    agreed = [Head(each.instance, each.sequence, each.hash.hex()) for name, each in marks.items() if name in here]
    live = journals.live_instances(place)
    found = verify_journals(journals.directory(place), msgspec.json.encode([*wanted, *agreed]), live)
    reports: list[Journal] = msgspec.json.decode(found)
    kept = {head.instance for head in wanted}
    # One that was shipped to its end may go at any moment, but for what is written.
    return [each for each in reports if each["segments"] or each["is_live"] or each["instance"] in kept]


def _show(place: str, reports: Sequence[Journal], stored: Sequence[Report]) -> None:
    if not reports and not stored:
        click.echo(f"nothing is recorded in {place}")
        return
    titles = ("INSTANCE", "WHERE", "ENTRIES", "RECORDS", "DROPPED", "GONE", "STATE", "HEAD", "VERDICT")
    rows = []
    for report in reports:
        state = "open" if report["is_live"] else "ended" if report["ended"] else "broken off"
        counts = (str(report[name]) for name in ("entries", "records", "lost"))
        head = Head(**report["head"]) if report["head"] else None
        verdict = "FAULT" if report["fault"] else "ok"
        rows.append((report["instance"], "journal", *counts, "-", state, _shown(head), verdict))
    for each in stored:
        state = "whole" if each.ended else "in part"
        numbers = (str(number) for number in (each.entries, each.records, each.lost, each.removed))
        rows.append((each.instance, "store", *numbers, state, _shown(each.head), "FAULT" if each.fault else "ok"))
    print_table(titles, rows)
    unfinished = [
        (each["instance"], [f"{each['unfinished_bytes']} bytes"]) for each in reports if each["unfinished_bytes"]
    ]
    if unfinished:
        click.echo("the last write was not finished, as after a cut of power:")
        print_facts(unfinished)
    if any(each.removed for each in stored):
        click.echo("GONE: entries at the beginning that the store has no more, as after audit.retain")


def _shown(head: Head | None) -> str:
    return f"{head.sequence}:{head.hash[:16]}" if head else "-"


def _heads(file: str | None) -> list[Head]:
    """The heads of an earlier verification."""
    if file is None:
        return []
    try:
        with open(file, "rb") as kept:
            found = msgspec.json.decode(kept.read())
        return [
            msgspec.convert(each["head"], Head)
            for part in ("journals", "store")
            for each in found.get(part, ())
            if each["head"]
        ]
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        failed(f"{file}: is not what `penstock audit verify --json` prints ({error})")
