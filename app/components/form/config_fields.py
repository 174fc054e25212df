"""Widgets made from the fields of the run configuration, so that a new field is on the form at once.

Every field takes several values: numbers and names with commas between them, choices and switches by choosing more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.field_specs import FieldSpec, part_of, specs
from app.components.form.values import DEFAULT, parse, shown
from cwpo.config import catalog
from cwpo.config.dotted import value_at
from cwpo.config.run import override

PER_LINE = 3
FLAGS: Mapping[str, bool | None] = {"auto": None, "off": False, "on": True}
CHOOSE = "choose at least one."

# Fields that name a row of the catalog, or a hub id or folder.
NAMED: Mapping[str, Mapping[str, Any]] = {
    "evaluation.gold_reward": catalog.GOLD_REWARDS,
    "weighting.name": catalog.WEIGHTINGS,
}


class Fields:
    """Draws fields, remembers what differs from the defaults, and keeps a line under each for its problem."""

    def __init__(self, defaults: Mapping[str, Any], key: str) -> None:
        self._defaults = defaults
        self._key = key
        self._slots: dict[str, Any] = {}
        self.changes: dict[str, Any] = {}  # a list where a field has several values
        self.wrong: dict[str, str] = {}  # what cannot be read

    def default(self, path: str) -> Any:
        """What the field has when nothing is changed."""
        return value_at(self._defaults, path)

    def section(self, path: str, *, without: tuple[str, ...] = ()) -> None:
        """All plain fields of one part, three on a line."""
        given = value_at(self._defaults, path)
        if isinstance(given, list):
            st.caption(
                f"Runs over {len(given)} choices of this part, as the comparison that the form starts from says."
            )
            return
        wanted = [spec for spec in specs(part_of(path), f"{path}.") if spec.path not in without]
        for start in range(0, len(wanted), PER_LINE):
            columns = st.columns(PER_LINE)
            for column, spec in zip(columns, wanted[start : start + PER_LINE], strict=False):
                with column:
                    self.field(spec)

    def switched(self, path: str, words: str, start: Mapping[str, Any]) -> None:
        """A part that may be absent: a switch, and its fields while it is on."""
        default = value_at(self._defaults, path)
        on = st.toggle(words, value=default is not None, key=f"{self._key}{path}", bind="query-params")
        self.problem_line(path)
        if not on:
            if default is not None:
                self.changes[path] = None
            return
        inner = Fields(override({}, path, default or start), self._key)
        inner.section(path)
        self._slots.update(inner._slots)
        if default is None:
            self.changes[path] = dict(start)
        self.changes.update(inner.changes)
        self.wrong.update(inner.wrong)

    def field(self, spec: FieldSpec) -> None:
        """One widget; its values count only where they differ from the default."""
        default = value_at(self._defaults, spec.path)
        before = default if isinstance(default, list) else [default]
        values, sentence = _widget(spec, before, f"{self._key}{spec.path}")
        self.problem_line(spec.path)
        if sentence:
            self.wrong[spec.path] = sentence
        elif values != before:
            self.changes[spec.path] = values if len(values) > 1 else values[0]

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
                homeless.append(f"{path}: {sentence}")
            else:
                slot.caption(f":red[{untrusted.label(f'{path} {sentence}', 400)}]")
        return homeless


def state_of(spec: FieldSpec, values: Sequence[Any]) -> Any:
    """What the widget of a field holds when the field has these values."""
    if spec.kind == "flag":
        return [word for word, value in flags(spec).items() if value in values]
    if spec.kind == "choice" or spec.path in NAMED:
        return [value for value in values if value is not None]
    return shown(values)


def flags(spec: FieldSpec) -> Mapping[str, bool | None]:
    """What a switch can be; auto is there where the field may be left to the program."""
    return {word: value for word, value in FLAGS.items() if value is not None or spec.optional}


def _widget(spec: FieldSpec, values: Sequence[Any], key: str) -> tuple[list[Any], str]:
    """The values that the widget of a field shows, and a sentence when they cannot be read."""
    start = state_of(spec, values)
    if spec.kind == "flag":
        chosen = st.segmented_control(
            spec.label,
            list(flags(spec)),
            selection_mode="multi",
            default=start,
            key=key,
            help=spec.help,
            bind="query-params",
        )
        return [FLAGS[word] for word in flags(spec) if word in chosen], "" if chosen else CHOOSE
    if spec.kind == "choice" or spec.path in NAMED:
        return _chosen(spec, start, key)
    given = st.text_input(
        spec.label,
        value=start,
        key=key,
        help=spec.help,
        max_chars=300,
        placeholder=DEFAULT if spec.optional else None,
        bind="query-params",
    )
    return parse(spec, given or "")


def _chosen(spec: FieldSpec, start: list[str], key: str) -> tuple[list[Any], str]:
    """Options of the field, or rows of the catalog and any other name typed in."""
    rows = NAMED.get(spec.path)
    options = list(dict.fromkeys([*(spec.options if rows is None else rows), *start]))
    chosen = st.multiselect(
        spec.label,
        options,
        default=start,
        format_func=lambda name: rows[name].label if rows and name in rows else str(name),
        accept_new_options=rows is not None,
        placeholder=DEFAULT if spec.optional else None,
        key=key,
        help=spec.help,
        bind="query-params",
    )
    if not chosen:
        return [None], "" if spec.optional else CHOOSE
    return [str(name) for name in chosen], ""
