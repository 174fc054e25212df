"""What somebody may not do is off on the pages, with the sentence that says why."""

from collections.abc import Iterator

import pytest

from tests.app.visits import Computed, selects, visit, words
from tests.workers.access.acting_people import signed_in
from workers.access.roles import Role
from workers.api.people import access

NAME = "ada@example.org"
SENTENCE = "This needs the role"


@pytest.fixture
def viewer(computed: Computed) -> Iterator[None]:
    with signed_in(NAME, Role.VIEWER):
        yield


def test_a_viewer_sees_every_page_and_the_buttons_that_change_something_are_off(
    viewer: None, computed: Computed
) -> None:
    run = str(computed.sweep[-1])
    for screen, params, keys in (
        ("new_run", {"from": run}, ("queue",)),
        ("run", {"run": run}, ("run_pin", "run_archive")),
        ("relabel", {"run": run}, ("relabel_a", "relabel_tie")),
        ("system", {}, ("queue_whole",)),
        ("runs", {}, ()),
    ):
        page = visit(screen, **params)
        for key in keys:
            found = [one for one in page.button if one.key and one.key.startswith(key)]
            assert found, (screen, key)
            assert [one.key for one in found if not one.disabled] == []
            assert all(SENTENCE in one.help for one in found)


def test_the_sentence_is_shown_where_the_form_or_the_vote_would_be(viewer: None, computed: Computed) -> None:
    run = str(computed.sweep[-1])
    assert SENTENCE in words(visit("relabel", run=run))
    assert SENTENCE in words(visit("new_run", **{"from": run}))


def test_an_administrator_gives_roles_and_ends_sessions_on_system(computed: Computed) -> None:
    with signed_in(NAME, Role.ADMIN):
        page = visit("system")
        page.session_state["system_people"] = True
        page.run()
        assert not page.exception
        assert NAME in words(page)
    with signed_in(NAME, Role.VIEWER):
        page = visit("system")
        page.session_state["system_people"] = True
        page.run()
        assert f"{SENTENCE} admin" in words(page)


def test_system_shows_what_was_done_and_that_the_chain_holds(computed: Computed) -> None:
    access.set_role("cy@example.org", "annotator")
    page = visit("system")
    page.session_state["system_log"] = True
    page.run()
    assert not page.exception
    said = words(page)
    assert "people.access.set_role" in said
    assert "person cy@example.org" in said
    assert "Chain verified: " in said


def test_the_page_of_a_run_says_whose_it_is(computed: Computed) -> None:
    from workers.access.acting import acting

    assert f"by {acting().name}" in words(visit("run", run=str(computed.sweep[0])))


def test_a_page_asks_for_the_role_of_somebody_once_in_a_while(viewer: None, computed: Computed) -> None:
    visit("system")
    with selects() as said:
        visit("system")
    assert [one for one in said if "people" in one] == []
