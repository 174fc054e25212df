"""Naming an annotator on the page of its run, and choosing it on the form of another."""

from streamlit.testing.v1 import AppTest

from app.components import annotator_words
from db import queries
from db.records import LabelFigures, NamedAnnotatorRow
from tests.app.conftest import Computed, visit, words
from workers import api
from workers.database import reading


def run_of(computed: Computed, method: str) -> int:
    return next(row.id for row in computed.rows() if row.method == method)


def named(name: str) -> NamedAnnotatorRow:
    with reading() as session:
        return queries.find_annotator(session, name)


def opened(run: int) -> AppTest:
    """What the tab of the run page draws, on a page of its own: a test cannot keep a tab open."""

    def script(run_id: int) -> None:
        from app.components.annotator_naming import show_annotator
        from db import queries
        from workers.database import reading

        with reading() as session:
            stages = queries.run_stages(session, run_id)
        show_annotator(run_id, stages)

    page = AppTest.from_function(script, kwargs={"run_id": run}, default_timeout=60)
    return page.run()


def test_the_run_page_names_its_annotator_and_shows_the_command(computed: Computed) -> None:
    run = run_of(computed, "cw")
    assert "cwpo label " in words(visit("run", run=str(run), tab="Annotator"))
    page = opened(run)
    page.text_input[0].set_value("from-the-page")
    page.text_input[1].set_value("small sweep *1*")
    page.button(key="name_it").click().run()
    assert not page.exception
    row = named("from-the-page")
    assert row.note == "small sweep *1*"
    said = words(visit("run", run=str(run), tab="Annotator"))
    assert "cwpo label from-the-page@1 FILE" in said
    assert f"{row.pairs} pairs" in said
    assert "right, 2·accuracy" in said
    assert "small sweep *1*" in said


def test_a_name_that_cannot_be_is_a_sentence(computed: Computed) -> None:
    page = opened(run_of(computed, "weak"))
    page.text_input[0].set_value("two words")
    page.button(key="name_it").click().run()
    assert "'two words' cannot be a name: use letters" in words(page)


def test_a_run_with_human_labels_has_no_annotator_to_name(computed: Computed) -> None:
    page = visit("run", run=str(run_of(computed, "human")))
    assert "Annotator" not in [tab.label for tab in page.tabs]


def test_the_form_uses_an_annotator_that_has_a_name(computed: Computed) -> None:
    """Of a run over again: no annotator is trained any more, and where the chosen one comes from is said."""
    run = run_of(computed, "cw")
    api.name_annotator(run, "for-the-form")
    row = named("for-the-form")
    page = visit("new_run", **{"from": str(run), f"f{run}.h.annotator.use": row.key})
    said = words(page)
    assert f"trained on 30 % of {row.dataset.rsplit('/', 1)[-1]}" in said
    assert "whose human labels it has seen" in said
    page.button(key="queue").click().run()
    assert not page.exception
    with reading() as session:
        newest = queries.list_runs(session, limit=1).rows[0]
        config = queries.get_run(session, newest.id).config
        slots = [stage.slot for stage in queries.run_stages(session, newest.id)]
    assert config["annotator"]["use"] == row.fingerprint
    assert "annotator" not in slots
    again = visit("new_run", **{"from": str(newest.id), f"f{newest.id}.h.annotator.lr": "0.5"})
    chosen = again.selectbox(key=f"f{newest.id}.h.annotator.use").value
    assert chosen in {one.key for one in _names_of(row.stage_id)}
    api.cancel_run(newest.id)
    api.delete_run(newest.id)


def _names_of(stage_id: int) -> list[NamedAnnotatorRow]:
    with reading() as session:
        return queries.named_annotators(session, stage_id=stage_id)


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
