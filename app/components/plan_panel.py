"""The right side of New run: what is queued, what of it is done already, how long it takes, what it can show."""

import json
from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components import layout
from app.components.formats import counted
from app.components.run_form import Filled
from cwpo.config import RunConfig
from cwpo.errors import CwpoError
from cwpo.statistics import planned_detectable
from db.engine import database_url
from db.errors import DatabaseError
from workers import api
from workers.api import Plan
from workers.report import duration

SEED_SD = 0.015  # SD of a difference between seeds, as seen in the sandbox and in the literature


def show_plan(filled: Filled) -> None:
    """The plan, and the button that queues it."""
    for sentence in filled.homeless:
        st.caption(f":red[{untrusted.label(sentence, 400)}]")
    configs = filled.sweep.configs
    reason = ""
    if not configs:
        reason = "Correct the fields with a sentence in red first."
        st.caption("The plan appears when every field is right.")
    else:
        try:
            _figures(configs)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            reason = "The plan has a problem."
    layout.service_notice()
    label = f"Queue {counted(len(configs), 'run')}" if configs else "Queue runs"
    if st.button(label, type="primary", disabled=bool(reason), help=reason or None, key="queue"):
        _submit(configs, filled.name)
    if reason:
        st.caption(reason)


def _figures(configs: Sequence[RunConfig]) -> None:
    plan = _plan(database_url(), json.dumps([config.canonical() for config in configs]))
    layout.small("What this will cost and reuse")
    first, second = st.columns(2)
    first.metric("runs", f"{len(configs):,}")
    second.metric("time, about", "unknown" if plan.seconds is None else duration(plan.seconds))
    first.metric("stages to do", f"{plan.stages_new:,}")
    second.metric("stages reused", f"{plan.stages_done + plan.stages_shared:,}")
    layout.note(_reuse(plan))
    if plan.seconds is None:
        layout.note("The time is unknown until a stage of each kind has run once with these models.")
    layout.note(_detectable(configs))


def _reuse(plan: Plan) -> str:
    """96 stages for 12 runs: 34 to compute, 9 done already, the others shared."""
    words = [f"{counted(plan.stages, 'stage')} for {counted(plan.runs, 'run')}: {plan.stages_new:,} to compute"]
    if plan.stages_done:
        words.append(f"{plan.stages_done:,} done already")
    if plan.stages_shared:
        words.append(f"{plan.stages_shared:,} shared with another run")
    return ", ".join(words) + "."


def _detectable(configs: Sequence[RunConfig]) -> str:
    seeds = len({config.seed for config in configs})
    prompts = configs[0].data.test_prompts
    points = 100 * planned_detectable(prompts=prompts, seeds=seeds, seed_sd=SEED_SD)
    return (
        f"{counted(prompts, 'prompt')} and {counted(seeds, 'seed')}: a difference of {points:.1f} points between two "
        f"methods is found four times in five."
    )


@st.cache_data(ttl=5, max_entries=32, show_spinner=False)
def _plan(url: str, configs: str) -> Plan:
    """Asked once per form, not once per rerun."""
    return api.plan([RunConfig.parse(values) for values in json.loads(configs)])


def _submit(configs: Sequence[RunConfig], name: str) -> None:
    """Queue everything; the run page for one run, the list for several."""
    with st.spinner("Checking and queueing"):
        try:
            made = api.submit_sweep([config.model_copy(update={"name": name}) for config in configs], name)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            return
    words = f"{counted(len(made), 'run')} queued."
    if any(submitted.queue_down for submitted in made):
        words += " Redis does not answer: workers will find them within a minute after it is back."
    layout.flash(words)
    if len(made) == 1:
        st.switch_page("screens/run.py", query_params={"run": str(made[0].run_id)})
    st.switch_page("screens/runs.py")
