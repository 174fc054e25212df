"""Mirrors kept up to date: a thread of the reaper's process sends what live runs wrote since, and what ended. Never in
the way of a stage; a place that is away is tried again later, and whatever goes wrong here is a line in the log."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from db.errors import DatabaseError, DatabasePasses, UnknownRun
from db.queries.people import keeping as reads
from db.records.keeping import MirroredRun
from workers.machine import patience
from workers.machine.database import reading
from workers.mirror.place import Away, Place, Refused
from workers.mirror.send import Sender

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between looks
COMMITTED_WITHIN = timedelta(minutes=5)  # a transaction that said a time and is not committed yet is younger
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0  # seconds before a place that is away is tried again; twice as long after each
REFUSED_WAIT = 3_600.0  # seconds before a run that a place refused is tried again
GIVEN_UP_AFTER = timedelta(days=1)


class Keeper:
    """What one process knows of one place: what is complete there, and when it is tried again."""

    def __init__(self, place: Place, *, first_wait: float = FIRST_WAIT) -> None:
        self.place = place
        self._first_wait = first_wait
        self._sender = Sender(place)
        self._complete: dict[int, datetime] = {}
        self._later: dict[int, float] = {}  # runs that were refused: when they are tried again
        self._tries = 0
        self._next = 0.0

    def once(self) -> int:
        """Send what the place lacks, unless it is away or another process sends; how many points were sent."""
        if time.monotonic() < self._next:
            return 0
        turn = self._sender.take_turn()
        if turn is None:
            return 0
        since = turn.since or turn.at
        try:
            sent, reached = self._send_all(since, turn.at - GIVEN_UP_AFTER)
        except Away as error:
            self._sender.give_turn_back(since)
            log.warning("mirror to %s: %s It is tried again in %.0f s.", self.place.shown, error, self.wait())
            return 0
        self._tries = 0
        self._sender.give_turn_back(max(since, reached))
        return sent

    def wait(self) -> float:
        """Try again later, each time in a row twice as late; in how many seconds."""
        self._sender.forget_all()
        seconds = min(LONGEST_WAIT, self._first_wait * 2 ** min(self._tries, 16))
        self._tries += 1
        self._next = time.monotonic() + seconds
        return seconds

    def _send_all(self, since: datetime, given_up: datetime) -> tuple[int, datetime]:
        with reading() as session:
            runs = reads.runs_to_mirror(session, since)
        open_ones = [run for run in runs if not self._is_complete(run)]
        sent = sum(self._send(run) for run in open_ones if time.monotonic() >= self._later.get(run.id, 0.0))
        return sent, self._reached(runs, since, given_up)

    def _send(self, run: MirroredRun) -> int:
        try:
            sent = self._sender.send(run.id)
        except UnknownRun:  # deleted meanwhile
            sent = 0
        except Refused as error:
            self._later[run.id] = time.monotonic() + REFUSED_WAIT
            log.warning("mirror of run %s to %s: %s", run.id, self.place.shown, error)
            return 0
        if run.ended_at is not None:
            self._complete[run.id] = run.ended_at
        return sent

    def _is_complete(self, run: MirroredRun) -> bool:
        return run.ended_at is not None and self._complete.get(run.id) == run.ended_at

    def _reached(self, runs: Sequence[MirroredRun], since: datetime, given_up: datetime) -> datetime:
        """Up to when every run that ended is there, or was refused for too long; what ended before is forgotten."""
        ends = [run.ended_at for run in runs if run.ended_at is not None]
        lacking = [run.ended_at for run in runs if run.ended_at is not None and not self._is_complete(run)]
        waited_for = [end for end in lacking if end > given_up]
        reached = min(waited_for) if waited_for else max(ends, default=since)
        reached = max(since, reached - COMMITTED_WITHIN)
        self._complete = {run_id: at for run_id, at in self._complete.items() if at >= reached}
        return reached


def start(places: Sequence[Place], stop: threading.Event) -> list[threading.Thread]:
    """A thread for each place that keeps it up to date until `stop`."""
    threads = [
        threading.Thread(target=_run, args=(Keeper(place), stop), name=f"mirror-{place.key[:8]}", daemon=True)
        for place in places
    ]
    for thread in threads:
        thread.start()
    return threads


def _run(keeper: Keeper, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        try:
            keeper.once()
        except DatabasePasses as error:
            patience.say_away(log, "%s", error)
        except DatabaseError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("mirror to %s failed and is tried again in %.0f s", keeper.place.shown, keeper.wait())
