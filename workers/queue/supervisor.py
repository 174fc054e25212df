"""The supervisor: one worker per device and the reaper, restarted when they die."""

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from types import FrameType

import psutil

from cwpo.config.environment import settings
from workers.machine import killed, logs, modes, patience
from workers.machine.devices import cores
from workers.machine.processes import child_environment, die_with_parent, end_all, parent_from_environment
from workers.queue.chat.hosting import ChatHost
from workers.queue.until_idle import UntilIdle

log = logging.getLogger("workers.supervisor")

TICK = 0.2  # seconds between looks at the children
BEAT_EVERY = 10.0  # seconds between heartbeats of the workers' rows
MOST_THREADS = 8  # of a job that has a card
LOOK_EVERY = 6  # beats between looks at the free memory of cards
QUICK_GRACE = 10.0  # seconds at most where a person pressed Ctrl-C
CHAT_GRACE = 1.0  # seconds that chats have to say goodbye
BEYOND = 1.5  # seconds that a worker has to end after the grace of its job
_TWICE = 0.5  # seconds; a signal that comes later is a second wish, an earlier one the same by another way
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
    memory_kills: killed.RecentKills | None = None  # since it was started
    failures: int = 0
    not_before: float = field(default=0.0)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Holds the slots until told to stop, or until `until` is over."""

    def __init__(self, slots: list[Slot], until: UntilIdle | None = None) -> None:
        self.slots = slots
        self.stopping = False
        self.hurry = False
        self._until = until
        self._chats = ChatHost() if until is None else None  # nobody talks to workers that end when they are idle
        self._grace = float(settings.stop_grace)
        self._asked_at = 0.0
        self._next_beat = 0.0
        self._beats = 0
        self._unburied: list[tuple[int, killed.Cause, str]] = []  # dead workers and why: not given back yet

    def run(self) -> None:
        """Start what is missing, five times a second; on SIGTERM or SIGINT end everything, on a second one at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self.stopping:
                self._tick()
                if self._is_over():
                    break
                time.sleep(TICK)
        finally:
            self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        at = time.monotonic()
        if self.stopping:
            self.hurry = self.hurry or at - self._asked_at > _TWICE
            return
        self.stopping, self._asked_at = True, at
        if number == signal.SIGINT:
            self._grace = min(self._grace, QUICK_GRACE)

    def _is_over(self) -> bool:
        if self._until is None:
            return False
        with _database_may_be_down():
            return self._until.over([slot.worker_id for slot in self.slots if slot.worker_id is not None])
        return False

    def _tick(self) -> None:
        from workers.queue import lease

        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot)
            if slot.process is not None and slot.memory_kills is not None:
                slot.memory_kills.look()
            if slot.process is None and time.monotonic() >= slot.not_before and not self.stopping:
                self._start(slot)
        if self._chats is not None:
            with _database_may_be_down():
                self._chats.tick()
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + (BEAT_EVERY if not self._unburied else TICK * 5)
            self._give_back()
            idle = {s.worker_id: s.process.pid for s in self.slots if s.worker_id and s.process and not _has_job(s)}
            with _database_may_be_down():
                lease.bury_the_gone()
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
        slot.started, slot.memory_kills = time.monotonic(), killed.RecentKills()
        if slot.worker_id is not None:
            with _database_may_be_down():
                lease.name_process(slot.worker_id, slot.process.pid)

    def _worker_environment(self, slot: Slot) -> dict[str, str]:
        threads = ONE_THREAD if slot.device == "cpu" else self._beside_a_card()
        return child_environment(
            CWPO_WORKER_ID=str(slot.worker_id), CWPO_DEVICE=slot.device, CUDA_VISIBLE_DEVICES=slot.gpu, **threads
        )

    def _beside_a_card(self) -> dict[str, str]:
        """Each card's part of the cores."""
        cards = sum(slot.device == "gpu" for slot in self.slots)
        threads = str(min(MOST_THREADS, max(1, cores() // max(1, cards))))
        return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}

    def _bury(self, slot: Slot) -> None:
        """Give the dead child's stage back at once, then wait a little longer after each quick death."""
        assert slot.process is not None
        code = slot.process.returncode
        lived = time.monotonic() - slot.started
        slot.failures = 0 if lived > LIVED_LONG else slot.failures + 1
        slot.not_before = time.monotonic() + min(LONGEST_BACKOFF, 0.25 * 2**slot.failures)
        log.warning(
            "%s %d ended (%s); restarting", slot.role, slot.process.pid, code, extra={"worker": slot.name or None}
        )
        if slot.worker_id is not None:
            before = None if slot.memory_kills is None else slot.memory_kills.before
            self._unburied.append((slot.worker_id, *killed.of_worker(code, before=before)))
            self._give_back()
        slot.process, slot.worker_id = None, None

    def _give_back(self) -> None:
        """The stages of dead workers; what fails while the database is away is tried again at every beat."""
        from workers.queue import lease, scheduler

        with _database_may_be_down():
            while self._unburied:
                worker_id, cause, said = self._unburied[0]
                lease.bury_worker(worker_id, cause=cause, said=said)
                del self._unburied[0]
                scheduler.ring_idle()

    def _end(self) -> None:
        from workers.queue import lease

        if self._chats is not None:
            self._chats.end(CHAT_GRACE)
        children = [slot.process for slot in self.slots if slot.process is not None]
        end_all(children, self._grace + BEYOND, at_once=lambda: self.hurry)
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
    """The supervisor outlives the database: say it once, go on; leases tell the others."""
    from db.errors import DatabaseError, DatabasePasses

    try:
        yield
    except DatabasePasses as error:
        patience.say_away(log, "%s", error)
    except DatabaseError as error:
        log.warning("%s", error)


def supervise(make_until: Callable[[Collection[str]], UntilIdle] | None = None) -> int:
    """Migrate, then watch over the children until stopped, or until it is over for their devices; the exit code."""
    if parent := parent_from_environment():
        die_with_parent(parent)
    from cwpo.errors import ConfigError
    from db.engine import upgrade
    from db.errors import DatabaseError
    from workers.machine.database import database_url
    from workers.machine.paths import home
    from workers.machine.redis import address

    try:
        logs.configure()
        modes.make_home(home())
        address.check(address.redis_url())
        slots = make_slots()
        patience.patiently(lambda: upgrade(database_url()))
    except (ConfigError, DatabaseError) as error:
        log.error("%s", error)
        return 1
    until = make_until({slot.device for slot in slots if slot.role == "worker"}) if make_until else None
    if until is not None:
        until.listen()
    Supervisor(slots, until).run()
    if until is None:
        return 0
    sentence, code = until.end()
    print(sentence, flush=True)
    return code
