"""How long a training stands still for its checkpoints: written while it waits, as before, and behind it, as now.

    python -m benchmarks checkpoint [--shape opt-h256] [--seconds 60] [--every 5] [--rounds 3] [--anew]

The same training each time, whole, fp32: weights and both moments go into a checkpoint. "idle" is the share of its time
in which the training thread copies, waits or writes; on a CPU a thread that writes also takes time from the steps, so
steps per second stand beside it. The program's own interval is never shorter than 60 s by default.
"""

import argparse
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar
from unittest.mock import patch

from benchmarks.measure import Results, Sample, table
from benchmarks.workload import SHAPES, context, encoded, policy, settings, typical
from cwpo.errors import Cancelled
from cwpo.training.checkpoints import whole_checkpoints
from cwpo.training.saving import Saver
from cwpo.training.sft import train_on_answers

BATCH, STEPS = 2, 1_000_000


class Timed(Saver):
    """A saver that adds up how long it held up the training; the checkpoint of a stop ends the measured time."""

    waits: ClassVar[bool] = False
    held: ClassVar[float] = 0.0
    written: ClassVar[int] = 0
    ended: ClassVar[float] = 0.0

    def save(self, step: int, *, whole: bool) -> None:
        began = time.perf_counter()
        super().save(step, whole=whole or self.waits)
        if whole:
            Timed.ended = began
        else:
            Timed.held += time.perf_counter() - began
            Timed.written += 1


class Waiting(Timed):
    """As before: every checkpoint is written at its interval while the training waits."""

    waits = True

    def save(self, step: int, *, whole: bool) -> None:
        super().save(step, whole=whole)
        self.interval = self.seconds


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What checkpoints cost a training.")
    parser.add_argument("--shape", choices=list(SHAPES), default="opt-h256")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each training")
    parser.add_argument("--every", type=float, default=5.0, help="execution.checkpoint_seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    results = Results(f"checkpoint-{options.shape}", anew=options.anew)
    run = partial(_measure, options.shape, options.seconds)
    for number in range(options.rounds):
        results.take("no checkpoints", number, partial(run, Timed, 1e9))
        results.take("before", number, partial(run, Waiting, options.every))
        results.take("after", number, partial(run, Timed, options.every))
    results.summary = {"every_seconds": options.every, "cells": [_row(results, cell) for cell in results.cells]}
    results.save()
    print(table(results.summary["cells"]))


def _row(results: Results, cell: str) -> dict[str, Any]:
    names = ("steps_per_second", "checkpoints", "megabytes", "seconds_held", "idle")
    return {"training": cell, **{name: results.median(cell, name) for name in names}}


def _measure(shape: str, seconds: float, saver: type[Timed], every: float) -> Sample:
    """A training that is stopped after that many seconds; what it took to stop is not counted."""
    rows = [replace(row, responses=row.responses[:1]) for row in encoded(typical(64), SHAPES[shape].vocabulary)]
    own, began, done = settings("fp32", BATCH), 0.0, 0

    def enough() -> bool:
        nonlocal began, done
        done += 1
        if done == 1:  # the first step allocates
            began, Timed.held, Timed.written = time.perf_counter(), 0.0, 0
        return time.perf_counter() - began >= seconds

    ctx = context(own)
    ctx = replace(ctx, should_stop=enough, execution=replace(ctx.execution, checkpoint_seconds=every))
    train = replace(own.train, epochs=STEPS / len(rows) * BATCH)
    with patch("cwpo.training.loop.Saver", saver), suppress(Cancelled):
        train_on_answers(policy(shape), rows, ctx, train, precision="fp32", seed=0)
    spent, newest = Timed.ended - began, whole_checkpoints(ctx.checkpoints)[-1]
    size = sum(file.stat().st_size for file in newest.rglob("*") if file.is_file())
    shutil.rmtree(ctx.checkpoints.parent)
    more = {
        "steps_per_second": round((done - 1) / spent, 3),
        "checkpoints": Timed.written,
        "megabytes": round(size / 1e6, 1),
        "seconds_held": round(Timed.held / Timed.written, 4) if Timed.written else None,
        "idle": round(Timed.held / spent, 4),
    }
    return Sample(wall=spent, more=more)


if __name__ == "__main__":
    main()
