"""The one door for commands: what pages and the command line call to change anything. Reads go through db.queries."""

from workers.api.annotators import forget_annotator, label_file, labelings, name_annotator, stop_labeling
from workers.api.changes import redis_health
from workers.api.exports import export_run, reproduce_bundle
from workers.api.health import Health, health, storage_health
from workers.api.runs import Changed, Deleted, archive_run, cancel_run, delete_run, reprioritise, retry_run
from workers.api.submitting import (
    Submitted,
    bf16_available,
    check_judge,
    gpu_available,
    judge,
    judging_cost,
    look_for_blind_spots,
    plan,
    rescore,
    seed_spread,
    submit_missing,
    submit_run,
    submit_sweep,
)
from workers.queue.labelings import Labeling

__all__ = [
    "Changed",
    "Deleted",
    "Health",
    "Labeling",
    "Submitted",
    "archive_run",
    "bf16_available",
    "cancel_run",
    "check_judge",
    "delete_run",
    "export_run",
    "forget_annotator",
    "gpu_available",
    "health",
    "judge",
    "judging_cost",
    "label_file",
    "labelings",
    "look_for_blind_spots",
    "name_annotator",
    "plan",
    "redis_health",
    "reprioritise",
    "reproduce_bundle",
    "rescore",
    "retry_run",
    "seed_spread",
    "stop_labeling",
    "storage_health",
    "submit_missing",
    "submit_run",
    "submit_sweep",
]
