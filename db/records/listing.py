"""The list of runs: how it is ordered and grouped, one page of it, and the views of it that people saved."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.records.runs import RunFilters, RunRow

SETTING, EACH_RUN = "setting", "none"  # groupings beside the fields of the config
NEWEST = "id"
LONGEST_KEY = 60  # characters of a text that the place in a list remembers


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Which list: its filters, what a line is, and what the lines are ordered by."""

    filters: RunFilters = field(default_factory=RunFilters)
    grouping: str = SETTING  # or none, or the dotted name of a field
    order: str = NEWEST
    descending: bool = True


@dataclass(frozen=True, kw_only=True)
class Place:
    """The key of the last line of a page; text in the URL, never pickle."""

    known: int  # 0 or 1: whether the line has what the list is ordered by; those without come last
    number: float
    text: str
    newest: int

    def encode(self) -> str:
        """Text that `decode` reads back exactly."""
        return json.dumps([self.known, self.number, self.text, self.newest], separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> "Place | None":
        """The place in a URL, or None (the first page) where somebody edited it into nonsense."""
        try:
            known, number, word, newest = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return None
        if known not in (0, 1) or isinstance(known, bool | float) or not isinstance(word, str):
            return None
        if isinstance(number, bool) or not isinstance(number, int | float) or not _is_finite(number):
            return None
        if isinstance(newest, bool) or not isinstance(newest, int) or not 0 <= newest < 2**62:
            return None
        if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
            return None
        return cls(known=known, number=float(number), text=word[:LONGEST_KEY], newest=newest)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One field or figure over the runs of a line."""

    runs: int  # that have it
    numbers: int  # that have it as a number
    mean: float | None
    sd: float | None  # between runs; None with fewer than two
    low: str  # first and last of its texts in their order: the same where all runs say the same
    high: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the list. `rows` only where it stands for a setting or a run; `value` of the field grouped by."""

    key: str
    value: str | None
    newest: int
    run_ids: tuple[int, ...]  # newest first where the line is of a field
    statuses: Mapping[str, int]
    seeds: tuple[int, ...]
    settings: int
    rows: tuple[RunRow, ...]
    figures: Mapping[str, Figure]
    marks: tuple[str, ...] = ()  # what people put on any run of a field's value; rows say their own


@dataclass(frozen=True, kw_only=True)
class LinePage:
    """One page of lines; `total` counts all that fit and `runs` the runs in them, which are of so many `settings`
    (None where the lines are values of a field). `first`: the place of the first line, from 1; `previous`: the place in
    front of the page, None on the first."""

    lines: tuple[Line, ...]
    next: Place | None
    total: int
    runs: int = 0
    settings: int | None = None
    first: int = 1
    previous: Place | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """What changes when runs are queued, end or go anywhere."""

    runs: int
    newest: int
    queued: int
    running: int
    paused: bool = False  # the queue as a whole

    @property
    def is_live(self) -> bool:
        """Whether anything waits or runs."""
        return self.queued + self.running > 0


@dataclass(frozen=True, kw_only=True)
class SavedViewRow:
    """A list under a name: the parameters of its address."""

    id: int
    name: str
    params: Mapping[str, Any]
    is_default: bool


@dataclass(frozen=True, kw_only=True)
class Around:
    """What stands around the list of runs: counts, saved views, tags, and what can be columns."""

    version: Version
    views: tuple[SavedViewRow, ...]
    tags: tuple[str, ...]  # the most used first
    keys: tuple[str, ...]


def _is_finite(number: float) -> bool:
    return abs(number) < 1e300 and math.isfinite(number)
