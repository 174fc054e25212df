"""How our processes end: with their parent, and quickly. Standard library only: every launcher imports it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None, sig: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux for `sig` when the parent ends; leave at once when it ended before we could ask.

    `parent` is the pid that started us as it told us; without it the current parent is taken. Survives exec. Elsewhere
    than on Linux the supervisor's own SIGTERM is all there is.
    """
    expected = parent if parent is not None else os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sig))
    if os.getppid() != expected:
        os._exit(1)


def parent_from_environment() -> int | None:
    """The pid written by the process that started us, or None when a person did."""
    value = os.environ.get("CWPO_PARENT_PID", "")
    return int(value) if value.isdigit() else None


def child_environment(**extra: str) -> dict[str, str]:
    """Our environment plus our pid, for a child that is to die with us."""
    return {**os.environ, "CWPO_PARENT_PID": str(os.getpid()), **extra}


def is_alive(pid: int) -> bool:
    """Whether a process with this pid exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if sys.platform == "linux":
            return False
    except ProcessLookupError:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_all(children: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """SIGTERM to all, `grace` seconds for all together, then SIGKILL; returns when every child is reaped."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + grace
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()
