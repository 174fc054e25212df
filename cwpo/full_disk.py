"""A full disk is waited for: what a stage writes is written again, in growing pauses, until there is room.

What `when_room` is given must bear to be done again from its beginning. Who has no patience, such as a command that
somebody watches, gets the error at once: only below `waiting` it is waited. Which errors say that a disk is full is
decided by `cwpo.errors.is_disk_full` alone. Free of torch.
"""

import functools
import math
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import ParamSpec, TypeVar

from cwpo.errors import Cancelled, is_disk_full

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 600.0  # seconds that a person or `cwpo gc` has to free space
FIRST, LONGEST = 0.1, 5.0  # seconds between two tries, before they are spread
_UNSEEN = 30.0  # seconds between two tries where less is free than is needed: a quota or compression may know better
_AGAIN = 60.0  # seconds after which the same is said again
_UNIT = 1e8  # bytes, of 0.1 GB


class Patience:
    """Of one stage, whose threads may write at once; safe for threads."""

    def __init__(
        self, folder: Path, say: Callable[[str], None], should_stop: Callable[[], bool], seconds: float | None
    ) -> None:
        self._folder, self._say, self.should_stop = folder, say, should_stop
        self._seconds = PATIENCE if seconds is None else seconds
        self._lock = threading.Lock()
        self._said: float | None = None
        self._over = False  # it was waited in vain: nothing waits any more
        self.waited = 0.0  # seconds, over all that waited

    def written(self, write: Callable[[], T], needs: int) -> T:
        """What `write` gives; the error of the full disk when the patience is over, Cancelled when asked to stop."""
        began, pause = 0.0, FIRST
        while True:
            try:
                done = write()
            except Exception as error:
                now = time.monotonic()
                began = began or now
                if not is_disk_full(error) or self._over:
                    raise
                if now - began >= self._seconds:
                    self._over = True
                    raise
                needs = max(needs, getattr(error, "needs", 0))
                folder = self._disk_of(error)
                self._tell(needs, folder)
            else:
                if began:
                    self._say(f"The disk has room again, after {time.monotonic() - began:.0f} s.")
                return done
            self._wait(pause * random.uniform(0.5, 1.5), began)
            until = min(began + self._seconds, time.monotonic() + _UNSEEN)
            while time.monotonic() < until and _free(folder) < needs:
                self._wait(min(pause, 1.0), began)
            pause = min(2 * pause, LONGEST)
            with self._lock:
                self.waited += time.monotonic() - now

    def _disk_of(self, error: Exception) -> Path:
        """The folder to make room in: that of the stage, or where the error says that another disk is full."""
        name = getattr(error, "filename", None)
        folder = Path(name).parent if isinstance(name, str) and os.path.isabs(name) else self._folder
        try:
            return self._folder if folder.stat().st_dev == self._folder.stat().st_dev else folder
        except OSError:
            return self._folder

    def _tell(self, needs: int, folder: Path) -> None:
        now = time.monotonic()
        with self._lock:
            due = self._said is None or now - self._said >= _AGAIN
            self._said = now if due else self._said
        if due:
            free = math.ceil(max(needs, 1) / _UNIT) * _UNIT / 1e9
            self._say(
                f"The disk is full: waiting until {free:.1f} GB are free under {folder}; nothing is lost, and it "
                "goes on by itself."
            )

    def _wait(self, seconds: float, began: float) -> None:
        until = min(time.monotonic() + seconds, began + self._seconds)
        while (left := until - time.monotonic()) > 0:
            if self.should_stop():
                raise Cancelled("Stopped while the disk was full; what is kept is gone on from.")
            time.sleep(min(left, 0.2))


def _free(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return math.inf


_PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def waiting(
    folder: Path, say: Callable[[str], None], should_stop: Callable[[], bool], *, seconds: float | None = None
) -> Iterator[None]:
    """In this block, and in threads that got its context, a full disk is waited for, `seconds` long (PATIENCE).

    folder: on the disk, named in what is said once. should_stop: asked meanwhile; Cancelled is raised where it says so.
    """
    token = _PATIENCE.set(Patience(folder, say, should_stop, seconds))
    try:
        yield
    finally:
        _PATIENCE.reset(token)


@contextmanager
def at_once() -> Iterator[None]:
    """In this block nothing waits: what is written is worth no waiting, or somebody else waits for it."""
    token = _PATIENCE.set(None)
    try:
        yield
    finally:
        _PATIENCE.reset(token)


def asked_to_stop() -> bool:
    """Whether the stage that this thread works for is asked to stop."""
    patience = _PATIENCE.get()
    return patience is not None and patience.should_stop()


def seconds_waited() -> float:
    """How long this stage has waited for room by now."""
    patience = _PATIENCE.get()
    return 0.0 if patience is None else patience.waited


def when_room(write: Callable[[], T], *, needs: int = 0) -> T:
    """What `write` gives, done again while the disk is full. needs: bytes that it writes, as far as they are known."""
    patience = _PATIENCE.get()
    return write() if patience is None else patience.written(write, needs)


def waits_for_room(function: Callable[P, T]) -> Callable[P, T]:
    """The same for a function that writes all anew when it is called again."""

    @functools.wraps(function)
    def again(*args: P.args, **values: P.kwargs) -> T:
        return when_room(lambda: function(*args, **values))

    return again
