"""Writes the archive of the newest revision: `python -m tests.db.archive`, once, when a migration is added."""

import sqlite3
import sys
from pathlib import Path

from db.engine import head_revision, make_engines, session_scope, upgrade
from db.repositories import runs
from tests.db.make import add_worker, new_run, stages_of, work_off


def write(folder: Path) -> Path:
    """Run 1, done with one published stage, and run 2, queued."""
    path = folder / f"{head_revision()}.sqlite"
    if path.exists():
        sys.exit(f"{path} exists: an archive is never written again.")
    upgrade(f"sqlite:///{path}")
    engines = make_engines(f"sqlite:///{path}")
    with session_scope(engines) as session:
        runs.create(session, new_run(name="old", config={"name": "old", "seed": 0}), stages_of("data"))
    work_off(engines, add_worker(engines))
    with session_scope(engines) as session:
        runs.create(session, new_run(name="newer"), stages_of("data", "annotator"))
    engines.dispose()
    _shrink(path)
    (folder / f"{path.name}.upgrade.lock").unlink(missing_ok=True)
    return path


def _shrink(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=512", "VACUUM"):
        connection.execute(statement)
    connection.close()


if __name__ == "__main__":
    print(write(Path(__file__).parent / "archives"))
