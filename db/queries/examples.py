"""The Examples page: pairs by confidence, with their texts, and where a page of them stands in the list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.engine import batches
from db.models import Annotation, Pair
from db.queries.annotators import LABELS_SLOT
from db.queries.common import SlotStage, after_key, check_choice, cut, slot_stages
from db.records import AnnotationPage, AnnotationRow, Cursor, LabelsOfRun

AGREEMENTS: dict[str, list[ColumnElement[bool]]] = {
    "any": [],
    "agree": [Annotation.agrees_human.is_(True)],
    "disagree": [Annotation.agrees_human.is_(False)],
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """Pairs by one indexed column, then by id. `only`: the pairs that are meant; `known`: where the column has a value,
    in the words of its index."""

    column: InstrumentedAttribute[Any]
    descending: bool = True
    only: Sequence[ColumnElement[bool]] = ()
    known: Sequence[ColumnElement[bool]] = ()

    @property
    def key(self) -> tuple[InstrumentedAttribute[Any], ...]:
        return self.column, Annotation.id


ORDERS: Mapping[str, Order] = {
    "lowest": Order(column=Annotation.confidence, descending=False),
    "confident_wrong": Order(column=Annotation.confidence, only=AGREEMENTS["disagree"]),
    "highest": Order(column=Annotation.confidence),
    "unsure": Order(column=Annotation.spread, known=[Annotation.spread.is_not(None)]),
}


@dataclass(frozen=True, kw_only=True)
class View:
    """The pairs that are looked at: of one attempt at labels, in a range of C, by agreement."""

    stage_id: int
    attempt_id: int | None
    low: float = 0.0
    high: float = 1.0
    agreement: str = "any"

    def of(self, order: Order, after: Cursor | None = None) -> list[ColumnElement[bool]]:
        """The conditions of a list in this order, which is entered at the cursor: a range that began in front of it
        would be read from there, because databases take one bound for each end."""
        low, high = self.low, self.high
        if after is not None and order.column is Annotation.confidence and isinstance(after.value, float | int):
            low, high = (low, min(high, after.value)) if order.descending else (max(low, after.value), high)
        return [
            Annotation.stage_id == self.stage_id, Annotation.attempt_id == self.attempt_id,
            Annotation.confidence.between(low, high), *AGREEMENTS[self.agreement], *order.only,
        ]  # fmt: skip


WITH_TEXTS = (
    Annotation.id, Annotation.pair_id, Annotation.score_a, Annotation.score_b, Annotation.margin, Annotation.confidence,
    Annotation.label, Annotation.agrees_human, Annotation.spread, Pair.prompt_id, Pair.prompt, Pair.response_a,
    Pair.response_b, Pair.human_label, Pair.true_label,
)  # fmt: skip
# A text search reads the texts of at most 6,000 pairs a page (under 100 ms), in growing steps.
SEARCH_STEPS = (500, 1_500, 4_000)
# Texts held in memory at once.
SEARCH_CHUNK = 500


def annotations(
    session: Session,
    run_id: int,
    *,
    c_low: float = 0.0,
    c_high: float = 1.0,
    agreement: str = "any",
    text: str = "",
    order: str = "lowest",
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = 20,
    known: LabelsOfRun | None = None,
    total: int | None = None,
    ahead: int | None = None,
) -> AnnotationPage:
    """One page of annotated pairs in one order, behind one cursor or in front of another. The page is chosen in an
    index; texts are read for its rows only. `known`, `total` and `ahead`: the labels of the run, how many pairs are in
    the view and how many of them stand in front of this page, where they were read before."""
    check_choice("Order", order, ORDERS)
    check_choice("Agreement", agreement, AGREEMENTS)
    labels = known or _labels(session, run_id)
    if labels is None:
        return AnnotationPage(rows=(), next=None, total=0, searched=None)
    view = View(stage_id=labels.stage_id, attempt_id=labels.attempt_id, low=c_low, high=c_high, agreement=agreement)
    chosen = ORDERS[order]
    if text.strip():
        return _searched(session, run_id, view, text, chosen, after, before, limit)
    rows, more = _page(session, run_id, view, chosen, after, before, limit)
    placed = rows[0] if rows and ahead is None and (after is not None or before is not None) else None
    count, found = _counts(session, view, chosen, labels, placed, total)
    front = found if ahead is None or not rows else ahead
    return AnnotationPage(
        rows=tuple(rows),
        next=_behind(chosen, rows[-1]) if more else None,
        total=count,
        searched=None,
        first=front + 1,
        previous=_behind(chosen, rows[0]) if front else None,
    )


def count_matching(
    session: Session, run_id: int, *, c_low: float, c_high: float, agreement: str, text: str, most: int
) -> tuple[int, int]:
    """How many pairs of a view hold the text, among at most so many; and how many were looked at."""
    check_choice("Agreement", agreement, AGREEMENTS)
    labels = _labels(session, run_id)
    if labels is None:
        return 0, 0
    view = View(stage_id=labels.stage_id, attempt_id=labels.attempt_id, low=c_low, high=c_high, agreement=agreement)
    keys = session.execute(_keys(view, ORDERS["lowest"], None).limit(most)).all()
    needle = text.strip().casefold()
    found = sum(len(_matching(session, [key.id for key in chunk], needle)) for chunk in batches(keys, SEARCH_CHUNK))
    return found, len(keys)


def has_spread(session: Session, run_id: int) -> bool:
    """Whether several annotators or passes labeled, so that pairs have a spread."""
    labels = _labels(session, run_id)
    return labels is not None and _disagree(session, labels)


def get_annotation(session: Session, run_id: int, pair_id: str) -> AnnotationRow | None:
    """One annotated pair, for a link to it."""
    labels = _labels(session, run_id)
    if labels is None:
        return None
    found = session.scalars(
        select(Annotation.id).where(Annotation.attempt_id == labels.attempt_id, Annotation.pair_id == pair_id)
    ).first()
    return None if found is None else _with_texts(session, run_id, [found])[0]


def _labels(session: Session, run_id: int) -> SlotStage | None:
    """The published labels stage of a run."""
    stage = slot_stages(session, [run_id], [LABELS_SLOT]).get((run_id, LABELS_SLOT))
    return stage if stage is not None and stage.attempt_id is not None else None


def _disagree(session: Session, labels: SlotStage) -> bool:
    mine = (Annotation.stage_id == labels.stage_id, Annotation.attempt_id == labels.attempt_id)
    known = select(Annotation.id).where(*mine, Annotation.spread.is_not(None)).limit(1)
    return session.execute(known).first() is not None


def _counts(
    session: Session,
    view: View,
    order: Order,
    labels: SlotStage | LabelsOfRun,
    placed: AnnotationRow | None,
    total: int | None,
) -> tuple[int, int]:
    """How many pairs are in the view, counted in the first index because all pairs of a labels stage have a spread or
    none has; and how many of them stand in front of this one, counted on the side where fewer seem to be."""
    if order.known and not (labels.spread if isinstance(labels, LabelsOfRun) else _disagree(session, labels)):
        return 0, 0
    asked = {}
    if total is None:
        asked["total"] = select(func.count()).select_from(Annotation).where(*view.of(order))
    behind = placed is not None and _is_late(order, labels, placed)
    if placed is not None:
        way = order if behind else replace(order, descending=not order.descending)
        keys = _keys(view, way, _behind(order, placed)).order_by(None)
        asked["side"] = keys.with_only_columns(func.count())
    if not asked:
        return total or 0, 0
    row = session.execute(select(*(one.scalar_subquery().label(name) for name, one in asked.items()))).one()
    count = row.total if total is None else total
    if placed is None:
        return count, 0
    return count, count - row.side - 1 if behind else row.side


def _is_late(order: Order, labels: SlotStage | LabelsOfRun, placed: AnnotationRow) -> bool:
    """Whether more than half of the pairs seem to stand in front of this one."""
    if order.column is not Annotation.confidence or not isinstance(labels, LabelsOfRun):
        return False
    histogram = labels.summary.histogram
    below = sum(
        count for edge, count in zip(histogram.edges, histogram.counts, strict=False) if edge < placed.confidence
    )
    share = below / max(1, sum(histogram.counts))
    return (1 - share if order.descending else share) > 0.5


def _page(
    session: Session,
    run_id: int,
    view: View,
    order: Order,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> tuple[list[AnnotationRow], bool]:
    """The pairs of a page, and whether another one follows it. Where less than a page is in front, the first page."""
    if before is not None:
        back = replace(order, descending=not order.descending)
        rows = _read(session, run_id, _keys(view, back, before).limit(limit), back)
        if len(rows) == limit:
            return rows[::-1], True
        after = None
    rows = _read(session, run_id, _keys(view, order, after).limit(limit + 1), order)
    return rows[:limit], len(rows) > limit


def _read(session: Session, run_id: int, keys: Select[*tuple[Any, ...]], order: Order) -> list[AnnotationRow]:
    """The pairs with these keys and their texts, in one query."""
    chosen = keys.subquery("chosen")
    rows = session.execute(
        select(*WITH_TEXTS)
        .join(Pair, (Pair.stage_id == Annotation.data_stage_id) & (Pair.pair_id == Annotation.pair_id))
        .where(Annotation.id.in_(select(chosen.c.id)))
        .order_by(*(column.desc() if order.descending else column for column in order.key))
    )
    return [AnnotationRow(run_id=run_id, **row._mapping) for row in rows]


def _keys(view: View, order: Order, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    return (
        select(*order.key)
        .where(*view.of(order, after), *order.known, *after_key(order.key, after, descending=order.descending))
        .order_by(*(column.desc() if order.descending else column for column in order.key))
    )


def _behind(order: Order, row: AnnotationRow) -> Cursor:
    """Behind this pair, in this order."""
    return Cursor(value=getattr(row, order.column.key), id=row.id)


def _cursor(key: Any) -> Cursor:
    """Behind the pair with this key: the value that it is ordered by, and its id."""
    return Cursor(value=key[0], id=key.id)


def _searched(
    session: Session,
    run_id: int,
    view: View,
    text: str,
    order: Order,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> AnnotationPage:
    """A page of those that hold the text. Where less than a page is in front of a cursor, the first page."""
    if before is not None:
        back = replace(order, descending=not order.descending)
        found, last, searched = _search(session, view, text, back, before, limit)
        if len(found) >= limit or last is not None:
            shown = found[:limit][::-1]
            previous = _cursor(shown[0]) if len(found) > limit else last
            following = _cursor(shown[-1]) if shown else last
            return _search_page(session, run_id, shown, following, previous, searched)
        after = None
    found, last, searched = _search(session, view, text, order, after, limit)
    page, full = cut(found, limit)
    following = _cursor(page[-1]) if full else last
    previous = None
    if after is not None:  # in front of an empty page stands the pair of the cursor itself
        previous = _cursor(page[0]) if page else _beside(after, order)
    return _search_page(session, run_id, page, following, previous, searched)


def _search_page(
    session: Session, run_id: int, page: Sequence[Any], following: Cursor | None, previous: Cursor | None, searched: int
) -> AnnotationPage:
    rows = _with_texts(session, run_id, [key.id for key in page])
    return AnnotationPage(rows=rows, next=following, total=None, searched=searched, previous=previous)


def _beside(place: Cursor, order: Order) -> Cursor:
    """The place from which the pair of this one is the first that is met on the way back."""
    return replace(place, id=int(place.id) + (-1 if order.descending else 1))


def _search(
    session: Session,
    view: View,
    text: str,
    order: Order,
    after: Cursor | None,
    limit: int,
) -> tuple[Sequence[Any], Cursor | None, int]:
    """Look through the pairs in order until there is one more than a page or the steps are used up: the keys of those
    that hold the text, from where to search further, and how many were looked at."""
    found: list[Any] = []
    searched = 0
    for step in SEARCH_STEPS:
        keys = session.execute(_keys(view, order, after).limit(step)).all()
        for chunk in batches(keys, SEARCH_CHUNK):
            matching = _matching(session, [key.id for key in chunk], text.strip().casefold())
            found += [key for key in chunk if key.id in matching]
            searched += len(chunk)
            if len(found) > limit:
                break
        after = _cursor(keys[-1]) if len(keys) == step else None
        if after is None or len(found) > limit:
            break
    return found, after, searched


def _matching(session: Session, ids: Sequence[int], needle: str) -> set[int]:
    """Annotations whose texts hold the needle. Compared here: Postgres folds case far slower, SQLite only in ASCII."""
    texts = (
        select(Annotation.id, Pair.prompt, Pair.response_a, Pair.response_b)
        .join(Pair, (Pair.stage_id == Annotation.data_stage_id) & (Pair.pair_id == Annotation.pair_id))
        .where(Annotation.id.in_(ids))
    )
    rows = session.connection().execute(texts)
    return {key for key, *words in rows if any(needle in word.casefold() for word in words)}


def _with_texts(session: Session, run_id: int, ids: Sequence[int]) -> tuple[AnnotationRow, ...]:
    rows = session.execute(
        select(*WITH_TEXTS)
        .join(Pair, (Pair.stage_id == Annotation.data_stage_id) & (Pair.pair_id == Annotation.pair_id))
        .where(Annotation.id.in_(ids))
    )
    by_id = {row.id: AnnotationRow(run_id=run_id, **row._mapping) for row in rows}
    return tuple(by_id[key] for key in ids)
