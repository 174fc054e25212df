"""Runs leave the installation: everything about one, and bundles that compute several again."""

from collections.abc import Sequence
from typing import Any

from cwpo.bundle import write
from db import queries
from workers.access.doing import needs, nothing, runs_of, say
from workers.access.roles import Role
from workers.finished_runs import from_database
from workers.machine.database import reading
from workers.machine.paths import store


@needs(Role.RUNNER)
def export_run(run_id: int) -> dict[str, Any]:
    """Everything that reproduces and states a run: config, fingerprints, seconds, summaries, GRA."""
    say(runs_of([run_id]))
    with reading() as session:
        record = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
    return {
        "run": run_id,
        "name": record.row.name,
        "status": record.status,
        "error": record.error,
        "config": dict(record.config),
        "config_hash": record.config_hash,
        "stages": {
            stage.slot: {
                "kind": stage.kind,
                "fingerprint": stage.fingerprint,
                "status": stage.status,
                "seconds": stage.seconds,
                "attempts": stage.attempts,
                "reused": stage.reused,
                "summary": stage.summary,
            }
            for stage in stages
        },
        "gra": next((stage.summary for stage in stages if stage.slot == "evaluation"), None),
        "rescored": {
            stage.slot.partition("@")[2]: stage.summary for stage in stages if stage.slot.startswith("evaluation@")
        },
    }


@needs(Role.RUNNER)
def handed_out(kind: str, to: str, run_ids: Sequence[int] = ()) -> None:
    """A command has written or sent something that leaves the installation: only noted, `kind` says what it is."""
    say(runs_of(run_ids) if run_ids else "the installation", kind=kind, to=to)


@needs(Role.RUNNER)
def file_taken(name: str, *, again: bool = False) -> None:
    """Somebody takes a file that a page offered: only noted. `again`: a further part of what is noted already."""
    if again:
        nothing()
    else:
        say(f"file {name}")


@needs(Role.VIEWER)
def shown_taken(name: str) -> None:
    """Somebody takes what a page shows as a file: only noted, because who may look may copy."""
    say(f"file {name}")


@needs(Role.RUNNER)
def reproduce_bundle(run_ids: Sequence[int], *, reference: str = "") -> bytes:
    """A zip that computes these evaluated runs again; `reference`: group key of the setting differences are against."""
    say(runs_of(run_ids))
    return write.to_bytes(from_database(run_ids), store=store(), reference=reference)
