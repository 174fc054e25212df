"""Examples: what does the annotator not know?"""

from dataclasses import replace
from functools import partial

import streamlit as st

from app.components.examples.counting import MOST, show_count
from app.components.examples.exporting import show_export
from app.components.examples.jumping import HISTOGRAM, choose_bar, show_jump
from app.components.examples.labeled import show_labeled
from app.components.examples.pair_card import show_pair
from app.components.frame import layout
from app.components.frame.address import ExamplesView
from app.components.frame.chart import show_chart
from app.components.frame.filters import (
    EXAMPLE_DEFAULTS,
    UNSURE,
    choose_part,
    example_filters,
    labeled_filters,
    page_size,
    show_human_labels,
)
from app.components.frame.formats import GAVE_UP, counted, dataset_name, models, share
from app.components.frame.leaving import become, link
from app.components.frame.relabel_address import RelabelView
from app.components.runs.picker import pick_run
from app.reads import examples as reads
from app.reads import results
from cwpo.config.catalog import short_name
from cwpo.config.run import digest
from cwpo.report.document.meanings import CONFIDENCE_IN_WORDS
from cwpo.report.labels.annotators import several
from db import queries
from db.records import AnnotationPage, Cursor, LabelsOfRun, LabelSummary, RunRow

CLICK = "A click on a bar shows its pairs."
DISAGREE = "An unsure annotator is another thing than two close answers: C is taken from the mean Δ, not from its SD."


def page() -> None:
    address = ExamplesView.from_params(st.query_params)
    found = reads.labeled_run(address.run)
    if found is None:
        _without_run(address)
        return
    labels = found.labels
    summary = labels.summary if labels is not None else None
    spread = labels is not None and labels.spread
    asked = several(labels) if labels is not None and spread else ""
    if address.pair:
        _one_pair(found.row, address, asked)
        return
    layout.heading("Examples", *_facts(found.row, summary))
    left, right = layout.filters_and_list(240)
    with left:
        pick_run(found.row)
        part = choose_part()
        if part == "human":
            view = labeled_filters(address)
        else:
            view = replace(example_filters(address, spread=spread), part=part)
            show_jump(view)
    with right:
        if part == "human":
            show_labeled(view)
        else:
            _pairs(view, labels, asked, found.row)
    with left:
        if summary is not None and part == "weak":
            show_chart(
                "confidence_histogram", [("annotator", summary)], key=HISTOGRAM,
                alt="Pairs by the annotator's confidence C", caption=f"{_accuracy(summary)} {CLICK}",
                on_select=partial(choose_bar, summary.histogram.edges),
            )  # fmt: skip
        link(RelabelView(run=found.row.id), "Vote on pairs of this run")


def _without_run(view: ExamplesView) -> None:
    """The newest run that has labels; else what would be here."""
    newest = None if view.run is not None else results.newest_labeled_run()
    if newest is not None:
        become(replace(view, run=newest))
    layout.heading("Examples")
    what = "Pairs that the annotator labeled are shown here, the least confident first."
    if view.run is not None:
        what = f"There is no run {view.run}; it may have been deleted."
    layout.empty_state(what, "Choose a run" if view.run is not None else "Set up a run with an annotator",
                       "screens/runs.py" if view.run is not None else "screens/new_run.py")  # fmt: skip


def _facts(row: RunRow, summary: LabelSummary | None) -> list[str]:
    facts = [
        f"run {row.id}",
        models(row.annotator, row.policy),
        dataset_name(row.dataset),
        f"{share(row.label_fraction)} labels",
    ]
    if summary is not None:
        facts += [f"{counted(summary.n, 'pair')} labeled by {short_name(row.annotator)}"]
    return facts


def _accuracy(summary: LabelSummary) -> str:
    """What the histogram leaves open: how often the weak label is right."""
    words = [f"mean C {summary.mean_confidence:.2f}"] if summary.mean_confidence is not None else []
    if summary.accuracy_human is not None:
        words.append(f"{share(summary.accuracy_human, 1)} agree with the human label")
    if summary.accuracy_truth is not None:
        words.append(f"{share(summary.accuracy_truth, 1)} are right")
    if summary.length_only_accuracy is not None:
        words.append(f"length alone {share(summary.length_only_accuracy, 1)}")
    return ", ".join(words) + "." if words else ""


def _no_pairs(row: RunRow) -> str:
    """Why none are here, and whether some will be."""
    if row.annotator is None:
        return f"No annotator labels pairs for {row.method_label}: there are no weak labels to look at."
    if row.status in GAVE_UP:
        return f"This run {GAVE_UP[row.status]} before its annotator had labeled pairs. A retry, on its page, goes on."
    return "This run has no weak labels yet; the pairs appear once its annotator has labeled them."


def _pairs(view: ExamplesView, labels: LabelsOfRun | None, asked: str, run: RunRow) -> None:
    if view.run is None or labels is None:
        layout.empty_state(_no_pairs(run))
        return
    bar = st.container(horizontal=True, vertical_alignment="center", key="pages_of_pairs")
    with bar:
        place = st.empty()
        size = page_size()
    found = reads.page_of(
        view.run, labels, c=(view.low, view.high), agreement=view.agreement, text=view.q, order=view.order,
        after=_cursor(view.after), before=_cursor(view.before), limit=size,
    )  # fmt: skip
    place.caption(_counted(found))
    with bar:
        _turn(view, found, size)
        if view.q.strip():
            show_count(partial(_holding, view))
        show_export(view, found.rows, found.total)
    if view.order == UNSURE:
        layout.note(DISAGREE)
    # another page is another container, which begins at its top
    with st.container(key=f"pairs-{digest(repr((view, size)))[:8]}"):
        for row in found.rows:
            show_pair(row, several=asked)
        if not found.rows:
            layout.nothing_fits("No pair fits these filters.", "Show all pairs", EXAMPLE_DEFAULTS)


def _cursor(word: str) -> Cursor | None:
    return Cursor.decode(word, value=float, key=int)


def _counted(found: AnnotationPage) -> str:
    """41–50 of 2,100 pairs."""
    if found.total is not None and found.first is not None and found.rows:
        return layout.span(found.first, len(found.rows), counted(found.total, "pair"))
    if found.total is not None:
        return f"{counted(found.total, 'pair')} in this view"
    return (
        "pairs with this text"
        if found.next is None
        else f"pairs with this text, searched {found.searched or 0:,} at a time"
    )


def _holding(view: ExamplesView) -> tuple[int, int]:
    with results.reading() as session:
        return queries.count_matching(
            session, view.run or 0, c_low=view.low, c_high=view.high, agreement=view.agreement, text=view.q, most=MOST,
        )  # fmt: skip


def _turn(view: ExamplesView, found: AnnotationPage, size: int) -> None:
    forward = "Next" if len(found.rows) == size else "Search further"
    layout.turns(found.next, found.previous, placed=bool(view.after or view.before), forward=forward)


def _one_pair(row: RunRow, view: ExamplesView, asked: str) -> None:
    """The page behind a pair's link."""
    with results.reading() as session:
        pair = queries.get_annotation(session, row.id, view.pair)
    layout.heading("Example", f"pair {view.pair}", *_facts(row, None))
    with st.container(horizontal=True, vertical_alignment="center"):
        layout.turn("All pairs of this run", "all_pairs", pair="")
        show_human_labels()
    if pair is None:
        layout.empty_state("This run's annotator has not labeled this pair.")
        return
    show_pair(pair, several=asked, linked=False)
    layout.note(CONFIDENCE_IN_WORDS)


with layout.guarded():
    page()
