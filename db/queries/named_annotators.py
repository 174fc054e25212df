"""Annotators that have a name: where each comes from, and how right its labels were on the data it met."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from db import status
from db.errors import UnknownAnnotator
from db.models import Artifact, NamedAnnotator, RunStage, Stage, StageInput
from db.queries.annotators import LABELS_SLOT
from db.records import LabelFigures, LearnedFrom, NamedAnnotatorRow

ANNOTATOR_SLOT, CALIBRATION_SLOT = "annotator", "calibration"
MOST_NAMED = 500
# Other rows of a table, named once: each name has columns of its own, which take long to make.
_FITTED, _OTHER, _DATA = aliased(RunStage), aliased(StageInput), aliased(Stage)


def named_annotators(session: Session, *, stage_id: int | None = None) -> list[NamedAnnotatorRow]:
    """Every version of every name, newest first, in five queries whatever their number; or those of one stage."""
    return _rows(session, [] if stage_id is None else [NamedAnnotator.stage_id == stage_id])


def find_annotator(session: Session, text: str) -> NamedAnnotatorRow:
    """The annotator behind NAME (its newest version) or NAME@VERSION; UnknownAnnotator lists what there is."""
    name, _, version = text.partition("@")
    rows = _rows(session, [NamedAnnotator.name == name])
    found = [row for row in rows if not version or str(row.version) == version]
    if found:
        return max(found, key=lambda row: row.version)
    if rows:
        versions = ", ".join(str(row.version) for row in reversed(rows))
        raise UnknownAnnotator(f"{name} has no version {version}; it has {versions}.")
    names = session.scalars(select(NamedAnnotator.name).distinct().order_by(NamedAnnotator.name).limit(20)).all()
    known = f"choose one of {', '.join(names)}" if names else "none has a name yet; `cwpo name` gives one"
    raise UnknownAnnotator(f"there is no annotator named {name!r}; {known}.")


def learned_from(session: Session, fingerprints: Collection[str]) -> list[LearnedFrom]:
    """What each of these annotators learned from, in one query; one that is not known here is left out."""
    rows = session.execute(
        select(Stage.fingerprint, Stage.config, _DATA.config.label("data"))
        .join(StageInput, (StageInput.stage_id == Stage.id) & (StageInput.name == "data"))
        .join(_DATA, _DATA.id == StageInput.input_stage_id)
        .where(Stage.fingerprint.in_(fingerprints), Stage.kind == "annotator")
        .order_by(Stage.id)
    )
    return [
        LearnedFrom(
            fingerprint=row.fingerprint,
            dataset=row.data.get("dataset", ""),
            revision=row.data.get("revision"),
            subset=row.data.get("subset"),
            sources=tuple(row.config.get("labeled_sources") or ()),
        )
        for row in rows
    ]


def _rows(session: Session, conditions: list[ColumnElement[bool]]) -> list[NamedAnnotatorRow]:
    found = session.execute(
        select(
            NamedAnnotator.name, NamedAnnotator.version, NamedAnnotator.note, NamedAnnotator.created_at,
            Stage.id.label("stage_id"), Stage.fingerprint, Stage.status, Stage.config, Stage.summary,
            Artifact.deleted_at,
        )
        .join(Stage, Stage.id == NamedAnnotator.stage_id)
        .outerjoin(Artifact, Artifact.fingerprint == Stage.fingerprint)
        .where(*conditions)
        .order_by(NamedAnnotator.created_at.desc(), NamedAnnotator.id.desc())
        .limit(MOST_NAMED)
    ).all()  # fmt: skip
    fingerprints = {row.stage_id: row.fingerprint for row in found}
    data = _inputs(session, fingerprints, "data")
    temperatures = _temperatures(session, fingerprints)
    figures = _figures(session, fingerprints)
    return [
        _row(
            row,
            data.get(row.stage_id, {}),
            temperatures.get(row.stage_id),
            figures.get(row.stage_id, ()),
        )
        for row in found
    ]


def _row(
    found: Any, data: Mapping[str, Any], temperature: float | None, figures: tuple[LabelFigures, ...]
) -> NamedAnnotatorRow:
    config = found.config
    return NamedAnnotatorRow(
        name=found.name,
        version=found.version,
        note=found.note,
        created_at=found.created_at,
        stage_id=found.stage_id,
        fingerprint=found.fingerprint,
        stored=found.status == status.DONE and found.deleted_at is None,
        kind=config.get("kind", "bradley_terry"),
        model=config.get("model", ""),
        revision=config.get("revision"),
        dataset=data.get("dataset", ""),
        dataset_revision=data.get("revision"),
        label_fraction=config.get("label_fraction", 0.0),
        seed=config.get("seed", 0),
        split_seed=config.get("split_seed", 0),
        pairs=(found.summary or {}).get("pairs"),
        temperature=temperature,
        figures=figures,
    )


def _inputs(session: Session, stage_ids: Collection[int], name: str) -> dict[int, Mapping[str, Any]]:
    """The configuration of the stage that each of these reads under this name."""
    rows = session.execute(
        select(StageInput.stage_id, Stage.config)
        .join(Stage, Stage.id == StageInput.input_stage_id)
        .where(StageInput.stage_id.in_(stage_ids), StageInput.name == name)
    )
    return {row.stage_id: row.config for row in rows}


def _temperatures(session: Session, stage_ids: Collection[int]) -> dict[int, float]:
    """Temperatures that runs with these annotators fitted."""
    rows = session.execute(
        select(RunStage.stage_id, Stage.summary)
        .join(_FITTED, (_FITTED.run_id == RunStage.run_id) & (_FITTED.slot == CALIBRATION_SLOT))
        .join(Stage, Stage.id == _FITTED.stage_id)
        .where(RunStage.stage_id.in_(stage_ids), RunStage.slot == ANNOTATOR_SLOT, Stage.status == status.DONE)
        .order_by(Stage.id)
    )
    return {row.stage_id: float(row.summary["temperature"]) for row in rows if row.summary}


def _figures(session: Session, fingerprints: Mapping[int, str]) -> dict[int, tuple[LabelFigures, ...]]:
    """Published labels of each annotator, oldest first: of runs that trained it and of runs that use it."""
    reading = dict(_readers(session, fingerprints))
    labels = session.execute(
        select(Stage.id, Stage.summary).where(Stage.id.in_(reading), Stage.published_attempt_id.is_not(None))
    ).all()
    data = _inputs(session, [row.id for row in labels], "data")
    found: dict[int, tuple[LabelFigures, ...]] = {}
    for row in sorted(labels, key=lambda row: row.id):
        if row.summary:
            one = _label_figures(row.id, row.summary, data.get(row.id, {}))
            found[reading[row.id]] = (*found.get(reading[row.id], ()), one)
    return found


def _readers(session: Session, fingerprints: Mapping[int, str]) -> list[tuple[int, int]]:
    """(labels stage, annotator stage) of one annotator without label dropout; ensembles are left out."""
    by_fingerprint = {fingerprint: stage_id for stage_id, fingerprint in fingerprints.items()}
    ensemble = select(_OTHER.stage_id).where(_OTHER.stage_id == Stage.id, _OTHER.name == "annotator_2").exists()
    trained = session.execute(
        select(Stage.id, StageInput.input_stage_id, Stage.config)
        .join(StageInput, StageInput.stage_id == Stage.id)
        .where(Stage.kind == LABELS_SLOT, StageInput.input_stage_id.in_(fingerprints), ~ensemble)
    )
    used = session.execute(
        select(Stage.id, Stage.config["use"].as_string().label("use"), Stage.config).where(
            Stage.kind == LABELS_SLOT, Stage.config["use"].as_string().in_(by_fingerprint)
        )
    )
    pairs = [(row.id, row.input_stage_id, row.config) for row in trained]
    pairs += [(row.id, by_fingerprint[row.use], row.config) for row in used]
    return [(labels, annotator) for labels, annotator, config in pairs if not config.get("label_dropout")]


def _label_figures(stage_id: int, summary: Mapping[str, Any], data: Mapping[str, Any]) -> LabelFigures:
    return LabelFigures(
        stage_id=stage_id,
        dataset=data.get("dataset", ""),
        n=summary.get("n", 0),
        accuracy_human=summary.get("accuracy_human"),
        accuracy_truth=summary.get("accuracy_truth"),
        mean_confidence=summary.get("mean_confidence"),
        ece=(summary.get("human") or {}).get("ece"),
    )
