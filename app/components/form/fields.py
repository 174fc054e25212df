"""The fields of New run: each is what is declared about it, and the rest from the run configuration.

The form, its address, its YAML file and what fills it (a run, a ready-made comparison) read what a field is from here.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.components.form.declared import DECLARED, LAST_TAB, PARTS, SET_ON_TOP, Declared, Kind, Offers, Part
from cwpo.config.run import RunConfig

DEFAULT = "default"  # stands for "not set" beside other values
FLAGS: Mapping[str, bool | None] = {"auto": None, "off": False, "on": True}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One widget of the form: what is declared about it, and the rest from the configuration."""

    name: str  # in the form and in its address; dotted, and that of the configuration, for one field of it
    kind: Kind
    label: str = ""
    place: str = ""
    help: str = ""
    placeholder: str | None = None
    optional: bool = False
    offers: Offers | None = field(default=None, compare=False)  # for a dataset: name -> what the widget shows
    closed: bool = True
    sets: tuple[str, ...] = ()
    longest: int | None = 300
    found_for: str = ""
    named_annotators: bool = False

    @property
    def last_name(self) -> str:
        return self.name.rpartition(".")[2]

    def offered(self, dataset: str) -> Mapping[str, str]:
        """What can be chosen with this dataset: name -> what the widget shows."""
        return self.offers(dataset) if self.offers else {}


@cache
def fields_of_part(part: str) -> tuple[Field, ...]:
    """The plain fields of one part, in the order of the configuration, but for those that a widget on top sets."""
    found = (_field(f"{part}.{name}", info) for name, info in part_of(part).model_fields.items())
    return tuple(one for one in found if one is not None and one.name not in SET_ON_TOP)


@cache
def fields_of_run() -> Mapping[str, Field]:
    """Those of the run configuration, by their dotted names."""
    return {one.name: one for part in all_parts() for one in fields_of_part(part)}


@cache
def all_fields() -> Mapping[str, Field]:
    """Every widget of the form by its name, but for the switches of parts."""
    own = {name: _declared(name, one.kind) for name, one in DECLARED.items() if one.kind is not None}
    return {**own, **fields_of_run()}


def name_of(path: str) -> str:
    """What the form calls a field of the configuration: its label, or its dotted name where it has no widget."""
    field = fields_of_run().get(path)
    return field.label if field is not None else path


def fields_on(place: str) -> list[Field]:
    """The fields that are declared to stand there."""
    return [all_fields()[name] for name, one in DECLARED.items() if one.place == place]


def found_for(name: str) -> list[str]:
    """The fields that are about this one's value."""
    return [one for one, declared in DECLARED.items() if declared.found_for == name]


def tabs() -> dict[str, list[str]]:
    """The tabs and their parts, and a tab for each part that nothing is declared about."""
    found: dict[str, list[str]] = {}
    for part in (*PARTS, *(part for part in all_parts() if part not in PARTS)):
        found.setdefault(tab_of(part), []).append(part)
    return {**found, LAST_TAB: []}


def all_parts() -> list[str]:
    """The parts of a run's configuration and the parts inside them, in its order."""
    found = []
    for name, info in RunConfig.model_fields.items():
        if _part_in(info.annotation) is not None:
            inner = part_of(name).model_fields
            found += [name, *(f"{name}.{below}" for below in inner if _part_in(inner[below].annotation) is not None)]
    return found


def part_of(path: str) -> type[BaseModel]:
    """The model behind a dotted name, seen through `| None`."""
    part: type[BaseModel] | None = RunConfig
    for name in path.split("."):
        part = _part_in(part.model_fields[name].annotation) if part is not None else None
    if part is None:
        raise KeyError(path)
    return part


def tab_of(part: str) -> str:
    """The tab of a part of the configuration, or of a field of it."""
    around, _, name = part.rpartition(".")
    return PARTS.get(part, Part()).tab or (tab_of(around) if around else name.replace("_", " ").capitalize())


def _field(name: str, info: FieldInfo) -> Field | None:
    """A field of the configuration; None for a nested part or a list."""
    union = get_origin(info.annotation) in (Union, types.UnionType)
    inner = [kind for kind in (get_args(info.annotation) if union else (info.annotation,)) if kind is not NoneType]
    optional = union and len(inner) < len(get_args(info.annotation))
    kind, offers = _kind(inner, optional) if len(inner) == 1 else (None, None)
    if kind is None:
        return None
    return _declared(name, kind, info.description or "", optional, offers)


def _declared(name: str, kind: Kind, words: str = "", optional: bool = False, offers: Offers | None = None) -> Field:
    """What is declared, before what the configuration says."""
    last = name.rpartition(".")[2]
    said = DECLARED.get(name) or DECLARED.get(f"*.{last}") or Declared()
    optional = said.optional or optional
    return Field(
        name=name,
        kind=said.kind or ("choice" if said.offers else kind),
        label=said.label or last.replace("_", " ").capitalize(),
        place=said.place,
        help=said.help or words,
        placeholder=said.placeholder or (DEFAULT if optional else None),
        optional=optional,
        offers=said.offers or offers,
        closed=said.closed,
        sets=said.sets,
        longest=said.longest,
        found_for=said.found_for,
        named_annotators=said.named_annotators,
    )


def _kind(inner: Sequence[Any], optional: bool) -> tuple[Kind | None, Offers | None]:
    """The kind of widget for a type, and what it offers."""
    (kind,) = inner
    if get_origin(kind) is Literal:
        choices = {str(choice): str(choice) for choice in get_args(kind)}
        return "choice", lambda dataset: choices
    if get_origin(kind) is dict:
        return ("shares" if get_args(kind)[1] is float else None), None
    if kind is bool:
        words = {word: word for word, value in FLAGS.items() if value is not None or optional}
        return "flag", lambda dataset: words
    plain: Mapping[Any, Kind] = {int: "int", float: "float", str: "text"}
    return plain.get(kind), None


def _part_in(annotation: Any) -> type[BaseModel] | None:
    kinds = (*get_args(annotation), annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
