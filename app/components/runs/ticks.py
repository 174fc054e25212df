"""Which runs are ticked, wherever they stand in the list: the address knows them by their numbers."""

from collections.abc import Collection, Sequence

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import MOST_IDS, RunsView, compact
from app.components.runs.table import Line

ANEW = "runs_ticks_anew"  # counts how often the grid was told to forget what it shows as ticked
SHOWN = "runs_ticks_shown"  # (grid, rows ticked in it)


def ticked() -> tuple[int, ...]:
    """The numbers of the runs."""
    return RunsView.from_params(st.query_params).ticked


def rows_of(table: Sequence[Line], run_ids: Collection[int]) -> list[int]:
    """The lines all of whose runs are ticked."""
    chosen = set(run_ids)
    return [place for place, line in enumerate(table) if line.run_ids and chosen.issuperset(line.run_ids)]


def after_click(
    run_ids: Sequence[int], lines: Sequence[Sequence[int]], before: Collection[int], now: Collection[int]
) -> tuple[int, ...]:
    """The ticked runs after the lines `before` became the lines `now`: what was ticked elsewhere stays."""
    removed = {run_id for row in set(before) - set(now) if row < len(lines) for run_id in lines[row]}
    added = [run_id for row in sorted(set(now) - set(before)) if row < len(lines) for run_id in lines[row]]
    kept = [run_id for run_id in run_ids if run_id not in removed]
    return tuple(dict.fromkeys((*kept, *added)))


def set_ticked(run_ids: Sequence[int]) -> None:
    """Write them to the address, as many as it can name."""
    layout.set_params(ticked=compact(tuple(sorted(run_ids))[:MOST_IDS]))


def clear() -> None:
    """Tick nothing."""
    set_ticked(())
    draw_anew()


def draw_anew() -> None:
    """Let the grid show what the address says, and not what was clicked in it."""
    st.session_state[ANEW] = st.session_state.get(ANEW, 0) + 1


def generation() -> int:
    """Another one is another grid."""
    return int(st.session_state.get(ANEW, 0))
