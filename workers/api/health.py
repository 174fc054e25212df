"""Whether the parts of the installation answer."""

import shutil
from dataclasses import dataclass
from typing import Any

from db import queries
from db.errors import DatabaseError
from workers.access.doing import reads
from workers.api.changes import redis_health
from workers.machine.database import reading
from workers.machine.paths import home

_FULL = 0.98  # share of the disk above which health says so


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether each part answers, in words."""

    redis_ok: bool
    redis_detail: str
    database_ok: bool
    database_detail: str
    storage_ok: bool
    storage_detail: str
    workers_alive: int


@reads
def health() -> Health:
    """Ask Redis, the database and the disk; answers within seconds whatever is down."""
    redis_ok, redis_detail = redis_health()
    database_ok, database_detail, alive = _database_health()
    storage_ok, storage_detail = storage_health()
    return Health(
        redis_ok=redis_ok,
        redis_detail=redis_detail,
        database_ok=database_ok,
        database_detail=database_detail,
        storage_ok=storage_ok,
        storage_detail=storage_detail,
        workers_alive=alive,
    )


@reads
def storage_health() -> tuple[bool, str]:
    """Whether the disk of this installation has room, and how much."""
    usage = shutil.disk_usage(_existing(home()))
    said = f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.0f} GiB at {home()}"
    return usage.used / usage.total < _FULL, said


def _database_health() -> tuple[bool, str, int]:
    try:
        with reading() as session:
            facts = queries.database_health(session)
            alive = sum(worker.alive for worker in queries.workers(session))
    except DatabaseError as error:
        return False, str(error), 0
    return True, f"{facts.product} {facts.version}, {facts.location}", alive


def _existing(path: Any) -> Any:
    while not path.exists():
        path = path.parent
    return path
