"""What is done to runs that exist."""

from dataclasses import dataclass

from db.repositories import runs
from workers.api.changes import announce, delete_artifacts
from workers.machine.database import writing


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Runs whose stages were queued again."""

    run_ids: tuple[int, ...]
    queue_down: bool


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """How many artifacts went with a run, and the annotators of it that stay because they have a name."""

    artifacts: int
    kept_annotators: tuple[str, ...]


def cancel_run(run_id: int) -> None:
    """Stop a run within seconds; stages that another run wants go on."""
    with writing() as session:
        removed = runs.cancel(session, run_id)
    delete_artifacts(removed)


def retry_run(run_id: int) -> Changed:
    """Queue what failed or was cancelled again, for every run that waits for it."""
    with writing() as session:
        waiting = runs.retry(session, run_id)
    return Changed(run_ids=waiting, queue_down=not announce())


def reprioritise(run_id: int, priority: int) -> None:
    """Higher runs first."""
    with writing() as session:
        runs.set_priority(session, run_id, priority)


def archive_run(run_id: int, archived: bool = True) -> None:
    """Hide a finished run from the lists, or show it again."""
    with writing() as session:
        runs.archive(session, run_id, archived)


def delete_run(run_id: int) -> Deleted:
    """Remove a finished run, its rows, and the artifacts that nothing else uses."""
    with writing() as session:
        deleted = runs.delete(session, run_id)
    delete_artifacts(deleted.fingerprints)
    return Deleted(artifacts=len(deleted.fingerprints), kept_annotators=deleted.named)
