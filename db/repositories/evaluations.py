"""Held-out prompts, answers, gold scores, outcomes and the GRA."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.models import Evaluation, Outcome, Prompt, Sample, Score
from db.records import ClaimedStage, EvaluationRecord
from db.repositories.guard import bulk_insert, clean_text, finite

OUTCOME_NUMBERS = (
    "score",
    "baseline_score",
    "tokens",
    "baseline_tokens",
    "logratio",
    "ungrammatical",
    "baseline_ungrammatical",
)
EVALUATION_COLUMNS = tuple(name for name in EvaluationRecord.__dataclass_fields__ if name not in ("run_id", "stage_id"))


def add_prompts(session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write held-out prompts of a data stage; rows as in prompts.parquet."""
    keys = _keys(claim)
    bulk_insert(
        session,
        claim,
        Prompt,
        [keys | {"prompt_id": row["prompt_id"], "prompt": clean_text(row["prompt"])} for row in rows],
    )


def add_samples(session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write answers of a samples stage; rows as in samples.parquet."""
    keys = _keys(claim)
    bulk_insert(
        session,
        claim,
        Sample,
        [
            keys
            | {name: row[name] for name in ("prompt_id", "sample", "tokens")}
            | {"text": clean_text(row["text"])}
            | {name: finite(row.get(name)) for name in ("logp", "reference_logp")}
            for row in rows
        ],
    )


def add_scores(session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write gold scores of a scores stage; rows as in scores.parquet."""
    keys = _keys(claim)
    names = ("prompt_id", "sample", "score")
    bulk_insert(
        session,
        claim,
        Score,
        [keys | {name: row[name] for name in names} | {"ungrammatical": row.get("ungrammatical")} for row in rows],
    )


def add_outcomes(session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write per-prompt outcomes of an evaluation stage; rows as in outcomes.parquet."""
    keys = _keys(claim)
    bulk_insert(
        session,
        claim,
        Outcome,
        [
            keys
            | {name: row[name] for name in ("prompt_id", "outcome")}
            | {name: finite(row.get(name)) for name in OUTCOME_NUMBERS}
            for row in rows
        ],
    )


def add_evaluation(session: Session, claim: ClaimedStage, summary: Mapping[str, Any]) -> None:
    """Write the GRA of an evaluation stage from its summary; other keys of the summary are ignored."""
    row = _keys(claim) | {name: _plain_number(summary.get(name)) for name in EVALUATION_COLUMNS}
    bulk_insert(session, claim, Evaluation, [row])


def _keys(claim: ClaimedStage) -> dict[str, Any]:
    return {"stage_id": claim.stage_id, "attempt_id": claim.attempt_id}


def _plain_number(value: Any) -> Any:
    return finite(value) if isinstance(value, float) else value
