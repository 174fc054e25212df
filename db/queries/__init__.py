"""Every read for people: frozen records or DataFrames, keyset pages, on the read engine. Import `db.queries`."""

from db.queries.annotators import (
    label_margins,
    label_summaries,
    label_summary,
    labeled_run,
    list_annotators,
    newest_labeled,
    newest_with_labels,
)
from db.queries.compared import EvaluatedRun, compared_runs, newest_evaluated, stages_in_slot
from db.queries.curves import final_metrics, log_tail, metric_names_of_runs, metrics, metrics_of_runs, points_after
from db.queries.examples import annotations, count_matching, get_annotation, has_spread
from db.queries.named_annotators import MOST_NAMED, find_annotator, named_annotators
from db.queries.people.drafts import get_draft, list_drafts, runs_like
from db.queries.people.keeping import all_tags, kept_runs, notes_of, queue_paused, queued_runs, tags_of
from db.queries.people.labeled import count_labeled, labeled_pairs
from db.queries.people.recipes import recipes
from db.queries.people.votes import (
    all_votes,
    find_relabel_set,
    held_out_among,
    newest_votes,
    relabel_sets,
    set_sizes,
    standing_votes,
    vote_counts,
    voted_texts,
)
from db.queries.results import (
    answer_lengths,
    configs,
    evaluations,
    outcomes,
    rescorings,
    scores,
    stage_seconds,
    summaries,
)
from db.queries.runs import get_run, list_groups, list_runs, runs_by_config_hash
from db.queries.samples import answers, same_prompt_answers, shared_prompts
from db.queries.stages import (
    attempt_counts,
    attempts,
    looked_at,
    measured_stages,
    plan_reuse,
    run_stages,
    stages_of_runs,
)
from db.queries.system import active_stages, database_health, queue_health, workers
from db.queries.timing import measured_like, pace_of, queue_now, work_of
from db.queries.waiting import card_waits

__all__ = [
    "MOST_NAMED",
    "EvaluatedRun",
    "active_stages",
    "all_tags",
    "all_votes",
    "annotations",
    "answer_lengths",
    "answers",
    "attempt_counts",
    "attempts",
    "card_waits",
    "compared_runs",
    "configs",
    "count_labeled",
    "count_matching",
    "database_health",
    "evaluations",
    "final_metrics",
    "find_annotator",
    "find_relabel_set",
    "get_annotation",
    "get_draft",
    "get_run",
    "has_spread",
    "held_out_among",
    "kept_runs",
    "label_margins",
    "label_summaries",
    "label_summary",
    "labeled_pairs",
    "labeled_run",
    "list_annotators",
    "list_drafts",
    "list_groups",
    "list_runs",
    "log_tail",
    "looked_at",
    "measured_like",
    "measured_stages",
    "metric_names_of_runs",
    "metrics",
    "metrics_of_runs",
    "named_annotators",
    "newest_evaluated",
    "newest_labeled",
    "newest_votes",
    "newest_with_labels",
    "notes_of",
    "outcomes",
    "pace_of",
    "plan_reuse",
    "points_after",
    "queue_health",
    "queue_now",
    "queue_paused",
    "queued_runs",
    "recipes",
    "relabel_sets",
    "rescorings",
    "run_stages",
    "runs_by_config_hash",
    "runs_like",
    "same_prompt_answers",
    "scores",
    "set_sizes",
    "shared_prompts",
    "stage_seconds",
    "stages_in_slot",
    "stages_of_runs",
    "standing_votes",
    "summaries",
    "tags_of",
    "vote_counts",
    "voted_texts",
    "work_of",
    "workers",
]
