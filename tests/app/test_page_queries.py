"""How often a page asks the database, when nothing is known yet: six times at most, whatever it shows."""

from typing import Any

import pytest
import streamlit as st

from app.components.frame.address import LABELS, ORDERS, compact
from tests.app.visits import Computed, ageless, selects, visit

MOST = 6
COLUMNS = "align.beta,labels:mean_confidence"
# What more than one question is asked for, and why.
MORE = {
    ("compare", "Answers"): 11,  # the prompts that all runs answered, and every text of one of them
    ("compare", "Head to head"): 11,  # every sample and score of two settings, what judged each, and related prompts
    ("new_run", "RUN"): 8,  # the run that it starts from, and whether it failed
    ("system", ""): 7,  # what ended without a result lately, where something did
    ("relabel", "Ada"): 14,  # the next pair is chosen and lent to this person in a transaction of its own
}
STATES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("runs", {}),
    ("runs", {"sort": "-gra", "columns": COLUMNS}),
    ("runs", {"group": "none", "sort": "-labels:mean_confidence", "columns": COLUMNS}),
    ("runs", {"group": "align.beta"}),
    ("runs", {"q": "small", "method": "cw", "ticked": "RUNS"}),
    *(("run", {"run": "RUN", "tab": tab}) for tab in ("Answers", "Chat", "Model", "Data", "Log", "Configuration")),
    ("compare", {}),
    *(
        ("compare", {"runs": "RUNS", "further": tab})
        for tab in (
            "Configuration",
            "Annotators",
            "Curves",
            "Answers",
            "Another gold reward",
            "Judge model",
            "Head to head",
            "Cost",
        )
    ),
    ("examples", {"run": "RUN"}),
    ("examples", {"run": "RUN", "order": ORDERS["highest"], "after": "[0.5,0]", "agreement": "disagree", "size": "50"}),
    ("examples", {"run": "RUN", "part": LABELS["human"]}),
    ("new_run", {}),
    ("new_run", {"from": "RUN"}),
    ("data", {}),
    ("relabel", {"run": "RUN"}),
    ("relabel", {"run": "RUN", "person": "Ada"}),
    ("system", {}),
)


def _name(state: tuple[str, dict[str, Any]]) -> str:
    return " ".join([state[0], *(f"{name}={value}" for name, value in state[1].items() if value != "RUN")])


@pytest.mark.parametrize("state", STATES, ids=_name)
def test_no_page_asks_the_database_more_than_six_times(
    state: tuple[str, dict[str, Any]], computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is known from an earlier visit."""
    ageless(monkeypatch)
    screen, params = state
    meant = {"RUN": str(computed.sweep[-1]), "RUNS": compact(computed.sweep)}
    with selects() as said:
        visit(screen, **{name: meant.get(value, value) for name, value in params.items()})
    most = MORE.get((screen, params.get("further") or params.get("person") or params.get("from") or ""), MOST)
    assert len(said) <= most, "\n\n".join(said)


def test_more_runs_side_by_side_are_no_more_questions(computed: Computed) -> None:
    counts = []
    for runs in (computed.sweep[:2], computed.sweep):
        st.cache_data.clear()
        st.cache_resource.clear()
        with selects() as said:
            visit("compare", runs=compact(runs))
        counts.append(len(said))
    assert counts[0] == counts[1]
