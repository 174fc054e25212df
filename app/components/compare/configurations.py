"""How the settings shown are configured: only what differs, as a table, and for a sweep as a picture."""

from collections.abc import Sequence

from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import Exported
from app.components.frame.formats import counted
from app.components.frame.tables import Cell, Column
from app.components.runs.table import first_seeds
from app.reads import results
from cwpo.compare.gra import GraRow
from cwpo.config.dotted import without
from cwpo.report import config_differences
from cwpo.report.config_differences import Differences
from db.records import RunRow

SAID_BY_METHOD = ("method", "top_percent")
LEAST_OF_A_SWEEP = 3  # settings from which on lines along the fields say more than the table
NAME, CELL, LINE_CELL = 60, 32, 24  # characters


def show_configurations(rows: Sequence[RunRow], table: Sequence[GraRow], reference: str) -> None:
    """Fields that differ among exactly the settings shown; the reference first, muted where equal to it."""
    found = differences_of(rows, reference)
    if not found.fields:
        layout.note("These runs differ in their seed and name only.")
        return
    _show_sweep(rows, table)
    width = LINE_CELL if found.as_lines else CELL
    columns = [
        Column(label=name, limit=NAME if place == 0 else width, whole=place == 0)
        for place, name in enumerate(found.columns)
    ]
    lines: list[list[object]] = [
        [name, *(Cell(text=cell.text, muted=cell.same) for cell in line)] for name, line in found.rows()
    ]
    tables.show(columns, lines, alt="Configuration, differences only")
    layout.note(
        f"Only what differs among the {counted(len(found.names), 'setting')} shown; muted where equal to the first. "
        "Default: what a run has where nobody says anything; none: set to nothing; absent: no such field."
    )


def differences_of(rows: Sequence[RunRow], reference: str = "") -> Differences:
    """The first seed of each setting, the reference before the others, without what differs by seed."""
    firsts = sorted(first_seeds(rows), key=lambda row: row.group_key != reference)
    configs, labels = results.configs_of(rows), results.labels_of(rows)
    plain = [without(configs[row.id].canonical(), ("name", "seed")) if row.id in configs else {} for row in firsts]
    return config_differences.differences_between([labels[row.group_key] for row in firsts], plain)


def exports(rows: Sequence[RunRow], reference: str = "") -> list[Exported]:
    """The same as files."""
    return [
        Exported(
            name="Configuration",
            numbers=lambda: config_differences.numbers(differences_of(rows, reference)),
            cells=lambda: config_differences.cells(differences_of(rows, reference)),
        )
    ]


def _show_sweep(rows: Sequence[RunRow], table: Sequence[GraRow]) -> None:
    """Lines from the fields to the results, where more than the method was varied."""
    known = {row.group_key: row for row in table}
    evaluated = [row for row in rows if row.group_key in known]
    found = differences_of(evaluated)
    if len(found.names) < LEAST_OF_A_SWEEP or not set(found.fields) - set(SAID_BY_METHOD):
        return
    firsts = first_seeds(evaluated)
    swept = [
        (known[row.group_key], {field: values[place] for field, values in found.fields.items()})
        for place, row in enumerate(firsts)
    ]
    caption = (
        "A line is a setting over its seeds, from the fields that differ to GRA, KL and tokens. Coloured by method; "
        "where there is one method, the darker the higher its GRA."
    )
    show_chart("parallel", swept, key="parallel", title="Which values lead where?", caption=caption)
