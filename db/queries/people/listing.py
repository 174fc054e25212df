"""The list of runs as lines: settings, runs, or the values of a field; in any order, by pages that start at a key.

Every statement reads the runs that fit the filters from one index, and from another the values of the field or figure
that orders or groups them, whatever else the runs hold.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    Float,
    Numeric,
    String,
    case,
    cast,
    extract,
    func,
    literal,
    literal_column,
    null,
    select,
    tuple_,
    union_all,
)  # fmt: skip
from sqlalchemy.orm import Session, aliased, join, outerjoin

from db import status
from db.models import Run, RunTag, RunValue, SavedView, Setting
from db.queries.common import cut
from db.queries.people.keeping import most_used_tags
from db.queries.runs import conditions, not_deleted, read_runs
from db.readiness import QUEUE_PAUSED
from db.records import RunRow
from db.records.listing import (
    EACH_RUN,
    LONGEST_KEY,
    SETTING,
    Around,
    Figure,
    Line,
    LinePage,
    Listing,
    Place,
    SavedViewRow,
    Version,
)

MOST_KEYS = 400
NOTHING: Any = literal_column("''")
ZERO: Any = literal_column("0")
ONE: Any = literal_column("1")
FIRST_TAG: Any = select(func.min(RunTag.tag)).where(RunTag.run_id == Run.id).correlate(Run).scalar_subquery()
PLAIN_ORDERS: Mapping[str, tuple[Any, Any, Callable[[Any], Any]]] = {
    # name of the column: its number or None, its text or None, and what stands for several runs
    "id": (Run.id, None, func.max),
    "updated": (
        extract("epoch", func.coalesce(Run.finished_at, Run.started_at, Run.created_at)), None, func.max,
    ),
    "seeds": (Run.seed, None, lambda seed: func.count(seed.distinct())),
    "name": (None, Run.name, func.min),
    "status": (None, Run.status, func.min),
    "setting": (None, Run.method_label + literal_column("' '") + Run.objective, func.min),
    "models": (None, Run.policy, func.min),
    "data": (None, Run.dataset, func.min),
    "owner": (None, Run.owner, func.min),
    "tags": (case((Run.pinned, ZERO), (FIRST_TAG.is_not(None), ONE)), FIRST_TAG, func.min),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Source:
    """From where a list is read: the tables that its runs and its lines come from, and what a line is."""

    line: Any
    tables: Any
    conditions: Sequence[Any]
    of_values: bool = False  # lines that may have all runs

    def of(self, *columns: Any) -> Any:
        """Columns of the runs that fit."""
        return select(*columns).select_from(self.tables).where(*self.conditions)


def list_lines(
    session: Session,
    listing: Listing,
    *,
    after: Place | None,
    before: Place | None = None,
    limit: int,
    keys: Collection[str] = (),
) -> LinePage:
    """One page of lines, behind one place or in front of another, with the figures named by `keys`: two to four
    queries, whatever the number of runs. Where less than a page is in front, the first page."""
    found, more = _page(session, listing, after, before, limit)
    names = [row.line for row in found]
    source = _source(listing)
    figures = _figures(session, source, names, keys)
    if listing.grouping in (SETTING, EACH_RUN):
        rows = _rows(session, source, names)
        lines = [_line_of_rows(row, rows.get(row.line, []), figures.get(row.line, {})) for row in found]
    else:
        tallies = _tallies(session, source, names)
        lines = [_line_of_value(row, tallies[row.line], figures.get(row.line, {})) for row in found]
    first = found[0].ahead + 1 if found else 1
    return LinePage(
        lines=tuple(lines),
        next=_place_of(found[-1]) if more else None,
        total=found[0].total if found else 0,
        runs=found[0].runs if found else 0,
        settings=found[0].all_settings if found else None,
        first=first,
        previous=_place_of(found[0]) if first > 1 else None,
    )


def _page(
    session: Session, listing: Listing, after: Place | None, before: Place | None, limit: int
) -> tuple[Sequence[Any], bool]:
    """The lines of a page, each with how many there are and how many stand in front of the first, and whether another
    page follows."""
    if before is not None:
        found = session.execute(_lines_from(listing, before, limit, back=True)).all()
        if len(found) == limit:
            return found[::-1], True
        after = None
    return cut(session.execute(_lines_from(listing, after, limit + 1, back=False)).all(), limit)


def _lines_from(listing: Listing, start: Place | None, limit: int, *, back: bool) -> Any:
    """The lines behind a place, nearest first, or with `back` those in front of it."""
    lines = _lines(listing)
    place = [lines.c.flag, lines.c.number, lines.c.text, lines.c.newest]
    descending = listing.descending is not back
    met = [] if start is None else [_behind(place, start, descending=descending)]
    total = select(func.count()).select_from(lines)
    here = total.where(*met).scalar_subquery()
    ahead = here - limit if back else total.scalar_subquery() - here
    counts = {"total": total.scalar_subquery(), "ahead": ahead if met else ZERO, **_counts_of_runs(listing)}
    page = select(*lines.c, *(count.label(name) for name, count in counts.items())).where(*met)
    return page.order_by(*(one.desc() if descending else one for one in place)).limit(limit)


def _counts_of_runs(listing: Listing) -> dict[str, Any]:
    """How many runs fit, and of how many settings where the lines do not say it."""
    fitting = [select(one).select_from(Run).where(*conditions(listing.filters)).scalar_subquery()
               for one in (func.count(), func.count(Run.group_key.distinct()))]  # fmt: skip
    of_settings = fitting[1] if listing.grouping == EACH_RUN else literal_column("NULL")
    return {"runs": fitting[0], "all_settings": of_settings}


def figures_of(
    session: Session, listing: Listing, lines: Sequence[Any], keys: Collection[str]
) -> dict[Any, dict[str, Figure]]:
    """The figures named by `keys` of lines that are known already."""
    return _figures(session, _source(listing), lines, keys)


def version(session: Session) -> Version:
    """Whether the list may have changed: read from indexes alone."""
    return _version(dict(session.execute(_version_asked()).one()._mapping))


@cache
def _version_asked() -> Any:
    return select(*(one.label(name) for name, one in _counts().items()))


def around(session: Session) -> Around:
    """What stands around the list, whatever it shows, in one query."""
    found: dict[str, list[Any]] = {"view": [], "tag": [], "key": [], "count": []}
    for row in session.execute(_around_asked()):
        found[row.what].append(row)
    shown = sorted(found["view"], key=lambda row: (row.word.lower(), row.number))
    return Around(
        version=_version({row.word: row.number for row in found["count"]}),
        views=tuple(
            SavedViewRow(id=row.number, name=row.word, params=row.params, is_default=bool(row.flag)) for row in shown
        ),
        tags=tuple(row.word for row in sorted(found["tag"], key=lambda row: (-row.number, row.word))),
        keys=tuple(sorted(row.word for row in found["key"])),
    )


@cache
def _around_asked() -> Any:
    """Always the same question, written down once: that takes longer than to answer it."""
    views = select(
        literal_column("'view'").label("what"), SavedView.id.label("number"), SavedView.name.label("word"),
        case((SavedView.is_default, 1), else_=0).label("flag"), SavedView.params.label("params"),
    )  # fmt: skip
    tags, keys = most_used_tags().subquery("tags"), _keys().subquery("known_keys")
    more = [
        select(literal_column("'tag'"), tags.c.runs, tags.c.tag, ZERO, null()),
        select(literal_column("'key'"), ZERO, keys.c.key, ZERO, null()),
        *(
            select(literal_column("'count'"), func.coalesce(one, ZERO), literal_column(f"'{name}'"), ZERO, null())
            for name, one in _counts().items()
        ),
    ]
    return union_all(views, *more)


def value_keys(session: Session) -> list[str]:
    """The fields and figures that any run has: one look into the index for each."""
    return list(session.scalars(_keys()))


def _counts() -> dict[str, Any]:
    """What the version of the list is made of, each of them one number."""
    paused = select(func.count()).select_from(Setting).where(Setting.key == QUEUE_PAUSED)
    live = {state: select(func.count()).select_from(Run).where(Run.status == state) for state in status.LIVE}
    listed = select(func.count()).select_from(Run).where(Run.archived.is_(False), not_deleted())
    counts = {"runs": listed, "newest": select(func.max(Run.id)), "paused": paused, **live}
    return {name: one.scalar_subquery() for name, one in counts.items()}


def _version(counts: Mapping[str, Any]) -> Version:
    return Version(
        runs=counts["runs"], newest=counts["newest"] or 0, queued=counts[status.QUEUED], running=counts[status.RUNNING],
        paused=bool(counts["paused"]),
    )  # fmt: skip


def _keys() -> Any:
    first = select(func.min(RunValue.key).label("key")).cte("keys", recursive=True)
    following = select(func.min(RunValue.key)).where(RunValue.key > first.c.key).scalar_subquery()
    keys = first.union_all(select(following).where(first.c.key.is_not(None)))
    return select(keys.c.key).where(keys.c.key.is_not(None)).limit(MOST_KEYS)


def saved_views(session: Session) -> list[SavedViewRow]:
    """The lists that people kept, by name."""
    rows = session.scalars(select(SavedView).order_by(func.lower(SavedView.name), SavedView.id))
    return [SavedViewRow(id=row.id, name=row.name, params=row.params, is_default=row.is_default) for row in rows]


def _source(listing: Listing) -> _Source:
    wanted = conditions(listing.filters)
    if listing.grouping == SETTING:
        return _Source(line=Run.group_key, tables=Run, conditions=wanted)
    if listing.grouping == EACH_RUN:
        return _Source(line=Run.id, tables=Run, conditions=wanted)
    its = _values("its", [listing.grouping])
    tables = outerjoin(Run, its, its.c.run_id == Run.id)
    return _Source(line=func.coalesce(its.c.text, NOTHING), tables=tables, conditions=wanted, of_values=True)


def _values(name: str, keys: Collection[str]) -> Any:
    """These fields and figures of all runs, read at once from their index: of thousands of runs one after the other
    takes four times as long."""
    found = select(RunValue.run_id, RunValue.key, RunValue.number, RunValue.text).where(RunValue.key.in_(keys))
    return found.cte(name).prefix_with("MATERIALIZED")


def _lines(listing: Listing) -> Any:
    """Every line with what it is ordered by: (flag, number, text, newest), which no two lines share."""
    source = _source(listing)
    tables = source.tables
    if listing.order in PLAIN_ORDERS:
        number, text, together = PLAIN_ORDERS[listing.order]
    else:
        by = _values("by_value", [listing.order])
        tables = outerjoin(tables, by, by.c.run_id == Run.id)
        number, text, together = by.c.number, by.c.text, _mean
    alone = listing.grouping == EACH_RUN
    if number is not None:
        number = (number if listing.order != "seeds" else Run.seed) if alone else together(number)
    if text is not None:
        text = func.nullif(func.substr(text if alone else func.min(text), 1, LONGEST_KEY), NOTHING)
    here = [one.is_not(None) for one in (number, text) if one is not None]
    known, unknown = (ONE, ZERO) if listing.descending else (ZERO, ONE)
    number = ZERO if number is None else func.coalesce(number, ZERO)
    columns = (
        source.line.label("line"),
        case(*((one, known) for one in here), else_=unknown).label("flag"),
        cast(number, Float(53)).label("number"),
        (func.coalesce(text, NOTHING) if text is not None else NOTHING).label("text"),
        (Run.id if alone else func.max(Run.id)).label("newest"),
        (ONE if listing.grouping in (SETTING, EACH_RUN) else func.count(Run.group_key.distinct())).label("settings"),
    )
    rows = select(*columns).select_from(tables).where(*source.conditions)
    return (rows if alone else rows.group_by(source.line)).cte("lines")


def _mean(number: Any) -> Any:
    """The mean, rounded: the order in which a database adds up must not move a line between two pages."""
    return cast(func.round(cast(func.avg(number), Numeric), 9), Float(53))


def _behind(place: Sequence[Any], after: Place, *, descending: bool) -> Any:
    values = (after.known, cast(literal(after.number), Float(53)), after.text, after.newest)
    key, last = tuple_(*place), tuple_(*values)
    return key < last if descending else key > last


def _place_of(row: Any) -> Place:
    return Place(known=row.flag, number=row.number, text=row.text, newest=row.newest)


def _rows(session: Session, source: _Source, names: Sequence[Any]) -> dict[Any, list[RunRow]]:
    """The runs of settings, or the runs themselves, with all that a line shows of them."""
    by_group = source.line is Run.group_key
    chosen = select(Run.id).where(*source.conditions, source.line.in_(names))
    found: dict[Any, list[RunRow]] = {}
    for row, _ in read_runs(session, chosen, order=(Run.seed, Run.id)):
        found.setdefault(row.group_key if by_group else row.id, []).append(row)
    return found


@dataclass(kw_only=True)
class _Tally:
    """The runs that have one value of a field, which may be all runs: how they stand, not what they are."""

    ids: list[int] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    seeds: set[int] = field(default_factory=set)
    pinned: bool = False
    tags: list[str] = field(default_factory=list)


def _tallies(session: Session, source: _Source, names: Sequence[Any]) -> dict[Any, _Tally]:
    """Added up by the database: a value has thousands of runs, and a line shows a few numbers of them."""
    line = source.line.label("line")
    pinned = func.max(case((Run.pinned, 1), else_=0))
    ids = func.aggregate_strings(cast(Run.id, String), ",")
    rows = source.of(line, Run.status, Run.seed, func.count(), pinned, ids).where(source.line.in_(names))
    found: dict[Any, _Tally] = {}
    for name, state, seed, count, is_pinned, together in session.execute(rows.group_by(line, Run.status, Run.seed)):
        one = found.setdefault(name, _Tally())
        one.ids += map(int, together.split(","))
        one.statuses[state] = one.statuses.get(state, 0) + count
        one.seeds.add(seed)
        one.pinned = one.pinned or bool(is_pinned)
    tagged = select(line, RunTag.tag).select_from(join(source.tables, RunTag, RunTag.run_id == Run.id))
    few = Run.id.in_(select(RunTag.run_id))  # begin with those that have any
    wanted = tagged.where(few, *source.conditions, source.line.in_(names)).distinct()
    for name, tag in sorted(session.execute(wanted).tuples()):
        found[name].tags.append(tag)
    return found


def _figures(
    session: Session, source: _Source, names: Sequence[Any], keys: Collection[str]
) -> dict[Any, dict[str, Figure]]:
    """Each of these fields and figures over the runs of each line."""
    if not keys or not names:
        return {}
    if source.of_values:
        of = _values("wanted", keys)
        tables, its = join(source.tables, of, of.c.run_id == Run.id), of.c
    else:
        each = aliased(RunValue)
        tables, its = join(source.tables, each, (each.run_id == Run.id) & each.key.in_(keys)), each
    rows = (
        select(
            source.line.label("line"), its.key, func.count(), func.count(its.number), func.avg(its.number),
            func.sum(its.number * its.number), func.min(its.text), func.max(its.text),
        )
        .select_from(tables)
        .where(*source.conditions, source.line.in_(names))
        .group_by(source.line, its.key)
    )  # fmt: skip
    found: dict[Any, dict[str, Figure]] = {}
    for line, key, runs, numbers, mean, squares, low, high in session.execute(rows):
        found.setdefault(line, {})[key] = Figure(
            runs=runs, numbers=numbers, mean=mean, sd=_sd(numbers, mean, squares), low=low, high=high
        )
    return found


def _sd(count: int, mean: float | None, squares: float | None) -> float | None:
    if count < 2 or mean is None or squares is None:
        return None
    return math.sqrt(max(0.0, (squares - count * mean * mean) / (count - 1)))


def _line_of_rows(row: Any, rows: Sequence[RunRow], figures: Mapping[str, Figure]) -> Line:
    return Line(
        key=str(row.line), value=None if row.line == "" else str(row.line), newest=row.newest,
        run_ids=tuple(one.id for one in rows), statuses=Counter(one.status for one in rows),
        seeds=tuple(sorted({one.seed for one in rows})), settings=len({one.group_key for one in rows}),
        rows=tuple(rows), figures=figures,
    )  # fmt: skip


def _line_of_value(row: Any, tally: _Tally, figures: Mapping[str, Figure]) -> Line:
    return Line(
        key=str(row.line), value=None if row.line == "" else str(row.line), newest=row.newest,
        run_ids=tuple(sorted(tally.ids, reverse=True)), statuses=tally.statuses, seeds=tuple(sorted(tally.seeds)),
        settings=row.settings, rows=(), figures=figures, marks=((*(("pinned",) if tally.pinned else ()), *tally.tags)),
    )  # fmt: skip
