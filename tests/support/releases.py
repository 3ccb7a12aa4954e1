"""Stores of other releases: the same code with other migrations."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from penstock.store.migrate import FOLDER, Migration
from penstock.store.sql import SqlStore

WIDER = """\
-- expand: a note on every key
ALTER TABLE penstock_keys ADD COLUMN note text;
CREATE TABLE penstock_notes (id text PRIMARY KEY, note text NOT NULL DEFAULT 'a; b');
CREATE INDEX penstock_keys_note ON penstock_keys (note);
"""
NARROWER = """\
-- contract: nobody reads notes any more
DROP TABLE penstock_notes;
"""
BROKEN = """\
-- expand: fails half-way
CREATE TABLE penstock_half (id text PRIMARY KEY);
INSERT INTO penstock_nowhere (id) VALUES ('x');
"""


def released(store: SqlStore, migrations: Sequence[Migration]) -> SqlStore:
    """The store as a release with these migrations has it."""
    return SqlStore(store._database, migrations)


def folder_of(kind: str, directory: Path, **further: str) -> Path:
    """A copy of our migrations for `sqlite` or `postgres`, and further ones by their names, behind an underscore."""
    copy = directory / f"migrations-{kind}-{len(list(directory.iterdir()))}"
    shutil.copytree(FOLDER / kind, copy)
    for name, text in further.items():
        (copy / f"{name.removeprefix('_')}.sql").write_text(text)
    return copy
