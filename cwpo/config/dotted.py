"""Values under dotted names, such as `data.dataset`, in configurations that may be incomplete."""

from collections.abc import Collection, Iterator, Mapping
from types import NoneType
from typing import Any

from pydantic import BaseModel

# What holds no other values under names, told by its exact type: to ask whether it is a mapping takes longer.
PLAIN = frozenset((str, int, float, bool, list, tuple, NoneType))


def value_at(values: Any, path: str) -> Any:
    """The value under a dotted name, in mappings or parts of a configuration; None where a piece is not there."""
    value = values
    for name in path.split("."):
        if isinstance(value, BaseModel):
            value = getattr(value, name, None)
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, plain value) of every leaf; an empty part is a leaf."""
    for name, value in values.items():
        if type(value) not in PLAIN and isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def without(values: Mapping[str, Any], paths: Collection[str], prefix: str = "") -> dict[str, Any]:
    """A copy of plain values that lacks the fields with these dotted names."""
    kept = {name: value for name, value in values.items() if f"{prefix}{name}" not in paths}
    return {
        name: value
        if type(value) in PLAIN or not isinstance(value, Mapping)
        else without(value, paths, f"{prefix}{name}.")
        for name, value in kept.items()
    }
