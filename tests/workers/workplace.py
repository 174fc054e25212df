"""A workplace: database, Redis, home and materials of one test, and the processes of its workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from cwpo.config.run import RunConfig, expand, merged
from db import queries
from db.engine import upgrade
from db.models import Run
from db.records import RunFilters, RunRow, StageRow
from tests import clocks
from workers import api
from workers.machine.database import reading

PATIENCE = 300.0  # seconds for what has to happen, where how soon is not what a test asks; machines may be busy


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.1) -> Any:
    """The first true value of `condition`; an assertion when it stays false for so many seconds of a machine that
    runs."""
    deadline = clocks.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if clocks.monotonic() >= deadline:
            break
        time.sleep(every)
    raise AssertionError(f"not true within {seconds} s: {condition}")


@contextmanager
def installation(home: Path, redis: str) -> Iterator[dict[str, str]]:
    """A home with a SQLite database of its own, for as long as the block lasts; the variables that name them."""
    own = {"DATABASE_URL": f"sqlite:///{home / 'db.sqlite'}", "REDIS_URL": redis, "CWPO_HOME": str(home)}
    upgrade(own["DATABASE_URL"])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        yield own


@dataclass
class Workplace:
    """Where a test's runs live. `environment` is what its processes get."""

    environment: dict[str, str]
    home: Path
    materials: dict[str, Any]

    def config(self, **over: Any) -> RunConfig:
        return RunConfig.parse(merged(self.materials, over))

    def sweep(self, **over: Any) -> list[RunConfig]:
        return expand(merged(self.materials, over))

    def run(self, run_id: int) -> RunRow:
        with reading() as session:
            return queries.list_runs(session, filters=RunFilters(ids=(run_id,)), after=None, limit=1).rows[0]

    def stage(self, run_id: int, slot: str) -> StageRow:
        with reading() as session:
            return next(stage for stage in queries.run_stages(session, run_id) if stage.slot == slot)

    def wait_done(self, *run_ids: int, seconds: float = 2 * PATIENCE) -> None:
        def finished() -> bool:
            with reading() as session:
                rows = session.execute(select(Run.status, Run.error).where(Run.id.in_(run_ids))).all()
            assert not [row.error for row in rows if row.status in ("failed", "cancelled")]
            return sum(row.status == "done" for row in rows) == len(set(run_ids))

        wait_for(finished, seconds, every=0.3)

    @contextmanager
    def supervisor(self, workers: int = 2) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m workers`; on leaving it is stopped, and nothing it started may be left."""
        log = (self.home / "supervisor.log").open("ab")
        environment = {
            "CWPO_STOP_GRACE": "3",  # a busy machine may be slow to reach the end of a step
            **self.environment,
            "PYTHONFAULTHANDLER": "1",
            "WORKERS": str(workers),
            "CWPO_PARENT_PID": str(os.getpid()),
        }
        process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment, stdout=log, stderr=log)
        try:
            wait_for(lambda: api.health().workers_alive >= workers)
            yield process
        finally:
            family = descendants(process.pid)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # the fault handler writes where it hangs
                process.wait(90)
            log.close()
            said = (self.home / "supervisor.log").read_text()
            assert "Fatal Python error" not in said, said[-4000:]
            wait_for(lambda: not any(map(lives, family)), 20)  # before a job that goes on would be done


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below this one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie that nobody waits for has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def live_children(pid: int) -> set[int]:
    """Children that run now; one may end while the others are asked."""
    return {child.pid for child in psutil.Process(pid).children() if lives(child)}


def worker_processes(supervisor_pid: int) -> list[psutil.Process]:
    """The worker processes of a supervisor, without reaper and job processes."""
    return [child for child in psutil.Process(supervisor_pid).children() if "worker" in child.cmdline()]


def horse_of(worker: psutil.Process) -> psutil.Process | None:
    """A worker's job process."""
    children = worker.children()
    return children[0] if children else None
