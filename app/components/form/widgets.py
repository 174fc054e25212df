"""The widgets of New run, each made from its field, so that a new field of a run is on the form at once.

Every field takes several values: numbers and names with commas between them, choices and switches by choosing more.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.beside.annotator_words import overlap, provenance
from app.components.form.declared import PARTS, SWITCHED
from app.components.form.field_values import of_widget
from app.components.form.fields import Field, fields_of_part, name_of
from app.components.form.form import Form
from app.components.form.session import take_from, view
from app.components.frame import layout
from app.reads import results
from db import queries
from db.records import NamedAnnotatorRow

PER_LINE = 3
NAMED_ANNOTATORS = "new_run.named_annotators"


class FormWidgets:
    """Draws the widgets of a form, and keeps a line under each for its problem."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._slots: dict[str, Any] = {}

    def part(self, part: str) -> None:
        """A part of the configuration; of one that may be absent a switch, and its fields while it is on."""
        if part in PARTS and PARTS[part].heading:
            layout.small(PARTS[part].heading)
        if part in SWITCHED:
            view(self.form, part, partial(st.toggle, PARTS[part].switch), {"value": self.form.state[part]})
            self._problem_line(part)
            if not self.form.state[part]:
                return
        fields = [field for field in fields_of_part(part) if not field.place]
        if not any(field.name in self.form.state for field in fields):
            st.caption("Runs over several choices of this part, as the comparison that the form starts from says.")
            return
        for field in fields:
            if field.named_annotators:
                self._annotator(field)
        others = [field for field in fields if not field.named_annotators]
        for start in range(0, len(others), PER_LINE):
            self.line(others[start : start + PER_LINE], (1,) * PER_LINE)

    def line(self, fields: Sequence[Field], widths: Sequence[int]) -> None:
        """Fields beside each other; one alone takes the whole width."""
        columns = st.columns(list(widths)) if len(widths) > 1 else [st.container()]
        for column, field in zip(columns, fields, strict=False):
            if field.name in self.form.state:
                with column:
                    self.field(field)

    def field(self, field: Field) -> None:
        """One widget, and the place of its problem."""
        _draw(self.form, field)
        for path in field.sets or (field.name,):
            self._problem_line(path)

    def share_line(self, path: str, other: str) -> None:
        """Problems of `other`, which has no widget of its own, stand in the place of `path`."""
        self._slots.setdefault(other, self._slots[path])

    def show_problems(self, problems: Mapping[str, str]) -> list[str]:
        """Each sentence under its field; those without a field on the form are given back."""
        left = []
        for path, sentence in problems.items():
            slot = self._slots.get(path) or self._slots.get(path.rsplit(".", 1)[0])
            if slot is None:
                left.append(f"{path} {sentence}")
            else:
                slot.caption(f":red[{untrusted.label(f'{name_of(path)} {sentence}', 400)}]")
        return left

    def _problem_line(self, path: str) -> None:
        self._slots[path] = st.empty()

    def _annotator(self, field: Field) -> None:
        """An existing annotator: a list of those with a name fills the field; where each comes from stands below."""
        with results.reading() as session:
            rows = [row for row in queries.named_annotators(session) if row.stored]
        left, right = st.columns(2)
        with left:
            st.selectbox(
                "Use an existing annotator",
                [row.key for row in rows],
                index=None,
                placeholder="choose one that has a name" if rows else "none has a name yet",
                disabled=not rows,
                key=NAMED_ANNOTATORS,
                on_change=_take_annotator,
                args=(self.form, field.name),
                help="It labels in place of one trained by the run; Annotators is the page where they get their names.",
            )
        with right:
            self.field(field)
        _say_annotators(rows, of_widget(field, self.form.state[field.name])[0], self.form.start.dataset)


def _draw(form: Form, field: Field) -> None:
    """The widget of a field of this kind."""
    offered = field.offered(form.start.dataset)
    now = form.state[field.name]
    common: dict[str, Any] = {"label": field.label, "help": field.help or None, "placeholder": field.placeholder}

    def shown(name: Any) -> str:
        return offered.get(name, str(name))

    told: dict[str, Any] | None = {"value": now}
    if field.kind == "flag":
        del common["placeholder"]
        told = {"default": now}
        draw = partial(st.segmented_control, options=list(offered), selection_mode="multi", **common)
    elif field.kind == "one":
        options = list(dict.fromkeys([*offered, *([] if now is None else [now])]))
        # only without an index can a choice be taken back
        start = {"index": None} if field.optional else {}
        told = start or {"index": options.index(now)}
        add = not field.closed
        draw = partial(st.selectbox, options=options, format_func=shown, accept_new_options=add, **start, **common)
        if field.optional and now is not None:
            told = None
    elif field.kind == "choice":
        told = {"default": now}
        draw = partial(
            st.multiselect,
            options=list(dict.fromkeys([*offered, *now])),
            format_func=shown,
            accept_new_options=not field.closed,
            wrap=True,
            disabled=form.is_idle(field.name),
            **common,
        )
    elif field.kind == "lines":
        draw = partial(st.text_area, max_chars=field.longest, height=110, **common)
    else:
        draw = partial(st.text_input, max_chars=field.longest, **common)
    view(form, field.name, draw, told)


def _take_annotator(form: Form, name: str) -> None:
    """What is chosen goes into the field, which the address and a file can fill as well."""
    take_from(form, name, NAMED_ANNOTATORS)
    form.state[name] = form.state[name] or ""
    st.session_state[NAMED_ANNOTATORS] = None


def _say_annotators(rows: Sequence[NamedAnnotatorRow], given: Sequence[str | None], dataset: str) -> None:
    """A field may name it by name, name and version, or fingerprint."""
    for text in given:
        row = next((row for row in rows if text in (row.key, row.name, row.fingerprint)), None)
        if row is not None:
            layout.note(f"{row.key}: {provenance(row)} {overlap(row, dataset)}")
