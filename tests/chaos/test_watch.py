"""What the sieges watch with: a stage that runs without a job process is seen, and only one that does so for long."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from db.engine import make_engines, session_scope
from db.repositories import workers
from tests.chaos import invariants
from tests.chaos.invariants import STUCK, Watch
from tests.chaos.services import wait
from tests.db.make import add_worker, claim, submit

# Like a worker: it waits for its child, and lives on when that has ended, until a line begins the next one.
WORKER = "while true; do sleep 600 & wait; read next || exit; done"


@contextmanager
def worker() -> Iterator[tuple["subprocess.Popen[bytes]", psutil.Process]]:
    with subprocess.Popen(["sh", "-c", WORKER], stdin=subprocess.PIPE) as process:
        family = psutil.Process(process.pid)
        try:
            wait(family.children, 300)
            yield process, family
        finally:
            for one in family.children():
                one.kill()
            process.kill()


def test_a_stage_is_stuck_when_its_worker_has_had_no_job_process_for_a_minute(
    sqlite_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(invariants, "clocks", clock)
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    engines = make_engines(sqlite_address)
    submit(engines)
    number = add_worker(engines)
    held = claim(engines, number)
    watch = Watch()

    def look(after: float) -> tuple[float, set[tuple[int, int]]]:
        clock.now += after
        watch.look()
        return watch.longest, watch.stuck

    with worker() as (process, family):
        with session_scope(engines) as session:
            workers.name_process(session, number, process.pid)
        engines.dispose()
        look(0.0)
        assert look(STUCK + 1) == (0.0, set())
        family.children()[0].kill()
        wait(lambda: not family.children(), 300)
        look(0.0)
        assert look(STUCK - 1) == (STUCK - 1, set())  # it has its seconds, between a death and the next job process
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait(family.children, 300)
        assert look(1.0) == (STUCK - 1, set())
        family.children()[0].kill()
        wait(lambda: not family.children(), 300)
        look(0.0)
        assert look(STUCK - 1) == (STUCK - 1, set())
        assert look(2.0) == (STUCK + 1, {(held.stage_id, held.token)})
    watch = Watch()
    look(0.0)
    assert look(STUCK + 1)[1] == {(held.stage_id, held.token)}  # its worker has ended, too
