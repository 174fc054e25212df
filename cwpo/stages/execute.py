"""One stage: found in the artifact store, or computed; used both by a run in this process and by the workers."""

import importlib
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError
from cwpo.full_disk import waits_for_room
from cwpo.reporting import Keeping, Reporter, SilentReporter
from cwpo.stages.context import Execution, StageContext, never
from cwpo.stages.fingerprint import known_rule
from cwpo.stages.kinds import Kind, kind_named, kind_of
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import Settings

SHOWN = "shown.json"


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A finished stage: where its artifact is, what it says of itself, and whether it was computed now."""

    fingerprint: str
    path: Path
    summary: Mapping[str, Any]
    seconds: float
    computed: bool


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What a stage's function said of its result, and how it was computed."""

    summary: Mapping[str, Any]
    threads: int | None  # of torch; None where the stage did without it
    ranks: int = 1  # processes that computed it together


Compute = Callable[[StageContext[Any]], Computed]


def executor(kind: Kind) -> Callable[[StageContext[Any]], dict[str, Any]]:
    """The function of a stage kind."""
    module, _, name = kind.function.partition(":")
    function: Callable[[StageContext[Any]], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


def execute(
    *,
    store: ArtifactStore,
    fingerprint: str,
    settings: Settings,
    inputs: Mapping[str, str],
    execution: Execution | None = None,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = never,
    compute: Compute | None = None,
    version: int | None = None,
) -> StageResult:
    """Find the artifact of `fingerprint`, or compute it from the artifacts named in `inputs` (name -> fingerprint).

    compute: how the stage's function is called, by default in this process. version: of the kind, that the fingerprint
    was made for; SettingsError where this program would compute another one. Raises whatever the stage raises; what it
    had checkpointed stays for the next attempt. Where several machines share a store, the result lies there afterwards,
    also when it was found here.
    """
    kind = kind_of(settings)
    found = stored(store, fingerprint)
    if found is not None:
        return _shared(store, found)
    with store.lock(fingerprint):
        found = stored(store, fingerprint)
        if found is not None:
            return _shared(store, found)
        known_rule("The results", kind.version if version is None else version, kind.version, "version")
        started = time.monotonic()
        with store.build(
            fingerprint, meta={"kind": kind.name, "config": to_plain(settings), "inputs": dict(inputs)}
        ) as out:
            said = Keeping(reporter or SilentReporter())
            context = StageContext(
                kind=kind.name,
                settings=settings,
                inputs={name: _input(store, name, source) for name, source in inputs.items()},
                out=out,
                checkpoints=store.checkpoints(fingerprint),
                store=store,
                execution=execution or Execution(),
                reporter=said,
                should_stop=should_stop,
            )
            done = (compute or compute_here)(context)
            seconds = time.monotonic() - started
            _describe(out, done, seconds, said.kept)
        store.drop_checkpoints(fingerprint)
        path = store.path(fingerprint)
        result = StageResult(fingerprint=fingerprint, path=path, summary=done.summary, seconds=seconds, computed=True)
        return _shared(store, result)


def _shared(store: ArtifactStore, result: StageResult) -> StageResult:
    """The result as all machines see it: another one's where that was published before."""
    if store.share(result.fingerprint):
        return result
    first = stored(store, result.fingerprint)
    if first is None:
        raise ArtifactError(f"The artifact {result.fingerprint[:12]} in the shared store is damaged; retry the run.")
    return first


def compute_here(context: StageContext[Any]) -> Computed:
    """Call the stage's function in this process."""
    summary = executor(kind_named(context.kind))(context)
    return Computed(summary=summary, threads=threads_here())


@waits_for_room
def _describe(out: Path, done: Computed, seconds: float, shown: Mapping[str, Mapping[str, Any]]) -> None:
    """summary.json, shown.json with what there is to be looked at, and timing.json: how the artifact came to be."""
    if shown:
        (out / SHOWN).write_text(json.dumps(shown, sort_keys=True))
    (out / "summary.json").write_text(json.dumps(done.summary, indent=1, sort_keys=True, allow_nan=False))
    timing = {"seconds": round(seconds, 3), "host": platform.node(), "threads": done.threads}
    if done.ranks > 1:
        timing["ranks"] = done.ranks
    (out / "timing.json").write_text(json.dumps(timing))


def stored(store: ArtifactStore, fingerprint: str) -> StageResult | None:
    """The result of a stage that is already in the store, verified."""
    path = store.find(fingerprint)
    if path is None:
        return None
    summary = json.loads((path / "summary.json").read_text())
    seconds = float(json.loads((path / "timing.json").read_text())["seconds"])
    return StageResult(fingerprint=fingerprint, path=path, summary=summary, seconds=seconds, computed=False)


def shown_in(path: Path) -> dict[str, Mapping[str, Any]]:
    """What an artifact's stage left to be looked at, by name."""
    file = path / SHOWN
    return json.loads(file.read_text()) if file.is_file() else {}


def threads_of(timing: str) -> int | None:
    """CPU threads that an artifact was computed with, of its timing.json: sums over several threads round in another
    order."""
    threads = json.loads(timing).get("threads")
    return threads if isinstance(threads, int) else None


def threads_here() -> int | None:
    """Threads of torch in this process; None where the stage did without it."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _input(store: ArtifactStore, name: str, fingerprint: str) -> Path:
    path = store.find(fingerprint)
    if path is None:
        raise ArtifactError(f"The input {name} ({fingerprint[:12]}) is missing or damaged; retry the run.")
    store.share(fingerprint)  # what lies here may be a result of ours that was never published: all read the same
    return path
