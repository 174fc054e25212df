"""Which settings stand side by side; the choice goes to the address."""

from collections.abc import Sequence
from dataclasses import fields

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.components.frame.address import CompareView
from app.components.frame.formats import dataset_name
from app.components.frame.leaving import parameters, readdress
from app.reads import results
from cwpo.compare.gra import GraRow
from cwpo.compare.reference import PLANNED_PAIRS, named_reference, usual_reference
from db import queries
from db.records import RunGroup, RunRow

OFFERED = 60  # settings, newest first
SHORT = 12  # characters of a group key in the address
OURS = frozenset(field.name for field in fields(CompareView))
REFERENCE_RULE = (
    "Where nothing is chosen: human labels, else weak labels, else the first setting; of several with one method the "
    "one that shares its objective and configuration with most others."
)


def choose_runs(shown: Sequence[RunRow]) -> None:
    """A folded list of settings, read when it is opened; all seeds of a setting come along."""
    folded = st.popover("Choose settings", width="stretch", key="choose", on_change="rerun")
    if not folded.open:
        return
    with folded:
        groups = {group.group_key: group for group in _offered(shown)}
        current = list(dict.fromkeys(row.group_key for row in shown))
        labels = results.labels_of([row for group in groups.values() for row in group.rows])
        with st.form("settings", border=False):
            wanted = st.form_submit_button("Compare these")  # above the list, which covers what is below it when open
            chosen = st.multiselect(
                "Settings",
                list(groups),
                default=current,
                format_func=lambda key: _name(labels[key], groups[key]),
                key=f"settings_{hash(tuple(current))}",
                wrap=True,
            )
            if len(groups) >= OFFERED:
                layout.note(f"The newest {OFFERED} settings; older ones are ticked on Runs and compared from there.")
            if wanted and not chosen:
                layout.note("Choose at least one setting.")
            elif wanted:
                runs = tuple(run_id for key in chosen for run_id in groups[key].run_ids)
                pinned = CompareView.from_params(st.query_params).reference
                kept = pinned if pinned == PLANNED_PAIRS or key_of(pinned, chosen) else ""
                wanted_view = CompareView(runs=runs, reference=kept).to_params()
                others = {name: value for name, value in parameters().items() if name not in OURS}
                readdress({**wanted_view, **others}, instead=False)


def _offered(shown: Sequence[RunRow]) -> list[RunGroup]:
    """The newest settings, and those that are shown already."""
    with results.reading() as session:
        newest = queries.list_groups(session, limit=OFFERED).groups
    known = {group.group_key for group in newest}
    missing = dict.fromkeys(row.group_key for row in shown if row.group_key not in known)
    own = [RunGroup(group_key=key, rows=tuple(row for row in shown if row.group_key == key)) for key in missing]
    return [*own, *newest]


def _name(label: str, group: RunGroup) -> str:
    """CW · DPO · Sandbox · unsteady; the dataset once."""
    first = group.rows[0]
    dataset = "" if dataset_name(first.dataset) in label else dataset_name(first.dataset)
    return untrusted.plain(layout.MIDDLE_DOT.join(filter(None, (label, dataset, first.name or "unnamed"))), 80)


def chosen_reference(table: Sequence[GraRow]) -> str:
    """Group key of the setting of the address, else of the usual one, or that the planned pairs are meant."""
    return named_reference(CompareView.from_params(st.query_params).reference, table)


def key_of(pinned: str, keys: Sequence[str]) -> str:
    """The group key that starts like the reference of an address; empty where none does."""
    return next((key for key in keys if pinned and key.startswith(pinned)), "")


def reference_widget(table: Sequence[GraRow]) -> None:
    """Which setting the others are held against; kept in the address by its key, not by its name. The usual one needs
    no address."""
    labels = {row.group_key[:SHORT]: f"against {row.label}" for row in table}
    if {"cw"} < {row.method for row in table} & {"cw", "weak", "human"}:
        labels[PLANNED_PAIRS] = "CW − weak, CW − human"
    used, usual = chosen_reference(table)[:SHORT], usual_reference(table)[:SHORT]
    if used not in labels:
        return
    key = f"reference_{used}"  # another reference, another widget: it never shows one that is not used
    st.selectbox(
        "Held against",
        list(labels),
        index=list(labels).index(used),
        key=key,
        format_func=lambda start: untrusted.plain(labels[start], 80),
        label_visibility="collapsed",
        help=REFERENCE_RULE,
        on_change=lambda: layout.set_params(reference="" if st.session_state[key] == usual else st.session_state[key]),
    )
