"""Trained models leave the installation: what there is of a run, exports of it, and the way to the hub."""

from collections.abc import Sequence
from dataclasses import dataclass

from cwpo.config.run import RunConfig
from cwpo.errors import ArtifactError, ConfigError
from cwpo.export import words
from cwpo.export.card import Trained
from cwpo.export.push import check_repo
from cwpo.export.stored import Stored, stored
from db import queries
from db.records import StageRow
from db.status import DONE
from workers.access.doing import needs, reads, runs_of, say
from workers.access.roles import Role
from workers.judge_cards import judge_cards
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import exports as exporting
from workers.queue.exports import DONE as EXPORTED
from workers.queue.exports import RUNNING, Export, Wanted

__all__ = ["EXPORTED", "RUNNING", "Export", "TrainedModel", "Wanted"]


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model of a run: "align", "sft" or "annotator"; `stored` is None where its files are not on this machine."""

    stage: str
    fingerprint: str
    stored: Stored | None
    problem: str = ""


@reads
def models(run_id: int, stages: Sequence[StageRow] | None = None) -> list[TrainedModel]:
    """The models that a run has trained so far, the aligned one first. `stages`: its own, where they were read."""
    if stages is None:
        with reading() as session:
            stages = queries.run_stages(session, run_id)
    done = {stage.slot: stage for stage in stages if stage.status == DONE}
    return [_model(name, done[name]) for name in words.STAGES if name in done]


def _model(name: str, stage: StageRow) -> TrainedModel:
    try:
        found = stored(stage.fingerprint, store())
    except ArtifactError as error:
        return TrainedModel(stage=name, fingerprint=stage.fingerprint, stored=None, problem=str(error))
    return TrainedModel(stage=name, fingerprint=stage.fingerprint, stored=found)


@reads
def trained(run_id: int, stage: str) -> tuple[Trained, str, Sequence[str]]:
    """What the card of a run's model says, the stage's fingerprint, and the fingerprints under which prompts lie."""
    words.check_choice(stage, "fp32")
    with reading() as session:
        record = queries.get_run(session, run_id)
        rows = {row.slot: row for row in queries.run_stages(session, run_id)}
        config = RunConfig.stored(record.config)
        judge = judge_cards(session, {run_id: config}).get(run_id)
    row = rows.get(stage)
    if row is None:
        raise ConfigError("--stage", f"run {run_id} has no {words.STAGES[stage]}; choose one of {_had(rows)}.")
    if row.status != DONE:
        raise ConfigError(
            "run", f"the {words.STAGES[stage]} of run {run_id} is {row.status}; export it when it is done."
        )
    evaluation, labels = rows.get("evaluation"), rows.get("labels")
    about = Trained(
        run=run_id,
        config=config,
        stage=stage,
        evaluation=evaluation.summary if evaluation is not None else None,
        labels=labels.summary if labels is not None else None,
        judge=judge,
    )
    prompts = [rows[slot].fingerprint for slot in ("prompts", "data") if slot in rows and rows[slot].status == DONE]
    return about, row.fingerprint, prompts


@needs(Role.RUNNER)
def export_model(wanted: Wanted) -> Export:
    """Export a model of a finished stage in a process of its own."""
    trained(wanted.run, wanted.stage)
    _say(wanted)
    return exporting.start(wanted)


@needs(Role.RUNNER)
def push_model(wanted: Wanted) -> Export:
    """Send a model to a repository of the hub in a process of its own, merged; exported before where it is not yet."""
    check_repo(wanted.repo)
    trained(wanted.run, wanted.stage)
    _say(wanted)
    return exporting.start(wanted)


@reads
def exports(run_id: int) -> list[Export]:
    """Exports of a run on this machine, newest first, as they stand now."""
    return exporting.of_run(run_id)


@needs(Role.RUNNER)
def stop_export(wanted: Wanted) -> None:
    """End it; nothing half-made is left."""
    exporting.stop(wanted)
    _say(wanted)


@needs(Role.RUNNER)
def remove_export(wanted: Wanted) -> None:
    """Delete an exported folder; of one that was sent to the hub only its line."""
    exporting.remove(wanted)
    _say(wanted)


def _say(wanted: Wanted) -> None:
    said = {"stage": wanted.stage, "form": wanted.form, "dtype": wanted.dtype, "repo": wanted.repo}
    say(runs_of([wanted.run]), **{name: value for name, value in said.items() if value})


def _had(rows: dict[str, StageRow]) -> str:
    return ", ".join(name for name in words.STAGES if name in rows) or "none"
