"""What somebody may not do is off on the pages, with the sentence that says why; System shows what people did."""

from pathlib import Path

import pytest

from tests.app.named import annotator_page, run_of
from tests.app.visits import Computed, visit, words
from tests.workers.access.acting_people import signed_in
from workers.access.acting import acting
from workers.access.roles import Role
from workers.api.people import access

NAME = "ada@example.org"
SENTENCE = "This needs the role"


@pytest.mark.parametrize(
    ("screen", "params", "keys"),
    [
        ("new_run", {"from": "RUN"}, ("queue",)),
        ("run", {"run": "RUN"}, ("run_pin", "run_archive")),
        ("relabel", {"run": "RUN"}, ("relabel_a", "relabel_tie")),
        ("system", {}, ("queue_whole",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_viewer_may_not_do_is_off_and_says_why(
    screen: str, params: dict[str, str], keys: tuple[str, ...], computed: Computed
) -> None:
    owner, meant = acting().name, {"RUN": str(computed.sweep[-1])}
    with signed_in(NAME, Role.VIEWER):
        page = visit(screen, **{name: meant.get(value, value) for name, value in params.items()})
    for key in keys:
        found = [one for one in page.button if one.key and one.key.startswith(key) and one.key != "queue_open"]
        assert found, key
        assert [one.key for one in found if not one.disabled] == []
        assert all(SENTENCE in one.help for one in found)
    said = words(page)
    assert SENTENCE in said or screen in ("run", "system")
    assert f"by {owner}" in said or screen != "run"


def test_system_shows_people_and_what_was_done_to_administrators(computed: Computed) -> None:
    access.set_role("cy@example.org", "annotator")
    with signed_in(NAME, Role.ADMIN):
        page = visit("system")
        assert NAME not in words(page)  # nothing is read before it is opened
        page.session_state["system_people"] = page.session_state["system_log"] = True
        page.run()
        assert not page.exception
        said = words(page)
    for part in (NAME, "cy@example.org", "people.access.set_role", "person cy@example.org", "Chain verified: "):
        assert part in said
    with signed_in(NAME, Role.VIEWER):
        page.run()
        assert f"{SENTENCE} admin, and {NAME} has the role viewer" in words(page)


@pytest.mark.parametrize(
    ("screen", "params", "keys"),
    [
        ("new_run", {"from": "RUN"}, ("queue",)),
        ("run", {"run": "RUN"}, ("run_pin",)),
        ("system", {}, ("queue_whole",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_is_words_wherever_it_is_said_who_may_not(
    screen: str, params: dict[str, str], keys: tuple[str, ...], computed: Computed
) -> None:
    meant = {"RUN": str(computed.sweep[-1])}
    with signed_in("![x](http://a/b) **ada**", Role.VIEWER):
        page = visit(screen, **{name: meant.get(value, value) for name, value in params.items()})
    found = [one.help for one in page.button if one.key and one.key.startswith(keys) and one.key != "queue_open"]
    assert found
    for said in [*found, *(one.value for one in (*page.caption, *page.markdown))]:
        assert "![x]" not in said
        assert "**ada**" not in said


def test_a_viewer_looks_at_a_file_that_nobody_has_read(computed: Computed, tmp_path: Path) -> None:
    """Its first rows are shown, and who may have all of them read is said; nothing fails."""
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(f'{{"prompt": "ask {n}", "chosen": "yes {n}", "rejected": "no"}}\n' for n in range(9)))
    with signed_in(NAME, Role.VIEWER):
        page = visit("data", source=str(file))
    assert [one.value for one in page.error] == []
    assert [(one.disabled, SENTENCE in one.help) for one in page.button if one.key == "data_read"] == [(True, True)]
    assert "9 of the first 9 rows make pairs" in words(page)


def test_a_viewer_is_told_before_a_file_is_given(computed: Computed) -> None:
    with signed_in(NAME, Role.VIEWER):
        for page in (visit("data"), visit("relabel", run=str(computed.sweep[-1]), look="Sets and files")):
            assert [(one.disabled, SENTENCE in one.proto.help) for one in page.file_uploader] == [(True, True)]


def test_further_questions_names_and_views_are_off_for_a_viewer(computed: Computed) -> None:
    runs = ",".join(map(str, computed.sweep))
    with signed_in(NAME, Role.VIEWER):
        spots = visit("run", run=str(computed.sweep[-1]))
        spots.session_state["blind_spots"] = True
        spots.run()
        pages = {
            "look_for_spots": spots,
            "rescore": visit("compare", runs=runs, further="Another gold reward"),
            "name_it": annotator_page(run_of(computed, "cw")),
            "Save view": visit("runs"),
        }
    for key, page in pages.items():
        found = [one for one in page.button if key in (one.key, one.label)]
        assert [(one.disabled, SENTENCE in one.help) for one in found] == [(True, True)], key
