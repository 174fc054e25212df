"""Why a process died by a signal: killed from outside, by the kernel because memory was out, or by its own fault."""

import contextlib
import re
import signal
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

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
    """Processes that the kernel ended for memory so far; None where nothing on this machine counts them."""
    found: list[int] = []
    for path in (_MACHINE, *_group_counts()):
        with contextlib.suppress(OSError):
            found += map(int, _COUNT.findall(path.read_text()))
    return sum(found) if found else None


def cause_of(number: int, *, before: int | None) -> Cause:
    """Why a process died by this signal (0: it ended by itself). before: `memory_kills()` when it was started."""
    if number not in _BY_OTHERS or before is None:
        return Cause.ITSELF
    if memory_kills() == before:
        return Cause.OUTSIDE
    return Cause.MEMORY if number == signal.SIGKILL else Cause.ITSELF


def _group_counts() -> Iterator[Path]:
    """Of this process's group and of those above it, in both versions of control groups."""
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
