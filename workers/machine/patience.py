"""Faults that pass are waited out: what database or Redis refused for a moment is done again, in growing pauses.

A process says once that one of them is away, and once that it answers again.
"""

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from db.errors import DatabasePasses

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WORKING = 45.0  # seconds: as long as a lease, after which others may go on
PEOPLE = 8.0  # seconds that somebody waits for a click or a command
_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries, before they are spread
DATABASE, REDIS = "The database", "Redis"
# Of Redis: away, slow, still loading, read-only as in a failover, out of memory, in the middle of a move.
_REDIS = frozenset(
    ("ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError", "OutOfMemoryError", "TryAgainError")
)
_REDIS_DISK = "MISCONF"  # its disk is full


@dataclass(frozen=True)
class _Outage:
    since: float
    writing: bool  # only what is written is refused: to read something ends nothing


_outages: dict[str, _Outage] = {}
_saying = threading.Lock()


def passes(error: BaseException) -> bool:
    """Whether the same may go well in a moment; of databases db/faults.py says it."""
    if isinstance(error, DatabasePasses):
        return True
    ours = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "redis.exceptions"]
    return bool(_REDIS.intersection(ours)) or (bool(ours) and str(error).startswith(_REDIS_DISK))


def is_away(what: str, *, writing: bool = False) -> bool:
    """From now on it is away, until `answered`; whether it was not before, so that a line is due."""
    with _saying:
        first = what not in _outages
        _outages.setdefault(what, _Outage(time.monotonic(), writing))
    return first


def say_away(where: logging.Logger, words: str, error: BaseException) -> None:
    """A line about an error that passes (`words` with one %s), the first time that it is away."""
    what = DATABASE if isinstance(error, DatabasePasses) else REDIS
    if is_away(what, writing=getattr(error, "writing", False)):
        where.warning(words, error)


def answered(what: str, *, wrote: bool = True) -> None:
    """It answers: a line where it was said to be away."""
    outage = _outages.get(what)
    if outage is None or (outage.writing and not wrote):
        return
    with _saying:
        outage = _outages.pop(what, None)
    if outage is not None:
        log.info("%s answers again, after %.0f s.", what, time.monotonic() - outage.since)


@contextmanager
def heard(*, wrote: bool) -> Iterator[None]:
    """Around a transaction: where it ends well, the database answers."""
    yield
    answered(DATABASE, wrote=wrote)


def patiently(
    do: Callable[[], T],
    *,
    seconds: float = WORKING,
    stop: Callable[[], bool] = lambda: False,
    doubtful: bool = True,
) -> T:
    """What `do` gives, called again while its error is one that passes, for `seconds` and until `stop`; then the error.

    doubtful: also where a commit may have gone well, which `do` has to stand.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST
    while True:
        try:
            return do()
        except Exception as error:
            at = time.monotonic()
            if not passes(error) or at >= deadline or stop() or (getattr(error, "doubtful", False) and not doubtful):
                raise
            say_away(log, "tried again: %s", error)
        _sleep(min(pause * random.uniform(0.5, 1.5), max(0.0, deadline - time.monotonic())), stop)
        pause = min(2 * pause, _LONGEST)


def patient(seconds: float = PEOPLE, *, doubtful: bool = False) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """The same for a function that is one transaction: by default not repeated where it may have been committed."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def again(*args: P.args, **values: P.kwargs) -> T:
            return patiently(lambda: function(*args, **values), seconds=seconds, doubtful=doubtful)

        return again

    return decorate


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not stop():
        time.sleep(min(left, 0.2))
