"""Why a process died by a signal: killed from outside, or by the kernel because memory was out."""

import contextlib
import re
import signal
from pathlib import Path

# Counts of processes that the kernel ended for memory: of the whole machine, and of this container.
_COUNTS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_BY_OTHERS = frozenset((signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def memory_kills() -> int | None:
    """Processes that the kernel ended for memory so far; None where nothing on this machine counts them."""
    found: list[int] = []
    for path in _COUNTS:
        with contextlib.suppress(OSError):
            found += map(int, _COUNT.findall(path.read_text()))
    return sum(found) if found else None


def from_outside(number: int, *, before: int | None) -> bool:
    """Whether a process that died by this signal was killed by somebody, and not for memory or for a fault of its own.

    before: `memory_kills()` when it was started. Where nobody counts, memory is taken to be the reason.
    """
    return number in _BY_OTHERS and before is not None and memory_kills() == before
