"""Annotators: each labels stage once with what trained it, what it says of its labels, and a sample of its margins."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd
from sqlalchemy import Integer, Select, bindparam, exists, func, select
from sqlalchemy.orm import Session, aliased

from db.errors import UnknownRun
from db.models import Annotation, Pair, Run, RunStage, Stage, StageInput
from db.queries.common import frame
from db.queries.runs import WANTED, no_run, reading, rows_of, wanted_run
from db.records import (
    AnnotatorRow,
    AttributeGroup,
    ConfidenceHistogram,
    Decile,
    Interval,
    Judged,
    LabeledRun,
    LabelsOfRun,
    LabelSummary,
    Rival,
    RunRow,
    Slice,
    Unsure,
)

LABELS_SLOT = "labels"
IMPLICIT_START = "annotator_start"  # the weak model before DPO
MOST_MARGINS = 50_000
CALIBRATION_KIND = "calibration"
MOST = "most"  # a parameter
# Other rows of a table, named once: each name has columns of its own, which take long to make.
_OWN, _LABELS, _FITTED = aliased(RunStage), aliased(Stage), aliased(RunStage)
SCALARS = (
    "accuracy_human",
    "accuracy_truth",
    "human_accuracy_truth",
    "length_only_accuracy",
    "mean_confidence",
    "effective_sample_size",
)


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


def labeled_run(session: Session, run_id: int) -> LabeledRun:
    """A run with what its annotator's labels say of themselves, in one query; UnknownRun if there is none."""
    found = rows_of(session, _one_labeled(), {WANTED: run_id})
    if not found:
        raise UnknownRun(no_run(run_id))
    row, its = found[0]
    return LabeledRun(row=row, labels=_labels_of_run(row, its) if its.labels_id is not None else None)


@cache
def _one_labeled() -> Select[*tuple[Any, ...]]:
    def of_labels(column: Any) -> Any:
        found = select(column).select_from(_LABELS).join(_OWN, _OWN.stage_id == _LABELS.id)
        mine = (_OWN.run_id == Run.id, _OWN.slot == LABELS_SLOT, _LABELS.published_attempt_id.is_not(None))
        return found.where(*mine).correlate(Run).scalar_subquery()

    spread = exists().where(
        Annotation.stage_id == _LABELS.id, Annotation.attempt_id == _LABELS.published_attempt_id,
        Annotation.spread.is_not(None),
    )  # fmt: skip
    trained = select(func.count()).where(
        StageInput.stage_id == _LABELS.id, StageInput.name.startswith("annotator"), StageInput.name != IMPLICIT_START
    )
    columns = {
        "labels_id": _LABELS.id, "attempt_id": _LABELS.published_attempt_id, "fingerprint": _LABELS.fingerprint,
        "summary": _LABELS.summary, "settings": _LABELS.config, "spread": spread.correlate(_LABELS),
        "members": trained.correlate(_LABELS).scalar_subquery(),
    }  # fmt: skip
    return reading(wanted_run(), *(of_labels(one).label(name) for name, one in columns.items()))


def newest_labeled(session: Session, limit: int) -> list[RunRow]:
    """The newest runs that have or get weak labels and are not archived, newest first."""
    return [row for row, _ in rows_of(session, _with_annotator(), {MOST: limit})]


@cache
def _with_annotator() -> Select[*tuple[Any, ...]]:
    chosen = select(Run.id).where(Run.archived.is_(False), Run.deleted_at.is_(None), Run.annotator.is_not(None))
    chosen = chosen.order_by(Run.id.desc()).limit(bindparam(MOST, type_=Integer))
    return reading(chosen, order=(Run.id.desc(),))


