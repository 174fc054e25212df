"""Rules that hold for the widgets of every page, read off the code."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from app.components.form.declared import PARTS
from app.components.form.fields import fields_of_part, tabs

APP = Path(__file__).resolve().parents[2] / "app"
SHARED = {"components/frame", "screens"}  # what all pages use, and pages, which draw parts of one folder


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def test_what_was_chosen_of_a_list_stays_in_sight() -> None:
    """In a column Streamlit keeps the chosen ones in one line, which scrolls away under the reader."""
    found = [
        (path.relative_to(APP).as_posix(), {word.arg: ast.unparse(word.value) for word in call.keywords})
        for path, call in calls()
        if any(ast.unparse(one).endswith("st.multiselect") for one in (call.func, *call.args))
    ]
    assert len(found) >= 8
    assert [path for path, words in found if words.get("wrap") != "True"] == []


def test_no_two_pages_have_a_widget_of_one_name() -> None:
    """Streamlit keeps what a widget holds by its name alone: the next page would show it."""
    users: dict[str, set[str]] = defaultdict(set)
    for path, call in calls():
        place = path.parent.relative_to(APP).as_posix()
        home = path.relative_to(APP).as_posix() if place in SHARED else place
        for word in call.keywords:
            if word.arg == "key" and isinstance(word.value, ast.Constant):
                users[str(word.value.value)].add(home)
    assert len(users) > 100
    drawn_by_its_page = {"pages_of_pairs": {"screens/examples.py", "components/examples"}}
    assert {name: homes for name, homes in users.items() if len(homes) > 1} == drawn_by_its_page


def test_parts_of_a_tab_are_told_apart() -> None:
    """Groups of fields in one tab of New run may have the same names: each further one has its heading or switch."""
    for name, parts in tabs().items():
        drawn = [part for part in parts if any(not field.place for field in fields_of_part(part))]
        bare = [part for part in drawn if not (PARTS[part].heading or PARTS[part].switch)]
        assert len(bare) <= 1, name
