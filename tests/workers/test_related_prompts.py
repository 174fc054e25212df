"""Clusters of held-out prompts out of the database: as the data stage stored them, else by the stored texts."""

from typing import Any

import pytest

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.repositories import evaluations
from tests.db.make import add_worker, claim, publish, submit
from workers import related_prompts

FIRST = "\n\nHuman: Hello.\n\nAssistant:"
PROMPTS = {"p": FIRST, "q": f"{FIRST} Hi.\n\nHuman: How are you?\n\nAssistant:", "r": "Sing a song."}


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
