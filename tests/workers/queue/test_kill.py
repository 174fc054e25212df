"""kill -9 of a worker in mid-alignment, Redis wiped: resumed, and equal to an undisturbed run bit for bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cwpo.artifacts import ArtifactStore, sha256_of
from cwpo.bounds import yaml_text
from cwpo.config.run import RunConfig, merged
from cwpo.training.checkpoints import whole_checkpoints
from db import queries
from db.models import Worker
from tests import clocks
from tests.workers.workplace import Workplace, descendants, horse_of, lives, wait_for, worker_processes
from workers import api
from workers.machine.database import reading, writing
from workers.queue import doorbell

LONG = {"align": {"epochs": 100, "lr": 1e-3, "batch_size": 16}, "execution": {"checkpoint_seconds": 0.5}}
ENDLESS = {**LONG, "align": {**LONG["align"], "epochs": 5_000}}  # for runs that are cancelled in the end
NOTICED = 60.0  # seconds, promised


@pytest.fixture(scope="module")
def undisturbed(
    materials: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """The same run by `cwpo run` in a process of its own, with one thread as workers have, without database and Redis;
    its home, and the process, which may still be at it."""
    home = tmp_path_factory.mktemp("undisturbed")
    config = home / "config.yaml"
    config.write_text(yaml_text.written(RunConfig.parse(merged(materials, LONG)).canonical()))
    command = [sys.executable, "-m", "workers.cli.main", "run", str(config), "--home", str(home), "--threads", "1"]
    alone = {"DATABASE_URL": "none://", "REDIS_URL": "none://", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **alone}, stdout=log, stderr=log)
    yield home, process
    process.kill()
    process.wait(60)


def weights(home: Path, fingerprint: str) -> str:
    return sha256_of(ArtifactStore(home / "artifacts").path(fingerprint) / "model.safetensors")


def test_killed_worker_is_noticed_and_its_stage_resumed_bit_for_bit(
    both_workplaces: Workplace, undisturbed: tuple[Path, "subprocess.Popen[bytes]"]
) -> None:
    place, (other_home, other) = both_workplaces, undisturbed
    with place.supervisor(workers=1) as supervisor:
        run_id = api.submit_run(place.config(**LONG)).run_id

        def past_a_checkpoint() -> bool:
            stage = place.stage(run_id, "align")
            folder = ArtifactStore(place.home / "artifacts").root / "checkpoints" / stage.fingerprint
            return bool(stage.status == "running" and stage.done) and bool(whole_checkpoints(folder))

        wait_for(past_a_checkpoint, every=0.05)
        worker = worker_processes(supervisor.pid)[0]
        horse = horse_of(worker)
        assert horse is not None
        with clocks.lasting(NOTICED):
            os.kill(worker.pid, signal.SIGKILL)
            doorbell.connect().flushall()
            wait_for(lambda: not lives(horse), 20)  # it does not outlive its worker
            wait_for(lambda: place.stage(run_id, "align").attempts == 2)
        place.wait_done(run_id)
        stage = place.stage(run_id, "align")
        family = descendants(supervisor.pid)
    with reading() as session:
        first, second = queries.attempts(session, stage.stage_id)
    assert (first.status, second.status) == ("lost", "published")
    assert first.first_step == 0
    assert second.first_step is not None
    assert 0 < second.first_step < (stage.total or 0)
    assert other.wait(600) == 0, (other_home / "log").read_text()[-2000:]
    assert weights(place.home, stage.fingerprint) == weights(other_home, stage.fingerprint)
    assert not any(map(lives, family))
    with reading() as session:
        curve = queries.metrics(session, [stage.stage_id], ["loss"], max_points=10_000)
    assert sorted(curve["step"]) == list(range(1, (stage.total or 0) + 1))


def test_killed_job_process_is_replaced_at_once(workplace: Workplace) -> None:
    with workplace.supervisor(workers=1) as supervisor:
        run_id = api.submit_run(workplace.config(**ENDLESS)).run_id
        wait_for(lambda: workplace.stage(run_id, "align").status == "running", every=0.05)
        horse = horse_of(worker_processes(supervisor.pid)[0])
        assert horse is not None
        with clocks.lasting(45):
            os.kill(horse.pid, signal.SIGKILL)
            wait_for(lambda: workplace.stage(run_id, "align").attempts == 2)
        with reading() as session:
            first, _ = queries.attempts(session, workplace.stage(run_id, "align").stage_id)
        assert "killed from outside" in str(first.cause)  # whoever waited for its lease would not know that
        api.cancel_run(run_id)
        wait_for(lambda: not descendants(worker_processes(supervisor.pid)[0].pid))
        assert workplace.run(run_id).status == "cancelled"


def test_dead_machine_is_noticed_when_its_lease_runs_out(workplace: Workplace) -> None:
    """kill -9 of the supervisor: everything below dies with it, and nobody is left who could give the stage back."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers"], env={**workplace.environment, "WORKERS": "1"}, start_new_session=True
    )
    wait_for(lambda: api.health().workers_alive == 1)
    run_id = api.submit_run(workplace.config(**ENDLESS)).run_id
    wait_for(lambda: workplace.stage(run_id, "align").status == "running", every=0.05)
    family = descendants(process.pid)
    assert len(family) == 3  # worker, its job process, reaper
    died, alive = time.monotonic(), clocks.monotonic()
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(lives, family)), 20)
    with writing() as session:
        session.execute(update(Worker).values(host="another"))
    with workplace.supervisor(workers=1):
        wait_for(lambda: workplace.stage(run_id, "align").attempts == 2)
        assert time.monotonic() - died > 30
        assert clocks.monotonic() - alive < NOTICED * clocks.contention() * clocks.slowness()
        api.cancel_run(run_id)
