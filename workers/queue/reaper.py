"""The reaper: expired leases back to the queue, lost doorbells rung again. Several are harmless: each act is atomic."""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from cwpo.artifacts import TOKENS
from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from db.engine import now
from db.errors import DatabaseError, DatabasePasses
from db.repositories import leases, stages
from db.repositories import workers as worker_rows
from db.repositories.keeping import removal
from workers.machine import logs, patience
from workers.machine.database import reading, writing
from workers.machine.disk import leftovers
from workers.machine.paths import store
from workers.notices import targets
from workers.queue import scheduler
from workers.queue.lease import LEASE_SECONDS

log = logging.getLogger(__name__)

TICK = 3.0  # a dead worker is noticed after 45 s of lease and at most this
_SPARED = 8.0  # seconds after the database was away in which living workers renew their leases before they expire
_JUMP = 5.0  # seconds that the database's clock may gain between two ticks
_REMOVE_EVERY = 20  # ticks: a minute
_HOUSEKEEPING_EVERY = 100  # ticks: five minutes
_ABANDONED_AFTER = 24 * 3600.0  # seconds; unfinished directories of killed processes
_UNREAD_AFTER = 14 * 24 * 3600.0  # seconds; token ids, which every stage that reads them touches


def run_reaper() -> None:
    """Tick until told to stop. A database or Redis that is down is waited for."""
    logs.configure()
    stop = _StopSignal()
    _start_telling()
    _start_mirrors()
    ticks, spared, clock = 0, 0.0, _Clock()
    while not stop.heard:
        try:
            if clock.jumped_ahead():
                log.warning("the database's clock was set forward: living workers renew their leases first")
                spared = time.monotonic() + _SPARED
            reap(housekeeping=ticks % _HOUSEKEEPING_EVERY == 0, expire=time.monotonic() >= spared, clock=clock)
            if ticks % _REMOVE_EVERY == 0:
                remove_deleted()
        except DatabasePasses as error:
            patience.say_away(log, "%s", error)
            spared = time.monotonic() + _SPARED
        except DatabaseError as error:
            log.warning("%s", error)
            spared = time.monotonic() + _SPARED
        except OSError as error:
            log.warning("something on this machine's disk could not be read or removed: %s", error)
        ticks += 1
        stop.wait(TICK)


def _start_telling() -> None:
    """A thread that sends messages about runs that end; it ends with this process. Where nobody is to be told, nothing
    that only it needs is loaded."""
    try:
        if told := targets.targets():
            from workers.notices import tell

            tell.start(told, threading.Event())
    except ConfigError as error:
        log.error("%s", error)


def _start_mirrors() -> None:
    """Threads that keep copies of runs elsewhere up to date; they end with this process. Where none are wanted, nothing
    that only they need is loaded."""
    if not settings.mirror:
        return
    from workers.mirror import keep, places

    try:
        keep.start(places.chosen(), threading.Event())
    except ConfigError as error:
        log.error("%s", error)


class _Clock:
    """Whether the database's clock went faster than time between two looks: leases then seem to have run out."""

    def __init__(self) -> None:
        self._ahead: float | None = None  # seconds that it is before this process' own clock, which does not step

    def jumped_ahead(self) -> bool:
        with reading() as session:
            ahead = now(session).timestamp() - time.monotonic()
        before, self._ahead = self._ahead, ahead
        return before is not None and ahead - before > _JUMP


def reap(*, housekeeping: bool = False, expire: bool = True, clock: _Clock | None = None) -> int:
    """One round; the number of stages that went back to the queue. expire: take stages whose leases ran out, but not
    where the clock has jumped since it was looked at before: living workers renew them until the next round."""
    with reading() as session:
        silent = leases.silent_count(session)
        expired = leases.expired_count(session)
        ahead = leases.ahead_count(session, LEASE_SECONDS)
    lost = 0
    if ahead:
        log.warning("the database's clock was set back: leases are counted from now")
        with writing() as session:
            leases.set_back(session, LEASE_SECONDS)
    if expired and expire and not (clock is not None and clock.jumped_ahead()):
        with writing() as session:
            requeued = stages.requeue_expired(session)
        for one in requeued:
            log.warning("%s", one.cause, extra={"stage": f"{one.kind}#{one.stage_id}"})
        lost = len(requeued)
    if silent or housekeeping:
        with writing() as session:
            worker_rows.stop_silent(session)
            worker_rows.forget_stopped(session)
    if housekeeping:
        remove_abandoned()
    if not scheduler.ring_idle() and patience.is_away(patience.REDIS):
        log.warning("Redis does not answer: stages that are ready start when it is back.")
    return lost


def remove_deleted(seconds: float = removal.GRACE_SECONDS) -> int:
    """Runs that were deleted longer ago than that, which nobody wanted back: rows and artifacts; how many."""
    with reading() as session:
        overdue = removal.overdue(session, seconds)
    for run_id in overdue:
        with writing() as session:
            removed = removal.remove(session, run_id, seconds)
        for fingerprint in removed.fingerprints if removed else ():
            store().delete(fingerprint)
    return len(overdue)


def remove_abandoned() -> None:
    """Unfinished artifact directories that a killed process left, never those of a stage that somebody works on; and
    token ids that no stage reads any more."""
    with reading() as session:
        held = leases.running_fingerprints(session)
    store().remove_abandoned(older_than=time.time() - _ABANDONED_AFTER, held=held)
    tokens = store().root / TOKENS
    for place in (tokens / "tmp", tokens / "damaged"):
        _remove_older(place.glob("*"), _ABANDONED_AFTER)
    _remove_older(tokens.glob("??/*"), _UNREAD_AFTER)
    leftovers.remove_by_setting()


def _remove_older(folders: Iterable[Path], seconds: float) -> None:
    oldest = time.time() - seconds
    for folder in folders:
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


class _StopSignal:
    """SIGTERM and SIGINT end the wait at once."""

    def __init__(self) -> None:
        self.heard = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.heard and time.monotonic() < deadline:
            time.sleep(0.1)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
