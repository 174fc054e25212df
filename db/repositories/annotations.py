"""Pairs and what the annotator says about them, written while the stage runs and seen once it is published."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db.models import Annotation, Histogram, Pair
from db.records import ClaimedStage
from db.repositories.guard import bulk_insert, clean_text, plain

TEXTS = ("prompt", "response_a", "response_b")
PAIR_COLUMNS = ("pair_id", "prompt_id", "human_label", "true_label")
ANNOTATION_COLUMNS = ("pair_id", "score_a", "score_b", "margin", "confidence", "label")


def add_pairs(session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write candidate pairs of a data stage; rows as in pairs.parquet, other keys are ignored."""
    keys = {"stage_id": claim.stage_id, "attempt_id": claim.attempt_id}
    bulk_insert(
        session,
        claim,
        Pair,
        [
            keys | {name: row[name] for name in PAIR_COLUMNS} | {name: clean_text(row[name]) for name in TEXTS}
            for row in rows
        ],
    )


def add_annotations(
    session: Session, claim: ClaimedStage, rows: Sequence[Mapping[str, Any]], *, data_stage_id: int
) -> None:
    """Write annotations of a labels stage; rows as in annotations.parquet, whose `human_label` gives the agreement."""
    keys = {"stage_id": claim.stage_id, "attempt_id": claim.attempt_id, "data_stage_id": data_stage_id}
    bulk_insert(
        session,
        claim,
        Annotation,
        [
            keys
            | {name: row[name] for name in ANNOTATION_COLUMNS}
            | {"agrees_human": _agrees(row), "spread": row.get("spread")}
            for row in rows
        ],
    )


def add_histogram(session: Session, claim: ClaimedStage, name: str, data: Mapping[str, Any]) -> None:
    """Store a named distribution; the same name again replaces it."""
    mine = (Histogram.stage_id == claim.stage_id, Histogram.attempt_id == claim.attempt_id, Histogram.name == name)
    session.execute(delete(Histogram).where(*mine))
    row = {"stage_id": claim.stage_id, "attempt_id": claim.attempt_id, "name": name, "data": plain(data)}
    bulk_insert(session, claim, Histogram, [row])


def _agrees(row: Mapping[str, Any]) -> bool | None:
    human = row["human_label"]
    return None if human is None else bool(human == row["label"])
