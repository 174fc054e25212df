"""Naming an annotator on the page of its run, and choosing it on the form of another."""

import pytest

from app.components.form.beside import annotator_words
from cwpo.report.numbers import number
from db import queries
from db.records import LabelFigures, NamedAnnotatorRow
from tests.app.named import annotator_page, named, run_of
from tests.app.visits import Computed, visit, words
from workers import api
from workers.machine.database import reading


def test_the_annotators_page_names_one_and_shows_the_command(computed: Computed) -> None:
    page = annotator_page(run_of(computed, "cw"))
    assert "cwpo label " in words(page)
    page.text_input(key="annotator_name").set_value("from-the-page")
    page.text_input(key="annotator_note").set_value("small sweep *1*")
    page.button(key="name_it").click().run()
    assert not page.exception
    assert "It is from-the-page@1 now." in words(page)
    row = named("from-the-page")
    assert row.note == "small sweep *1*"
    said = words(page)
    assert "cwpo label from-the-page@1 FILE" in said
    assert f"{row.pairs} pairs" in said
    assert "right, 2·accuracy" in said
    assert "small sweep *1*" in said
    page.text_input(key="annotator_name").set_value("two words")
    page.button(key="name_it").click().run()
    assert "'two words' cannot be a name: use letters" in words(page)


def test_a_name_is_listed_and_taken_back_on_the_page(computed: Computed) -> None:
    run = run_of(computed, "cw")
    api.name_annotator(run, "stays", "for the list")
    api.name_annotator(run, "for-a-while", "gone soon")
    page = annotator_page(run)
    assert "for-a-while@1" in words(page)
    assert "gone soon" in words(page)
    figures = named("for-a-while").judged
    assert figures is not None
    assert figures.accuracy_human is not None
    fair = number(2 * figures.accuracy_human - 1)
    said = (
        f"{number(100 * figures.accuracy_human, 1)} {fair} {number(figures.mean_confidence)} {number(figures.ece, 3)}"
    )
    assert "2·accuracy − 1 mean C ECE" in words(page)
    assert said in words(page)
    page.selectbox(key="name_taken_back").select("for-a-while@1")
    page.checkbox(key="sure_of_for-a-while@1").check().run()
    page.button(key="take_back").click().run()
    assert not page.exception
    said = words(page)
    assert "for-a-while@1 is no name any more; the annotator stays, because a run or another name holds it." in said
    assert "gone soon" not in said
    assert "for the list" in said
    assert page.button(key="take_back").disabled  # of the next name nothing was said
    api.forget_annotator("stays", 1)


def test_a_name_without_any_run_is_still_listed(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when every run was deleted: nothing has labeled, the names are there."""
    api.name_annotator(run_of(computed, "cw"), "last-one")
    monkeypatch.setattr("app.reads.results.annotators", lambda: [])
    said = words(visit("annotators"))
    assert "Annotators are listed here once one has labeled" in said
    assert "last-one@1" in said
    api.forget_annotator("last-one", 1)


def test_the_form_uses_an_annotator_that_has_a_name(computed: Computed) -> None:
    """Of a run over again: no annotator is trained any more, and where the chosen one comes from is said."""
    run = run_of(computed, "cw")
    api.name_annotator(run, "for-the-form")
    row = named("for-the-form")
    page = visit("new_run", **{"from": str(run), "annotator.use": row.key})
    page.session_state["new_run.more"], page.session_state["new_run.tab"] = True, "Annotator"
    page.run()
    said = words(page)
    assert f"trained on 30 % of {row.dataset.rsplit('/', 1)[-1]}" in said
    assert "whose human labels it has seen" in said
    assert page.text_input(key="new_run.annotator.use").value == row.key
    page.button(key="queue").click().run()
    assert not page.exception
    with reading() as session:
        newest = queries.list_runs(session, limit=1).rows[0]
        config = queries.get_run(session, newest.id).config
        slots = [stage.slot for stage in queries.run_stages(session, newest.id)]
    assert config["annotator"]["use"] == row.fingerprint
    assert "annotator" not in slots
    again = visit("new_run", **{"from": str(newest.id), "annotator.lr": "0.5"})
    again.session_state["new_run.more"], again.session_state["new_run.tab"] = True, "Annotator"
    again.run()
    assert f"{row.key}: " in words(again)
    api.cancel_run(newest.id)
    api.delete_run(newest.id)


def test_choosing_from_the_list_fills_the_field(computed: Computed) -> None:
    run = run_of(computed, "cw")
    api.name_annotator(run, "from-the-list")
    page = visit("new_run", **{"from": str(run)})
    page.session_state["new_run.more"], page.session_state["new_run.tab"] = True, "Annotator"
    page.run()
    page.selectbox(key="new_run.named_annotators").select("from-the-list@1").run()
    assert not page.exception
    assert page.text_input(key="new_run.annotator.use").value == "from-the-list@1"
    assert "from-the-list@1: " in words(page)


def test_provenance_in_words() -> None:
    """68 % right is 2·0.68 − 1 = 0.36 beside a stated 0.41."""
    figures = LabelFigures(
        stage_id=2, dataset="tldr", n=1200, accuracy_human=0.68, accuracy_truth=None, mean_confidence=0.41, ece=0.052
    )
    row = NamedAnnotatorRow(
        name="h", version=2, note="keep.", created_at=None, stage_id=1, fingerprint="f" * 64, stored=True,  # type: ignore[arg-type]
        kind="joint", model="facebook/opt-125m", revision=None, dataset="hh-harmless", dataset_revision=None,
        label_fraction=0.3, seed=4, split_seed=4, pairs=12_000, temperature=1.72, figures=(figures,),
    )  # fmt: skip
    assert annotator_words.provenance(row) == (
        "joint opt-125m, trained on 30 % of HH-RLHF harmless (12,000 pairs), seed 4. "
        "On 1,200 pairs of Reddit TL;DR: 68.0 % right, 2·accuracy − 1 is 0.36, mean C 0.41, ECE 0.052. "
        "Fitted temperature 1.72. keep."
    )
    assert annotator_words.overlap(row, "tldr") == ""
    assert "split seed 4, 30 %" in annotator_words.overlap(row, "hh-harmless")
