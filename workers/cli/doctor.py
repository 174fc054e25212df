"""`cwpo doctor`: this machine, the database, Redis and the artifact store, and what is wrong with them."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from redis.exceptions import RedisError

from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import settings
from cwpo.errors import CwpoError
from cwpo.redaction import without_secrets
from cwpo.report.numbers import size
from db import queries
from db.errors import DatabaseError
from db.refusals import filesystem_of, is_network
from db.repositories import leases
from workers.cli.console import make_console
from workers.cli.stack import StackError, find_redis
from workers.machine import modes
from workers.machine.database import reading
from workers.machine.devices import visible_gpus, worker_count
from workers.machine.disk import leftovers
from workers.machine.paths import home, store
from workers.machine.redis.address import socket_path
from workers.queue import doorbell

_LITTLE_SPACE = 2 * 2**30  # bytes
_PACKAGES = ("torch", "transformers", "datasets", "streamlit", "sqlalchemy", "rq", "redis")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: what was looked at, what was found, and what to do when it is not well."""

    ok: bool
    about: str
    text: str


def main() -> int:
    """Print every finding; 1 when something is wrong."""
    console = make_console()
    findings = list(examine())
    for finding in findings:
        mark = "[green]ok[/]  " if finding.ok else "[red]bad[/] "
        console.print(f"{mark}{finding.about:<10}", end="")
        console.print(without_secrets(finding.text), markup=False, highlight=False)
    return 0 if all(finding.ok for finding in findings) else 1


def examine() -> Iterator[Finding]:
    """All checks, cheap ones first."""
    yield _machine()
    yield from _storage(home())
    yield _redis()
    yield from _database()
    yield from _artifacts(store())
    yield from _shared_store(store())
    yield from _leftovers()


def _machine() -> Finding:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    gpus = len(visible_gpus())
    return Finding(
        ok=(3, 11) <= sys.version_info[:2] <= (3, 12),
        about="machine",
        text=f"Python {platform.python_version()}, {os.cpu_count()} cores, {gpus} GPUs, "
        f"{worker_count()} CPU workers; {versions}",
    )


def _storage(place: Path) -> Iterator[Finding]:
    folder = place
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield Finding(
        ok=free > _LITTLE_SPACE and os.access(folder, os.W_OK),
        about="storage",
        text=f"{place}: {free / 2**30:.1f} GiB free"
        + ("" if free > _LITTLE_SPACE else "; free some space, or set CWPO_HOME to another disk")
        + ("" if os.access(folder, os.W_OK) else "; it cannot be written, set CWPO_HOME"),
    )
    if place.is_dir() and (wide := modes.sentence_on(place)):
        yield Finding(ok=False, about="storage", text=f"{place}: {wide}")
    kind = filesystem_of(folder)
    if (is_network(kind) or kind == "9p") and settings.database_url is None:
        yield Finding(
            ok=False,
            about="storage",
            text=f"{place} lies on {kind}, where SQLite is not safe: set DATABASE_URL to Postgres, or CWPO_HOME to a "
            "local disk.",
        )


def _redis() -> Finding:
    try:
        remark = doorbell.remark()
        private = socket_path(doorbell.redis_url()) is not None  # nobody else reaches it
        return Finding(ok=private or not remark, about="redis", text=f"answers. {remark}" if remark else "answers")
    except RedisError as error:
        try:
            start = f"`cwpo start` starts {find_redis()}"
        except StackError as missing:
            start = str(missing)
        return Finding(ok=False, about="redis", text=f"does not answer ({error}); {start}")


def _database() -> Iterator[Finding]:
    try:
        with reading() as session:
            facts = queries.database_health(session)
            alive = [worker for worker in queries.workers(session) if worker.alive]
            expired = leases.expired_count(session)
    except DatabaseError as error:
        yield Finding(ok=False, about="database", text=str(error))
        return
    current = "" if facts.current else f"; its schema is {facts.revision}, not {facts.head}: start the stack once"
    yield Finding(
        ok=facts.current,
        about="database",
        text=f"{facts.product} {facts.version} at {facts.location}, {facts.bytes / 2**20:.1f} MiB{current}",
    )
    yield Finding(ok=True, about="workers", text=f"{len(alive)} alive")
    if expired:
        yield Finding(
            ok=False,
            about="leases",
            text=f"{expired} run out and not taken back: start the workers, the reaper does it.",
        )


def _artifacts(place: ArtifactStore) -> Iterator[Finding]:
    """Every artifact against its manifest; the damaged ones by name."""
    fingerprints = list(place.fingerprints())
    damaged = {fingerprint: damage for fingerprint in fingerprints if (damage := place.damage(fingerprint))}
    for fingerprint, damage in damaged.items():
        yield Finding(
            ok=False,
            about="artifact",
            text=f"{fingerprint[:12]}: {damage}; the stage is computed again when it is needed",
        )
    unfinished = len(list((place.root / "tmp").glob("*")))
    yield Finding(
        ok=not damaged,
        about="artifacts",
        text=f"{len(fingerprints)} in {place.root}, {len(damaged)} damaged, {unfinished} unfinished",
    )


def _shared_store(place: ArtifactStore) -> Iterator[Finding]:
    """Whether CWPO_STORE, where it is set, can be reached and written."""
    if place.shared is None:
        return
    try:
        place.shared.check()
    except CwpoError as error:
        yield Finding(ok=False, about="store", text=str(error))
        return
    yield Finding(ok=True, about="store", text=f"{place.shared.url} can be read and written")


def _leftovers() -> Iterator[Finding]:
    """How much of the disk nobody needs; nothing where the database, which says so, cannot be asked."""
    try:
        going = [one for one in leftovers.find() if not one.held and one.kind != leftovers.UNNAMED]
    except DatabaseError:
        return
    much = size(sum(one.bytes for one in going))
    said = f"{much} in {len(going):,} folders that nobody needs: `cwpo gc` says which" if going else "none to delete"
    yield Finding(ok=True, about="leftovers", text=said)
