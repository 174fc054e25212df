"""Artifact -> rows. Bulk rows under the attempt's token, at most 5,000 a transaction; then one short publication.

Faults of the database that pass are waited out as long as the stage is ours; the artifact is kept whatever happens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
from sqlalchemy.orm import Session

from cwpo.artifacts import ArtifactStore
from cwpo.stages.execute import StageResult, shown_in
from db.engine import BATCH_ROWS
from db.records import ClaimedStage, NewArtifact
from db.repositories import annotations, evaluations, metrics, stages
from workers.machine.database import writing
from workers.queue.lease import Lease, renew
from workers.queue.reporter import BufferingReporter

Rows = Sequence[Mapping[str, Any]]
Write = Callable[[Session, ClaimedStage, Rows], None]


def publish(
    store: ArtifactStore, claimed: ClaimedStage, result: StageResult, reporter: BufferingReporter, lease: Lease
) -> None:
    """Make a finished stage visible; StaleToken when the stage is not ours any more."""
    _write_tables(claimed, result, lease)
    lease.patiently(lease.flush)  # where a resumed attempt starts is written before its points
    if not result.computed or reporter.first_step:  # the live points do not hold everything
        _all_points(claimed, result.path / "metrics.parquet", lease)
    if not result.computed:
        for name, data in shown_in(result.path).items():
            reporter.shown(name, data)
    info = store.info(claimed.fingerprint)
    artifact = NewArtifact(bytes=info.bytes, files=len(info.files), sha256=info.sha256)
    batch, again = reporter.take(), False

    def once() -> None:
        nonlocal again
        with writing() as session:
            if again and stages.is_published(session, claimed.stage_id, claimed.token):
                return  # the connection broke after the commit
            again = True
            renew(session, claimed, batch)
            _write_summary(session, claimed, result.summary)
            stages.publish(
                session,
                claimed.stage_id,
                claimed.token,
                summary=result.summary,
                seconds=result.seconds,
                artifact=artifact,
            )

    lease.patiently(once)


def _write_tables(claimed: ClaimedStage, result: StageResult, lease: Lease) -> None:
    """The bulk rows, batch by batch. Where nobody can say whether a batch was committed, all are written anew."""
    again = False

    def write_all() -> None:
        nonlocal again
        if again:
            lease.patiently(lambda: _remove(claimed))
        again = True
        for file, write in _TABLES.get(claimed.kind, ()):
            for rows in _batches(result.path / file):
                lease.patiently(partial(_write_rows, claimed, write, rows), doubtful=False)

    lease.patiently(write_all)


def _write_rows(claimed: ClaimedStage, write: Write, rows: Rows) -> None:
    with writing() as session:
        write(session, claimed, rows)


def _remove(claimed: ClaimedStage) -> None:
    with writing() as session:
        stages.take_back(session, claimed.stage_id, claimed.token)


def _add_annotations(session: Session, claimed: ClaimedStage, rows: Rows) -> None:
    annotations.add_annotations(session, claimed, rows, data_stage_id=claimed.input_stage_ids["data"])


# kind -> (file of the artifact, what writes its rows)
_TABLES: Mapping[str, tuple[tuple[str, Write], ...]] = {
    "data": (("pairs.parquet", annotations.add_pairs), ("prompts.parquet", evaluations.add_prompts)),
    "labels": (("annotations.parquet", _add_annotations),),
    "samples": (("samples.parquet", evaluations.add_samples),),
    "scores": (("scores.parquet", evaluations.add_scores),),
    "evaluation": (("outcomes.parquet", evaluations.add_outcomes),),
    "judge": (("outcomes.parquet", evaluations.add_outcomes),),
}


def _write_summary(session: Session, claimed: ClaimedStage, summary: Mapping[str, Any]) -> None:
    """The rows that come from a summary instead of a table."""
    if claimed.kind in ("evaluation", "judge"):
        evaluations.add_evaluation(session, claimed, summary)
    if claimed.kind == "labels":
        annotations.add_histogram(session, claimed, "confidence", summary["histogram"])


def _batches(file: Path) -> Iterator[list[dict[str, Any]]]:
    """Rows of a Parquet file, never more in memory than one transaction writes."""
    if not file.is_file():
        return
    with pyarrow.parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            yield batch.to_pylist()


def _all_points(claimed: ClaimedStage, file: Path, lease: Lease) -> None:
    for rows in _batches(file):
        lease.patiently(partial(_write_rows, claimed, _add_points, rows))


def _add_points(session: Session, claimed: ClaimedStage, rows: Rows) -> None:
    metrics.add(session, claimed, [(row["step"], row["name"], row["value"]) for row in rows])
