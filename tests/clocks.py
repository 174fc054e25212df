"""Time as a busy machine has it: without its stops, and by how fast it computes at this moment.

A limit says how long something may take on a machine that runs. Where all of it stands still for twenty seconds, or
other programs have most of its cores, a right program takes longer by any clock on the wall.
"""

import gc
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK = 0.05  # seconds between two looks at the clock
AWAKE = 4 * TICK  # of the time between two looks, at most so much counts: a longer one was a stop
PIECE = 0.012  # processor seconds of `_piece` on the machine that the limits are said for
FRESH = 5.0  # seconds for which what was measured before something is still so
_PIECES = 5


class _Running:
    """Counts, in a thread of its own, the seconds in which threads of this process had their turns."""

    def __init__(self) -> None:
        self._passed, self._at = 0.0, time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._tick, name="clock", daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(TICK)
            self.now()

    def now(self) -> float:
        with self._lock:
            at = time.monotonic()
            self._passed += min(at - self._at, AWAKE)
            self._at = at
            return self._passed


_running: _Running | None = None


def monotonic() -> float:
    """Seconds since the first call, without the stops of this machine or process."""
    global _running
    if _running is None:
        _running = _Running()
    return _running.now()


def slowness() -> float:
    """How many times longer than usual the same computation takes a processor now; 1 at least."""
    taken = []
    for _ in range(_PIECES):
        began = time.thread_time()
        _piece()
        taken.append(time.thread_time() - began)
    return max(1.0, statistics.median(taken) / PIECE)


def contention() -> float:
    """How many times longer than its processor time a computation takes by the clock now; 1 at least."""
    ratios = []
    for _ in range(_PIECES):
        began, worked = time.monotonic(), time.thread_time()
        _piece()
        ratios.append((time.monotonic() - began) / max(time.thread_time() - worked, 1e-6))
    return max(1.0, statistics.median(ratios))


@contextmanager
def computing(seconds: float) -> Iterator[None]:
    """What is done here computes for at most so many seconds, on the machine that limits are said for.

    Garbage that others left in this process is not looked through meanwhile. What is done in time on any machine needs
    no look at how fast this one is, and a look of a moment ago serves for what comes after it.
    """
    before = _lately()
    gc.freeze()
    began = time.process_time()
    try:
        yield
        took = time.process_time() - began
    finally:
        gc.unfreeze()
    if took < seconds:
        return
    limit = seconds * max(before, slowness())
    assert took < limit, f"computed for {took:.2f} s, where {limit:.2f} s are the most"


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """What is done here takes at most so many seconds of a machine that runs, with a core for whoever wants one."""
    before, began = contention() * slowness(), monotonic()
    yield
    took = monotonic() - began
    if took < seconds:
        return
    limit = seconds * max(before, contention() * slowness())
    assert took < limit, f"took {took:.1f} s, where {limit:.1f} s are the most"


_measured: tuple[float, float] | None = None  # when, and the slowness then


def _lately() -> float:
    """The slowness of a moment ago."""
    global _measured
    if _measured is None or time.monotonic() - _measured[0] > FRESH:
        _measured = time.monotonic(), slowness()
    return _measured[1]


def _piece() -> int:
    """Some work of Python: numbers, text and a dictionary."""
    seen: dict[str, int] = {}
    for number in range(60_000):
        name = str(number % 997)
        seen[name] = seen.get(name, 0) + number
    return len(seen)
