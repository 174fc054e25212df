"""The doorbell: what may be queued, what is written to Redis, and that old rings are not multiplied."""

import subprocess
import sys
from pathlib import Path

import pytest
from rq.job import Job

from tests.workers.workplace import Workplace, wait_for, worker_processes
from workers.queue import doorbell
from workers.queue.worker import ForbiddenJob, StageJob


def test_worker_refuses_a_function_that_is_not_on_the_list(workplace: Workplace) -> None:
    """JSON alone would run os.system: it is only a dotted name and plain arguments."""
    canary = workplace.home / "canary"
    connection = doorbell.connect()
    with workplace.supervisor(workers=1) as supervisor:
        job = doorbell.queue_of("cpu", connection).enqueue("os.system", f"touch {canary}", job_timeout=-1)
        wait_for(lambda: job.get_status(refresh=True) == "failed", 60)
        assert "Refused to run 'os.system'" in job.latest_result().exc_string
        assert len(worker_processes(supervisor.pid)) == 1
    assert not canary.exists()


def test_callbacks_of_a_forged_job_are_never_imported(redis_server: str) -> None:
    connection = doorbell.connect(redis_server)
    forged = Job.create("workers.queue.job.work", args=[1], connection=connection, serializer="json")
    forged._success_callback_name = forged._failure_callback_name = forged._stopped_callback_name = "os.abort"
    forged.save()
    seen = StageJob.fetch(forged.id, connection=connection, serializer="json")
    assert (seen.success_callback, seen.failure_callback, seen.stopped_callback) == (None, None, None)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "workers.api.delete_run", "workers.queue.job.Shutdown"])
def test_only_the_job_function_passes_the_allow_list(redis_server: str, name: str) -> None:
    job = StageJob.create(name, args=["x"], connection=doorbell.connect(redis_server), serializer="json")
    with pytest.raises(ForbiddenJob, match="Refused to run"):
        _ = job.func


def test_redis_holds_json_and_no_pickle(redis_server: str) -> None:
    connection = doorbell.connect(redis_server)
    assert doorbell.ring("cpu", 1, connection) == 1
    job_id = doorbell.queue_of("cpu", connection).job_ids[0]
    data = connection.hget(f"rq:job:{job_id}", "data")
    import zlib

    assert zlib.decompress(data) == b'["workers.queue.job.work", null, [], {}]'


def test_rings_that_still_wait_are_not_multiplied(redis_server: str) -> None:
    connection = doorbell.connect(redis_server)
    assert [doorbell.ring("cpu", 2, connection) for _ in range(3)] == [2, 0, 0]
    assert doorbell.queue_of("cpu", connection).count == 2


def test_nothing_of_the_queue_is_connected_at_import(tmp_path: Path) -> None:
    script = "import sys, workers.queue.doorbell; print([m for m in ('redis', 'rq', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
