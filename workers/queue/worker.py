"""The RQ worker and job classes: an allow-list, a job process that dies with its worker, short heartbeats."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from rq import Queue, SpawnWorker
from rq.executions import Execution
from rq.job import Job
from rq.worker import WorkerStatus

from cwpo.config.environment import settings
from workers.machine import killed, logs, patience
from workers.machine.processes import allocator_environment, child_environment, die_with_parent, parent_from_environment
from workers.queue.doorbell import ALLOWED_FUNCTIONS, RQ_SERIALIZER, connect_patiently, queue_of

if TYPE_CHECKING:
    from resource import struct_rusage

    from redis.client import Pipeline

log = logging.getLogger(__name__)

HEARTBEAT_TTL = 45  # seconds RQ waits for a sign of life of a job


class ForbiddenJob(Exception):
    """The job names a function that this program never queued; it was refused and nothing of it ran."""


class StageJob(Job):
    """Runs only what stands in the allow-list; callbacks, which RQ would import by name too, never run."""

    @property
    def func(self) -> Callable[..., Any]:
        if self.func_name not in ALLOWED_FUNCTIONS or self.instance is not None:
            raise ForbiddenJob(f"Refused to run {self.func_name!r}: only {sorted(ALLOWED_FUNCTIONS)} may be queued.")
        return super().func

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None


class StageWorker(SpawnWorker):
    """One per device. Its job process is a fresh interpreter that ends when this process ends, however it ends."""

    max_connection_wait_time = 2.0
    log_result_lifespan = False
    _stopping = False
    _memory_kills: int | None = None  # when the job process was started

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return HEARTBEAT_TTL

    def heartbeat(self, timeout: int | None = None, pipeline: "Pipeline | None" = None) -> None:
        """As RQ's; where it went well, Redis answers."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None:
            patience.answered(patience.REDIS)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """As RQ's; a job goes on while Redis is away, because it needs none."""
        try:
            super().maintain_heartbeats(job, execution)
            patience.answered(patience.REDIS)
        except RedisError as error:
            if not patience.passes(error):
                raise
            patience.say_away(log, "Redis does not answer (%s); the job goes on.", error)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """As SpawnWorker, but the child finds Redis by its own environment: no address or password in its arguments."""
        assert self.execution is not None
        allocator = allocator_environment() if settings.worker_device == "cpu" else {}
        environment = child_environment(RQ_WORKER_ID=self.name, RQ_JOB_ID=job.id, **allocator)
        command = [sys.executable, "-m", "workers", "horse", self.name, queue.name, job.id, self.execution.id]
        self._memory_kills = killed.memory_kills()
        self._horse_pid = os.posix_spawn(sys.executable, command, environment, setpgroup=0)

    def wait_for_horse(self) -> "tuple[int | None, int | None, struct_rusage | None]":
        """As RQ's; where the job process died, its stage is given back at once, whatever Redis says of the job."""
        pid, status, usage = super().wait_for_horse()
        if pid is not None and status != os.EX_OK and not self._stopping:
            signal.alarm(0)  # RQ's, which would end the waiting for the database by an exception
            self._give_back(status)
        return pid, status, usage

    def _give_back(self, status: int | None) -> None:
        from db.errors import DatabaseUnavailable
        from workers.queue.lease import give_up_stages

        cause, said = killed.of_status(status, before=self._memory_kills)
        try:
            give_up_stages(settings.own_worker, cause=cause, said=said)
        except DatabaseUnavailable as error:
            log.warning("the stage of a job process that died waits for the end of its lease: %s", error)

    def handle_work_horse_killed(
        self, job: Job, retpid: int | None, ret_val: int | None, rusage: "struct_rusage | None"
    ) -> None:
        """Nothing is left to do."""

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """An error with a sentence of its own was said when the stage ended; all others with their traceback."""
        if logs.sentence(exc_info[1]) is None:
            super().handle_exception(job, *exc_info)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """End now: the job gets SIGTERM, once, and CWPO_STOP_GRACE seconds to finish its step and write a checkpoint,
        then SIGKILL. Redis may be gone already."""
        signal.signal(
            signal.SIGALRM, signal.SIG_IGN
        )  # RQ's own alarm, every 5 s, would end the waiting by an exception
        if self._stopping:  # asked by the supervisor and by the terminal
            return
        self._stopping = True
        if self.horse_pid:
            self._stop_horse()
        if self.get_state() != WorkerStatus.BUSY:
            with contextlib.suppress(Exception):
                self.connection.connection_pool.disconnect()
        os._exit(0)

    def _stop_horse(self) -> None:
        with contextlib.suppress(OSError):
            self.kill_horse(signal.SIGTERM)
        deadline = time.monotonic() + settings.stop_grace
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self.horse_pid, os.WNOHANG)[0] == 0:
                    time.sleep(0.02)
                    continue
            return
        with contextlib.suppress(OSError):
            self.kill_horse(signal.SIGKILL)


def say_once(record: logging.LogRecord) -> bool:
    """A filter of RQ's log: that Redis cannot be reached is said once, until it answers again."""
    if "could not connect to Redis" not in str(record.msg):
        return True
    reason = record.args[1] if isinstance(record.args, tuple) and len(record.args) > 1 else ""
    record.msg, record.args = "Redis does not answer (%s): waiting until it is back.", (reason,)
    return patience.is_away(patience.REDIS)


def run_worker(name: str, queue: str) -> None:
    """The worker process: waits on one queue (BLMOVE, so that a crash loses no ring) until told to stop."""
    die_with_parent(parent_from_environment())
    logs.configure(worker=name)
    logging.getLogger("rq.worker").addFilter(say_once)
    connection = connect_patiently()
    worker = StageWorker(
        [queue_of(queue, connection)],
        name=name,
        connection=connection,
        job_class=StageJob,
        serializer=RQ_SERIALIZER,
        worker_ttl=30,
        job_monitoring_interval=5,
        maintenance_interval=10,
        log_job_description=False,
    )
    worker.work(logging_level="WARNING")


def run_horse(worker_name: str, queue_name: str, job_id: str, execution_id: str) -> None:
    """The job process: what SpawnWorker pastes into `python -c`, as a function."""
    die_with_parent(parent_from_environment())
    logs.configure(worker=worker_name)
    connection = connect_patiently()
    queue = queue_of(queue_name, connection)
    worker = StageWorker(
        [queue],
        name=worker_name,
        connection=connection,
        job_class=StageJob,
        serializer=RQ_SERIALIZER,
        prepare_for_work=False,
        log_job_description=False,
    )
    job = StageJob.fetch(job_id, connection=connection, serializer=worker.serializer)
    execution = Execution.fetch(execution_id, job_id, connection=connection)
    execution._job = job
    worker.execution = execution
    worker.main_work_horse(job, queue)
