"""Run: is it going well?"""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.address import RunView
from app.components.frame.export import show_bundle, show_export, show_tables
from app.components.frame.formats import dataset_name, models, share
from app.components.frame.painting import let_paint
from app.components.judging.along import show_along
from app.components.judging.card import show_card
from app.components.model.chat import show_chat
from app.components.model.get import show_models
from app.components.run.actions import show_actions
from app.components.run.blind_spots import show_blind_spots
from app.components.run.card_waits import show_card_waits
from app.components.run.curves import show_run_curves
from app.components.run.pairs_link import show_pair_links
from app.components.run.result import show_result
from app.components.run.tabs.answers import show_answer_list
from app.components.run.tabs.attempts import show_attempts
from app.components.run.tabs.config_view import show_config
from app.components.run.tabs.dropped import show_counts
from app.components.run.tabs.first_batch import show_first_batch
from app.components.run.tabs.log import show_log
from app.components.run.tabs.reproduce import show_command
from app.components.run.timeline import MEANINGS, NO_TIMES, Times, export, show_timeline, summary_line
from app.reads import results, timing
from app.reads import run as reads
from app.reads.run import Once, Watched
from cwpo.config.catalog import objective_label
from cwpo.stages.along.planned import ALONG
from db import queries
from db.errors import UnknownRun
from db.records import RunRecord, StageRow
from db.status import LIVE
from workers.plan.words import eta_words

REFRESH = "2s"


def page() -> None:
    view = RunView.from_params(st.query_params)
    if view.run is None:
        layout.heading("Run")
        layout.empty_state("One run's stages, curves and answers are shown here.", "Choose a run", "screens/runs.py")
        return
    try:
        found = reads.watched(view.run)
    except UnknownRun:
        layout.heading(f"Run {view.run}")
        layout.empty_state(f"There is no run {view.run}; it may have been deleted.", "All runs", "screens/runs.py")
        return
    _head(found.run)
    live = found.run.status in LIVE
    layout.fragment(_progress, run_every=REFRESH if live else None)(view.run, live, Once(found))
    _evidence(found.run, live, Once(found.stages))


def _head(run: RunRecord) -> None:
    row = run.row
    st.set_page_config(page_title=f"Run {row.id} · CW-PO")
    left, right = st.columns(2, gap="medium")
    with left:
        title = f"{row.method_label} · {objective_label(row.objective)} · seed {row.seed}"
        layout.heading(
            title,
            f"run {row.id}",
            row.name,
            models(row.annotator, row.policy),
            dataset_name(row.dataset),
            f"{share(row.label_fraction)} labels",
            f"by {row.owner}" if row.owner else "",
        )
    with right:
        show_actions(run)
    layout.show_flash()
    if run.status == "failed" and run.error:
        layout.problem(run.error)


def _progress(run_id: int, was_live: bool, first: Once[Watched]) -> None:
    """Timeline and curves; redrawn every two seconds until the run ends, then the whole page once more."""
    try:
        found = first.take() or reads.watched(run_id)
    except UnknownRun:  # deleted meanwhile: the whole page says so
        st.rerun()
    run, stages = found.run, found.stages
    if was_live and run.status not in LIVE:
        st.rerun()
    left, right = layout.two_columns()
    with right:  # the answer first: it is on the screen before the tables and charts are
        show_result(run.row)
    if not was_live:
        let_paint("run", run_id)
    times = timing.live_times() if run.status in LIVE else None
    with left:
        layout.section(f"{run.status.capitalize()}: {summary_line(stages)}", meanings=MEANINGS)
        if times is not None and run_id in times.runs:
            layout.note(eta_words(times.runs[run_id], timing.clock))
        if run.row.asks_for_cards:
            show_card_waits([run_id])
        show_timeline(stages, times.stages if times else NO_TIMES)
        show_pair_links(run_id, stages)
        _files(run, stages, times.stages if times else NO_TIMES)
    with right:
        show_card(run.row)
        show_blind_spots(run.row)
    show_run_curves(run.row, stages, right)
    if any(stage.slot == ALONG for stage in stages):
        show_along([run.row], key="run")


def _files(run: RunRecord, stages: Sequence[StageRow], times: Times) -> None:
    """What can be taken away: the stages with their seconds, and the run to compute it again."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        show_export([export(stages, times)])
        show_bundle([run.id], reason="" if run.row.evaluation else "There is one when the run is evaluated.")


@layout.fragment
def _evidence(run: RunRecord, live: bool, first: Once[Sequence[StageRow]]) -> None:
    """Only the open tab is read and drawn; its name stands in the address."""
    files: list[tables.Drawn] = []

    def stages() -> Sequence[StageRow]:
        return first.take() or _stages(run.id)

    parts: Mapping[str, Callable[[], None]] = {
        "Answers": lambda: show_answer_list(run.id, run.status, Once(stages())),
        "Chat": lambda: show_chat(run.id),
        "Model": lambda: show_models(run.id, stages()),
        "Data": lambda: show_counts(stages(), files),
        "First batch": lambda: show_first_batch(run.id),
        "Log": lambda: layout.fragment(show_log, run_every=REFRESH if live else None)(
            run.id, [stage.slot for stage in stages()]
        ),
        "Configuration": lambda: _configuration(run, stages(), files),
        "Attempts": lambda: show_attempts(stages(), files),
    }
    for tab, show in zip(st.tabs(list(parts), key="tab", bind="query-params"), parts.values(), strict=True):
        if tab.open:
            with tab:
                show()
                show_tables(files, key="export_tab")


def _configuration(run: RunRecord, stages: Sequence[StageRow], files: list[tables.Drawn]) -> None:
    left, right = layout.two_columns()
    with left:
        show_config(run.config, files)
    with right:
        show_command(run, stages)


def _stages(run_id: int) -> Sequence[StageRow]:
    with results.reading() as session:
        return queries.run_stages(session, run_id)


with layout.guarded():
    page()
