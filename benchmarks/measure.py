"""How a figure is taken and kept: machine, matmul peak, seconds of one sample, one JSON file per benchmark.

A sample is saved as soon as it is taken, and a benchmark that is started again goes on behind the last saved one. To
measure anew, delete the file or give --anew.
"""

import functools
import gc
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from cwpo.files import write_whole

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "trl", "peft", "numpy")
PEAK_SIZE, PEAK_REPEATS = 2048, 5
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
TRIED_SIZE = 512  # of a matmul that tells whether a processor computes in bf16 at all


@dataclass
class Sample:
    """One measurement: seconds on the wall and of this process's threads, page faults, and the peaks beside it."""

    wall: float = 0.0
    cpu: float = 0.0
    faults: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"wall": round(self.wall, 5), "cpu": round(self.cpu, 5), "faults": self.faults, **self.more}


@dataclass
class Stopwatch:
    """Sums what happens between start and stop."""

    sample: Sample = field(default_factory=Sample)
    _began: tuple[float, float, int] = (0.0, 0.0, 0)

    def start(self) -> None:
        self._began = self._now()

    def stop(self) -> None:
        wall, cpu, faults = (now - then for now, then in zip(self._now(), self._began, strict=True))
        self.sample.wall += wall
        self.sample.cpu += cpu
        self.sample.faults += int(faults)

    def lap(self) -> None:
        """Stop, and keep the seconds since the start beside the sum."""
        before = self.sample.wall
        self.stop()
        self.sample.more.setdefault("step_seconds", []).append(round(self.sample.wall - before, 4))

    def seconds(self) -> float:
        """On the wall since the start."""
        return self._now()[0] - self._began[0]

    @staticmethod
    def _now() -> tuple[float, float, int]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class Results:
    """The JSON file of one benchmark: machine, date, and samples by cell."""

    def __init__(self, name: str, *, anew: bool = False, folder: Path = RESULTS) -> None:
        self.path = folder / f"{name}.json"
        if anew:
            self.path.unlink(missing_ok=True)
        stored = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.cells: dict[str, list[dict[str, Any]]] = stored.get("cells", {})
        self.summary: dict[str, Any] = stored.get("summary", {})
        self.machine: dict[str, Any] = stored.get("machine") or machine()

    def take(self, cell: str, number: int, measure: Callable[[], Sample]) -> None:
        """Sample `number` (0-based) of a cell, unless the file has it."""
        samples = self.cells.setdefault(cell, [])
        if len(samples) > number:
            return
        gc.collect()
        began = time.perf_counter()
        sample = measure().as_json() | {"load": round(os.getloadavg()[0], 1), "at": _today(seconds=True)}
        samples.append(sample)
        self.save()
        print(f"  {cell}: {sample['wall']:.2f} s ({time.perf_counter() - began:.0f} s with set-up)", flush=True)

    def save(self) -> None:
        """Aside and renamed: a kill leaves the old or the new file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        body = {"date": _today(), "machine": self.machine, "summary": self.summary, "cells": self.cells}
        write_whole(self.path, json.dumps(body, indent=1) + "\n")

    def median(self, cell: str, key: str = "wall") -> float | None:
        """Median over the samples of a cell; None when it was not measured."""
        values = [sample[key] for sample in self.cells.get(cell, []) if sample.get(key) is not None]
        return statistics.median(values) if values else None

    def ratio(self, slow: str, fast: str, key: str = "wall") -> float | None:
        """How many times the median of `slow` is that of `fast`."""
        above, below = self.median(slow, key), self.median(fast, key)
        return None if above is None or not below else round(above / below, 2)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


@functools.cache
def fast_precisions() -> tuple[str, ...]:
    """The precisions worth measuring on this processor: bf16 only where a matmul in it is as fast as in fp32. Where
    the processor has no instructions for it, torch imitates it, up to a hundred times slower: nobody trains so."""
    return ("bf16", "fp32") if _peak(torch.bfloat16, TRIED_SIZE) >= _peak(torch.float32, TRIED_SIZE) else ("fp32",)


def peaks(device: str = "cpu") -> dict[str, float]:
    """GFLOP/s of the best of five square matmuls in each precision that is measured, with this run's threads."""
    if device != "cpu":
        return {
            "fp32": _peak(torch.float32, 4 * PEAK_SIZE, device),
            "bf16": _peak(torch.bfloat16, 4 * PEAK_SIZE, device),
        }
    return {name: _peak(DTYPES[name], PEAK_SIZE) for name in fast_precisions()}


def _peak(dtype: torch.dtype, size: int, device: str = "cpu") -> float:
    left, right = torch.randn(2, size, size, device=device).to(dtype).unbind()
    best = float("inf")
    for _ in range(PEAK_REPEATS):
        watch = Stopwatch()
        watch.start()
        left @ right
        watch.stop()
        best = min(best, watch.sample.wall)
    return round(2 * size**3 / best / 1e9, 1)


@contextmanager
def timed(**more: Any) -> Iterator[Sample]:
    """The sample of a with-block."""
    watch = Stopwatch()
    watch.sample.more.update(more)
    watch.start()
    yield watch.sample
    watch.stop()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned text, in the order of the first row's keys."""
    if not rows:
        return "(nothing measured)"
    names = list(rows[0])
    cells = [names, *[[_text(row.get(name)) for name in names] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _today(*, seconds: bool = False) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
