"""The supervisor: one worker per device and the reaper, restarted when they die."""

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

import psutil

from workers.machine import logs
from workers.machine.processes import child_environment, die_with_parent, end_all, parent_from_environment

log = logging.getLogger("workers.supervisor")

TICK = 0.2  # seconds between looks at the children
BEAT_EVERY = 10.0  # seconds between heartbeats of the workers' rows
LOOK_EVERY = 6  # beats between looks at the free memory of cards
GRACE = 3.5  # seconds all children have to end; a worker gives its job 2
LIVED_LONG = 30.0  # seconds after which a death does not count as a failed start
LONGEST_BACKOFF = 30.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass
class Slot:
    """A place for one child process; the process in it changes when it is restarted."""

    role: str  # "worker" or "reaper"
    device: str = ""  # "cpu" or "gpu": also the name of the queue
    name: str = ""  # of the worker in it
    gpu: str = ""  # what CUDA_VISIBLE_DEVICES is set to
    process: subprocess.Popen[bytes] | None = None
    worker_id: int | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = field(default=0.0)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Holds the slots until told to stop."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.stopping = False
        self._next_beat = 0.0
        self._beats = 0

    def run(self) -> None:
        """Start what is missing, five times a second; on SIGTERM or SIGINT end everything."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self.stopping:
                self._tick()
                time.sleep(TICK)
        finally:
            self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _tick(self) -> None:
        from workers.queue import lease

        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot)
            if slot.process is None and time.monotonic() >= slot.not_before and not self.stopping:
                self._start(slot)
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_EVERY
            idle = {s.worker_id: s.process.pid for s in self.slots if s.worker_id and s.process and not _has_job(s)}
            with _database_may_be_down():
                lease.beat_idle(idle)
                self._beats += 1
                if self._beats % LOOK_EVERY == 0:
                    lease.tell_free_memory({s.worker_id: s.gpu for s in self.slots if s.worker_id in idle and s.gpu})

    def _start(self, slot: Slot) -> None:
        from workers.queue import lease

        if slot.role == "reaper":
            command, environment = ["reaper"], child_environment(**ONE_THREAD)
        else:
            name = slot.name = f"{socket.gethostname()}-{slot.device}{slot.gpu}-{uuid.uuid4().hex[:6]}"
            slot.not_before = time.monotonic() + 1.0
            with _database_may_be_down():
                slot.worker_id = lease.register_worker(name, slot.device, slot.gpu or None)
            if slot.worker_id is None:
                return
            command, environment = ["worker", name, slot.device], self._worker_environment(slot)
        slot.process = subprocess.Popen([sys.executable, "-m", "workers", *command], env=environment)
        slot.started = time.monotonic()
        if slot.worker_id is not None:
            with _database_may_be_down():
                lease.name_process(slot.worker_id, slot.process.pid)

    def _worker_environment(self, slot: Slot) -> dict[str, str]:
        threads = ONE_THREAD if slot.device == "cpu" else {"TOKENIZERS_PARALLELISM": "true"}
        return child_environment(
            CWPO_WORKER_ID=str(slot.worker_id), CWPO_DEVICE=slot.device, CUDA_VISIBLE_DEVICES=slot.gpu, **threads
        )

    def _bury(self, slot: Slot) -> None:
        """Give the dead child's stage back at once, then wait a little longer after each quick death."""
        from workers.queue import lease, scheduler

        assert slot.process is not None
        code = slot.process.returncode
        lived = time.monotonic() - slot.started
        slot.failures = 0 if lived > LIVED_LONG else slot.failures + 1
        slot.not_before = time.monotonic() + min(LONGEST_BACKOFF, 0.25 * 2**slot.failures)
        log.warning(
            "%s %d ended (%s); restarting", slot.role, slot.process.pid, code, extra={"worker": slot.name or None}
        )
        if slot.worker_id is not None:
            with _database_may_be_down():
                lease.bury_worker(slot.worker_id)
                scheduler.ring_idle()
        slot.process, slot.worker_id = None, None

    def _end(self) -> None:
        from workers.queue import lease

        end_all([slot.process for slot in self.slots if slot.process is not None], GRACE)
        for slot in self.slots:
            if slot.worker_id is not None:
                with _database_may_be_down():
                    lease.retire_worker(slot.worker_id)


def _has_job(slot: Slot) -> bool:
    """Whether the worker has a job process, which then sends the heartbeats."""
    assert slot.process is not None
    try:
        return bool(psutil.Process(slot.process.pid).children())
    except psutil.Error:
        return False


def make_slots() -> list[Slot]:
    """One per GPU, WORKERS on the CPU, and the reaper."""
    from workers.machine.devices import visible_gpus, worker_count

    gpus = [Slot(role="worker", device="gpu", gpu=gpu) for gpu in visible_gpus()]
    cpus = [Slot(role="worker", device="cpu") for _ in range(worker_count())]
    return [*gpus, *cpus, Slot(role="reaper")]


@contextlib.contextmanager
def _database_may_be_down() -> Iterator[None]:
    """The supervisor outlives the database: say it, go on; leases tell the others."""
    from db.errors import DatabaseError

    try:
        yield
    except DatabaseError as error:
        log.warning("%s", error)


def supervise() -> None:
    """Migrate, then watch over the children until stopped."""
    if parent := parent_from_environment():
        die_with_parent(parent)
    from cwpo.errors import ConfigError
    from db.engine import upgrade
    from db.errors import DatabaseError
    from workers.machine.database import database_url

    try:
        logs.configure()
        slots = make_slots()
        upgrade(database_url())
    except (ConfigError, DatabaseError) as error:
        log.error("%s", error)
        sys.exit(1)
    Supervisor(slots).run()
