"""What is done to runs that exist."""

from dataclasses import dataclass

from db.repositories import runs
from workers.access.doing import check_mine, needs, record, runs_of
from workers.access.roles import Role
from workers.api.changes import announce, delete_artifacts
from workers.machine import patience
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


@needs(Role.RUNNER)
@patience.patient()
def cancel_run(run_id: int) -> None:
    """Stop a run within seconds; stages that another run wants go on."""
    with writing() as session:
        check_mine(session, [run_id])
        removed = runs.cancel(session, run_id)
        record(session, runs_of([run_id]))
    delete_artifacts(removed)


@needs(Role.RUNNER)
def retry_run(run_id: int) -> Changed:
    """Queue what failed or was cancelled again, for every run that waits for it."""
    return Changed(run_ids=_retry(run_id), queue_down=not announce())


@patience.patient()
def _retry(run_id: int) -> tuple[int, ...]:
    with writing() as session:
        check_mine(session, [run_id])
        waiting = runs.retry(session, run_id)
        record(session, runs_of(waiting))
    return waiting


@needs(Role.RUNNER)
@patience.patient()
def reprioritise(run_id: int, priority: int) -> None:
    """Higher runs first."""
    with writing() as session:
        check_mine(session, [run_id])
        runs.set_priority(session, run_id, priority)
        record(session, runs_of([run_id]), after={"priority": priority})


@needs(Role.RUNNER)
@patience.patient()
def archive_run(run_id: int, archived: bool = True) -> None:
    """Hide a finished run from the lists, or show it again."""
    with writing() as session:
        check_mine(session, [run_id])
        runs.archive(session, run_id, archived)
        record(session, runs_of([run_id]), after={"archived": archived})


@needs(Role.RUNNER)
@patience.patient()
def delete_run(run_id: int) -> Deleted:
    """Remove a finished run, its rows, and the artifacts that nothing else uses."""
    with writing() as session:
        check_mine(session, [run_id])
        deleted = runs.delete(session, run_id)
        record(session, runs_of([run_id]), after={"artifacts": len(deleted.fingerprints)})
    delete_artifacts(deleted.fingerprints)
    return Deleted(artifacts=len(deleted.fingerprints), kept_annotators=deleted.named)
