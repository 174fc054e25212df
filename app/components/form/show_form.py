"""The form of New run as it is drawn: its lines on top, every other field in tabs below."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.form.declared import LAST_TAB, LINES, OTHER, OTHER_MODELS, PARTS, pairs_of
from app.components.form.fields import fields_on, tabs
from app.components.form.form import Form
from app.components.form.presets import presets_for
from app.components.form.session import MORE, TAB
from app.components.form.widgets import FormWidgets
from cwpo.config.sweep import Sweep, sweep
from cwpo.models.fetched.names import how_to_get, is_fetched, is_here
from workers.machine.paths import home


@dataclass(frozen=True, kw_only=True)
class CheckedForm:
    """What the form says, checked."""

    name: str
    values: Mapping[str, Any]  # with lists, as a YAML file would say it
    sweep: Sweep
    elsewhere: tuple[str, ...]  # problems whose field is not on the form


def show_form(form: Form) -> CheckedForm:
    """Draw the form; what it says is read from its state, whatever of it is drawn."""
    widgets = FormWidgets(form)
    for line, widths in LINES.items():
        if _stands(line, form):
            widgets.line(fields_on(line), widths)
            if line == "preset" and form.start.preset is not None:
                st.caption(presets_for(form.start.dataset)[form.start.preset].shows)
            if line == "models":
                _say_missing(form)
    _tabs(widgets)
    values, wrong = form.values()
    found = sweep(values, wrong)
    elsewhere = tuple(widgets.show_problems(found.problems))
    return CheckedForm(name=form.state["name"], values=values, sweep=found, elsewhere=elsewhere)


def _say_missing(form: Form) -> None:
    """How to get the models of the chosen pair that are not on this machine, where a command brings them."""
    row = pairs_of(form.start.dataset).get(form.state["models"])
    names = [] if row is None else [name for name in dict.fromkeys((row.annotator, row.policy)) if is_fetched(name)]
    for name in names:
        if not is_here(name, home()):
            st.caption(how_to_get(name))


def _stands(line: str, form: Form) -> bool:
    """A run is no ready-made comparison; models are named where the catalog's pairs are not wanted."""
    if line == "preset":
        return form.start.source is None and bool(presets_for(form.start.dataset))
    return line != "names of models" or form.state["models"] == OTHER_MODELS


def _tabs(widgets: FormWidgets) -> None:
    """Everything else, folded away by part of the configuration; only the part that is looked at is drawn."""
    folded = st.expander("All other settings", key=MORE, on_change="rerun")
    if not folded.open:
        return
    names = tabs()
    with folded:
        for tab, (name, parts) in zip(st.tabs(list(names), key=TAB, on_change="rerun"), names.items(), strict=True):
            if not tab.open:
                continue
            with tab:
                for part in parts:
                    if part not in PARTS or PARTS[part].dataset in ("", widgets.form.start.dataset):
                        widgets.part(part)
                if name == LAST_TAB:
                    _other_fields(widgets)


def _other_fields(widgets: FormWidgets) -> None:
    """Fields without a widget, by their dotted names; problems with any of them stand below."""
    for field in fields_on(LAST_TAB):
        widgets.field(field)
    for name in widgets.form.others() or ():
        widgets.share_line(OTHER, name)
