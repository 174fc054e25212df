"""A stage context over a temporary folder, for calling the training loop and the stages directly."""

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.models.tokenization import Encoded
from cwpo.stages.context import Execution, StageContext
from cwpo.stages.graph import build
from cwpo.stages.kinds import stored_settings
from cwpo.stages.plain import from_plain
from cwpo.stages.settings import LoraSettings, ObjectiveSettings, TrainSettings, WeightingSettings
from cwpo.training.loop import TrainResult
from cwpo.training.sft import train_on_answers
from tests.cwpo.recording import RecordingReporter

TRAIN = {
    "epochs": 1.0,
    "lr": 1e-3,
    "batch_size": 4,
    "warmup_steps": 0,
    "schedule": "cosine",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
}


@cache
def _usual() -> dict[str, dict[str, Any]]:
    """Kind -> its settings in three runs of the sandbox that have every kind between them."""
    every = {
        "method": "cw",
        "annotator": {"calibrate": True},
        "sft": {"data": "labeled"},
        "evaluation": {"gold_reward": "trained", "judge": {"kind": "simulated", "human_labels": True}},
    }
    online = {**every, "align": {"online": {}}}
    along = {**every, "evaluation": {"along": {}}}  # whose alignment keeps models, which the usual one does not
    runs = (RunConfig.parse(values) for values in (online, along, every))
    return {spec.kind: spec.config for run in runs for spec in reversed(build(run).values())}


def training(**changes: Any) -> TrainSettings:
    """How tests train."""
    return TrainSettings(**{**TRAIN, **changes})


def lora(**changes: Any) -> LoraSettings:
    """A small adapter."""
    return LoraSettings(**{"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": None, **changes})


def settings(kind: str, /, **values: Any) -> Any:
    """Settings of a kind as a run of the sandbox has them, but for these values in their plain form."""
    return stored_settings(kind, {**_usual()[kind], **values})


def weighting(name: str, *, seed: int | None = None, **options: Any) -> WeightingSettings:
    """A weighting with its own parameters."""
    return WeightingSettings(name=name, options=options, seed=seed)


def of_objective(values: dict[str, Any]) -> ObjectiveSettings:
    """The objective {"name": …, its own hyperparameters}."""
    return from_plain(ObjectiveSettings, values)


def fine_tuned(model: Any, rows: list[Encoded], ctx: StageContext[Any]) -> TrainResult:
    """Train on answers as the SFT stage of these settings does."""
    own = ctx.settings
    return train_on_answers(model, rows, ctx, own.train, precision=own.precision, seed=own.seed)


def context(folder: Path, kind: str = "align", *, config: dict[str, Any], **options: Any) -> StageContext[Any]:
    """A context that writes to folder/out, checkpoints to folder/checkpoints and records what is reported.

    config: what the stage's settings have else than usual. options: of the context, or of its execution.
    """
    out, checkpoints = folder / "out", folder / "checkpoints"
    out.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(exist_ok=True)
    names = {item.name for item in fields(Execution)}
    execution = Execution(**{name: value for name, value in options.items() if name in names})
    given: dict[str, Any] = {
        "inputs": {},
        "reporter": RecordingReporter(),
        "store": ArtifactStore(folder / "artifacts"),
    }
    given |= {name: value for name, value in options.items() if name not in names}
    return StageContext(
        kind=kind, settings=settings(kind, **config), execution=execution, out=out, checkpoints=checkpoints, **given
    )  # fmt: skip
