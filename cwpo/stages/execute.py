"""One table: stage kind -> function. The same door for a run in this process and for the workers."""

import importlib
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError
from cwpo.reporting import Reporter, SilentReporter


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """Everything a stage may know: what entered its fingerprint, its inputs, and where to write."""

    kind: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    checkpoints: Path
    store: ArtifactStore
    device: str = "cpu"
    tokens_per_batch: int = 4096
    gradient_checkpointing: bool | None = None  # None: when memory needs it
    checkpoint_seconds: float = 60.0
    reporter: Reporter = field(default_factory=SilentReporter)
    should_stop: Callable[[], bool] = lambda: False


# Dotted, so that importing this table imports neither torch nor a stage that is not run.
EXECUTORS: Mapping[str, str] = {
    "data": "cwpo.data.stage:run_data",
    "base": "cwpo.sandbox.base:run_base",
    "annotator": "cwpo.annotator:run_annotator",
    "calibration": "cwpo.annotator:run_calibration",
    "labels": "cwpo.labeling:run_labels",
    "sft": "cwpo.sft:run_sft",
    "reference": "cwpo.reference:run_reference",
    "align": "cwpo.align:run_align",
    "samples": "cwpo.generation:run_samples",
    "gold": "cwpo.gold:run_gold",
    "scores": "cwpo.gold:run_scores",
    "evaluation": "cwpo.evaluation:run_evaluation",
}


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A finished stage: where its artifact is, what it says of itself, and whether it was computed now."""

    fingerprint: str
    path: Path
    summary: Mapping[str, Any]
    seconds: float
    computed: bool


def executor(kind: str) -> Callable[[StageContext], dict[str, Any]]:
    """The function of a stage kind."""
    if kind not in EXECUTORS:
        raise KeyError(f"unknown stage kind {kind!r}; choose one of {', '.join(EXECUTORS)}")
    module, _, name = EXECUTORS[kind].partition(":")
    function: Callable[[StageContext], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


def execute(
    *,
    store: ArtifactStore,
    kind: str,
    fingerprint: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    device: str = "cpu",
    tokens_per_batch: int = 4096,
    gradient_checkpointing: bool | None = None,
    checkpoint_seconds: float = 60.0,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StageResult:
    """Find the artifact of `fingerprint`, or compute it from the artifacts named in `inputs` (name -> fingerprint).

    Raises whatever the stage raises; what it had checkpointed stays for the next attempt.
    """
    reporter = reporter or SilentReporter()
    found = stored(store, fingerprint)
    if found is not None:
        return found
    with store.lock(fingerprint):
        found = stored(store, fingerprint)
        if found is not None:
            return found
        started = time.monotonic()
        with store.build(fingerprint, meta={"kind": kind, "config": dict(config), "inputs": dict(inputs)}) as out:
            context = StageContext(
                kind=kind,
                config=config,
                inputs={name: _input(store, name, source) for name, source in inputs.items()},
                out=out,
                checkpoints=store.checkpoints(fingerprint),
                store=store,
                device=device,
                tokens_per_batch=tokens_per_batch,
                gradient_checkpointing=gradient_checkpointing,
                checkpoint_seconds=checkpoint_seconds,
                reporter=reporter,
                should_stop=should_stop,
            )
            summary = executor(kind)(context)
            seconds = time.monotonic() - started
            (out / "summary.json").write_text(json.dumps(summary, indent=1, sort_keys=True, allow_nan=False))
            timing = {"seconds": round(seconds, 3), "host": platform.node(), "threads": _threads()}
            (out / "timing.json").write_text(json.dumps(timing))
        store.drop_checkpoints(fingerprint)
        return StageResult(
            fingerprint=fingerprint, path=store.path(fingerprint), summary=summary, seconds=seconds, computed=True
        )


def stored(store: ArtifactStore, fingerprint: str) -> StageResult | None:
    """The result of a stage that is already in the store, verified."""
    path = store.find(fingerprint)
    if path is None:
        return None
    summary = json.loads((path / "summary.json").read_text())
    seconds = float(json.loads((path / "timing.json").read_text())["seconds"])
    return StageResult(fingerprint=fingerprint, path=path, summary=summary, seconds=seconds, computed=False)


def threads_of(path: Path) -> int | None:
    """CPU threads that an artifact was computed with: sums over several threads round in another order."""
    threads = json.loads((path / "timing.json").read_text()).get("threads")
    return threads if isinstance(threads, int) else None


def _threads() -> int | None:
    """Threads of torch in this process; None where the stage did without it."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _input(store: ArtifactStore, name: str, fingerprint: str) -> Path:
    path = store.find(fingerprint)
    if path is None:
        raise ArtifactError(f"The input {name} ({fingerprint[:12]}) is missing or damaged; retry the run.")
    return path
