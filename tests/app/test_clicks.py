"""Clicks on what cannot be done any more: a sentence, and the page as it is."""

import pytest

from app.components.form.drafts import popover
from app.components.frame import layout
from cwpo.config.run import RunConfig
from db.errors import DatabaseError
from tests.app.visits import visit
from workers import api


@pytest.mark.usefixtures("empty")
def test_the_place_in_the_queue_of_a_run_that_has_ended_meanwhile_is_a_sentence() -> None:
    run_id = api.submit_run(RunConfig.parse({"seed": 1})).run_id
    page = visit("run", run=str(run_id))
    api.cancel_run(run_id)
    (control,) = [one for one in page.segmented_control if str(one.key).startswith("priority_")]
    control.set_value("Urgent").run()
    for _ in range(2):
        assert not page.exception
        assert [one.value for one in page.error] == []
        (again,) = [one for one in page.segmented_control if str(one.key).startswith("priority_")]
        assert (again.value, again.disabled) == ("Normal", True)
        page.run()


def test_a_draft_that_cannot_be_read_now_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def away(_: object) -> None:
        raise DatabaseError("The database does not answer.")

    monkeypatch.setattr(popover, "form_from_row", lambda row: row)
    monkeypatch.setattr(popover, "show", away)
    monkeypatch.setattr(layout, "flash", said.append)
    popover._open(None)  # type: ignore[arg-type]
    assert said == ["The database does not answer."]


def test_what_a_widget_shows_that_another_took_the_place_of_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, object] = {}
    monkeypatch.setattr(layout.st, "session_state", state)
    first = layout.key_of("sort_by", "")
    assert (layout.key_of("sort_by", ""), state[first]) == (first, "")
    state[first] = "kl"
    assert layout.chosen_in(first, "") == "kl"
    assert layout.key_of("sort_by", "kl") == first  # its own choice: the keyboard stays there
    state[first] = ""
    assert layout.chosen_in(first, "") == ""  # back again before it was drawn
    second = layout.key_of("sort_by", "gra")
    assert (second != first, state[second]) == (True, "gra")
    state[first] = ""
    assert layout.chosen_in(first, "") is None
    state[first] = "name"
    assert layout.chosen_in(first, "") == "name"  # a click before the browser had the other one
