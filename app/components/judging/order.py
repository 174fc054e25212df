"""The same ranking under every judge at hand, with the probability that it is stable."""

from collections.abc import Sequence

from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.reads import along
from cwpo.config import catalog
from cwpo.report.document.meanings import glossary
from cwpo.report.judges import columns
from db.records import RunRow

SAID = (
    "Prompts (whole clusters) and seeds are drawn with replacement, the same draw for every setting and both judges; a "
    "tie of neighbours counts half. With few seeds their part is too small, with one it is left out."
)


SEVERAL = (
    "The order of the settings under every judge is not shown: it needs one gold reward that judged all of them, and "
    "these runs were evaluated with"
)


def show_order(rows: Sequence[RunRow]) -> None:
    """One line per judge; nothing with fewer than two settings, and why where their gold rewards differ."""
    golds = [catalog.model_name(name) for name in along.golds_of(rows)]
    if len(golds) > 1:
        layout.note(f"{SEVERAL} {', '.join(golds[:-1])} and {golds[-1]}.")
        return
    found = along.orders_of(rows)
    if not found:
        return
    layout.small("The same order under every judge?", meanings=glossary(columns.ORDER))
    tables.show_report(columns.ORDER, found, alt="Order of the settings under every judge")
    layout.note(SAID)
    show_export([of_columns("order by judge", columns.ORDER, found, notes=[SAID])], key="export_order")
