"""The Examples page: pairs by confidence, and what a labels stage found out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.engine import batches
from db.models import Annotation, Pair, RunStage, Stage
from db.queries.common import SlotStage, after_key, check_choice, cut, slot_stages
from db.records import (
    AnnotationPage,
    AnnotationRow,
    AttributeGroup,
    ConfidenceHistogram,
    Cursor,
    Decile,
    Interval,
    Judged,
    LabelSummary,
    Rival,
    Slice,
    Unsure,
)

LABELS_SLOT = "labels"
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
# A text search reads the texts of at most 6,000 pairs a page (under 100 ms), in growing steps.
SEARCH_STEPS = (500, 1_500, 4_000)
# Texts held in memory at once.
SEARCH_CHUNK = 500
SCALARS = (
    "accuracy_human",
    "accuracy_truth",
    "human_accuracy_truth",
    "length_only_accuracy",
    "mean_confidence",
    "effective_sample_size",
)


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
) -> AnnotationPage:
    """One page of annotated pairs in one order, behind one cursor or in front of another. The page is chosen in an
    index; texts are read for its rows only."""
    check_choice("Order", order, ORDERS)
    check_choice("Agreement", agreement, AGREEMENTS)
    labels = _labels(session, run_id)
    if labels is None:
        return AnnotationPage(rows=(), next=None, total=0, searched=None)
    conditions = [
        Annotation.stage_id == labels.stage_id,
        Annotation.attempt_id == labels.attempt_id,
        Annotation.confidence.between(c_low, c_high),
        *AGREEMENTS[agreement],
    ]
    chosen = ORDERS[order]
    if text.strip():
        return _searched(session, run_id, conditions, text, chosen, after, before, limit)
    page, more = _chosen(session, conditions, chosen, after, before, limit)
    ahead = _ahead(session, conditions, chosen, page) if after or before else 0
    return AnnotationPage(
        rows=_with_texts(session, run_id, [key.id for key in page]),
        next=_cursor(page[-1]) if more else None,
        total=_total(session, conditions, chosen, labels),
        searched=None,
        first=ahead + 1,
        previous=_cursor(page[0]) if ahead else None,
    )


def count_matching(
    session: Session, run_id: int, *, c_low: float, c_high: float, agreement: str, text: str, most: int
) -> tuple[int, int]:
    """How many pairs of a view hold the text, among at most so many; and how many were looked at."""
    check_choice("Agreement", agreement, AGREEMENTS)
    labels = _labels(session, run_id)
    if labels is None:
        return 0, 0
    conditions = [
        Annotation.stage_id == labels.stage_id,
        Annotation.attempt_id == labels.attempt_id,
        Annotation.confidence.between(c_low, c_high),
        *AGREEMENTS[agreement],
    ]
    keys = session.execute(_keys(conditions, ORDERS["lowest"], None).limit(most)).all()
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


def label_summary(session: Session, run_id: int) -> LabelSummary | None:
    """Accuracies, histogram and deciles of a run's labels; None without an annotator or before publication."""
    return label_summaries(session, [run_id]).get(run_id)


def label_summaries(session: Session, run_ids: Collection[int]) -> dict[int, LabelSummary]:
    """The same for several runs; a labels stage they share is read once."""
    owners = session.execute(
        select(RunStage.run_id, RunStage.stage_id).where(RunStage.run_id.in_(run_ids), RunStage.slot == LABELS_SLOT)
    ).all()
    stages = session.execute(
        select(Stage.id, Stage.fingerprint, Stage.summary).where(
            Stage.id.in_({owner.stage_id for owner in owners}), Stage.published_attempt_id.is_not(None)
        )
    )
    known = {stage.id: stage for stage in stages}
    return {owner.run_id: _summary(owner.run_id, known[owner.stage_id]) for owner in owners if owner.stage_id in known}


def _labels(session: Session, run_id: int) -> SlotStage | None:
    """The published labels stage of a run."""
    stage = slot_stages(session, [run_id], [LABELS_SLOT]).get((run_id, LABELS_SLOT))
    return stage if stage is not None and stage.attempt_id is not None else None


def _disagree(session: Session, labels: SlotStage) -> bool:
    mine = (Annotation.stage_id == labels.stage_id, Annotation.attempt_id == labels.attempt_id)
    known = select(Annotation.id).where(*mine, Annotation.spread.is_not(None)).limit(1)
    return session.execute(known).first() is not None


def _total(session: Session, conditions: Sequence[ColumnElement[bool]], order: Order, labels: SlotStage) -> int:
    """Pairs in the view, counted in the first index: all pairs of a labels stage have a spread, or none has."""
    if order.known and not _disagree(session, labels):
        return 0
    return session.execute(select(func.count()).select_from(Annotation).where(*conditions, *order.only)).scalar_one()


