"""Holding a stage: heartbeat, fencing token, cancellation; and what is done when a worker is gone."""

import contextvars
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, TypeVar

import psutil
from sqlalchemy.orm import Session

from cwpo.models.sizes.machine import whole_memory
from cwpo.parallel.killed import Cause
from db.errors import DatabaseError, DatabasePasses, StaleToken, UnknownWorker
from db.records import ClaimedStage
from db.repositories import annotations, cards, leases, metrics, stages
from db.repositories import workers as worker_rows
from db.status import CANCELLED, HELD, WORKER_BUSY, WORKER_IDLE
from workers.machine import patience
from workers.machine.database import reading, writing
from workers.machine.devices import card_memory
from workers.machine.processes import running
from workers.queue.reporter import Batch, BufferingReporter

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_SECONDS = 45.0  # three missed heartbeats and a little
FLUSH_SECONDS = 2.0  # progress, metrics and log lines go out, the lease is renewed, cancellation comes in
BEAT_SECONDS = 10.0  # the worker's own row
STOP_SECONDS = 20.0  # a stage that does not stop by itself is ended
UNRENEWED = 4 * FLUSH_SECONDS  # a process that lives renews its lease sooner
MOST_KILLED = 50  # times that a stage may be lost before kills from outside count as all others
_KILLED = "Its process was killed from outside; the stage goes on from its last checkpoint."
_STACK_ENDED = "Its worker ended with everything that watched over it; the stage goes on from its last checkpoint."
_GOODBYE_SECONDS = 2.0  # that a supervisor which ends waits for the database

Reason = Literal["cancelled", "lost", "shutdown"]


