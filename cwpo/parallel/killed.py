"""Why a process died by a signal: killed from outside, by the kernel because memory was out, or by its own fault."""

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

WITHIN = 10.0  # seconds between two readings of the counts
# Counts of processes that the kernel ended for memory: of the whole machine, and of this process's control groups.
_MACHINE = Path("/proc/vmstat")
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_BY_OTHERS = frozenset((signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


class Cause(StrEnum):
    """What ended a process that gave no result and no error."""

    OUTSIDE = "outside"  # somebody killed it, which says nothing of what it did
    MEMORY = "memory"  # the kernel, because memory was out
    ITSELF = "itself"  # a fault of its own; or killed where nobody counts what the kernel ends


def memory_kills() -> int | None:
    """Processes that the kernel ended for memory so far, in the smallest group of which somebody counts them: the
    control group of this process, else the machine. None where nobody counts.

    A group counts its own wherever the memory was out, so what happens to others changes nothing there.
    """
    for path in (*_group_counts(), _MACHINE):
        with contextlib.suppress(OSError):
            if found := _COUNT.search(path.read_text()):
                return int(found[1])
    return None


class RecentKills:
    """The count as it was some seconds ago: for whoever waits for a process, for days perhaps, and has to know whether
    the kernel ended it. What was ended long before was another one."""

    def __init__(self) -> None:
        self._older = self._newer = memory_kills()
        self._at = time.monotonic()

    def look(self) -> None:
        """To be called while waiting; reads at most every WITHIN seconds."""
        if (now := time.monotonic()) - self._at >= WITHIN:
            self._older, self._newer, self._at = self._newer, memory_kills(), now

    @property
    def before(self) -> int | None:
        """A count that is at least WITHIN seconds old, or of the start: the kernel counts a process before it dies."""
        return self._older


def cause_of(number: int, *, before: int | None) -> Cause:
    """Why a process died by this signal (0: it ended by itself). before: `memory_kills()` some seconds earlier, at most
    when it was started (`RecentKills.before`)."""
    now = memory_kills()
    if number not in _BY_OTHERS or before is None or now is None:
        return Cause.ITSELF
    if now <= before:
        return Cause.OUTSIDE
    return Cause.MEMORY if number == signal.SIGKILL else Cause.ITSELF


def _group_counts() -> Iterator[Path]:
    """Of this process's group, then of those above it, in both versions of control groups."""
    with contextlib.suppress(OSError):
        for line in _OWN.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:
                root, name = _GROUPS, "memory.events"
            elif "memory" in kinds.split(","):
                root, name = _GROUPS / "memory", "memory.oom_control"
            else:
                continue
            own = root / path.lstrip("/")
            yield from (place / name for place in (own, *own.parents) if place == root or root in place.parents)
