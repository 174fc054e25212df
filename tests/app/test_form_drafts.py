"""A form as plain values and back, two windows' changes together, and what was changed in words."""

from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.components.form.beside.changes import changes_of, folded_tabs, start_of
from app.components.form.beside.repeats import question_of, sentence
from app.components.form.drafts import keeping
from app.components.form.drafts.content import content_of, form_of, together
from app.components.form.drafts.keeping import keep, open_draft, opened
from app.components.form.form import Form, Start
from app.components.form.form import start_of as started
from cwpo.config.run import RunConfig, merged
from cwpo.config.sweep import sweep
from db import queries
from db.records import RunLike
from tests.app.visits import visit, words
from tests.e2e.form_values import changed
from workers.machine.database import reading

OVER = {"seed": 7, "salt": "again", "align": {"warmup_steps": 3}, "model": {"lora": {"target_modules": ["q_proj"]}}}
RUN = RunConfig.parse(merged({"name": "before"}, OVER)).canonical()
EVERY = sorted(changed())


@settings(deadline=None, max_examples=30)
@given(st.sets(st.sampled_from(EVERY)), st.sampled_from(["plain", "run", "steady"]))
def test_a_form_is_the_same_after_it_was_kept(names: set[str], start: str) -> None:
    """Whatever of it was changed, and from whatever it started."""
    form = {
        "plain": Form.begun(Start()),
        "run": Form.begun(Start(source=5, values=RUN)),
        "steady": Form.begun(started("sandbox", "steady")),
    }[start]
    for name in sorted(names):
        form.take(name, changed()[name])
    again = form_of(content_of(form))
    assert (again.start, again.state) == (form.start, form.state)
    assert sweep(*again.values()) == sweep(*form.values())


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("name", "models")])
def test_a_duplicate_with_one_field_changed_keeps_all_others(name: str) -> None:
    """Field by field of the form: what is said to have changed is that field alone."""
    form = Form.begun(Start(source=5, values=RUN))
    before = dict(form.state)
    form.take(name, not before[name] if isinstance(before[name], bool) else changed()[name])
    again = form_of(content_of(form))
    assert {other: value for other, value in again.state.items() if other != name} == {
        other: value for other, value in before.items() if other != name
    }
    assert [change.name for change in changes_of(again)] == [name]


def test_two_windows_are_put_together_field_by_field() -> None:
    before = Form.begun(Start(source=5, values=RUN))
    mine, theirs = form_of(content_of(before)), form_of(content_of(before))
    for name, value in (("seeds", "1"), ("align.beta", "0.9")):
        mine.take(name, value)
    for name, value in (("align.beta", "0.1"), ("methods", ["human"])):
        theirs.take(name, value)
    found = together(content_of(before), content_of(mine), content_of(theirs))
    assert found is not None
    assert (found.taken, found.both) == (("methods",), ("align.beta",))
    state = found.content["state"]
    assert (state["seeds"], state["align.beta"], state["methods"]) == ("1", "0.9", ["human"])
    theirs.take("dataset", "hh-harmless")
    assert together(content_of(before), content_of(mine), content_of(theirs)) is None


def test_changes_are_said_with_label_before_and_after() -> None:
    form = Form.begun(Start(source=5, values=RUN))
    assert (changes_of(form), start_of(form)) == ([], "run 5")
    for name, value in (
        ("align.lr", "0.01"), ("methods", ["cw", "weak"]), ("data.length_rule", True), ("align.ipo_reduction", ["sum"]),
    ):  # fmt: skip
        form.take(name, value)
    assert [str(change) for change in changes_of(form)] == [
        "Methods: CW → CW, Weak labels",
        "Drop pairs that are too long: off → on",
        "Alignment, learning rate: 0.0003 → 0.01",
        "Alignment, IPO reduces by: mean → sum",
    ]
    assert folded_tabs(form) == ["Pairs", "Alignment"]


def test_another_dataset_is_one_change() -> None:
    form = Form.begun(Start())
    form.take("dataset", "hh-harmless")
    assert [str(change) for change in changes_of(form)] == ["Dataset: Sandbox (offline) → HH-RLHF harmless"]


def test_what_exists_is_one_sentence() -> None:
    done = [RunLike(run_id=run, status="done", archived=False) for run in range(3, 11)]
    assert sentence(question_of([*done, *[None] * 4])) == "8 of these 12 runs exist already: runs 3–10, done."
    queued = RunLike(run_id=2, status="queued", archived=True)
    assert sentence(question_of([queued])) == "This run exists already: run 2, queued. Some of them are archived."


def test_a_form_is_kept_when_it_is_changed_and_not_before(empty: None) -> None:
    """A link alone makes no draft; the draft comes back in another session, whole, and says what it differs in."""
    page = visit("new_run", seeds="0")
    assert drafts() == []
    page.text_input(key="new_run.align.beta").set_value("0.9").run()
    (draft,) = drafts()
    assert dict(page.query_params) == {"draft": draft.id}
    again = visit("new_run", draft=draft.id)
    assert again.text_input(key="new_run.align.beta").value == "0.9"
    assert again.text_input(key="new_run.seeds").value == "0"
    assert "Seeds: 0-3 → 0" in words(again)
    assert draft.content["said"] == ["Seeds: 0-3 → 0", "β: 0.5 → 0.9"]


def test_an_address_of_a_draft_and_of_fields_is_the_draft(empty: None) -> None:
    page = visit("new_run")
    page.text_input(key="new_run.seeds").set_value("5").run()
    (draft,) = drafts()
    mixed = visit("new_run", draft=draft.id, seeds="0-9", name="mixed")
    assert mixed.text_input(key="new_run.seeds").value == "5"
    assert dict(mixed.query_params) == {"draft": draft.id}


def test_what_is_typed_while_another_windows_change_is_taken_over_stays(
    empty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of what is typed begins while the run before still keeps the form."""
    form = opened(Form.begun(Start()))
    form.take("seeds", "5")
    keep(form)
    other = open_draft(form.kept.draft)
    other.take("align.beta", "0.9")
    keep(other)
    typed: list[Thread] = []

    def slow(*contents: Any) -> Any:
        found = together(*contents)
        typed.append(Thread(target=form.take, args=("name", "typed"), daemon=True))
        typed[0].start()
        typed[0].join(0.3)  # it is through where nothing keeps it
        return found

    monkeypatch.setattr(keeping, "together", slow)
    keep(form)
    typed[0].join(10)
    assert {name: form.state[name] for name in ("seeds", "align.beta", "name")} == {
        "seeds": "5", "align.beta": "0.9", "name": "typed",
    }  # fmt: skip


def test_a_draft_that_is_gone_is_said_and_the_form_is_there(empty: None) -> None:
    page = visit("new_run", draft="nosuch")
    assert "There is no draft nosuch" in page.info[0].value
    assert page.button(key="queue").label == "Queue 8 runs"


def drafts() -> list[Any]:
    with reading() as session:
        return queries.list_drafts(session)