def _chosen(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    order: Order,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> tuple[Sequence[Any], bool]:
    """The keys of a page, and whether another one follows it. Where less than a page is in front, the first page."""
    if before is not None:
        back = replace(order, descending=not order.descending)
        keys = session.execute(_keys(conditions, back, before).limit(limit)).all()
        if len(keys) == limit:
            return keys[::-1], True
        after = None
    return cut(session.execute(_keys(conditions, order, after).limit(limit + 1)).all(), limit)


def _ahead(session: Session, conditions: Sequence[ColumnElement[bool]], order: Order, page: Sequence[Any]) -> int:
    """How many pairs of the view stand in front of the page."""
    if not page:
        return 0
    back = replace(order, descending=not order.descending)
    counted = _keys(conditions, back, _cursor(page[0])).order_by(None).with_only_columns(func.count())
    return session.execute(counted).scalar_one()


def _keys(conditions: Sequence[ColumnElement[bool]], order: Order, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    return (
        select(*order.key)
        .where(*conditions, *order.only, *order.known, *after_key(order.key, after, descending=order.descending))
        .order_by(*(column.desc() if order.descending else column for column in order.key))
    )


def _cursor(key: Any) -> Cursor:
    """Behind the pair with this key: the value that it is ordered by, and its id."""
    return Cursor(value=key[0], id=key.id)


def _searched(
    session: Session,
    run_id: int,
    conditions: Sequence[ColumnElement[bool]],
    text: str,
    order: Order,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> AnnotationPage:
    """A page of those that hold the text. Where less than a page is in front of a cursor, the first page."""
    if before is not None:
        back = replace(order, descending=not order.descending)
        found, last, searched = _search(session, conditions, text, back, before, limit)
        if len(found) >= limit or last is not None:
            page = found[:limit][::-1]
            previous = _cursor(page[0]) if len(found) > limit else last
            following = _cursor(page[-1]) if page else last
            return _search_page(session, run_id, page, following, previous, searched)
        after = None
    found, last, searched = _search(session, conditions, text, order, after, limit)
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
    conditions: Sequence[ColumnElement[bool]],
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
        keys = session.execute(_keys(conditions, order, after).limit(step)).all()
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
        select(
            Annotation.id, Annotation.pair_id, Annotation.score_a, Annotation.score_b, Annotation.margin,
            Annotation.confidence, Annotation.label, Annotation.agrees_human, Annotation.spread, Pair.prompt_id,
            Pair.prompt, Pair.response_a, Pair.response_b, Pair.human_label, Pair.true_label,
        )
        .join(Pair, (Pair.stage_id == Annotation.data_stage_id) & (Pair.pair_id == Annotation.pair_id))
        .where(Annotation.id.in_(ids))
    )  # fmt: skip
    by_id = {row.id: AnnotationRow(run_id=run_id, **row._mapping) for row in rows}
    return tuple(by_id[key] for key in ids)


def _summary(run_id: int, stage: Any) -> LabelSummary:
    summary = stage.summary or {}
    histogram = summary["histogram"]
    return LabelSummary(
        run_id=run_id,
        stage_id=stage.id,
        fingerprint=stage.fingerprint,
        n=summary["n"],
        **{name: summary[name] for name in SCALARS},
        histogram=ConfidenceHistogram(**{name: tuple(histogram[name]) for name in ("edges", "counts", "agree_counts")}),
        deciles=tuple(
            Decile(**{name: decile[name] for name in Decile.__dataclass_fields__}) for decile in summary["deciles"]
        ),
        bag_of_words_accuracy=summary.get("bag_of_words_accuracy"),
        human=_judged(summary.get("human")),
        truth=_judged(summary.get("truth")),
        rivals=tuple(
            Rival(name=row["name"], accuracy=Interval(**row["accuracy"]), lead=Interval(**row["lead"]))
            for row in summary.get("rivals", ())
        ),
        lengths=_slices(summary.get("lengths", ())),
        sources=_slices(summary.get("sources", ())),
        attributes=tuple(AttributeGroup(**row) for row in summary.get("attributes", ())),
        unsure=Unsure.from_summary(summary["unsure"]) if summary.get("unsure") else None,
        judged=summary.get("judged"),
    )


def _judged(found: Mapping[str, Any] | None) -> Judged | None:
    """Missing in stages that were computed before it was kept, and where no label of this judge is known."""
    return None if found is None else Judged.from_summary(found)


def _slices(rows: Sequence[Mapping[str, Any]]) -> tuple[Slice, ...]:
    return tuple(Slice(**{**row, "accuracy": Interval(**row["accuracy"])}) for row in rows)
