"""A configuration as dotted lines, and what differs between the configurations shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.components.frame import tables
from app.components.frame.tables import Cell, Column
from cwpo.config.dotted import flat
from cwpo.report.listings import config_numbers
from cwpo.report.tables import Table

ABSENT = "absent"  # missing is not the same as empty


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted names whose values are not the same in all of these configurations, with one value each."""
    leaves = [dict(flat(config)) for config in configs]
    names = dict.fromkeys(name for leaf in leaves for name in leaf)
    columns = {name: [leaf.get(name, ABSENT) for leaf in leaves] for name in names}
    return {name: values for name, values in columns.items() if any(value != values[0] for value in values[1:])}


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("-", "−")
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def show_config(config: Mapping[str, Any], files: list[tables.Drawn]) -> None:
    """All fields of one run."""
    fields = dict(flat(config))
    rows = [(name, Cell(text=shown(value), muted=value in (None, ""))) for name, value in fields.items()]
    numbers = {name: [value] for name, value in fields.items()}
    tables.show_with_file(
        files,
        (Column(label="field"), Column(label="value")),
        rows,
        alt="Configuration of the run",
        numbers=lambda: config_numbers(["value"], numbers),
    )


def show_differences(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> None:
    """Only what differs, computed over exactly the configurations shown; what equals the first one is muted."""
    columns, rows = _compared(names, configs)
    tables.show(columns, rows, alt="Configuration, differences only")


def difference_table(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Table:
    """The same for a file."""
    return tables.as_table(*_compared(names, configs))


def _compared(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> tuple[list[Column], list[list[object]]]:
    columns = [Column(label="field"), *(Column(label=name, limit=32) for name in names)]
    rows: list[list[object]] = [
        [
            field,
            *(Cell(text=shown(value), muted=place > 0 and value == values[0]) for place, value in enumerate(values)),
        ]
        for field, values in differing(configs).items()
    ]
    return columns, rows
