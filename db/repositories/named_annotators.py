"""Giving annotators a name. A named annotator's stage, and the stages it reads, outlive every run."""

import re
from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import UnfitAnnotator, UnknownAnnotator, UnknownRun
from db.models import NamedAnnotator, Run, RunStage, Stage
from db.repositories import orphans
from db.repositories.guard import clean_text, lock_graph

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # shorter than a fingerprint, and neither path nor hub id
MOST_NOTE = 2_000
ANNOTATOR = "annotator"  # slot and kind


def create(session: Session, run_id: int, name: str, note: str = "") -> int:
    """Name the annotator that a run trained; the version, which is the next of that name."""
    if not NAME.fullmatch(name):
        raise UnfitAnnotator(
            f"{name[:80]!r} cannot be a name: use letters, digits, dots, dashes and underscores, at most 63."
        )
    lock_graph(session)
    stage_id = _trained_by(session, run_id)
    given = session.execute(select(NamedAnnotator.version).where(
        NamedAnnotator.name == name, NamedAnnotator.stage_id == stage_id)).scalar()  # fmt: skip
    if given is not None:
        raise UnfitAnnotator(f"This annotator is {name}@{given} already: give it another name, or use that one.")
    newest = session.scalar(select(func.max(NamedAnnotator.version)).where(NamedAnnotator.name == name)) or 0
    session.add(
        NamedAnnotator(
            name=name, version=newest + 1, stage_id=stage_id, note=clean_text(note)[:MOST_NOTE], created_at=now(session)
        )
    )
    session.flush()
    return newest + 1


def forget(session: Session, name: str, version: int) -> tuple[str, ...]:
    """Take a name away; the fingerprints of the stages that nothing holds without it."""
    lock_graph(session)
    row = session.scalars(
        select(NamedAnnotator).where(NamedAnnotator.name == name, NamedAnnotator.version == version)
    ).one_or_none()
    if row is None:
        raise UnknownAnnotator(f"There is no annotator {name}@{version}: its name was taken away already.")
    session.delete(row)
    session.flush()
    return orphans.remove(session, [row.stage_id])


def names_of(session: Session, stage_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """NAME@VERSION of each of these stages that has one."""
    rows = session.execute(
        select(NamedAnnotator.stage_id, NamedAnnotator.name, NamedAnnotator.version)
        .where(NamedAnnotator.stage_id.in_(stage_ids))
        .order_by(NamedAnnotator.id)
    )
    found: dict[int, tuple[str, ...]] = {}
    for row in rows:
        found[row.stage_id] = (*found.get(row.stage_id, ()), f"{row.name}@{row.version}")
    return found


def _trained_by(session: Session, run_id: int) -> int:
    """The one annotator stage of a run, finished; a sentence for every run that has none."""
    if session.get(Run, run_id) is None:
        raise UnknownRun(f"There is no run {run_id}: it was deleted, or the number is wrong; see the Runs page.")
    rows = session.execute(
        select(RunStage.slot, Stage.id, Stage.kind, Stage.status, Stage.config)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id == run_id)
    ).all()
    slots = {row.slot: row for row in rows}
    if "annotator_2" in slots:
        raise UnfitAnnotator(
            f"Run {run_id} labels with an ensemble, and a name stands for one annotator: name a run with one."
        )
    mine = slots.get(ANNOTATOR)
    if mine is None:
        uses = "labels" in slots and "use" in slots["labels"].config
        why = "uses an existing annotator, which has its own run" if uses else "has no annotator"
        raise UnfitAnnotator(f"Run {run_id} {why}: name the annotator of the run that trained it.")
    if mine.kind != ANNOTATOR:
        raise UnfitAnnotator(
            f"Run {run_id} labels by the implicit reward of two models, which is no annotator to name."
        )
    if mine.status != status.DONE:
        raise UnfitAnnotator(f"The annotator of run {run_id} is {mine.status}: name it when it is done.")
    return int(mine.id)
