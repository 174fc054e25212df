"""Stages that nothing holds any more: no run has them, nothing that stays reads them, and they have no name."""

from collections.abc import Collection

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.models import Artifact, NamedAnnotator, RunStage, Stage, StageInput

Edge = tuple[int, int]  # reader, what it reads


def remove(session: Session, candidates: Collection[int]) -> tuple[str, ...]:
    """Delete those of these stages, and of the stages behind them, that nothing holds; their fingerprints."""
    orphans = _orphans(session, _with_inputs(session, set(candidates)))
    fingerprints = tuple(session.scalars(select(Stage.fingerprint).where(Stage.id.in_(orphans)).order_by(Stage.id)))
    session.execute(update(Artifact).where(Artifact.fingerprint.in_(fingerprints)).values(deleted_at=now(session)))
    session.execute(sql_delete(Stage).where(Stage.id.in_(orphans)))
    return fingerprints


def would_go(session: Session, run_ids: Collection[int]) -> tuple[set[int], set[int]]:
    """What deleting these runs would remove and what would stay of their stages; changes nothing."""
    mine = set(session.scalars(select(RunStage.stage_id).where(RunStage.run_id.in_(run_ids))))
    candidates = _with_inputs(session, mine)
    gone = _orphans(session, candidates, without=run_ids)
    return gone, mine - gone


def _orphans(session: Session, candidates: set[int], without: Collection[int] = ()) -> set[int]:
    """Those of the candidates that nothing holds; `without`: runs that count as gone."""
    holding = select(RunStage.stage_id).where(RunStage.stage_id.in_(candidates), RunStage.run_id.not_in(without))
    held = set(session.scalars(holding))
    held |= set(session.scalars(select(NamedAnnotator.stage_id).where(NamedAnnotator.stage_id.in_(candidates))))
    orphans = candidates - held
    edges = _read_by(session, orphans)
    while kept := {read for reader, read in edges if reader not in orphans} & orphans:
        orphans -= kept
    return orphans


def _with_inputs(session: Session, stage_ids: set[int]) -> set[int]:
    """These stages and all that they read, directly or not."""
    fresh = stage_ids
    while fresh:
        edges = session.execute(select(StageInput.input_stage_id).where(StageInput.stage_id.in_(fresh)))
        used = select(Stage.config["use"].as_string()).where(Stage.id.in_(fresh), Stage.kind == "labels")
        annotators = session.scalars(select(Stage.id).where(Stage.fingerprint.in_(used)))
        fresh = ({row.input_stage_id for row in edges} | set(annotators)) - stage_ids
        stage_ids = stage_ids | fresh
    return stage_ids


def _read_by(session: Session, stage_ids: Collection[int]) -> list[Edge]:
    """Who reads these stages: as an input, or as the existing annotator that a configuration names."""
    inputs = session.execute(
        select(StageInput.stage_id, StageInput.input_stage_id).where(StageInput.input_stage_id.in_(stage_ids))
    )
    edges = [(row.stage_id, row.input_stage_id) for row in inputs]
    annotators = session.execute(
        select(Stage.fingerprint, Stage.id).where(Stage.id.in_(stage_ids), Stage.kind == "annotator")
    )
    ids = {row.fingerprint: row.id for row in annotators}
    use = Stage.config["use"].as_string()
    used = session.execute(select(Stage.id, use.label("use")).where(Stage.kind == "labels", use.in_(ids)))
    return edges + [(row.id, ids[row.use]) for row in used]
