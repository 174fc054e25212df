"""The Annotators page over labels that workers computed."""

import re
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from app.components.annotators import scaling
from app.components.frame.address import compact
from app.untrusted import label
from cwpo.report.labels.annotators import worths
from cwpo.report.numbers import number
from db import queries
from db.models import Run, Stage
from db.records import Interval, Slice
from tests.app.visits import Computed, visit, words
from workers.machine.database import reading, writing


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
    monkeypatch.setattr("app.reads.results.MOST_ANNOTATORS", 1)
    newest, *_, oldest = stages(computed)
    page = visit("annotators", annotator=str(oldest))
    assert page.selectbox[0].value == oldest
    assert len(page.selectbox[0].options) == 2
    said = words(page)
    assert "The newest 1, and the one that is looked at" in said
    assert newest != oldest


def test_confidently_wrong_pairs_are_one_click_away(computed: Computed) -> None:
    page = visit("annotators")
    (link,) = [element for element in page.get("page_link") if "human disagrees" in element.proto.label]
    assert "order=" in link.proto.query_string
    run = re.search(r"run=(\d+)", link.proto.query_string)
    assert run is not None
    there = visit("examples", run=run[1], order="Confident, human disagrees")
    assert re.search(r"1–\d+ of \d+ pairs?", words(there))


def links_to_controls(page: AppTest) -> dict[str, dict[str, list[str]]]:
    """Label -> what the address of New run says."""
    links = [link.proto for link in page.get("page_link") if link.proto.label.startswith("Train ")]
    return {link.label: parse_qs(link.query_string, keep_blank_values=True) for link in links}


def test_what_the_least_confident_half_teaches_is_one_click_from_queue(computed: Computed) -> None:
    """A link opens New run with the annotator's own run and that method alone; another one with every control."""
    half, every = links_to_controls(visit("annotators")).values()
    assert (half["methods"], half["percents"]) == (["Lowest N %"], ["50"])
    there = visit("new_run", **half)
    assert there.button(key="queue").label == "Queue 1 run"
    assert not there.button(key="queue").disabled
    assert there.multiselect(key="new_run.methods").value == ["bottom"]
    assert visit("new_run", **every).button(key="queue_new").label == "Queue the new 5"  # weak and CW are there


def test_compare_offers_the_controls_over_all_its_seeds(computed: Computed) -> None:
    """Two seeds; a setting without an annotator has no controls."""
    half, every = links_to_controls(visit("compare", runs=compact(computed.sweep), further="Annotators")).values()
    assert visit("new_run", **half).button(key="queue").label == "Queue 2 runs"
    assert visit("new_run", **every).button(key="queue_new").label == "Queue the new 10"
    human = [row.id for row in computed.rows() if row.method == "human"]
    assert links_to_controls(visit("compare", runs=compact(tuple(human)), further="Annotators")) == {}


def test_controls_have_their_own_weights_whatever_those_of_the_run(computed: Computed) -> None:
    """A run of CW weighted by σ(Δ): its controls are not."""
    run_id = next(row.id for row in computed.rows() if row.method == "cw")
    with reading() as session:
        config = queries.get_run(session, run_id).config
    weighted = {**config, "weighting": {**config["weighting"], "name": "sigma"}}
    with writing() as session:
        session.execute(update(Run).where(Run.id == run_id).values(config=weighted, weighting="sigma"))
    try:
        half, _ = links_to_controls(visit("compare", runs=str(run_id), further="Annotators")).values()
        page = visit("new_run", **half)
        assert page.button(key="queue").label == "Queue 1 run", words(page)
        assert visit("new_run", **{"from": str(run_id)}).button(key="queue").label == "Queue 1 run"
    finally:
        with writing() as session:
            session.execute(update(Run).where(Run.id == run_id).values(config=config, weighting="confidence"))


def test_parts_show_what_confidence_states_beside_what_their_accuracy_is_worth(computed: Computed) -> None:
    with reading() as session:
        (newest, *_) = queries.list_annotators(session)
        summary = queries.label_summary(session, newest.run_id)
    assert summary is not None
    (table,) = [one.value for one in visit("annotators").table if "2·accuracy − 1" in one.value.columns]
    assert list(table["characters"]) == [part.name for part in summary.lengths]
    assert list(table["mean C"]) == [label(number(part.mean_confidence)) for part in summary.lengths]
    worth = [label(number(2 * part.accuracy.estimate - 1)) for part in summary.lengths]
    assert list(table["2·accuracy − 1"]) == worth


def test_an_accuracy_of_sixty_percent_is_worth_a_confidence_of_a_fifth() -> None:
    """2 · .6 − 1 = .2, and so for both ends of the interval: .5 is worth 0, .7 is worth .4."""
    part = Slice(
        name="0 to 9", n=40, accuracy=Interval(estimate=0.6, low=0.5, high=0.7), mean_confidence=0.35,
        weight_share=0.25, ece=0.1, ece_null_high=0.2,
    )  # fmt: skip
    (worth,) = worths([part])
    assert (worth.estimate, worth.low, worth.high) == pytest.approx((0.2, 0.0, 0.4))
    assert (worth.name, worth.mean_confidence, worth.weight_share) == ("0 to 9", 0.35, 0.25)


def test_without_a_fitted_temperature_the_page_says_how_to_get_one(computed: Computed) -> None:
    assert scaling.NOT_FITTED in words(visit("annotators"))


def test_a_fitted_temperature_stands_beside_raw_confidence(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary of a calibration stage, on the margins that are stored."""
    from dataclasses import replace

    from app.reads import results

    rows = [replace(row, temperature=2.0) for row in results.annotators()]
    monkeypatch.setattr(results, "annotators", lambda: rows)
    said = words(visit("annotators"))
    assert "T = 2.000" in said
    assert "average weight in the loss" in said
    assert scaling.NOT_FITTED not in said


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
