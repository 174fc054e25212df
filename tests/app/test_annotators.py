"""The Annotators page over labels that workers computed."""

import re

import pytest
from sqlalchemy import update

from app.components import annotator_scaling
from db import queries
from db.models import Stage
from tests.app.conftest import Computed, visit, words
from workers.database import reading, writing


def stages(computed: Computed) -> list[int]:
    with reading() as session:
        return [row.stage_id for row in queries.list_annotators(session)]


def test_the_first_screen_holds_accuracy_against_its_rivals_and_confidence_against_accuracy(computed: Computed) -> None:
    page = visit("annotators")
    said = words(page)
    figures = {metric.label: metric.value for metric in page.metric}
    assert list(figures) == [
        "accuracy", "length alone", "bag of words alone", "mean C", "ECE", "AUROC of C", "effective pairs",
    ]  # fmt: skip
    assert re.search(r"2·accuracy − 1: −?\d\.\d\d", said)
    assert re.search(r"calibrated: \d\.\d+, 95 % below \d\.\d+", said)
    assert re.search(r"alone: [+−]?\d+\.\d points", said)
    assert re.search(r"what it knows: mean C is \d\.\d\d", said)
    assert "instruction" in said
    assert len(page.get("plotly_chart")) == 4


def test_each_labels_stage_is_offered_once_and_the_address_chooses(computed: Computed) -> None:
    """Two seeds share their labels over three methods each."""
    offered = stages(computed)
    assert len(offered) >= 2
    page = visit("annotators", annotator=str(offered[-1]))
    assert page.selectbox[0].value == offered[-1]
    assert len(page.selectbox[0].options) == len(offered)
    page.selectbox[0].select(offered[0]).run()
    assert not page.exception
    assert page.query_params["annotator"] == str(offered[0])


def test_without_true_labels_every_part_of_the_page_is_judged_by_human_ones(computed: Computed) -> None:
    """Whatever the address says: these pairs have no truth."""
    assert words(visit("annotators", judge="true labels")) == words(visit("annotators"))


def test_an_annotator_that_is_gone_is_a_sentence(computed: Computed) -> None:
    assert "There is no annotator 99999" in words(visit("annotators", annotator="99999"))


def test_an_annotator_that_is_older_than_the_list_is_shown_and_the_list_says_that_it_is_cut(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.reads.MOST_ANNOTATORS", 1)
    newest, *_, oldest = stages(computed)
    page = visit("annotators", annotator=str(oldest))
    assert page.selectbox[0].value == oldest
    assert len(page.selectbox[0].options) == 2
    said = words(page)
    assert "The newest 1, and the one that is looked at" in said
    assert newest != oldest


def test_confidently_wrong_pairs_are_one_click_away(computed: Computed) -> None:
    page = visit("annotators")
    (link,) = [element for element in page.get("page_link") if "confident" in element.proto.label]
    assert "order=" in link.proto.query_string
    run = re.search(r"run=(\d+)", link.proto.query_string)
    assert run is not None
    there = visit("examples", run=run[1], order="Confident, human disagrees")
    assert "in this view" in words(there)


def test_without_a_fitted_temperature_the_page_says_how_to_get_one(computed: Computed) -> None:
    assert annotator_scaling.NOT_FITTED in words(visit("annotators"))


def test_a_fitted_temperature_stands_beside_raw_confidence(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary of a calibration stage, on the margins that are stored."""
    from dataclasses import replace

    from app import reads

    rows = [replace(row, temperature=2.0) for row in reads.annotators()]
    monkeypatch.setattr(reads, "annotators", lambda: rows)
    said = words(visit("annotators"))
    assert "T = 2.000" in said
    assert "average weight in the loss" in said
    assert annotator_scaling.NOT_FITTED not in said


def test_labels_from_before_calibration_was_kept_are_a_sentence(computed: Computed) -> None:
    stage_id = stages(computed)[0]
    with writing() as session:
        whole = session.get_one(Stage, stage_id).summary or {}
        old = {name: value for name, value in whole.items() if name not in ("human", "truth", "rivals", "lengths",
                                                                            "attributes")}  # fmt: skip
        session.execute(update(Stage).where(Stage.id == stage_id).values(summary=old))
    try:
        assert "before calibration was kept" in words(visit("annotators", annotator=str(stage_id)))
    finally:
        with writing() as session:
            session.execute(update(Stage).where(Stage.id == stage_id).values(summary=whole))
