"""What a form says differently from what it started from, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.address import shown
from app.components.form.configuration import datasets_of
from app.components.form.declared import LAST_TAB, MODELS, OTHER_MODELS, PARTS, SWITCHED
from app.components.form.fields import all_fields, tab_of
from app.components.form.form import Form
from app.components.form.presets import presets_for
from app.components.frame.formats import counted, dataset_name

AT_FIRST = 8  # changes that are listed before the rest is folded away
LONGEST = 60  # characters of one value
DEFAULTS = "the defaults"
SWITCH = {True: "on", False: "off"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field: what it is called, and what it said and says."""

    name: str
    label: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.label}: {self.before} → {self.after}"


def changes_of(form: Form) -> list[Change]:
    """Every field that differs, those on top of the form first; models that are named by their pair are one field."""
    start, before = form.start, form.before()
    found = []
    first = datasets_of(start.values)[0]
    if start.dataset != first:
        found.append(_change("dataset", dataset_name(first), dataset_name(start.dataset)))
    implied = MODELS if form.state["models"] != OTHER_MODELS else ()
    for name, value in form.state.items():
        if name not in ("dataset", "preset", *implied) and value != before.get(name):
            found.append(_change(name, _words(name, before.get(name), first), _words(name, value, start.dataset)))
    return sorted(found, key=lambda change: is_folded(change.name))


def start_of(form: Form) -> str:
    """What the form starts from, in words."""
    start = form.start
    if start.source is not None:
        return f"run {start.source}"
    if start.preset is not None:
        return presets_for(start.dataset)[start.preset].label
    return DEFAULTS


def show_changes(form: Form) -> None:
    """Beside the button: what will be queued is not what it started from."""
    changes = changes_of(form)
    if not changes:
        said = start_of(form)
        st.caption(
            untrusted.label(f"Nothing is changed: {'these are' if said == DEFAULTS else 'this is'} {said}.", 200)
        )
        return
    said = f"**You changed** {counted(len(changes), 'field')} of {untrusted.label(start_of(form), 120)}:"
    st.caption(f"{said}\n{_lines(changes[:AT_FIRST])}")
    if rest := changes[AT_FIRST:]:
        with st.expander(f"and {len(rest)} more"):
            st.caption(_lines(rest))


def folded_tabs(form: Form) -> list[str]:
    """The tabs below the form in which something is changed."""
    return list(dict.fromkeys(_tab(change.name) for change in changes_of(form) if is_folded(change.name)))


def is_folded(name: str) -> bool:
    """Whether its widget stands in a tab."""
    return name in SWITCHED or (name in all_fields() and all_fields()[name].place in ("", LAST_TAB))


def label_of(name: str) -> str:
    """What a widget is called, with its tab where several have the same name."""
    if name in SWITCHED:
        return PARTS[name].switch
    label = all_fields()[name].label if name in all_fields() else name
    if not is_folded(name) or _tab(name) == LAST_TAB:
        return label
    return f"{_tab(name)}, {label[:1].lower() if label[1:2].islower() else label[:1]}{label[1:]}"


def _tab(name: str) -> str:
    return LAST_TAB if name in all_fields() and all_fields()[name].place == LAST_TAB else tab_of(name)


def _change(name: str, before: str, after: str) -> Change:
    return Change(name=name, label=label_of(name), before=before, after=after)


def _words(name: str, value: Any, dataset: str) -> str:
    if isinstance(value, bool):
        return SWITCH[value]
    text = ", ".join(part for part in shown(name, value, dataset) if part)
    if not text:
        optional = name in all_fields() and all_fields()[name].optional
        return "default" if optional else "nothing"
    return untrusted.plain(text, LONGEST)


def _lines(changes: Sequence[Change]) -> str:
    return "\n".join(f"- {untrusted.label(change, 240)}" for change in changes)
