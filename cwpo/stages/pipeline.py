"""A whole run in this process over the artifact store, without queue, database or browser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.reporting import Reporter, SilentReporter
from cwpo.stages.context import Execution
from cwpo.stages.execute import Compute, StageResult, execute
from cwpo.stages.graph import StageSpec, build


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """All stages of a finished run, by slot."""

    config: RunConfig
    specs: Mapping[str, StageSpec]
    stages: Mapping[str, StageResult]

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """Summary of the last stage: GRA, counts, interval."""
        return self.stages["evaluation"].summary

    def as_json(self) -> dict[str, Any]:
        """Config, fingerprints, summary and seconds of every stage, and the GRA row."""
        return {
            "config": self.config.canonical(),
            "config_hash": self.config.hash(),
            "stages": {
                slot: {
                    "kind": self.specs[slot].kind,
                    "fingerprint": result.fingerprint,
                    "computed": result.computed,
                    "seconds": result.seconds,
                    "summary": result.summary,
                }
                for slot, result in self.stages.items()
            },
            "gra": dict(self.evaluation),
        }


def run(
    config: RunConfig,
    *,
    home: Path,
    store: ArtifactStore | None = None,
    device: str = "cpu",
    reporter_for: Callable[[StageSpec], Reporter] = lambda spec: SilentReporter(),
    on_done: Callable[[StageSpec, StageResult], None] = lambda spec, result: None,
    compute_for: Callable[[StageSpec], Compute | None] = lambda spec: None,
) -> RunResult:
    """Execute every stage in order; what is in the store already is reused. store: by default the folder under `home`
    alone, whatever other machines have. compute_for: how a stage's function is called, where that is not in this
    process.
    """
    store = store or ArtifactStore(home / "artifacts")
    specs = build(config)
    results: dict[str, StageResult] = {}
    for slot, spec in specs.items():
        results[slot] = execute(
            store=store,
            fingerprint=spec.fingerprint,
            settings=spec.settings,
            inputs=spec.input_fingerprints,
            execution=Execution.of(config.execution, device),
            reporter=reporter_for(spec),
            compute=compute_for(spec),
        )
        on_done(spec, results[slot])
    return RunResult(config=config, specs=specs, stages=results)
