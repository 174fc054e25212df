"""Clusters of held-out prompts out of the database: as the data stage stored them, else by the stored texts."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from app.reads import judges, results
from db import queries
from db.engine import Engines, read_scope, session_scope
from db.records import NewStage
from db.repositories import evaluations, runs
from tests.db.done import EVALUATION
from tests.db.make import add_worker, claim, publish, submit
from workers import related_prompts
from workers.api import submitting

FIRST = "\n\nHuman: Hello.\n\nAssistant:"
PROMPTS = {"p": FIRST, "q": f"{FIRST} Hi.\n\nHuman: How are you?\n\nAssistant:", "r": "Sing a song."}
ANSWERS = 3  # of each side to every prompt


def evaluated(engines: Engines, **summary: Any) -> int:
    """A run with three held-out prompts and their outcomes; `summary`: what its data stage says."""
    run_id = submit(engines).run_id
    worker = add_worker(engines)
    for kind in ("data", "annotator", "labels", "align", "samples", "evaluation"):
        claimed = claim(engines, worker)
        with session_scope(engines) as session:
            if kind == "data":
                rows = [{"prompt_id": name, "prompt": text} for name, text in PROMPTS.items()]
                evaluations.add_prompts(session, claimed, rows)
            if kind == "evaluation":
                evaluations.add_outcomes(session, claimed, [{"prompt_id": name, "outcome": 1.0} for name in PROMPTS])
                evaluations.add_evaluation(session, claimed, EVALUATION | {"samples": ANSWERS})
            publish(session, claimed, **(summary if kind == "data" else {}))
    return run_id


@pytest.mark.parametrize(
    ("summary", "wanted"),
    [
        ({"test_groups": [["q", "r"]]}, {"p": "p", "q": "q", "r": "q"}),
        ({"test_groups": []}, {"p": "p", "q": "q", "r": "r"}),
        ({}, {"p": "p", "q": "p", "r": "r"}),
    ],
    ids=["stored", "stored: none", "by their texts"],
)
def test_outcomes_come_with_the_cluster_of_each_prompt(
    database: Engines, summary: dict[str, Any], wanted: dict[str, str]
) -> None:
    run_id = evaluated(database, **summary)
    with read_scope(database) as session:
        rows = related_prompts.outcomes(session, [run_id])
        plain = queries.outcomes(session, [run_id])
    assert dict(zip(rows["prompt_id"], rows["cluster"], strict=True)) == wanted
    assert rows.drop(columns="cluster").equals(plain)


def test_no_outcomes_have_no_clusters(database: Engines) -> None:
    with read_scope(database) as session:
        assert related_prompts.outcomes(session, []).empty


def test_verdicts_of_a_judge_model_come_with_clusters(database: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its win rates and differences are intervals over prompts as those of GRA are."""
    run_id = evaluated(database, test_groups=[["q", "r"]])
    further = NewStage(
        slot="evaluation@m",
        fingerprint="judged",
        kind="evaluation",
        version=1,
        config={},
        inputs={"samples": "samples"},
    )
    with session_scope(database) as session:
        runs.extend(session, run_id, [further])
    claimed = claim(database, add_worker(database, "w2"))
    with session_scope(database) as session:
        evaluations.add_outcomes(session, claimed, [{"prompt_id": name, "outcome": 1.0} for name in PROMPTS])
        publish(session, claimed)
    monkeypatch.setattr(results, "reading", lambda: read_scope(database))
    rows = judges._verdicts([run_id], "m")
    assert dict(zip(rows["prompt_id"], rows["cluster"], strict=True)) == {"p": "p", "q": "q", "r": "q"}


def test_the_spread_between_seeds_is_measured_with_clusters(database: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated(database, test_groups=[["q", "r"]])
    read: list[tuple[pd.DataFrame, Mapping[int, int]]] = []
    monkeypatch.setattr(submitting, "reading", lambda: read_scope(database))
    monkeypatch.setattr(submitting, "measured_spread", lambda rows, *given: read.append(given))
    submitting.seed_spread("sandbox")
    outcomes, samples = read[0]
    assert dict(zip(outcomes["prompt_id"], outcomes["cluster"], strict=True)) == {"p": "p", "q": "q", "r": "q"}
    assert samples == dict.fromkeys(outcomes["run_id"], ANSWERS)
