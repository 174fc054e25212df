"""The right side of New run: what is queued, what of it is done already, how long it takes, what it can show."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import streamlit as st

from app import allowed, untrusted
from app.components.form.beside.changes import label_of, show_changes
from app.components.form.beside.repeats import ask, page_of, question_of
from app.components.form.form import Form
from app.components.form.session import Queued, queued_here
from app.components.form.show_form import CheckedForm
from app.components.frame import layout, tables
from app.components.frame.export import show_tables
from app.components.frame.formats import counted
from app.components.frame.leaving import leave
from cwpo.compare import power
from cwpo.compare.power import SeedSpread
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError, CwpoError
from cwpo.report.listings import fields_of
from db.errors import DatabaseError
from workers import api
from workers.api.people.access import Role
from workers.api.people.drafts import mark_draft_queued
from workers.machine.database import database_url
from workers.plan import judging
from workers.plan import words as plan_words
from workers.plan.estimate import Plan

MOST_WARNINGS = 6
OF_PLAN = (
    ("stages to do", "Pieces of work that no finished or queued run has done: each is computed once."),
    ("stages reused", "Results that are there already, or that a queued run will compute."),
    ("time, about", "From the first stage to the last on the workers that there are."),
    ("new", "To compute."),
    ("shared", "To compute, and read by several of these runs."),
    ("reused", "There already."),
    ("min", "Minutes that the new ones take, by the speed that was measured here."),
)
QUIET = ("0", "", "–")  # cells that need no ink


def show_plan(form: Form, checked: CheckedForm) -> None:
    """The plan, what was changed, and the button that queues it."""
    queued = queued_here()
    _go_on(queued)
    for sentence in checked.elsewhere:
        st.caption(f":red[{untrusted.label(sentence, 400)}]")
    plan, seen, reason = None, None, ""
    if not checked.sweep.configs:
        reason = "Correct the fields with a sentence in red first."
        st.caption("The plan appears when every field is right.")
    else:
        try:
            seen = _power(checked.sweep.configs)
            plan = _figures(checked, seen)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            reason = (
                f"Correct {untrusted.label(label_of(error.field))} first."
                if isinstance(error, ConfigError)
                else "The plan has a problem."
            )
    reason = reason or allowed.may_not(Role.RUNNER)
    layout.service_notice()
    show_changes(form)
    _buttons(form, checked, plan, reason, queued)
    if plan is not None and seen is not None:
        files: list[tables.Drawn] = []
        _stages(plan, files)
        _needs(seen, files)
        show_tables(files, key="export_plan")


def _buttons(form: Form, checked: CheckedForm, plan: Plan | None, reason: str, queued: Queued) -> None:
    """Queue; where runs of the form exist already, what to do about it."""
    configs = checked.sweep.configs
    asked = question_of(plan.existing if plan is not None else ())
    if asked.existing:
        answer = ask(asked, reason=reason)
        if answer == "open":
            leave(page_of(asked))
    else:
        label = f"Queue {counted(len(configs), 'run')}" if configs else "Queue runs"
        idle = plan is not None and not plan.stages_new
        if idle:
            layout.note("Nothing new would be computed: every stage is done, or queued for other runs.")
        kind: Literal["primary", "secondary"] = "secondary" if idle else "primary"
        pressed = st.button(label, type=kind, disabled=bool(reason), help=reason or None, key="queue")
        answer = "all" if pressed and not reason else None  # a second click may come to a button that is off meanwhile
    if answer is not None and plan is not None:
        new = [config for config, like in zip(configs, plan.existing, strict=True) if like is None or answer == "all"]
        _submit(new, checked.name, queued, form.kept.draft)
    if reason:
        st.caption(reason)


def _figures(form: CheckedForm, seen: power.Power) -> Plan:
    configs = form.sweep.configs
    plan = _plan(database_url(), json.dumps([{**config.canonical(), "name": ""} for config in configs]))
    layout.small("What this will cost and reuse", meanings=OF_PLAN)
    grid = st.grid(3, min_column_width=100, gap="small")
    for label, value in (
        ("runs", f"{len(configs):,}"),
        ("stages to do", f"{plan.stages_new:,}"),
        ("stages reused", f"{plan.stages_reused:,}"),
        ("time, about", plan_words.about(plan.wall_seconds) if plan.stages_left else "none"),
        ("GPU-hours", _gpu_hours(plan)),
        ("memory, about", plan_words.memory(plan)),
        ("human labels", "unknown" if plan.human_labels is None else f"{plan.human_labels:,}"),
    ):
        grid.cell().metric(label, value)
    layout.note(plan_words.product(len(configs), form.sweep.lists))
    layout.note(plan_words.power_sentence(seen))
    layout.note(plan_words.time_sentence(plan))
    if plan.memory.largest is not None or plan.memory.unknown:
        layout.note(plan_words.memory_sentence(plan))
    if plan.fits:
        layout.note(plan.fits)
    if plan.judging is not None:
        layout.note(judging.sentence(plan.judging))
    for words in filter(None, (plan.caches, plan_words.along_sentence(plan), plan_words.single_sentence(plan.single))):
        layout.note(words)
    warnings = [*filter(None, [plan_words.memory_warning(plan)]), *plan.warnings]
    if warnings:
        lines = [untrusted.label(warning, 600) for warning in warnings[:MOST_WARNINGS]]
        st.warning(lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines))
    return plan


def _power(configs: Sequence[RunConfig]) -> power.Power:
    """What the runs can see, with the spread between seeds as it was measured here."""
    return power.planned(configs, _spread(database_url(), configs[0].data.dataset))


def _needs(planned: power.Power, files: list[tables.Drawn]) -> None:
    """How many seeds and prompts would see 1, 2 and 4 points."""
    headings = plan_words.needs_headings(planned)
    layout.small(plan_words.NEEDS, meanings=plan_words.needs_meanings(headings))
    name, *figures = headings
    columns = [tables.Column(label=name, whole=True), *(tables.Column(label=label, figures=True) for label in figures)]
    rows = plan_words.needs_rows(planned)
    tables.show_with_file(files, columns, rows, alt=plan_words.NEEDS, numbers=lambda: fields_of(planned.needs))
    layout.note(plan_words.NEEDS_MEANT)


def _gpu_hours(plan: Plan) -> str:
    """None where no stage needs a GPU; unknown while a kind of stage was not measured on one."""
    if plan.unmeasured and plan.gpu:
        return "unknown"
    return f"{plan.device_seconds['gpu'] / 3600:.2f}" if plan.device_seconds["gpu"] else "none"


def _stages(plan: Plan, files: list[tables.Drawn]) -> None:
    """What is to compute, shared and done, by kind of stage."""
    name, *figures = plan_words.HEADINGS
    columns = [tables.Column(label=name, whole=True), *(tables.Column(label=label, figures=True) for label in figures)]
    quiet = [
        [row[0], *(tables.Cell(text=cell, muted=cell in QUIET) for cell in row[1:])] for row in plan_words.rows(plan)
    ]
    tables.show_with_file(files, columns, quiet, alt="plan by kind of stage", numbers=lambda: fields_of(plan.kinds))
    layout.note(f"{plan_words.SHARING} {plan_words.labels_sentence(plan)}")


@st.cache_data(ttl=60, max_entries=16, show_spinner=False)
def _spread(url: str, dataset: str) -> SeedSpread:
    """The spread between seeds on a dataset; it changes when a sweep ends, not while a form is filled in."""
    return api.seed_spread(dataset)


@st.cache_data(ttl=5, max_entries=32, show_spinner=False)
def _plan(url: str, configs: str) -> Plan:
    """Asked once per form, not once per rerun."""
    return api.plan([RunConfig.parse(values) for values in json.loads(configs)])


def _submit(configs: Sequence[RunConfig], name: str, queued: Queued, draft: str) -> None:
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
        queued.add([submitted.run_id for submitted in made], words)
        _plan.clear()
        with suppress(DatabaseError):  # they are queued; that the list of drafts says so is worth no red box
            mark_draft_queued(draft)
    _go_on(queued)


def _go_on(queued: Queued) -> None:
    """To what was queued a moment ago, also where the first click did not come to it."""
    if queued.then is not None:
        layout.flash(queued.said)
        leave(queued.then, met=queued.forget)