def newest_with_labels(session: Session) -> int | None:
    """The newest run whose labels are published."""
    published = select(RunStage.run_id).join(Stage, Stage.id == RunStage.stage_id)
    labeled = published.where(
        RunStage.run_id == Run.id, RunStage.slot == LABELS_SLOT, Stage.published_attempt_id.is_not(None)
    )
    mine = (Run.archived.is_(False), Run.deleted_at.is_(None), labeled.exists())
    return session.scalars(select(Run.id).where(*mine).order_by(Run.id.desc()).limit(1)).first()


def label_summary(session: Session, run_id: int) -> LabelSummary | None:
    """Accuracies, histogram and deciles of a run's labels; None without an annotator or before publication."""
    return label_summaries(session, [run_id]).get(run_id)


def label_summaries(session: Session, run_ids: Collection[int]) -> dict[int, LabelSummary]:
    """The same for several runs, in two queries; a labels stage they share is read once."""
    owners = session.execute(
        select(RunStage.run_id, RunStage.stage_id).where(RunStage.run_id.in_(run_ids), RunStage.slot == LABELS_SLOT)
    ).all()
    if not owners:
        return {}
    stages = session.execute(
        select(Stage.id, Stage.fingerprint, Stage.summary).where(
            Stage.id.in_({owner.stage_id for owner in owners}), Stage.published_attempt_id.is_not(None)
        )
    )
    known = {stage.id: stage for stage in stages}
    found = [(owner.run_id, known[owner.stage_id]) for owner in owners if owner.stage_id in known]
    return {run_id: _summary(run_id, stage.id, stage.fingerprint, stage.summary) for run_id, stage in found}


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
    rows = session.execute(
        select(RunStage.stage_id, Stage.summary)
        .join(_FITTED, _FITTED.run_id == RunStage.run_id)
        .join(Stage, Stage.id == _FITTED.stage_id)
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


def _labels_of_run(row: RunRow, its: Any) -> LabelsOfRun:
    return LabelsOfRun(
        stage_id=its.labels_id, attempt_id=its.attempt_id, spread=bool(its.spread), members=max(1, its.members),
        passes=(its.settings or {}).get("passes", 1),
        summary=_summary(row.id, its.labels_id, its.fingerprint, its.summary),
    )  # fmt: skip


def _summary(run_id: int, stage_id: int, fingerprint: str, found: Mapping[str, Any] | None) -> LabelSummary:
    summary = found or {}
    histogram = summary["histogram"]
    return LabelSummary(
        run_id=run_id,
        stage_id=stage_id,
        fingerprint=fingerprint,
        n=summary["n"],
        **{name: summary[name] for name in SCALARS},
        histogram=ConfidenceHistogram(**{name: tuple(histogram[name]) for name in ("edges", "counts", "agree_counts")}),
        deciles=tuple(
            Decile(**{name: decile[name] for name in Decile.__dataclass_fields__}) for decile in summary["deciles"]
        ),
        bag_of_words_accuracy=summary.get("bag_of_words_accuracy"),
        human=_judged(summary.get("human")),
        truth=_judged(summary.get("truth")),
        rivals=tuple(
            Rival(name=row["name"], accuracy=Interval(**row["accuracy"]), lead=Interval(**row["lead"]))
            for row in summary.get("rivals", ())
        ),
        lengths=_slices(summary.get("lengths", ())),
        sources=_slices(summary.get("sources", ())),
        attributes=tuple(AttributeGroup(**row) for row in summary.get("attributes", ())),
        unsure=Unsure.from_summary(summary["unsure"]) if summary.get("unsure") else None,
        judged=summary.get("judged"),
        trained_on=summary.get("trained_on", 0),
    )


def _judged(found: Mapping[str, Any] | None) -> Judged | None:
    """Missing in stages that were computed before it was kept, and where no label of this judge is known."""
    return None if found is None else Judged.from_summary(found)


def _slices(rows: Sequence[Mapping[str, Any]]) -> tuple[Slice, ...]:
    return tuple(Slice(**{**row, "accuracy": Interval(**row["accuracy"])}) for row in rows)
