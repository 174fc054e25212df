"""Which runs are ticked, wherever they stand in the list: the address knows them by their numbers."""

from collections.abc import Collection, Sequence

import streamlit as st

from app.components.frame import layout, leaving
from app.components.frame.address import MOST_IDS, RunsView, compact
from app.components.runs.table import Line

TOO_MANY = "runs_too_many"  # in the session: how many runs the last click would have ticked


def ticked() -> tuple[int, ...]:
    """The numbers of the runs."""
    return leaving.here(RunsView).ticked


def rows_of(table: Sequence[Line], run_ids: Collection[int]) -> list[int]:
    """The lines all of whose runs are ticked."""
    return rows_of_ids([line.run_ids for line in table], run_ids)


def rows_of_ids(lines: Sequence[Sequence[int]], run_ids: Collection[int]) -> list[int]:
    """The same of the runs of each line."""
    chosen = set(run_ids)
    return [place for place, ids in enumerate(lines) if ids and chosen.issuperset(ids)]


def after_click(
    run_ids: Sequence[int], lines: Sequence[Sequence[int]], before: Collection[int], now: Collection[int]
) -> tuple[int, ...]:
    """The ticked runs after the lines `before` became the lines `now`: what was ticked elsewhere stays."""
    removed = {run_id for row in set(before) - set(now) if row < len(lines) for run_id in lines[row]}
    added = [run_id for row in sorted(set(now) - set(before)) if row < len(lines) for run_id in lines[row]]
    kept = [run_id for run_id in run_ids if run_id not in removed]
    return tuple(dict.fromkeys((*kept, *added)))


def set_ticked(run_ids: Collection[int]) -> bool:
    """Write them to the address. More than it can name are refused as a whole: what is done next is done to all of them
    or to none."""
    if len(run_ids) > MOST_IDS:
        st.session_state[TOO_MANY] = len(run_ids)
        return False
    st.session_state.pop(TOO_MANY, None)
    layout.set_params(ticked=compact(tuple(sorted(run_ids))))
    return True


def refused() -> str:
    """Why the last click ticked nothing; empty where it did."""
    number = st.session_state.get(TOO_MANY)
    return f"{MOST_IDS} runs can be ticked at once; with that line it would be {number:,}." if number else ""
