"""The fields of the run configuration as a form needs them: name, kind, options, help."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from cwpo.config.run import RunConfig

Kind = Literal["int", "float", "choice", "flag", "text", "shares"]

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
    "weighting.name": "Weighting",
    "weighting.temperature": "Temperature T",
    "slope": "Slope a of clipped",
    "gamma": "γ of power",
    "threshold": "Lowest C of threshold",
    "odpo_alpha": "α of ODPO",
    "simpo_gamma": "γ of SimPO",
    "implicit_beta": "Implicit β of ws",
    "use": "Existing annotator",
}


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
        return LABELS.get(self.path) or LABELS.get(name, name.replace("_", " ").capitalize())


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


def plain_parts() -> list[str]:
    """The parts of a run's configuration, in its order."""
    return [name for name, field in RunConfig.model_fields.items() if _holds_part(field.annotation)]


def all_parts() -> list[str]:
    """The parts of a run's configuration and the parts inside them, in its order."""
    found = []
    for name in plain_parts():
        inner = part_of(name).model_fields
        below = [f"{name}.{field}" for field, info in inner.items() if _holds_part(info.annotation)]
        found += [name, *below]
    return found


def spec_of(path: str) -> FieldSpec:
    """The one field with this dotted name."""
    part = path.rsplit(".", 1)[0]
    return next(spec for spec in specs(part_of(part), f"{part}.") if spec.path == path)


def _kinds(annotation: Any) -> Iterator[tuple[Kind, bool, tuple[str, ...]]]:
    """(kind, optional, options) of a plain field; nothing for a nested part or a list."""
    union = get_origin(annotation) in (Union, types.UnionType)
    inner = [kind for kind in (get_args(annotation) if union else (annotation,)) if kind is not type(None)]
    optional = union and len(inner) < len(get_args(annotation))
    if get_origin(inner[0]) is Literal:
        yield "choice", optional, tuple(get_args(inner[0]))
        return
    if get_origin(inner[0]) is dict:
        yield "shares", optional, ()
        return
    plain: Mapping[Any, Kind] = {bool: "flag", int: "int", float: "float", str: "text"}
    if len(inner) == 1 and inner[0] in plain:
        yield plain[inner[0]], optional, ()


def _holds_part(annotation: Any) -> bool:
    return any(_is_part(kind) for kind in (*get_args(annotation), annotation))


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
