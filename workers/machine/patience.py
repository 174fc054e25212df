"""Faults that pass are waited out: what database or Redis refused for a moment is done again, in growing pauses."""

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from db.errors import DatabasePasses

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WORKING = 45.0  # seconds: as long as a lease, after which others may go on
PEOPLE = 8.0  # seconds that somebody waits for a click or a command
_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries, before they are spread
_SAID_EVERY = 10.0
# Of Redis: away, slow, still loading, read-only as in a failover, out of memory, in the middle of a move.
_REDIS = frozenset(
    ("ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError", "OutOfMemoryError", "TryAgainError")
)


def passes(error: BaseException) -> bool:
    """Whether the same may go well in a moment; of databases db/faults.py says it."""
    if isinstance(error, DatabasePasses):
        return True
    return any(kind.__module__ == "redis.exceptions" and kind.__name__ in _REDIS for kind in type(error).__mro__)


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
    deadline, pause, said = time.monotonic() + seconds, _FIRST, -_SAID_EVERY
    while True:
        try:
            return do()
        except Exception as error:
            at = time.monotonic()
            if not passes(error) or at >= deadline or stop() or (getattr(error, "doubtful", False) and not doubtful):
                raise
            if at - said >= _SAID_EVERY:
                log.warning("tried again: %s", error)
                said = at
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
