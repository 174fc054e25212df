"""`python -m tests.cwpo.parallel.odd_rank`: a rank that does what the variable ACT names, for tests of ranks."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from cwpo.errors import Cancelled, ConfigError, DataError
from cwpo.full_disk import when_room
from cwpo.parallel import rank
from cwpo.parallel.ranks import Ranks
from cwpo.stages import execute
from cwpo.stages.context import StageContext

Context = StageContext[Any]


def writes(ctx: Context) -> dict[str, Any]:
    ctx.reporter.log(f"rank {ctx.execution.ranks.rank} says")
    ctx.reporter.progress(1, 2, "steps")
    ctx.reporter.metrics(1, {"loss": float("nan"), "accuracy": 0.1})
    (ctx.out / f"rank{ctx.execution.ranks.rank}.txt").write_text("x")
    return {"rank": ctx.execution.ranks.rank, "third": 1 / 3, "device": ctx.device}


def is_loud(ctx: Context) -> dict[str, Any]:
    line = "x" * 99 + "\n"
    for _ in range(50 * 10_000):
        sys.stderr.write(line)
    print("and the last line", flush=True)
    return {}


def fails_loudly(ctx: Context) -> dict[str, Any]:
    is_loud(ctx)
    raise DataError("No pair is left.")


def second_fails(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        raise ConfigError("align.beta", "must be above 0.")
    ctx.execution.ranks.barrier()
    return {}


def second_has_a_bug(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        raise IndexError("list index out of range")
    time.sleep(600)
    return {}


def second_has_no_memory(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        import torch

        torch.empty(2**50)
    time.sleep(600)
    return {}


def second_is_killed(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ctx.execution.ranks.barrier()
    return {}


def second_dies(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
    return {}


def second_is_stopped(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)
    return {}


def obeys(ctx: Context) -> dict[str, Any]:
    step = 0
    while True:
        step += 1
        ctx.reporter.progress(step, 1000, "steps")
        if ctx.execution.ranks.any(ctx.should_stop()):
            raise Cancelled(f"Stopped after step {step}.")


def waits_for_the_other(ctx: Context) -> dict[str, Any]:
    if ctx.execution.ranks.rank == 0:
        ctx.reporter.progress(1, 2, "steps")
        ctx.execution.ranks.barrier()
    time.sleep(600)
    return {}


def writes_on_a_full_disk(ctx: Context) -> dict[str, Any]:
    """It has room at the third try."""
    left = [OSError(errno.ENOSPC, "No space left on device") for _ in range(2)]

    def write() -> int:
        if left:
            raise left.pop()
        return 7

    return {"wrote": when_room(write, needs=3_000_000_000)}


def finds_no_room(ctx: Context) -> dict[str, Any]:
    def write() -> None:
        ctx.reporter.progress(1, 2, "steps")
        raise OSError(errno.ENOSPC, "No space left on device")

    when_room(write)
    return {}


def starts_a_child(ctx: Context) -> dict[str, Any]:
    import subprocess

    subprocess.Popen(["sleep", "600"])
    ctx.reporter.progress(1, 2, "steps")
    time.sleep(600)
    return {}


ACTS: Mapping[str, Callable[[Context], dict[str, Any]]] = {
    act.__name__: act
    for act in (
        writes, is_loud, fails_loudly, second_fails, second_has_a_bug, second_has_no_memory, second_is_killed,
        second_dies, second_is_stopped, obeys, waits_for_the_other, starts_a_child, writes_on_a_full_disk,
        finds_no_room,
    )
}  # fmt: skip
MEET = ("second_fails", "second_is_killed", "obeys", "waits_for_the_other")  # the others need no group, and no torch


if __name__ == "__main__":
    act = os.environ["ACT"]
    execute.executor = lambda kind: ACTS[act]
    if act not in MEET:
        rank._join = lambda order: Ranks(rank=order["rank"], size=order["size"])
    rank.main()
