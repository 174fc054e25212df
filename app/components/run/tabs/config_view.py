"""A configuration as dotted lines."""

from collections.abc import Mapping
from typing import Any

from app.components.frame import tables
from app.components.frame.tables import Cell, Column
from cwpo.config.dotted import flat
from cwpo.report.config_differences import as_text
from cwpo.report.listings import config_numbers


def show_config(config: Mapping[str, Any], files: list[tables.Drawn]) -> None:
    """All fields of one run."""
    fields = dict(flat(config))
    rows = [(name, Cell(text=as_text(value), muted=value in (None, ""))) for name, value in fields.items()]
    numbers = {name: [value] for name, value in fields.items()}
    tables.show_with_file(
        files,
        (Column(label="field"), Column(label="value")),
        rows,
        alt="Configuration of the run",
        numbers=lambda: config_numbers(["value"], numbers),
    )
