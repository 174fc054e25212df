"""Workers for a while: when those of a batch job have nothing left to do, or have to end, and what is left then."""

import signal
import time
from collections.abc import Callable, Collection, Sequence
from types import FrameType
from typing import Literal

from cwpo.config.environment import settings
from db.repositories import cards, leases
from workers.machine.database import reading

REQUEUE = 75  # exit code: ended for the sake of time, and stages are left
IDLE_SECONDS = 60.0  # without a stage of their own or a ready one, the workers end
_NEVER_TAKEN = 10  # times as long: stages are ready, and these workers take none of them
_LOOK_EVERY = 2.0  # seconds between looks into the database
_MARGIN = 15.0  # seconds for the end itself, beyond the grace of the jobs

Reason = Literal["idle", "time", "asked"]


class UntilIdle:
    """Asked again and again whether the workers are to end. Time is up a little before `minutes`, early enough for
    CWPO_STOP_GRACE; SIGUSR1, which SLURM can be told to send, means the same."""

    def __init__(
        self,
        devices: Collection[str],
        *,
        minutes: float | None = None,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason: Reason | None = None
        self._devices = frozenset(devices)
        self._idle_seconds = idle_seconds
        self._clock = clock
        at = clock()
        self._deadline = None if minutes is None else at + minutes * 60 - settings.stop_grace - _MARGIN
        self._busy_at = self._looked_at = at
        self._idle_since: float | None = at

    def listen(self) -> None:
        """Take SIGUSR1 as: the time is up."""
        signal.signal(signal.SIGUSR1, self._hear)

    def over(self, worker_ids: Sequence[int]) -> bool:
        """Whether workers with these numbers are to end now; `reason` says why."""
        at = self._clock()
        if self.reason is None and self._deadline is not None and at >= self._deadline:
            self.reason = "time"
        if self.reason is None and at - self._looked_at >= _LOOK_EVERY:
            self._look(at, worker_ids)
        return self.reason is not None

    def _look(self, at: float, worker_ids: Sequence[int]) -> None:
        self._looked_at = at
        with reading() as session:
            busy = any(leases.held_by(session, worker_id) for worker_id in worker_ids)
            startable = cards.startable_by_device(session)
            ready = any(startable.get(device) for device in self._devices)
        if busy:
            self._busy_at = at
        if busy or ready:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = at  # counted from here: one look may fall between two stages
        idle = self._idle_since is not None and at - self._idle_since >= self._idle_seconds
        if idle or at - self._busy_at >= _NEVER_TAKEN * self._idle_seconds:
            self.reason = "idle"

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.reason = "asked"

    def end(self) -> tuple[str, int]:
        """The sentence and the exit code of workers that have ended."""
        with reading() as session:
            left = leases.unfinished_count(session)
        if self.reason is None:
            return f"Stopped; {left} stages are left.", 0
        if self.reason == "idle":
            return f"Nothing is ready for these workers; {left} stages wait for others." if left else "All is done.", 0
        if not left:
            return "The time is up, and all is done.", 0
        return f"requeue: the time is up, and {left} stages are left.", REQUEUE
