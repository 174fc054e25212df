"""Widgets made from the fields of the run configuration, so that a new field is on the form at once.

Every field takes several values: numbers and names with commas between them, choices and switches by choosing more.
"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.content import Form
from app.components.form.field_specs import FieldSpec
from app.components.form.memory import held
from app.components.form.state import NAMED, flags, plain
from app.components.form.values import DEFAULT

PER_LINE = 3


class Fields:
    """Draws the fields of a form, and keeps a line under each for its problem."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._slots: dict[str, Any] = {}

    def section(self, path: str, *, without: tuple[str, ...] = ()) -> None:
        """All plain fields of one part, three on a line."""
        wanted = [spec for spec in plain(path) if spec.path not in without]
        if not any(spec.path in self.form.state for spec in wanted):
            st.caption("Runs over several choices of this part, as the comparison that the form starts from says.")
            return
        for start in range(0, len(wanted), PER_LINE):
            columns = st.columns(PER_LINE)
            for column, spec in zip(columns, wanted[start : start + PER_LINE], strict=False):
                with column:
                    self.field(spec)

    def switched(self, path: str, words: str) -> None:
        """A part that may be absent: a switch, and its fields while it is on."""
        st.toggle(words, **held(self.form, path))
        self.problem_line(path)
        if self.form.state[path]:
            self.section(path)

    def field(self, spec: FieldSpec) -> None:
        """One widget, and the place of its problem."""
        _widget(self.form, spec)
        self.problem_line(spec.path)

    def problem_line(self, path: str) -> None:
        """The place under a widget where its problem will stand."""
        self._slots[path] = st.empty()

    def share_line(self, path: str, other: str) -> None:
        """Problems of `other`, which has no widget of its own, stand in the place of `path`."""
        self._slots.setdefault(other, self._slots[path])

    def show_problems(self, problems: Mapping[str, str]) -> list[str]:
        """Each sentence under its field; those without a field on the form are given back."""
        homeless = []
        for path, sentence in problems.items():
            slot = self._slots.get(path) or self._slots.get(path.rsplit(".", 1)[0])
            if slot is None:
                homeless.append(f"{path} {sentence}")
            else:
                slot.caption(f":red[{untrusted.label(f'{path} {sentence}', 400)}]")
        return homeless


def _widget(form: Form, spec: FieldSpec) -> None:
    """A switch, a choice, rows of the catalog and any other name typed in, or a text."""
    held_by = held(form, spec.path)
    if spec.kind == "flag":
        st.segmented_control(spec.label, list(flags(spec)), selection_mode="multi", help=spec.help, **held_by)
        return
    placeholder = DEFAULT if spec.optional else None
    if spec.kind == "choice" or spec.path in NAMED:
        rows = NAMED.get(spec.path)
        st.multiselect(
            spec.label,
            list(dict.fromkeys([*(spec.options if rows is None else rows), *form.state[spec.path]])),
            format_func=lambda name: rows[name].label if rows and name in rows else str(name),
            accept_new_options=rows is not None,
            placeholder=placeholder,
            help=spec.help,
            **held_by,
        )
        return
    st.text_input(spec.label, help=spec.help, max_chars=300, placeholder=placeholder, **held_by)
