"""The Compare page: GRA, per-prompt outcomes, configs and times of several runs."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Evaluation, Outcome, Run, RunStage, Stage
from db.queries.common import frame, slot_stages
from db.records import EvaluationRecord

EVALUATION_SLOT = "evaluation"
OUTCOME_COLUMNS = (
    "prompt_id",
    "outcome",
    "score",
    "baseline_score",
    "tokens",
    "baseline_tokens",
    "logratio",
    "ungrammatical",
    "baseline_ungrammatical",
)


def evaluations(session: Session, run_ids: Collection[int]) -> dict[int, EvaluationRecord]:
    """Published GRA by run; runs without one are absent."""
    names = [name for name in EvaluationRecord.__dataclass_fields__ if name not in ("run_id", "stage_id")]
    found = session.execute(
        select(RunStage.run_id, Evaluation.stage_id, *(getattr(Evaluation, name) for name in names))
        .join(Stage, Stage.id == RunStage.stage_id)
        .join(Evaluation, (Evaluation.stage_id == Stage.id) & (Evaluation.attempt_id == Stage.published_attempt_id))
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == EVALUATION_SLOT)
    )
    return {row.run_id: EvaluationRecord(**row._mapping) for row in found}


def outcomes(session: Session, run_ids: Collection[int]) -> pd.DataFrame:
    """Published per-prompt outcomes of the runs: run_id, prompt_id, outcome and the figures of both sides."""
    stages = slot_stages(session, run_ids, [EVALUATION_SLOT])
    published = {stage.stage_id: stage.attempt_id for stage in stages.values() if stage.attempt_id is not None}
    found = (
        select(Outcome.stage_id, *(getattr(Outcome, name) for name in OUTCOME_COLUMNS))
        .where(Outcome.stage_id.in_(published), Outcome.attempt_id.in_(published.values()))
        .order_by(Outcome.stage_id, Outcome.prompt_id)
    )
    numbers = {name: "float64" for name in OUTCOME_COLUMNS if name != "prompt_id"}
    by_stage = frame(session, found, {"stage_id": "int64", "prompt_id": "str", **numbers})
    owners = pd.DataFrame(
        [(run_id, stage.stage_id) for (run_id, _), stage in sorted(stages.items())], columns=["run_id", "stage_id"]
    ).astype("int64")
    return owners.merge(by_stage, on="stage_id").drop(columns="stage_id")


def configs(session: Session, run_ids: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """Configs by run, for the table of differences."""
    found = session.execute(select(Run.id, Run.config).where(Run.id.in_(run_ids)).order_by(Run.id))
    return {row.id: row.config for row in found}


def stage_seconds(session: Session, run_ids: Collection[int]) -> pd.DataFrame:
    """Seconds of every published stage of the runs: run_id, slot, kind, seconds, reused."""
    found = (
        select(RunStage.run_id, RunStage.slot, Stage.kind, Stage.seconds, RunStage.reused)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), Stage.seconds.is_not(None))
        .order_by(RunStage.run_id, Stage.id)
    )
    columns = {"run_id": "int64", "slot": "str", "kind": "str", "seconds": "float64", "reused": "bool"}
    return frame(session, found, columns)
