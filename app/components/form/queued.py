"""What this session has queued: the same runs are queued a second time only on purpose."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import RunsView, RunView, compact
from app.components.frame.formats import counted
from app.components.frame.leaving import leave
from cwpo.config.run import RunConfig, digest
from workers.plan.estimate import Plan

QUEUED = "new_run.queued"


@dataclass
class Queued:
    """Plain memory, so that a second click, which ends the run of the script between any two calls of Streamlit, finds
    what the first one did."""

    runs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    times: int = 0
    said: str = ""  # of what was queued a moment ago
    then: RunView | RunsView | None = None  # the page that shows it

    def add(self, token: str, run_ids: Sequence[int], said: str) -> None:
        """Runs were queued: the page of one run is next, the list of several."""
        self.runs[token] = tuple(run_ids)
        self.times += 1
        self.said = said
        self.then = RunView(run=run_ids[0]) if len(run_ids) == 1 else RunsView()


def queued_here() -> Queued:
    """The memory of this session."""
    found: Queued = st.session_state.setdefault(QUEUED, Queued())
    return found


def token_of(configs: Sequence[RunConfig], name: str) -> str:
    """The same for the same runs."""
    return digest([name, *(config.hash() for config in configs)])


def go_on(queued: Queued) -> None:
    """To what was queued a moment ago, also where the first click did not come to it."""
    if queued.then is not None:
        layout.flash(queued.said)
        then, queued.then = queued.then, None
        leave(then)


def asked_for(queued: Queued, token: str, plan: Plan) -> bool:
    """Whether to queue is what the user wants: runs that would compute nothing new are asked about."""
    before = queued.runs.get(token)
    if before is None and plan.stages_new:
        return True
    if before is not None:
        layout.note(f"Queued from here already: {'run' if len(before) == 1 else 'runs'} {compact(before)}.")
    else:
        layout.note(
            f"Nothing new would be computed: {counted(plan.runs, 'run')} would reuse "
            "what is done, or queued for other runs."
        )
    return st.checkbox("Queue them all the same", key=f"new_run.again_{queued.times}_{token}")
