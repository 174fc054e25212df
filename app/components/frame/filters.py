"""Filters on the left of lists. Each widget is bound to the parameter of the same name, so the address has the view;
no name is that of a widget of another page, because Streamlit keeps what a bound widget holds between pages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import streamlit as st

from app import untrusted
from app.components.frame.address import (
    DATASETS,
    LABELS,
    METHODS,
    OBJECTIVES,
    ORDERS,
    SIZES,
    STATUSES,
    Agreement,
    ExamplesView,
    Labels,
    RunsView,
)
from app.components.frame.leaving import parameters, readdress
from cwpo.report.document.meanings import CONFIDENCE_IN_WORDS

# What each widget says when nothing is filtered.
RUN_DEFAULTS: Mapping[str, Any] = {
    "q": "",
    "status": [],
    "method": [],
    "objective": [],
    "dataset": "",
    "tags": [],
    "pinned": False,
    "archived": False,
}
UNSURE = "unsure"  # the order that needs several annotators or passes
EXAMPLE_DEFAULTS: Mapping[str, Any] = {"order": "lowest", "c": (0.0, 1.0), "agreement": "any", "text": ""}


def _first_page() -> None:
    """Another filter makes another list: its first page."""
    now = parameters()
    if "after" in now or "before" in now:
        readdress({name: now[name] for name in now if name not in ("after", "before")}, instead=True)


def _accept_old_search() -> None:
    """In addresses of before, the text searched for was called as on Runs."""
    now = parameters()
    if "q" in now:
        readdress({"text": now["q"], **{name: now[name] for name in now if name != "q"}}, instead=True)


def run_filters(tags: Sequence[str]) -> RunsView:
    """Filters of the Runs page; `tags` are those that any run has."""
    text = st.text_input(
        "Search", key="q", placeholder="name, model, sweep", bind="query-params", on_change=_first_page, live=True
    )
    status = st.multiselect(
        "Status", STATUSES, key="status", placeholder="any", bind="query-params", on_change=_first_page, wrap=True
    )
    method = st.multiselect(
        "Method", list(METHODS), key="method", placeholder="any", bind="query-params", on_change=_first_page,
        format_func=lambda name: METHODS[name], wrap=True,
    )  # fmt: skip
    objective = st.multiselect(
        "Objective", list(OBJECTIVES), key="objective", placeholder="any", bind="query-params",
        on_change=_first_page, format_func=lambda name: OBJECTIVES[name], wrap=True,
    )  # fmt: skip
    dataset = st.selectbox(
        "Data", list(DATASETS), key="dataset", bind="query-params", on_change=_first_page,
        format_func=lambda name: DATASETS[name],
    )  # fmt: skip
    chosen: list[str] = []
    if tags:
        chosen = st.multiselect(
            "Tags", tags, key="tags", placeholder="any", bind="query-params", on_change=_first_page,
            format_func=untrusted.label, wrap=True,
        )  # fmt: skip
    pinned = st.toggle("Pinned", key="pinned", bind="query-params", on_change=_first_page)
    archived = st.toggle("Archived", key="archived", bind="query-params", on_change=_first_page)
    return replace(
        RunsView.from_params(st.query_params),
        q=text or "",
        status=tuple(status),
        method=tuple(method),
        objective=tuple(objective),
        dataset=dataset or "",
        tags=tuple(chosen),
        pinned=pinned,
        archived=archived,
    )


def example_filters(view: ExamplesView, *, spread: bool) -> ExamplesView:
    """Filters of the Examples page; the run and the place in the list stay. Without `spread`, nobody could disagree."""
    order = st.selectbox(
        "Order",
        [name for name in ORDERS if spread or name != UNSURE],
        key="order",
        bind="query-params",
        on_change=_first_page,
        format_func=lambda name: ORDERS[name],
    )
    low, high = st.slider(
        "Confidence C", 0.0, 1.0, (0.0, 1.0), step=0.01, key="c", bind="query-params", on_change=_first_page,
        help=CONFIDENCE_IN_WORDS,
    )  # fmt: skip
    agreement = st.selectbox(
        "Agreement with the human label",
        get_args(Agreement),
        key="agreement",
        bind="query-params",
        on_change=_first_page,
    )
    text = _search()
    human = show_human_labels()
    return ExamplesView(
        run=view.run,
        low=low,
        high=high,
        agreement=agreement,
        order=order,
        q=text,
        pair=view.pair,
        after=view.after,
        before=view.before,
        size=view.size,
        human=human,
    )


def _search() -> str:
    _accept_old_search()
    return (
        st.text_input(
            "Search", key="text", placeholder="text in prompt or response", bind="query-params", on_change=_first_page
        )
        or ""
    )


def labeled_filters(view: ExamplesView) -> ExamplesView:
    """Of the pairs that the annotator learned from there is no confidence: a search is all."""
    text = _search()
    return replace(view, q=text)


def choose_part() -> Labels:
    """Pairs that the annotator labeled, or those with a human label that it did not label."""
    return st.segmented_control(
        "Part", list(LABELS), key="part", bind="query-params", default="weak", required=True, on_change=_first_page,
        format_func=lambda name: LABELS[name],
    )  # fmt: skip


def show_human_labels() -> bool:
    """Whether each pair says what the humans chose."""
    return st.toggle("Show human labels", key="human", bind="query-params")


def page_size() -> int:
    """How many pairs stand on a page; another number starts from the first page."""
    size = st.selectbox(
        "Pairs on a page", SIZES, key="size", bind="query-params", on_change=_first_page,
        label_visibility="collapsed", width=80, format_func=str,
    )  # fmt: skip
    st.caption("a page", width="content")
    return int(size)