class Lease:
    """A claimed stage while it is executed. One background thread flushes the reporter and renews the lease."""

    def __init__(
        self, worker_id: int, claimed: ClaimedStage, reporter: BufferingReporter, shutdown: Callable[[], bool]
    ) -> None:
        self.claimed = claimed
        self._worker_id = worker_id
        self._reporter = reporter
        self._shutdown = shutdown
        self._reason: Reason | None = None
        self._stopped_at: float | None = None
        self._confirmed = time.monotonic()
        self._beaten = 0.0
        self._flushing = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._pulse,), name="lease", daemon=True
        )

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Asked by the stage after every step."""
        return self._reason is not None or self._shutdown()

    @property
    def reason(self) -> Reason | None:
        """Why the stage is to stop."""
        return self._reason or ("shutdown" if self._shutdown() else None)

    def flush(self) -> None:
        """Write what the reporter holds, batch by batch and in order; a flush under way is waited for."""
        with self._flushing:
            self._flush_batch()
            while self._reporter.full:
                self._flush_batch()

    def patiently(self, do: Callable[[], T], *, doubtful: bool = True) -> T:
        """What is written for the stage, again while the fault is one that passes: within the lease, as long as the
        stage is ours."""
        return patience.patiently(do, stop=lambda: self._reason is not None, doubtful=doubtful)

    def _flush_batch(self) -> None:
        """Write a batch and renew the lease, in one transaction; StaleToken when it is not ours."""
        batch = self._reporter.take()
        try:
            with writing() as session:
                answer = renew(session, self.claimed, batch)
                if time.monotonic() - self._beaten >= BEAT_SECONDS:
                    worker_rows.beat(
                        session, self._worker_id, state=WORKER_BUSY, stage_id=self.claimed.stage_id, rss_mb=_rss_mb()
                    )
                    self._beaten = time.monotonic()
        except DatabaseError:
            self._reporter.give_back(batch)
            raise
        self._confirmed = time.monotonic()
        if answer != HELD:
            self._stop("cancelled" if answer == CANCELLED else "lost")

    def _pulse(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except (StaleToken, UnknownWorker):
                self._stop("lost")
            except DatabaseError as error:
                if isinstance(error, DatabasePasses):
                    patience.say_away(log, "the lease was not renewed: %s", error)
                else:
                    log.warning("the lease was not renewed: %s", error)
                if time.monotonic() - self._confirmed > LEASE_SECONDS:
                    self._stop("lost")
            if self._stopped_at is not None and time.monotonic() - self._stopped_at > STOP_SECONDS:
                log.error("did not stop within %.0f s: the process ends", STOP_SECONDS)
                os._exit(75)  # deaf to should_stop, and the stage is not ours any more: nothing of it may go on

    def _stop(self, reason: Reason) -> None:
        if self._reason is None:
            self._reason, self._stopped_at = reason, time.monotonic()


def renew(session: Session, claimed: ClaimedStage, batch: Batch) -> str:
    """Extend the lease and write a batch; when the stage is not ours any more, nothing else is written."""
    done, total, unit = batch.progress or (None, None, None)
    answer = stages.heartbeat(
        session, claimed.stage_id, claimed.token, LEASE_SECONDS, done=done, total=total, unit=unit
    )
    if answer == HELD:
        _write_batch(session, claimed, batch)
    return answer


def _write_batch(session: Session, claimed: ClaimedStage, batch: Batch) -> None:
    """First step, metric points, pace, log lines and what is to be looked at of a held stage."""
    if batch.first_step is not None:
        stages.start_at(session, claimed.stage_id, claimed.token, batch.first_step)
    if batch.note:
        stages.note(session, claimed.stage_id, claimed.token, batch.note)
    if batch.points:
        metrics.add(session, claimed, batch.points)
    if batch.pace:
        metrics.add_pace(session, claimed, batch.pace)
    if batch.lines:
        metrics.add_log(session, claimed, batch.lines)
    for name, data in batch.shown.items():
        annotations.add_histogram(session, claimed, name, data)


def register_worker(name: str, device: str, card: str | None = None) -> int:
    """Write the row of a worker that is about to start, on a card or without one; its number."""
    memory = card_memory().get(card) if card else None
    with writing() as session:
        return worker_rows.register(
            session, name=name, host=socket.gethostname(), pid=os.getpid(), device=device, card=card,
            card_bytes=memory.total if memory else None, card_free_bytes=memory.free if memory else None,
            host_bytes=whole_memory("cpu"),
        )  # fmt: skip


def name_process(worker_id: int, pid: int) -> None:
    """Put the pid into the row, now that the worker has one."""
    with writing() as session:
        worker_rows.name_process(session, worker_id, pid)


def beat_idle(processes: dict[int, int]) -> None:
    """Heartbeat of workers (number -> pid) that have no job process; those that have one beat themselves."""
    with writing() as session:
        for worker_id, pid in processes.items():
            worker_rows.beat(session, worker_id, state=WORKER_IDLE, rss_mb=_rss_mb(pid))


def tell_free_memory(cards_of: dict[int, str]) -> None:
    """Write what is free on the cards of workers (number -> card)."""
    memory = card_memory()
    known = {worker_id: memory[card].free for worker_id, card in cards_of.items() if card in memory}
    if known:
        with writing() as session:
            for worker_id, free in known.items():
                worker_rows.free_bytes(session, worker_id, free)


@patience.patient(patience.PEOPLE, doubtful=True)
def set_idle(worker_id: int) -> None:
    """The job process is about to end."""
    with writing() as session:
        worker_rows.beat(session, worker_id, state=WORKER_IDLE, rss_mb=_rss_mb(os.getppid()))


@patience.patient(patience.WORKING, doubtful=True)
def give_up_stages(worker_id: int, *, cause: Cause = Cause.ITSELF, said: str = "") -> int:
    """A job process died: its stage goes back to the queue now instead of in 45 s. How many stages.

    cause: killed from outside says nothing of the stage and does not count against it, within reason; out of memory is
    tried once more with less; all else counts. said: how it ended, in a sentence.
    """
    return _give_up(worker_id, cause, said)


def _give_up(worker_id: int, cause: Cause, said: str) -> int:
    ended = 0
    with writing() as session:
        gpu = worker_rows.device_of(session, worker_id) == "gpu"
        for stage_id, token in leases.held_by(session, worker_id):
            sentence = end(session, stage_id, token, cause, said, gpu=gpu)
            log.warning("%s", sentence, extra={"stage": f"{leases.described(session, stage_id)[0]}#{stage_id}"})
            ended += 1
        cards.give_back(session, worker_id)
    return ended


def end(session: Session, stage_id: int, token: int, cause: Cause, said: str, *, gpu: bool) -> str:
    """End the claim of a process that died, as the cause asks for; the sentence that is kept."""
    if cause is Cause.MEMORY:
        from workers.queue.ends.memory import Where, ran_out

        return ran_out(session, stage_id, token, where=Where.MACHINE, gpu=gpu)
    if cause is Cause.OUTSIDE and stages.times_lost(session, stage_id) < MOST_KILLED:
        stages.release(session, stage_id, token, cause=said or _KILLED)
        return said or _KILLED
    return stages.lose(session, stage_id, token, cause=said or None).cause


def bury_worker(worker_id: int, *, cause: Cause = Cause.ITSELF, said: str = "") -> int:
    """A worker died: mark its row, give its stages back. Its caller asks again where the database is away."""
    held = _give_up(worker_id, cause, said)
    with writing() as session:
        worker_rows.stop(session, worker_id)
    return held


def bury_the_gone() -> int:
    """Workers of this machine whose whole stack ended, so that nobody said it: their stages go back without counting.
    Those that hold a stage, do not renew its lease, and have no process here; how many."""
    with reading() as session:
        silent = leases.unrenewed_on(session, socket.gethostname(), LEASE_SECONDS - UNRENEWED)
    gone = [worker_id for worker_id, name, pid in silent if running(pid, name) is None]
    for worker_id in gone:
        bury_worker(worker_id, cause=Cause.OUTSIDE, said=_STACK_ENDED)
    return len(gone)


@patience.patient(_GOODBYE_SECONDS, doubtful=True)
def retire_worker(worker_id: int) -> None:
    """A worker was stopped on purpose: its stages go back without counting against them."""
    with writing() as session:
        for stage_id, token in leases.held_by(session, worker_id):
            stages.release(session, stage_id, token, cause="The worker was stopped.")
        worker_rows.stop(session, worker_id)


def _rss_mb(pid: int | None = None) -> float | None:
    try:
        return round(psutil.Process(pid).memory_info().rss / 2**20, 1)
    except psutil.Error:
        return None
