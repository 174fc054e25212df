"""Widgets made from the fields of the run configuration, so that a new field is on the form at once."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel

from app import untrusted
from cwpo import catalog
from cwpo.config import RunConfig, override

Kind = Literal["int", "float", "choice", "flag", "text"]
PER_LINE = 3

# What a label says where the field's own name would not be understood.
LABELS: Mapping[str, str] = {
    "lr": "Learning rate",
    "r": "Rank r",
    "alpha": "Scale α",
    "beta": "β",
    "label_noise": "ε of rDPO",
    "ipo_reduction": "IPO reduces by",
    "noise": "Label noise τ",
    "top_p": "Top p",
    "max_grad_norm": "Gradient norm, at most",
    "base": "Base models",
    "counts": "Length counts",
}


# Fields that name a row of the catalog, or a hub id or folder.
NAMED: Mapping[str, Mapping[str, Any]] = {"evaluation.gold_reward": catalog.GOLD_REWARDS}


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field of the configuration and the widget that it needs."""

    path: str
    kind: Kind
    optional: bool
    options: tuple[str, ...]
    help: str

    @property
    def label(self) -> str:
        name = self.path.rsplit(".", 1)[-1]
        return LABELS.get(name, name.replace("_", " ").capitalize())


def specs(part: type[BaseModel], prefix: str) -> list[FieldSpec]:
    """The plain fields of one part; nested parts have lines of their own on the form."""
    return [
        FieldSpec(path=f"{prefix}{name}", kind=kind, optional=optional, options=options, help=field.description or "")
        for name, field in part.model_fields.items()
        for kind, optional, options in _kinds(field.annotation)
    ]


def part_of(path: str) -> type[BaseModel]:
    """The model behind a dotted name, seen through `| None`."""
    part: type[BaseModel] = RunConfig
    for name in path.split("."):
        annotation = part.model_fields[name].annotation
        part = next(kind for kind in (*get_args(annotation), annotation) if _is_part(kind))
    return part


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value under a dotted name, or None."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def spec_of(path: str) -> FieldSpec:
    """The one field with this dotted name."""
    part = path.rsplit(".", 1)[0]
    return next(spec for spec in specs(part_of(part), f"{part}.") if spec.path == path)


class Fields:
    """Draws fields, remembers what differs from the defaults, and keeps a line under each for its problem."""

    def __init__(self, defaults: Mapping[str, Any], key: str) -> None:
        self._defaults = defaults
        self._key = key
        self._slots: dict[str, Any] = {}
        self.changes: dict[str, Any] = {}

    def default(self, path: str) -> Any:
        """What the field has when nothing is changed."""
        return value_at(self._defaults, path)

    def section(self, path: str, *, without: tuple[str, ...] = ()) -> None:
        """All plain fields of one part, three on a line."""
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

    def field(self, spec: FieldSpec) -> Any:
        """One widget; its value counts only where it differs from the default."""
        default = value_at(self._defaults, spec.path)
        value = _widget(spec, default, f"{self._key}{spec.path}")
        self.problem_line(spec.path)
        if value != default:
            self.changes[spec.path] = value
        return value

    def problem_line(self, path: str) -> None:
        """The place under a widget where its problem will stand."""
        self._slots[path] = st.empty()

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


def _widget(spec: FieldSpec, default: Any, key: str) -> Any:
    if spec.kind == "flag":
        return st.toggle(spec.label, value=bool(default), key=key, help=spec.help, bind="query-params")
    if spec.kind == "choice":
        index = spec.options.index(default) if default in spec.options else 0
        return st.selectbox(spec.label, spec.options, index=index, key=key, help=spec.help, bind="query-params")
    if spec.path in NAMED:
        return _named(spec, default, key)
    if spec.kind == "text":
        given = st.text_input(
            spec.label, value=default or "", key=key, help=spec.help, max_chars=300, bind="query-params"
        )
        return given or (None if spec.optional else "")
    whole = spec.kind == "int"
    return st.number_input(
        spec.label,
        value=default if default is None or whole else float(default),
        step=1 if whole else None,
        format="%d" if whole else "%g",
        placeholder="default" if spec.optional else None,
        key=key,
        help=spec.help,
        bind="query-params",
    )


def _named(spec: FieldSpec, default: Any, key: str) -> str | None:
    """A row of the catalog, or any other name typed in."""
    rows = NAMED[spec.path]
    options = list(dict.fromkeys([*rows, *([default] if default else [])]))
    chosen = st.selectbox(
        spec.label,
        options,
        index=options.index(default) if default else None,
        format_func=lambda name: rows[name].label if name in rows else name,
        accept_new_options=True,
        key=key,
        help=spec.help,
        bind="query-params",
    )
    return None if chosen is None else str(chosen)


def _kinds(annotation: Any) -> Iterator[tuple[Kind, bool, tuple[str, ...]]]:
    """(kind, optional, options) of a plain field; nothing for a nested part or a list."""
    union = get_origin(annotation) in (Union, types.UnionType)
    inner = [kind for kind in (get_args(annotation) if union else (annotation,)) if kind is not type(None)]
    optional = union and len(inner) < len(get_args(annotation))
    if get_origin(inner[0]) is Literal:
        yield "choice", optional, tuple(get_args(inner[0]))
        return
    plain: Mapping[Any, Kind] = {bool: "flag", int: "int", float: "float", str: "text"}
    if len(inner) == 1 and inner[0] in plain:
        yield plain[inner[0]], optional, ()


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
