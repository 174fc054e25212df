"""Annotators as the page lists them, sampled margins, and summaries of every age."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from cwpo.annotation.summary import judged
from db import queries
from db.engine import Engines, read_scope, session_scope
from db.models import Stage, StageInput
from db.records import NewStage
from db.repositories import annotations, runs, stages
from tests.db.labels import SUMMARY, annotated_pair
from tests.db.make import LEASE, add_worker, claim, new_run, publish, stages_of, submit

PAIRS = 30


def labeled(database: Engines, summary: dict[str, Any], **own: str) -> tuple[int, int]:
    """A run whose labels are published: (run, labels stage)."""
    run_id = submit(database, run=new_run(**({"seed": 4} if own else {})), **own).run_id
    worker = add_worker(database)
    while (claimed := claim(database, worker)).kind != "labels":
        with session_scope(database) as session:
            publish(session, claimed)
    with session_scope(database) as session:
        rows = [{**annotated_pair(number), "margin": number / 10} for number in range(PAIRS)]
        rows[-1]["human_label"] = None
        annotations.add_annotations(session, claimed, rows, data_stage_id=claimed.input_stage_ids["data"])
        publish(session, claimed, **summary)
    return run_id, claimed.stage_id


def publish_all(database: Engines, summaries: dict[str, dict[str, Any]]) -> None:
    """Whatever is ready, with these summaries by kind."""
    worker = add_worker(database)
    while True:
        with session_scope(database) as session:
            claimed = stages.claim(session, worker, "cpu", LEASE)
            if claimed is None:
                return
            publish(session, claimed, **summaries.get(claimed.kind, {}))


def test_each_labels_stage_is_listed_once_with_its_newest_run(database: Engines) -> None:
    first, stage_id = labeled(database, SUMMARY)
    second = submit(database, align="-b", run=new_run(seed=7)).run_id
    with session_scope(database) as session:
        settings = {"kind": "joint", "passes": 4, "label_dropout": 0.1}
        session.execute(update(Stage).where(Stage.id == stage_id).values(config=settings))
        session.execute(update(Stage).where(Stage.kind == "annotator").values(config={"seed": 3}))
    with read_scope(database) as session:
        (row,) = queries.list_annotators(session)
    assert (row.stage_id, row.run_id, row.runs) == (stage_id, second, 2)
    assert (row.seed, row.members, row.passes, row.kind, row.label_dropout) == (3, 1, 4, "joint", 0.1)
    assert (row.n, row.accuracy_human, row.accuracy_truth, row.temperature) == (60, 0.7, None, None)
    assert first < second


def test_members_are_the_annotators_that_the_labels_read(database: Engines) -> None:
    """The start of an implicit reward is no member."""
    _, stage_id = labeled(database, SUMMARY)
    with session_scope(database) as session:
        for name in ("annotator_2", "annotator_3", "annotator_start"):
            session.add(StageInput(stage_id=stage_id, name=name, input_stage_id=1))
    with read_scope(database) as session:
        (row,) = queries.list_annotators(session)
    assert (row.members, row.existing) == (3, False)


def test_labels_that_are_not_published_are_not_listed(database: Engines) -> None:
    submit(database)
    with read_scope(database) as session:
        assert queries.list_annotators(session) == []


def test_the_temperature_is_that_of_the_runs_calibration_stage(database: Engines) -> None:
    run_id, stage_id = labeled(database, SUMMARY)
    with session_scope(database) as session:
        session.execute(
            update(Stage)
            .where(Stage.kind == "annotator")
            .values(kind="calibration", summary={"temperature": 2.5, "n": 90, "nll_raw": 0.7, "nll_scaled": 0.6})
        )
    with read_scope(database) as session:
        (row,) = queries.list_annotators(session)
    assert (row.run_id, row.stage_id, row.temperature) == (run_id, stage_id, 2.5)


def test_a_temperature_stays_when_a_newer_run_shares_the_labels_without_one(database: Engines) -> None:
    """And another run's that does not share them is none of theirs."""
    calibration = NewStage(slot="calibration", fingerprint="c", kind="calibration", version=1, config={})
    with session_scope(database) as session:
        runs.create(session, new_run(), [*stages_of("data", "annotator", "labels"), calibration])
    publish_all(database, {"labels": SUMMARY, "calibration": {"temperature": 2.5}})
    newer = submit(database, "data", "annotator", "labels").run_id
    submit(database, "data", "annotator", "labels", labels="-other")
    publish_all(database, {"labels": SUMMARY})
    with read_scope(database) as session:
        other, row = queries.list_annotators(session)
    assert (row.run_id, row.runs, row.temperature) == (newer, 2, 2.5)
    assert other.temperature is None


