"""How our processes begin and end: what a child is told, and that it ends with its parent. Quick to import."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from cwpo.config.environment import for_child, settings
from cwpo.parallel.lifeline import die_with_parent as die_with_parent

POLITE = 5  # niceness of what the dashboard starts: workers and the dashboard come first
_NEVER = str(2**31 - 1)  # bytes of free memory at the top of the heap before it is given back


def parent_from_environment() -> int | None:
    """The pid written by the process that started us, or None when a person did."""
    return settings.parent_pid


def child_environment(**extra: str) -> dict[str, str]:
    """Our environment plus our pid, for a child that is to die with us."""
    return for_child(CWPO_PARENT_PID=str(os.getpid()), **extra)


def allocator_environment() -> dict[str, str]:
    """What a process that computes on a CPU is started with, so that glibc keeps freed blocks and large tensors need
    not fault their pages in again. Nothing with CWPO_TUNE_MALLOC=0, where somebody chose otherwise, or without glibc.

    Paid for with memory that stays taken, and with a first step that is slower while the memory is gathered. glibc
    reads these when a process starts, so a process cannot do it to itself.
    """
    if not sys.platform.startswith("linux") or not settings.tune_malloc or settings.malloc_mmap_max is not None:
        return {}
    return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": _NEVER}


def start_again_for_the_allocator() -> None:
    """For a command that a person started and that will compute: start it again with the allocator's variables.

    The process keeps its number, terminal and files. It costs a second start of Python, before anything heavy is
    imported; a wrapper script would be forgotten by whoever calls `python -m`.
    """
    if added := allocator_environment():
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, for_child(**added))  # noqa: S606


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


def identity(pid: int) -> str | None:
    """What tells this process from another one that has its number later, whatever the clock says; None where the
    system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return None


def end_all(
    children: Sequence[subprocess.Popen[bytes]], grace: float, *, at_once: Callable[[], bool] = lambda: False
) -> None:
    """SIGTERM to all, `grace` seconds for all together unless `at_once` says yes meanwhile, then SIGKILL; returns when
    every child is reaped."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + grace
    while any(child.poll() is None for child in children) and time.monotonic() < deadline and not at_once():
        time.sleep(0.02)
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


def running(pid: int, word: str) -> psutil.Process | None:
    """The process of ours that was started with this word, while it runs; None where its number now belongs to another
    one, which its command line tells. One that has just begun has none yet: a start is answered before its program's
    command line can be read."""
    try:
        process = psutil.Process(pid)
        line = process.cmdline()
        mine = process.status() != psutil.STATUS_ZOMBIE and (word in line or not any(line))
    except psutil.Error:
        return None
    return process if mine else None


def start_apart(command: Sequence[str], log: Path, **extra: str) -> int:
    """A process that outlives the dashboard, polite to the others, and its log; the pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            env=for_child(**extra),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, POLITE)
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return process.pid
