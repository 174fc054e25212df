"""Every read for people: frozen records or DataFrames, keyset pages, on the read engine. Import `db.queries`."""

from db.queries.annotators import label_margins, list_annotators
from db.queries.curves import final_metrics, log_tail, metric_names_of_runs, metrics
from db.queries.drafts import get_draft, list_drafts, runs_like
from db.queries.examples import annotations, get_annotation, has_spread, label_summaries, label_summary
from db.queries.named_annotators import MOST_NAMED, find_annotator, named_annotators
from db.queries.results import configs, evaluations, outcomes, rescorings, scores, stage_seconds, summaries
from db.queries.runs import get_run, list_groups, list_runs, runs_by_config_hash
from db.queries.samples import answers, same_prompt_answers, shared_prompts
from db.queries.stages import (
    attempt_counts,
    attempts,
    measured_stages,
    pairs_of,
    plan_reuse,
    run_stages,
    stage_speed,
    stages_of_runs,
)
from db.queries.system import (
    active_stages,
    artifact_usage,
    database_health,
    queue_health,
    workers,
)
from db.queries.waiting import card_waits

__all__ = [
    "MOST_NAMED",
    "active_stages",
    "annotations",
    "answers",
    "artifact_usage",
    "attempt_counts",
    "attempts",
    "card_waits",
    "configs",
    "database_health",
    "evaluations",
    "final_metrics",
    "find_annotator",
    "get_annotation",
    "get_draft",
    "get_run",
    "has_spread",
    "label_margins",
    "label_summaries",
    "label_summary",
    "list_annotators",
    "list_drafts",
    "list_groups",
    "list_runs",
    "log_tail",
    "measured_stages",
    "metric_names_of_runs",
    "metrics",
    "named_annotators",
    "outcomes",
    "pairs_of",
    "plan_reuse",
    "queue_health",
    "rescorings",
    "run_stages",
    "runs_by_config_hash",
    "runs_like",
    "same_prompt_answers",
    "scores",
    "shared_prompts",
    "stage_seconds",
    "stage_speed",
    "stages_of_runs",
    "summaries",
    "workers",
]
