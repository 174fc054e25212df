"""What is said on every page once: GRA in full, each column, symbol and method with its meaning."""

import ast
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.components.annotators.cards import MEANINGS, RIVAL
from app.components.frame.address import compact
from app.components.runs.columns import BUILT_IN, OPEN
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.report.document.meanings import CONFIDENCE_IN_WORDS, GRA_IN_WORDS
from tests.app.test_widget_rules import APP, calls
from tests.app.visits import Computed, visit, words
from workers import api

WITH_GRA: dict[str, Callable[[Computed], dict[str, str]]] = {
    "runs": lambda computed: {},
    "run": lambda computed: {"run": str(computed.sweep[0])},
    "compare": lambda computed: {"runs": compact(computed.sweep)},
    "paper": lambda computed: {},
}


def test_an_empty_list_says_what_is_compared_and_what_it_is_measured_by(empty: None) -> None:
    said = words(visit("runs"))
    for needed in (
        "CW-PO, confidence-weighted preference optimization",
        "a confidence C from 0 to 1",
        "every pair weighted by its C",
        "GRA, gold reward accuracy",
    ):
        assert needed in said


@pytest.mark.parametrize("screen", WITH_GRA)
def test_a_page_with_gra_says_once_what_it_is(screen: str, computed: Computed) -> None:
    assert words(visit(screen, **WITH_GRA[screen](computed))).count(GRA_IN_WORDS) == 1


def test_figures_of_a_run_and_of_an_annotator_say_what_they_are(computed: Computed) -> None:
    run = visit("run", run=str(computed.sweep[0]))
    assert len(run.metric) >= 4
    assert all(figure.help for figure in run.metric)
    annotator = visit("annotators")
    said = {figure.label: figure.help for figure in annotator.metric}
    assert set(MEANINGS) <= set(said)
    assert all(help_ == RIVAL for label, help_ in said.items() if label not in MEANINGS)


def test_confidence_margin_and_probability_are_explained_where_they_stand(computed: Computed) -> None:
    assert visit("examples").slider(key="c").help == CONFIDENCE_IN_WORDS


def test_every_method_and_objective_is_one_line_of_help_on_the_form(empty: None) -> None:
    page = visit("new_run")
    methods, objectives = (
        next(widget.help for widget in page.multiselect if widget.label == label) for label in ("Methods", "Objectives")
    )
    for row in catalog.METHODS.values():
        assert row.says.endswith(".")
        assert f"- **{row.label}**: {row.says}" in methods
    assert all(f"- **{row.label}**: {row.formula}" in objectives for row in catalog.OBJECTIVES.values())


def test_every_column_of_the_list_has_its_meaning() -> None:
    assert [key for key, column in BUILT_IN.items() if not column.help] == []


GRIDS = {  # by the file that draws them: pages and what they are asked for
    "components/runs/grid.py": [
        ("runs", {"columns": ",".join((*BUILT_IN, "align.beta", "evaluation:mean_tokens", "seconds"))}),
        ("runs", {}),
        ("runs", {"group": "none"}),
        ("runs", {"group": "method", "columns": "gra,align.beta"}),
    ],
    "components/system/queue_panel.py": [("system", {})],
}


def test_every_heading_of_every_grid_says_what_stands_below_it(empty: None) -> None:
    api.submit_run(RunConfig(name="one"))
    for screen, params in (page for pages in GRIDS.values() for page in pages):
        (grid,) = visit(screen, **params).dataframe
        configured = json.loads(grid.proto.columns)
        assert set(grid.value.columns) <= set(configured)
        bare = [name for name in grid.value.columns if name != OPEN and not configured[name].get("help")]
        assert bare == [], (screen, params)


def test_no_other_file_draws_a_grid() -> None:
    drawn = {path for path, call in calls() if ast.unparse(call.func).endswith("st.dataframe")}
    assert {path.relative_to(APP).as_posix() for path in drawn} == set(GRIDS)


# Tables whose headings say it themselves.
PLAIN = {"field", "form"}


def elements(block: Any) -> Iterator[Any]:
    """All of a page in its order."""
    for one in block.children.values():
        yield from elements(one) if hasattr(one, "children") else (one,)


def headed(block: Any) -> Iterator[tuple[Any, Any]]:
    """Every table of a page with the title that stands before it."""
    heading = None
    for one in elements(block):
        if one.type == "subheader" or (one.type == "markdown" and one.value.startswith("####")):
            heading = one
        elif one.type == "table":
            yield heading, one


@pytest.mark.parametrize("screen", ["run", "compare", "annotators", "paper", "system", "data", "relabel", "new_run"])
def test_a_table_says_what_its_headings_mean_beside_its_title(screen: str, computed: Computed) -> None:
    asked = {"data": {"source": "sandbox"}, "relabel": {"run": str(computed.sweep[0])}}
    page = visit(screen, **(asked | {name: given(computed) for name, given in WITH_GRA.items()}).get(screen, {}))
    said = {
        (heading.value, tuple(table.value.columns)): heading.proto.help
        for heading, table in headed(page.main)
        if table.value.columns[0] not in PLAIN
    }
    assert screen in ("data", "relabel") or said
    assert [title for title, help_ in said.items() if not help_] == []
