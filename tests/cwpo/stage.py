"""A stage context over a temporary folder, for calling the training loop and the stages directly."""

from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.stages.context import StageContext
from cwpo.reporting import RecordingReporter

TRAIN = {
    "epochs": 1.0,
    "lr": 1e-3,
    "batch_size": 4,
    "warmup_steps": 0,
    "schedule": "cosine",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
}


def context(folder: Path, kind: str = "align", *, config: dict[str, Any], **options: Any) -> StageContext:
    """A context that writes to folder/out, checkpoints to folder/checkpoints and records what is reported."""
    out, checkpoints = folder / "out", folder / "checkpoints"
    out.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(exist_ok=True)
    settings = {"inputs": {}, "reporter": RecordingReporter(), **options}
    store = ArtifactStore(folder / "artifacts")
    return StageContext(kind=kind, config=config, out=out, checkpoints=checkpoints, store=store, **settings)
