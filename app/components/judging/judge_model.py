"""A judge model compares stored answers: asked on demand with what that takes, then its win rates and differences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.components.frame.formats import counted
from app.reads import judges
from cwpo.config.parts import JudgeConfig
from cwpo.errors import CwpoError
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.under_table import under_further_table
from db.errors import DatabaseError
from db.records import RescoringRow, RunRow
from db.status import DONE, LIVE
from workers import api
from workers.api.people.access import Role
from workers.machine.database import database_url
from workers.plan import judging

Kind = Literal["endpoint", "local", "simulated"]
KINDS: Mapping[Kind, str] = {
    "endpoint": "a server (CWPO_JUDGE_URL)",
    "local": "a model of a hub or a folder",
    "simulated": "simulated, in the sandbox",
}
SAID = (
    "Win rate: the judge model is shown both answers in both orders; only an answer that it chooses in both has won, "
    "otherwise the pair ties, and equal answers tie without being shown."
)


def show_judge_models(rows: Sequence[RunRow], reference: str) -> None:
    """The table of a judge model that was asked, and the form that asks another one."""
    found = judges.judge_models(rows)
    done = list(dict.fromkeys(one.key for one in found if one.status == DONE))
    left, right = layout.two_columns()
    with left:
        key = _chosen(rows, done)
        if not done:
            layout.note("Once a judge model has compared these answers, its win rates stand here beside GRA.")
        show_waiting(found, len(rows), lambda key: key.partition(".")[2])
    with right:
        _ask(rows)
    if key:
        _tables(rows, key, reference)


def _chosen(rows: Sequence[RunRow], done: Sequence[str]) -> str:
    if not done:
        return ""
    names = judges.names_of(rows, done)

    def name(key: str) -> str:
        return untrusted.plain(f"{names[key]} · {key[-6:]}", 80)

    return st.selectbox("Judged by", done, key="judge_shown", bind="query-params", format_func=name) or done[0]


def show_waiting(found: Sequence[RescoringRow], runs: int, name: Callable[[str], str] = str) -> None:
    """Further stages that are on their way, or failed, by their key, which `name` shortens; of so many runs."""
    for (key, status), number in Counter((one.key, one.status) for one in found if one.status != DONE).items():
        layout.note(f"{name(key)}: {status} for {number} of {counted(runs, 'run')}.")


def _ask(rows: Sequence[RunRow]) -> None:
    """What it would take is said before the click that asks."""
    sandbox = all(row.dataset == "sandbox" for row in rows)
    kinds = [name for name in reversed(list(KINDS)) if sandbox or name != "simulated"]
    kind = st.selectbox("Ask a judge model", kinds, format_func=lambda name: KINDS[name], key="judge_kind") or kinds[0]
    model = ""
    if kind != "simulated":
        model = st.text_input("Its name", key="judge_model", max_chars=200,
                              placeholder="as its server calls it, a hub id or a folder")  # fmt: skip
    first, second = st.columns(2)
    repeats = first.number_input("Repeats", 1, 16, 1, key="judge_repeats")
    most = second.number_input("Prompts, at most", 1, None, None, key="judge_prompts", placeholder="all")
    letters = kind == "local" and st.checkbox("By the likelier letter, without writing", key="judge_letters")
    people = st.checkbox("Also on pairs that people labeled", key="judge_people")
    ready = [row.id for row in rows if row.status not in LIVE]
    asked = JudgeConfig(
        kind=kind, model=model, repeats=int(repeats), prompts=int(most) if most else None,
        verdicts="logits" if letters else "written", temperature=1.0 if repeats > 1 else 0.0,
        human_labels=people,
    )  # fmt: skip
    reason = None if ready else "Every run shown is queued or running."
    if kind != "simulated" and not model.strip():
        reason = "Name the model."
    elif ready:
        try:
            layout.note(_cost(database_url(), tuple(ready), asked.model_dump_json()))
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            reason = "It cannot be asked."
    if st.button(
        "Ask it about these answers",
        key="ask_judge",
        **allowed.only_for(Role.RUNNER, disabled=reason is not None, about=reason),
    ):
        _submit(ready, asked)


@st.cache_data(ttl=30, max_entries=32, show_spinner=False)
def _cost(url: str, ready: tuple[int, ...], asked: str) -> str:
    """Counted once per choice, not once per rerun."""
    return judging.sentence(api.judging_cost(ready, JudgeConfig.model_validate_json(asked)))


def _submit(ready: Sequence[int], asked: JudgeConfig) -> None:
    try:
        made = api.judge(ready, asked)
    except (CwpoError, DatabaseError) as error:
        layout.problem(error)
        return
    _cost.clear()
    layout.flash(f"{counted(len(made), 'run')} queued for the judge model; no answer is generated again.")
    st.rerun()


def _tables(rows: Sequence[RunRow], key: str, reference: str) -> None:
    table = judges.judge_table_of(rows, key)
    if not table:
        layout.note("None of the runs shown has been compared by it.")
        return
    layout.small("Win rate by the judge model", meanings=glossary(columns.JUDGED))
    tables.show_report(columns.JUDGED, table, alt="Win rate by a judge model")
    layout.note(SAID)
    found = judges.judge_differences_of(rows, key, reference)
    exported = [of_columns("win rates", columns.JUDGED, table, notes=[SAID])]
    if found:
        layout.small("Differences of win rates", meanings=glossary(columns.DIFFERENCE))
        tables.show_report(columns.DIFFERENCE, found, alt="Differences of win rates")
        layout.note("On the same prompts and seeds, with the interval and the correction that differences of GRA have.")
        compared = f"It compared {judges.compared_by(rows, key)} of {counted(len(rows), 'run')}."
        under = f"{compared} {under_further_table(found)}".strip()
        layout.note(under)
        exported.append(of_columns("differences of win rates", columns.DIFFERENCE, found, notes=[under]))
    show_export(exported, key="export_judge")
