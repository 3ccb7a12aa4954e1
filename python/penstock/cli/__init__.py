"""The command line: one file a command, each imported when it is asked for."""

from __future__ import annotations


def main() -> None:
    """The entry point of `penstock`; exits 0 (done), 1 (failed) or 2 (wrong use or configuration)."""
    from penstock.cli.root import root

    root(prog_name="penstock")
