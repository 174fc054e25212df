"""The RQ worker: waits for rings, looks in the database, and starts a job process that dies with it.

RQ's loop and its wait on a list are used; what RQ would read from Redis or write there beside them is not. So a
stranger in Redis finds no job to forge, no registry to fill, no command to send and no name of a worker, and a Redis
that is suspended, emptied, full of rubbish or away stops nothing: without a ring a worker looks by itself.
"""

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
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.worker import WorkerStatus

from cwpo.config.environment import settings
from workers.machine import killed, logs, patience
from workers.machine.processes import allocator_environment, child_environment
from workers.machine.redis.connection import connect_to_wait
from workers.queue import doorbell

if TYPE_CHECKING:
    from redis.client import Pipeline

log = logging.getLogger(__name__)

LOOK_EVERY = 15.0  # seconds without a ring after which a worker looks for work by itself
_VAIN = 3  # rings in a row with nothing to do after which those that wait are forgotten
_REST = 0.5  # seconds of peace after that
_AWAY = 2.0  # seconds between two tries of a Redis that does not answer
_SAID_EVERY = 60.0


class ForbiddenJob(Exception):
    """A job that stands in Redis was about to be read or run; nothing of it was."""


class Ring(Job):
    """What the loop hands on for one ring. It is made here, holds nothing, and is neither read from Redis nor kept."""

    def restore(self, raw_data: Any) -> None:
        """Refuse: whatever stands in Redis under the name of a job is not ours."""
        raise ForbiddenJob("Jobs are never read from Redis: a ring says only that something is ready.")

    def perform(self) -> None:
        """Refuse: what is done is decided by the database, in a process of its own."""
        raise ForbiddenJob("A ring names nothing that could be run.")


