"""`cwpo gc`, `backup` and `restore`: what they take, and which file does it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any, verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the command line."""
    gc = verb(verbs, "gc", _gc, "say what nobody needs under CWPO_HOME and how large it is; --delete deletes it")
    gc.add_argument("--delete", action="store_true", help="delete it (default: only say what would be deleted)")
    gc.add_argument(
        "--days", type=int, metavar="N", help="what was not written for N days (default: by kind, as it says)"
    )
    gc.add_argument(
        "--unnamed", action="store_true",
        help="with --delete: also artifacts that no run of the database names, such as results of `cwpo run`",
    )  # fmt: skip
    back = verb(verbs, "backup", _backup, "put database and artifacts into one file, also while workers run")
    back.add_argument("file", metavar="FILE", type=Path, help="the backup, for example cwpo.backup; must not exist")
    back.add_argument("--models", action="store_true", help="put in fetched, converted and exported models too")
    again = verb(verbs, "restore", _restore, "bring a backup back into an empty home and an empty database")
    again.add_argument("file", metavar="FILE", type=Path, help="a file that `cwpo backup` wrote")
    again.add_argument("--check", action="store_true", help="read the file and compare every checksum; write nothing")


def _gc(options: argparse.Namespace) -> int:
    from workers.cli.disk import collect

    return collect.main(delete=options.delete, days=options.days, unnamed=options.unnamed)


def _backup(options: argparse.Namespace) -> int:
    from workers.cli.disk import copies

    return copies.back_up(options.file, models=options.models)


def _restore(options: argparse.Namespace) -> int:
    from workers.cli.disk import copies

    return copies.restore(options.file, check=options.check)
