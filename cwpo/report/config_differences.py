"""What differs between configurations: missing, none and the default are three different things. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from cwpo.config.dotted import flat
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError
from cwpo.report.listings import config_numbers
from cwpo.report.tables import Table


class Missing(Enum):
    """A field that a configuration does not have, which is not a field that is none."""

    ABSENT = "absent"


ABSENT = Missing.ABSENT
NONE, DEFAULT = "none", " (default)"
BESIDE_EACH_OTHER = 4  # settings that stand as columns; more are lines


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One value of one setting as people read it."""

    text: str
    same: bool  # as the first setting's


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Only the fields that differ among these settings, each with one value per setting; the first is what the others
    are held against."""

    names: tuple[str, ...]
    fields: Mapping[str, tuple[Any, ...]]
    defaults: tuple[Mapping[str, Any], ...]

    @property
    def as_lines(self) -> bool:
        """Many settings are lines, because no page is wide enough for their columns."""
        return len(self.names) > BESIDE_EACH_OTHER

    @property
    def columns(self) -> tuple[str, ...]:
        return ("setting", *self.fields) if self.as_lines else ("field", *self.names)

    def rows(self) -> list[tuple[str, list[Shown]]]:
        """Name of the line and its cells."""
        if not self.as_lines:
            return [(field, [self._cell(field, place) for place in range(len(self.names))]) for field in self.fields]
        return [(name, [self._cell(field, place) for field in self.fields]) for place, name in enumerate(self.names)]

    def _cell(self, field: str, place: int) -> Shown:
        values = self.fields[field]
        value = values[place]
        usual = self.defaults[place].get(field, ABSENT)
        text = as_text(value) + (DEFAULT if value is not ABSENT and same(value, usual) else "")
        return Shown(text=text, same=place > 0 and same(value, values[0]))


def differences_between(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Differences:
    """Computed over exactly the configurations given."""
    return Differences(
        names=tuple(names),
        fields={name: tuple(values) for name, values in differing(configs).items()},
        defaults=tuple(_defaults(_dataset(config)) for config in configs),
    )


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted names whose values are not the same in all of these configurations, with one value each."""
    leaves = [dict(flat(config)) for config in configs]
    names = dict.fromkeys(name for leaf in leaves for name in leaf)
    columns = {name: [leaf.get(name, ABSENT) for leaf in leaves] for name in names}
    return {name: values for name, values in columns.items() if any(not same(one, values[0]) for one in values[1:])}


def same(one: Any, other: Any) -> bool:
    """1 and 1.0 are one value, True and 1 are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_text(value: Any) -> str:
    """A value as people read it."""
    if value is ABSENT:
        return ABSENT.value
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("-", "−")
    if isinstance(value, list | tuple):
        return ", ".join(as_text(item) for item in value)
    return str(value)


def cells(found: Differences) -> Table:
    """The table as people read it, for a file."""
    rows = tuple((name, *(cell.text for cell in line)) for name, line in found.rows())
    return Table(columns=found.columns, rows=rows)


def numbers(found: Differences) -> Table:
    """Fields by setting for machines; a field that is not there is called so, and none is null."""
    plain = {name: [ABSENT.value if value is ABSENT else value for value in of] for name, of in found.fields.items()}
    return config_numbers(found.names, plain)


def _dataset(config: Mapping[str, Any]) -> str:
    data = config.get("data")
    named: Any = data.get("dataset") if isinstance(data, Mapping) else None
    return str(named or "sandbox")


@lru_cache(maxsize=64)
def _defaults(dataset: str) -> Mapping[str, Any]:
    """What a run on this dataset has where nobody says anything."""
    try:
        return dict(flat(RunConfig.stored({"data": {"dataset": dataset}, "rules": 2}).canonical()))
    except ConfigError:  # a dataset of another version has defaults that nobody here knows
        return {}
