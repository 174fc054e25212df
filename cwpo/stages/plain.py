"""Settings as plain JSON values and back. Strict: an unknown, missing or wrongly typed field is one sentence.

Three things can be declared of a field: `usual(value)`, left out where it has that value, so that a field that comes
later leaves stored artifacts valid; `inlined()`, a part whose fields stand beside the others; `others()`, the mapping
that holds what no other field is called.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cwpo.errors import SettingsError

S = TypeVar("S")
_USUAL, _INLINED, _OTHERS = "usual", "inlined", "others"


def usual(value: Any) -> Any:
    """A field that stands in the plain form only where it has another value than this default."""
    return field(default=value, metadata={_USUAL: value})


def inlined() -> Any:
    """An optional part, None by default, whose fields stand beside those of its owner."""
    return field(default=None, metadata={_INLINED: True})


def others() -> Any:
    """The mapping of all names that are no field of the class."""
    return field(metadata={_OTHERS: True})


def to_plain(settings: Any) -> dict[str, Any]:
    """The JSON values of a settings dataclass, fields at their usual value left out."""
    values: dict[str, Any] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if _USUAL in item.metadata and value == item.metadata[_USUAL]:
            continue
        if _INLINED in item.metadata:
            values |= {} if value is None else to_plain(value)
        elif _OTHERS in item.metadata:
            values |= value
        else:
            values[item.name] = _plain(value)
    return values


def from_plain(kind: type[S], values: Mapping[str, Any], where: str = "") -> S:
    """The settings of that class; SettingsError names the first field that is unknown, missing or of another type."""
    owner: Any = kind
    known, inner = _fields_of(owner), set[str]()
    given: dict[str, Any] = {}
    for item, hint in known:
        if _INLINED in item.metadata:
            part = _optional(hint)
            own = {name: values[name] for name in _names(part) if name in values}
            inner |= own.keys()
            given[item.name] = from_plain(part, own, where) if own else None
        elif item.name in values and _OTHERS not in item.metadata:
            given[item.name] = _typed(hint, values[item.name], f"{where}{item.name}")
        elif _USUAL not in item.metadata and _OTHERS not in item.metadata:
            raise SettingsError(f"{where}{item.name} is missing")
    rest = {name: value for name, value in values.items() if name not in inner and name not in given}
    for item, hint in known:
        if _OTHERS in item.metadata:
            given[item.name], rest = _typed(hint, rest, where.removesuffix(".")), {}
    for name in rest:
        raise SettingsError(f"{where}{name} is not known")
    return kind(**given)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _typed(hint: Any, value: Any, where: str) -> Any:
    """The value as that type; a whole number is a float too, nothing else is turned into anything."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), value, where)
    if origin is Literal:
        if value in get_args(hint):
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(get_args(hint)[0], item, where) for item in value)
    elif isinstance(value, Mapping) and origin is not None and issubclass(origin, Mapping):
        return {name: _typed(get_args(hint)[1], item, f"{where}.{name}") for name, item in value.items()}
    elif isinstance(value, Mapping) and isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, value, f"{where}.")
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif origin is None and type(value) is hint:
        return value
    raise SettingsError(f"{where} cannot be {value!r}")


def _one_of(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    """Exactly that type where one is, else the first that takes it."""
    if value is None and types.NoneType in hints:
        return None
    for hint in sorted(hints, key=lambda hint: type(value) is not hint):
        if hint is types.NoneType:
            continue
        if len(hints) == 2 and types.NoneType in hints:
            return _typed(hint, value, where)  # so that what is wrong deep inside is named
        try:
            return _typed(hint, value, where)
        except SettingsError:
            continue
    raise SettingsError(f"{where} cannot be {value!r}")


@cache
def _fields_of(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((item, hints[item.name]) for item in fields(kind))


def _names(kind: type) -> Iterator[str]:
    return (item.name for item in fields(kind))


def _optional(hint: Any) -> Any:
    """X of X | None."""
    return next(part for part in get_args(hint) if part is not types.NoneType)


def model_of(settings: Any) -> str | None:
    """The model that a stage's settings name; None for kinds without one."""
    name = getattr(settings, "model", None)
    return None if name is None else str(name)