class StageWorker(SpawnWorker):
    """One per device. Its job process is a fresh interpreter that ends when this process ends, however it ends."""

    job_class = Ring
    _stopping = False
    _memory_kills: killed.RecentKills | None = None  # since the job process was started
    _said_at = -_SAID_EVERY

    # --- The loop: wait, look, start a job process, wait for its end

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Return when there is something to do, told by a ring or found by a look; None when this worker is over."""
        from db.errors import UnknownWorker

        queue, vain = self.queues[0], 0
        self.set_state(WorkerStatus.IDLE)
        while True:
            rung = self._wait(queue)
            try:
                ready = _something_is_ready()
            except UnknownWorker as error:
                log.error("%s", error)
                return None
            if ready:
                return self.job_class(connection=self.connection), queue
            vain = vain + 1 if rung else 0
            if vain >= _VAIN:
                vain = 0
                self._with_redis(lambda: doorbell.clear(queue))
                time.sleep(_REST)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Start the job process and wait for its end."""
        self.set_state(WorkerStatus.BUSY)
        self.fork_work_horse(job, queue)
        _, status, _ = self.wait_for_horse()
        self._horse_pid = 0
        if status != 0:
            self._give_back(status)
        self.set_state(WorkerStatus.IDLE)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """A fresh interpreter; no address or password is in its arguments, and nothing that came from Redis."""
        allocator = allocator_environment() if settings.worker_device == "cpu" else {}
        command = [sys.executable, "-m", "workers", "horse", self.name]
        self._memory_kills = killed.RecentKills()
        self._horse_pid = os.posix_spawn(sys.executable, command, child_environment(**allocator), setpgroup=0)

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Until it ends, which is heard at once; a timer interrupts the wait to count what was ended for memory."""
        kills = self._memory_kills
        assert kills is not None
        usual = signal.signal(signal.SIGALRM, lambda number, frame: kills.look())
        signal.setitimer(signal.ITIMER_REAL, killed.WITHIN, killed.WITHIN)
        try:
            return super().wait_for_horse()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, usual)

    def _give_back(self, status: int | None) -> None:
        """Give the dead job process's stage back at once instead of waiting for its lease to run out."""
        from db.errors import DatabaseUnavailable
        from workers.queue.lease import give_up_stages

        kills = self._memory_kills
        cause, said = killed.of_status(status, before=None if kills is None else kills.before)
        try:
            give_up_stages(settings.own_worker, cause=cause, said=said)
        except DatabaseUnavailable as error:
            log.warning("the stage of a job process that died waits for the end of its lease: %s", error)

    def _wait(self, queue: Queue) -> bool:
        """Until a ring comes, or long enough to look without one; whether one came."""

        def once() -> bool:
            with contextlib.suppress(DequeueTimeout):
                Queue.lpop([queue.key], int(LOOK_EVERY), connection=self.connection)
                return True
            return False

        return self._with_redis(once)

    def _with_redis(self, do: Callable[[], object]) -> bool:
        """What `do` says; False, said and after a pause, where Redis is away, refuses, or holds something else."""
        try:
            done = bool(do())
            patience.answered(patience.REDIS)
            return done
        except RedisError as error:
            if patience.passes(error):
                patience.say_away(log, "Redis does not answer (%s); this worker looks for work by itself.", error)
            else:
                self._say(error)
            if doorbell.is_of_another_type(error):
                with contextlib.suppress(RedisError):
                    doorbell.clear(self.queues[0])
            time.sleep(_AWAY)
            return False

    def _say(self, error: RedisError) -> None:
        """Once a minute."""
        if time.monotonic() - self._said_at >= _SAID_EVERY:
            self._said_at = time.monotonic()
            log.warning("Redis: %s; this worker looks for work by itself meanwhile", error)

    # --- Signals of our own processes

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """End now: the job gets SIGTERM, once, and CWPO_STOP_GRACE seconds to finish its step and write a checkpoint,
        then SIGKILL. Redis may be gone already."""
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

    # --- What RQ keeps in Redis or takes from there beside the list: nothing

    def bootstrap(self, *args: Any, **named: Any) -> None:
        """No entry among RQ's workers and no channel for commands."""
        self.set_state(WorkerStatus.STARTED)

    def teardown(self) -> None:
        """Nothing was registered."""

    def set_state(self, state: str, pipeline: "Pipeline | None" = None) -> None:
        """In this process alone; people see the worker's row in the database."""
        self._state = state

    def heartbeat(self, timeout: int | None = None, pipeline: "Pipeline | None" = None) -> None:
        """The supervisor and the job beat, in the database."""

    def check_for_suspension(self, burst: bool) -> None:
        """`rq suspend` is not heard: runs are paused and cancelled in the database."""

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """There are no registries to clean."""
        return False

    def run_maintenance_tasks(self) -> None:
        """None."""

    def clean_registries(self) -> None:
        """None."""

    def subscribe(self) -> None:
        """Commands over Redis (shutdown, kill-horse, stop-job) are not heard."""

    def handle_payload(self, message: object) -> None:
        """Not heard."""

    def procline(self, message: str) -> None:
        """The title stays what it is."""


def _something_is_ready() -> bool:
    """Whether the database has a stage that this worker could start; no connection is kept. UnknownWorker where its row
    is gone."""
    from db.errors import DatabaseError, UnknownWorker
    from db.repositories import cards
    from workers.machine.database import engines, reading

    try:
        with reading() as session:
            return cards.start_for(session, settings.own_worker, settings.worker_device) is not None
    except UnknownWorker:
        raise
    except DatabaseError as error:
        log.warning("not looked for work: %s", error)
        return False
    finally:
        with contextlib.suppress(DatabaseError):
            engines().dispose()


def run_worker(name: str, queue: str) -> None:
    """The worker process: waits on one queue until told to stop."""
    logs.configure(worker=name)
    connection = connect_to_wait()
    worker = StageWorker(
        [doorbell.queue_of(queue, connection)],
        name=name,
        connection=connection,
        serializer="json",
        worker_ttl=30,  # of it only the time is left that an answer of Redis may take
        prepare_for_work=False,
        log_job_description=False,
    )
    worker.work(logging_level="WARNING")


def run_horse(worker_name: str) -> None:
    """The job process. It asks the database what to do; Redis is not needed to begin or to end."""
    from workers.queue.job import work

    logs.configure(worker=worker_name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the worker decides how the job ends
    code = 1
    try:
        work()
        code = 0
    except Exception as error:  # how the stage ended is recorded and said; here only the log is left
        if logs.sentence(error) is None:
            log.exception("the job ended by an error")
        code = 0
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
