"""The right side of New run: what is queued, what of it is done already, how long it takes, what it can show."""

import json
from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.form.session import Queued, queued_here
from app.components.form.show_form import CheckedForm
from app.components.frame import layout, tables
from app.components.frame.address import compact
from app.components.frame.export import show_tables
from app.components.frame.formats import counted
from app.components.frame.leaving import leave
from cwpo.compare import power
from cwpo.compare.power import SeedSpread
from cwpo.config.run import RunConfig, digest
from cwpo.errors import CwpoError
from cwpo.report.listings import fields_of
from db.errors import DatabaseError
from workers import api
from workers.machine.database import database_url
from workers.plan import words as plan_words
from workers.plan.estimate import Plan

UNASKED = "Tick the box to queue them all the same."
QUIET = ("0", "", "–")  # cells that need no ink


def show_plan(form: CheckedForm) -> None:
    """The plan, and the button that queues it."""
    queued = queued_here()
    _go_on(queued)
    for sentence in form.elsewhere:
        st.caption(f":red[{untrusted.label(sentence, 400)}]")
    configs = form.sweep.configs
    token = _token_of(configs, form.name)
    plan, reason = None, ""
    if not configs:
        reason = "Correct the fields with a sentence in red first."
        st.caption("The plan appears when every field is right.")
    else:
        try:
            plan = _figures(form)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            reason = "The plan has a problem."
    layout.service_notice()
    if plan is not None and not _asked_for(queued, token, plan, tick=digest([config.hash() for config in configs])):
        reason = UNASKED
    label = f"Queue {counted(len(configs), 'run')}" if configs else "Queue runs"
    pressed = st.button(label, type="primary", disabled=bool(reason), help=reason or None, key="queue")
    if pressed and not reason:  # a second click may arrive at a button that was switched off meanwhile
        _submit(configs, form.name, queued, token)
    if reason and reason != UNASKED:
        st.caption(reason)
    if plan is not None:
        _stages(plan)


def _figures(form: CheckedForm) -> Plan:
    configs = form.sweep.configs
    plan = _plan(database_url(), json.dumps([{**config.canonical(), "name": ""} for config in configs]))
    layout.small("What this will cost and reuse")
    grid = st.grid(3, min_column_width=100, gap="small")
    for label, value in (
        ("runs", f"{len(configs):,}"),
        ("stages to do", f"{plan.stages_new:,}"),
        ("stages reused", f"{plan.stages_done + plan.stages_shared:,}"),
        ("time, about", plan_words.about(plan.wall_seconds)),
        ("GPU-hours", _gpu_hours(plan)),
        ("memory, about", plan_words.memory(plan)),
        ("human labels", "unknown" if plan.human_labels is None else f"{plan.human_labels:,}"),
    ):
        grid.cell().metric(label, value)
    layout.note(plan_words.product(len(configs), form.sweep.lists))
    spread = _spread(database_url(), configs[0].data.dataset)
    layout.note(plan_words.power_sentence(power.planned(configs, spread)))
    layout.note(plan_words.time_sentence(plan))
    if plan.memory.largest is not None or plan.memory.unknown:
        layout.note(plan_words.memory_sentence(plan))
    if plan.fits:
        layout.note(plan.fits)
    if warning := plan_words.memory_warning(plan):
        st.warning(untrusted.label(warning, 600))
    return plan


def _gpu_hours(plan: Plan) -> str:
    """None where no stage needs a GPU; unknown while a kind of stage was not measured on one."""
    if plan.unmeasured and plan.gpu:
        return "unknown"
    return f"{plan.device_seconds['gpu'] / 3600:.2f}" if plan.device_seconds["gpu"] else "none"


def _stages(plan: Plan) -> None:
    """What is to compute, shared and done, by kind of stage."""
    name, *figures = plan_words.HEADINGS
    columns = [tables.Column(label=name, whole=True), *(tables.Column(label=label, figures=True) for label in figures)]
    quiet = [
        [row[0], *(tables.Cell(text=cell, muted=cell in QUIET) for cell in row[1:])] for row in plan_words.rows(plan)
    ]
    files: list[tables.Drawn] = []
    tables.show_with_file(files, columns, quiet, alt="plan by kind of stage", numbers=lambda: fields_of(plan.kinds))
    show_tables(files, key="export_plan")
    layout.note(plan_words.labels_sentence(plan))


@st.cache_data(ttl=60, max_entries=16, show_spinner=False)
def _spread(url: str, dataset: str) -> SeedSpread:
    """The spread between seeds on a dataset; it changes when a sweep ends, not while a form is filled in."""
    return api.seed_spread(dataset)


@st.cache_data(ttl=5, max_entries=32, show_spinner=False)
def _plan(url: str, configs: str) -> Plan:
    """Asked once per form, not once per rerun."""
    return api.plan([RunConfig.parse(values) for values in json.loads(configs)])


def _submit(configs: Sequence[RunConfig], name: str, queued: Queued, token: str) -> None:
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
        queued.add(token, [submitted.run_id for submitted in made], words)
        _plan.clear()
    _go_on(queued)


def _token_of(configs: Sequence[RunConfig], name: str) -> str:
    """The same for the same runs."""
    return digest([name, *(config.hash() for config in configs)])


def _go_on(queued: Queued) -> None:
    """To what was queued a moment ago, also where the first click did not come to it."""
    if queued.then is not None:
        layout.flash(queued.said)
        then, queued.then = queued.then, None
        leave(then)


def _asked_for(queued: Queued, token: str, plan: Plan, *, tick: str) -> bool:
    """Whether to queue is what the user wants: runs that would compute nothing new are asked about. `tick`: the same
    for the same runs, however they are called."""
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
    return st.checkbox("Queue them all the same", key=f"new_run.again_{queued.times}_{tick}")