def test_an_annotator_is_found_however_many_are_newer(database: Engines) -> None:
    run_id, stage_id = labeled(database, SUMMARY)
    labeled(database, SUMMARY, labels="-newer")
    with read_scope(database) as session:
        assert stage_id not in [row.stage_id for row in queries.list_annotators(session, limit=1)]
        (row,) = queries.list_annotators(session, stage_id=stage_id)
        assert queries.list_annotators(session, stage_id=99) == []
    assert (row.stage_id, row.run_id) == (stage_id, run_id)


@pytest.mark.parametrize(("most", "rows"), [(1_000, 29), (29, 29), (10, 10), (1, 1)])
def test_margins_are_a_sample_of_the_pairs_with_a_human_label(database: Engines, most: int, rows: int) -> None:
    _, stage_id = labeled(database, SUMMARY)
    with read_scope(database) as session:
        table = queries.label_margins(session, stage_id, most=most)
    assert abs(len(table) - rows) <= 1
    assert len(table) <= most + 1
    wanted = {number / 10: number % 3 != 0 for number in range(PAIRS)}
    assert all(wanted[margin] == agrees for margin, agrees, _ in table.itertuples(index=False))


def test_margins_know_which_pairs_are_of_one_prompt(database: Engines) -> None:
    """Three prompts of ten pairs each; a pair whose texts are being made again is a prompt of its own."""
    submit(database)
    worker = add_worker(database)
    rows = [{**annotated_pair(n), "prompt_id": f"q{n % 3}", "margin": float(n)} for n in range(PAIRS)]
    while (claimed := claim(database, worker)).kind != "labels":
        with session_scope(database) as session:
            if claimed.kind == "data":
                annotations.add_pairs(session, claimed, rows[:-1])
            publish(session, claimed)
    with session_scope(database) as session:
        annotations.add_annotations(session, claimed, rows, data_stage_id=claimed.input_stage_ids["data"])
        publish(session, claimed, **SUMMARY)
    with read_scope(database) as session:
        table = queries.label_margins(session, claimed.stage_id)
    assert table["prompt"].tolist() == [*(n % 3 for n in range(PAIRS - 1)), 3]


def test_summaries_of_every_age_are_read(database: Engines) -> None:
    sure = np.linspace(0, 0.9, 40)
    mean = {"estimate": 0.6, "low": 0.5, "high": 0.7}
    more = {
        "bag_of_words_accuracy": 0.6,
        "human": judged(sure, (sure > 0.3).astype(float)),
        "truth": None,
        "rivals": [{"name": "length", "accuracy": mean, "lead": mean}],
        "lengths": [
            {"name": "0–9", "n": 20, "accuracy": mean, "mean_confidence": 0.2, "weight_share": 0.4,
             "ece": 0.1, "ece_null_high": 0.2},
        ],
        "attributes": [
            {"family": "prompt", "value": "question", "n": 40, "confidence": 9.0, "humans": 40, "agree": 20,
             "truths": 0, "correct": 0},
        ],
        "unsure": {"auroc_spread": 0.6, "auroc_confidence": None, "cells": [
            {"third": 0, "unsure": True, "n": 9, "margin": 0.1, "spread": 0.2, "accuracy": mean},
        ]},
    }  # fmt: skip
    old, _ = labeled(database, SUMMARY)
    new, _ = labeled(database, SUMMARY | more, labels="-new")
    with read_scope(database) as session:
        before, after = queries.label_summary(session, old), queries.label_summary(session, new)
    assert before is not None
    assert (before.human, before.rivals, before.attributes, before.bag_of_words_accuracy) == (None, (), (), None)
    assert after is not None
    assert after.human is not None
    assert (after.human.n, len(after.human.bins), after.truth) == (40, 10, None)
    assert (after.rivals[0].lead.low, after.lengths[0].accuracy.high) == (0.5, 0.7)
    assert after.attributes[0].value == "question"
    assert before.unsure is None
    assert after.unsure is not None
    assert after.unsure.cells[0].accuracy.low == 0.5
    assert hash(after) == hash(after)
