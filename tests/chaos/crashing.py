"""What the forks of crash_points.py do: submit a run, be a job process with a fault in it, say what is true."""

import hashlib
import json
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import select

from cwpo.annotation import labeling
from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import settings
from cwpo.config.run import RunConfig, merged
from cwpo.training import saving
from db.base import Base
from db.engine import upgrade
from db.models import Attempt, Metric, Run, Stage
from db.records.timing import PACE
from db.repositories import leases, stages
from db.status import ATTEMPT_PUBLISHED, DONE, LIVE
from tests.chaos.materials import materials
from tests.chaos.outcome import files_of
from tests.chaos.points import Points
from workers import api
from workers.machine import database
from workers.machine.database import reading, writing
from workers.queue import job, lease

ONE_STAGE = 0.005  # seconds after which a job process claims no more
OFTEN = {"execution": {"checkpoint_seconds": 0.001}, "align": {"epochs": 2, "lr": 1e-3, "batch_size": 16}}
_WINDOW = 40  # pairs that are labeled before they are kept


def prepare(ground: Any) -> int:
    """Database, a worker's row, one run; the number of the worker."""
    upgrade(settings.database_url or "")
    worker_id = lease.register_worker("crashing", "cpu")
    api.submit_run(RunConfig.parse(merged(materials(ground.folder / "materials"), OFTEN)))
    database.engines().dispose()
    return worker_id


def attempt(ground: Any, log: str, at: int, statements: bool) -> None:
    """One job process: one stage, with a fault at point `at` (0: none)."""
    job.WORK_SECONDS, saving.SHARE, labeling._WINDOW = ONE_STAGE, 1e9, _WINDOW
    _give_back(settings.own_worker)
    Redis.from_url(settings.redis_url or "").flushall()
    if statements:
        points = Points(ground.home, Path(log), at=at, act=lambda: _terminate(points, ground))
        points.watch_statements()
    else:
        points = Points(ground.home, Path(log), at=at)
        points.watch_calls()
    job.work()


def _give_back(worker_id: int) -> None:
    """As the worker does when its job process has been killed."""
    with writing() as session:
        for stage_id, token in leases.held_by(session, worker_id):
            stages.release(session, stage_id, token, cause="Its process was killed.")
    lease.set_idle(worker_id)


def _terminate(points: Points, ground: Any) -> None:
    """The server throws out the connection that is about to be used."""
    import psycopg

    pid = points.connection.info.backend_pid
    with psycopg.connect(ground.server, autocommit=True) as other:
        done = other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone()
    assert done == (True,)


def facts(ground: Any) -> dict[str, Any]:
    """Done stages, publications, the files of their artifacts and all rows that attempts wrote."""
    store = ArtifactStore(ground.home / "artifacts")
    with reading() as session:
        known = session.execute(select(Stage.kind, Stage.id, Stage.fingerprint, Stage.status)).all()
        published = session.execute(select(Attempt.stage_id).where(Attempt.status == ATTEMPT_PUBLISHED)).scalars().all()
        attempts = len(session.execute(select(Attempt.id)).all())
        runs = session.execute(select(Run.status, Run.error)).all()
        done = [row for row in known if row.status == DONE]
        rows = {table.name: _rows(session, table, [row.id for row in done]) for table in _written_by_attempts()}
    damaged = [row.kind for row in done if store.damage(row.fingerprint)]
    files = {
        f"{row.kind}#{row.id}/{name}": sha for row in done for name, sha in files_of(store, row.fingerprint).items()
    }
    return {
        "done": sorted(f"{row.kind}#{row.id}" for row in done), "published": sorted(published), "files": files,
        "rows": rows, "attempts": attempts, "errors": [*damaged, *(row.error for row in runs if row.error)],
        "over": all(row.status not in LIVE for row in runs),
    }  # fmt: skip


def _written_by_attempts() -> list[Any]:
    tables = Base.metadata.sorted_tables
    return [one for one in tables if "attempt_id" in one.columns and one.name != "log_lines"]


def _rows(session: Any, table: Any, stage_ids: list[int]) -> list[Any]:
    """Number and hash of the rows of done stages, whatever attempt wrote them."""
    columns = [one for one in table.columns if one.name not in ("id", "attempt_id")]
    statement = select(*columns).join(Attempt, Attempt.id == table.c.attempt_id)
    statement = statement.where(Attempt.stage_id.in_(stage_ids))
    if table.name == Metric.__tablename__:
        statement = statement.where(table.c.name != PACE)
    found = sorted(json.dumps(list(row), default=str, sort_keys=True) for row in session.execute(statement))
    return [len(found), hashlib.sha256("\n".join(found).encode()).hexdigest()]
