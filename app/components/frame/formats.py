"""How times, counts and names read. GRA and its differences are formatted by cwpo.report.numbers."""

from datetime import UTC, datetime

from cwpo.config import catalog
from cwpo.config.catalog import short_name
from db.status import CANCELLED, FAILED

MINUTE, HOUR, DAY = 60, 3_600, 86_400
GAVE_UP = {FAILED: "failed", CANCELLED: "was cancelled"}  # how a run ended that will not go on by itself


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Time since, in its largest unit."""
    if moment is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    return f"{seconds // DAY:.0f} d ago"


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 run, 12 runs, 1,200 pairs."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def share(value: float | None, decimals: int = 0) -> str:
    """0.3 -> 30 %."""
    return "" if value is None else f"{100 * value:.{decimals}f} %"


def dataset_name(dataset: str) -> str:
    row = catalog.DATASETS.get(dataset)
    return row.label if row else short_name(dataset)


def models(annotator: str | None, policy: str) -> str:
    """annotator → policy."""
    return f"{short_name(annotator)} → {short_name(policy)}" if annotator else short_name(policy)


def by_ends(values: tuple[int, ...]) -> str:
    """0–3, 7, 8: an unbroken row of three and more by its ends."""
    rows: list[list[int]] = []
    for value in sorted(set(values)):
        if rows and value == rows[-1][-1] + 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)
