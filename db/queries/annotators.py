"""The Annotators page: each labels stage once with what trained it, and a sample of its margins."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.models import Annotation, Pair, Run, RunStage, Stage, StageInput
from db.queries.common import frame
from db.queries.examples import LABELS_SLOT
from db.records import AnnotatorRow

MOST_MARGINS = 50_000
CALIBRATION_KIND = "calibration"
IMPLICIT_START = "annotator_start"  # the weak model before DPO


def list_annotators(session: Session, *, stage_id: int | None = None, limit: int = 200) -> list[AnnotatorRow]:
    """Published labels stages that a run still uses, newest first, in five queries whatever their number; or the one
    of that number."""
    users = (
        select(RunStage.stage_id, func.max(RunStage.run_id).label("run_id"), func.count().label("runs"))
        .join(Run, Run.id == RunStage.run_id)
        .where(RunStage.slot == LABELS_SLOT, Run.deleted_at.is_(None))
        .group_by(RunStage.stage_id)
        .subquery()
    )
    found = session.execute(
        select(
            Stage.id.label("stage_id"), users.c.run_id, users.c.runs, Run.dataset, Run.annotator.label("model"),
            Run.label_fraction, Run.seed, Stage.config.label("settings"),
            Stage.summary["n"].as_integer().label("n"),
            Stage.summary["accuracy_human"].as_float().label("accuracy_human"),
            Stage.summary["accuracy_truth"].as_float().label("accuracy_truth"),
        )
        .join(users, users.c.stage_id == Stage.id)
        .join(Run, Run.id == users.c.run_id)
        .where(Stage.published_attempt_id.is_not(None), *([] if stage_id is None else [Stage.id == stage_id]))
        .order_by(Stage.id.desc())
        .limit(limit)
    ).all()  # fmt: skip
    trained = _trained(session, [row.stage_id for row in found])
    temperatures = _temperatures(session, [row.stage_id for row in found])
    taught = _existing(session, [row.settings["use"] for row in found if "use" in row.settings])
    return [
        _row(
            row._asdict(),
            trained.get(row.stage_id, []),
            temperatures.get(row.stage_id),
            taught.get(row.settings.get("use")),
        )
        for row in found
    ]


def label_margins(session: Session, stage_id: int, *, most: int = MOST_MARGINS) -> pd.DataFrame:
    """margin, agrees and prompt (a number: pairs of one prompt have the same) of every k-th pair with a human label, k
    such that at most about `most` rows are read."""
    mine = (
        Annotation.stage_id == stage_id,
        Annotation.attempt_id == select(Stage.published_attempt_id).where(Stage.id == stage_id).scalar_subquery(),
        Annotation.agrees_human.is_not(None),
    )
    pairs = session.execute(select(func.count()).select_from(Annotation).where(*mine)).scalar_one()
    step = max(1, -(-pairs // most))
    rows = (
        select(Annotation.margin, Annotation.agrees_human, func.coalesce(Pair.prompt_id, Annotation.pair_id))
        .outerjoin(Pair, (Pair.stage_id == Annotation.data_stage_id) & (Pair.pair_id == Annotation.pair_id))
        .where(*mine, Annotation.id % step == 0)
    )
    table = frame(session, rows.order_by(Annotation.id), {"margin": "float64", "agrees": "bool", "prompt": "str"})
    return table.assign(prompt=pd.factorize(table["prompt"])[0].astype("uint64"))


def _trained(session: Session, stage_ids: Collection[int]) -> dict[int, list[Any]]:
    """Seeds of the annotators that each labels stage read, one for each member."""
    rows = session.execute(
        select(StageInput.stage_id, StageInput.name, Stage.config)
        .join(Stage, Stage.id == StageInput.input_stage_id)
        .where(StageInput.stage_id.in_(stage_ids), StageInput.name.startswith("annotator"))
        .order_by(StageInput.stage_id, StageInput.name)
    )
    found: dict[int, list[Any]] = {}
    for row in rows:
        if row.name != IMPLICIT_START:
            found.setdefault(row.stage_id, []).append(row.config.get("seed"))
    return found


def _existing(session: Session, fingerprints: Collection[str]) -> dict[str | None, Mapping[str, Any]]:
    """How the annotators were trained that other runs use."""
    rows = session.execute(select(Stage.fingerprint, Stage.config).where(Stage.fingerprint.in_(fingerprints)))
    return {row.fingerprint: row.config for row in rows}


def _temperatures(session: Session, stage_ids: Collection[int]) -> dict[int, float]:
    """What runs with these labels fitted; of several the newest run's."""
    fitted = aliased(RunStage)
    rows = session.execute(
        select(RunStage.stage_id, Stage.summary)
        .join(fitted, fitted.run_id == RunStage.run_id)
        .join(Stage, Stage.id == fitted.stage_id)
        .where(
            RunStage.stage_id.in_(stage_ids), RunStage.slot == LABELS_SLOT, Stage.kind == CALIBRATION_KIND,
            Stage.published_attempt_id.is_not(None),
        )
        .order_by(RunStage.run_id, Stage.id)
    )  # fmt: skip
    return {row.stage_id: float(row.summary["temperature"]) for row in rows if row.summary}


def _row(
    found: Mapping[str, Any], seeds: list[Any], temperature: float | None, taught: Mapping[str, Any] | None
) -> AnnotatorRow:
    """Settings that a labels stage does not name have the values that it ran with, or are those of the annotator that
    another run `taught`."""
    values = dict(found)
    settings = values.pop("settings")
    trained = taught or settings
    own = next((seed for seed in seeds if seed is not None), values["seed"])
    return AnnotatorRow(
        **{**values, "seed": own if taught is None else taught.get("seed", own)},
        kind=trained.get("kind", "bradley_terry"),
        members=max(1, len(seeds)),
        passes=settings.get("passes", 1),
        label_dropout=settings.get("label_dropout", 0.0),
        existing="use" in settings,
        temperature=temperature,
    )
