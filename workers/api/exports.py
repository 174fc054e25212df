"""Runs leave the installation: everything about one, and bundles that compute several again."""

from collections.abc import Sequence
from typing import Any

from cwpo.bundle import write
from db import queries
from workers.finished_runs import from_database
from workers.machine.database import reading
from workers.machine.paths import store


def export_run(run_id: int) -> dict[str, Any]:
    """Everything that reproduces and states a run: config, fingerprints, seconds, summaries, GRA."""
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


def reproduce_bundle(run_ids: Sequence[int], *, reference: str = "") -> bytes:
    """A zip that computes these evaluated runs again; `reference`: group key of the setting differences are against."""
    return write.to_bytes(from_database(run_ids), store=store(), reference=reference)
