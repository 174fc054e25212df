"""Columns that other parts give the list: what they say of runs, in words ready to be shown."""

from collections.abc import Callable, Iterable, Mapping

from app import untrusted
from db.records import RunRow

Words = tuple[str, ...]


def marks(row: RunRow) -> Words:
    """What people put on a run: a pin, and tags."""
    return (*(("pinned",) if row.pinned else ()), *row.tags)


# heading -> the words of a run
EXTRA: Mapping[str, Callable[[RunRow], Words]] = {"tags": marks}
OF_VALUES = "tags"  # of which the lines of a field's values know the words without their runs
EXTRA_WIDTH = 96


def joined(words: Iterable[Words]) -> str:
    """What the runs of one line say, each thing once."""
    return untrusted.label(", ".join(dict.fromkeys(word for its in words for word in its)))
