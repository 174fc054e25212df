"""From runs to the controls of their weights: New run with their settings and other methods, one click from Queue."""

from collections.abc import Sequence

from app.components.form.configuration import lists_of
from app.components.frame.address import METHODS, SOURCE, FilledForm
from app.components.frame.leaving import link
from cwpo.config import catalog
from cwpo.config.presets import CONTROLS
from db.records import RunRow

LOWER_HALF = ("bottom:50",)
LINKS = {
    "Train a policy on the least confident half alone": LOWER_HALF,
    "Train every control: half by chance, the least confident half, C shuffled, C / mean C": CONTROLS,
}


def show_controls(rows: Sequence[RunRow]) -> None:
    """A link for each control that these runs lack, over the seeds of the first setting that can have controls."""
    first = next((row for row in rows if _can_have_controls(row)), None)
    if first is None:
        return
    seeds = sorted({row.seed for row in rows if row.group_key == first.group_key})
    there = {row.method for row in rows}
    for label, methods in LINKS.items():
        if not {method.partition(":")[0] for method in methods} <= there:
            link(FilledForm(params=_address(first, methods, seeds)), label)


def _address(row: RunRow, methods: Sequence[str], seeds: Sequence[int]) -> dict[str, str | list[str]]:
    """The parameters with which New run opens on the settings of a run, with these methods, their own weights and these
    seeds."""
    lists = lists_of({"method": methods, "seed": seeds})
    address = {
        SOURCE: str(row.id),
        "methods": [METHODS[name] for name in lists["methods"]],
        "percents": lists["percents"],
        "seeds": lists["seeds"],
    }
    if row.weighting != catalog.METHODS[row.method].weighting:
        address["weighting.name"] = ""
    return address


def _can_have_controls(row: RunRow) -> bool:
    """A run whose annotator the methods with weak labels share: that of WS is its own."""
    method = catalog.METHODS[row.method]
    return method.needs_annotator and method.annotator is None
