"""A database with one finished run, with the rows that each kind of stage writes."""

from typing import Any

import pytest

from db.engine import Engines, session_scope
from db.repositories import annotations, evaluations
from tests.db.labels import PAIRS, SUMMARY, annotated_pair
from tests.db.make import add_worker, claim, publish, submit

EVALUATION = {
    "gra": 0.6, "gra_strict": 0.55, "gra_ties_dropped": 0.61, "wins": 11.0, "ties": 2.0, "losses": 7.0, "prompts": 20,
    "samples": 1, "ci_low": 0.4, "ci_high": 0.8, "interval_method": "wilson", "mean_tokens": 9.0,
    "baseline_mean_tokens": 8.0, "kl": 0.2, "ungrammatical": 0.1, "baseline_ungrammatical": float("nan"),
    "mean_score": 1.0, "baseline_mean_score": 0.5, "something_else": 3,
}  # fmt: skip


def finish(engines: Engines, worker: int, kind: str) -> None:
    """Execute the next stage, writing the rows that its kind writes."""
    claimed = claim(engines, worker)
    assert claimed.kind == kind
    pairs = [annotated_pair(number) for number in range(PAIRS)]
    prompts = [f"t{number}" for number in range(20)]
    with session_scope(engines) as session:
        summary: dict[str, Any] = {}
        if kind == "data":
            annotations.add_pairs(session, claimed, pairs)
            evaluations.add_prompts(session, claimed, [{"prompt_id": p, "prompt": f"Ask {p}"} for p in prompts])
        if kind == "labels":
            annotations.add_annotations(session, claimed, pairs, data_stage_id=claimed.input_stage_ids["data"])
            annotations.add_histogram(session, claimed, "margin", {"edges": [0, 1], "counts": [PAIRS]})
            summary = SUMMARY
        if kind == "samples":
            evaluations.add_samples(
                session,
                claimed,
                [
                    {"prompt_id": p, "sample": k, "text": f"{p}/{k}", "tokens": 3, "logp": -1.0, "reference_logp": -2.0}
                    for p in prompts
                    for k in range(2)
                ],
            )
        if kind == "evaluation":
            rows = [{"prompt_id": p, "outcome": number % 3 / 2} for number, p in enumerate(prompts)]
            for number, row in enumerate(rows):  # twenty different gains, whose sign is the outcome
                row |= {"score": (row["outcome"] - 0.5) * (number + 1) / 10, "baseline_score": 0.0}
            evaluations.add_outcomes(session, claimed, [{**row, "tokens": 3.0, "logratio": 1.0} for row in rows])
            evaluations.add_evaluation(session, claimed, EVALUATION)
        publish(session, claimed, **summary)


@pytest.fixture
def done(database: Engines) -> tuple[Engines, int]:
    """A database with one finished run."""
    run_id = submit(database).run_id
    worker = add_worker(database)
    for kind in ("data", "annotator", "labels", "align", "samples", "evaluation"):
        finish(database, worker, kind)
    return database, run_id
