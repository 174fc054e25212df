"""The other pairs of the Examples page: those with a human label that the annotator did not label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.engine import batches
from db.models import Annotation, Pair, RunStage, Stage
from db.queries.common import slot_stages
from db.records import Cursor, LabeledPage, LabeledRow

STEP = 500  # pairs looked at together
MOST_LOOKED_AT = 6_000  # of one page, where few are found
NEXT_TO, ITSELF = 0, 1  # the id of a cursor: whether the page begins beside its pair or with it


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """Pairs in the order in which they were met, at most one more than asked for; the last one that was looked at, and
    whether none is behind it."""

    pairs: list[Pair]
    last: str
    ended: bool
    searched: int


def labeled_pairs(
    session: Session,
    run_id: int,
    *,
    text: str = "",
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = 20,
) -> LabeledPage:
    """One page of pairs with a human label and no weak one, in the order of their ids, which is a random one. It stands
    behind one cursor or in front of another; where less than a page is in front, it is the first page."""
    found = slot_stages(session, [run_id], ["data", "labels"])
    data, labels = found.get((run_id, "data")), found.get((run_id, "labels"))
    if data is None or data.attempt_id is None:
        return LabeledPage(rows=(), next=None, searched=0)
    attempt = labels.attempt_id if labels is not None else None
    walked = partial(_walk, session, data.stage_id, attempt, text=text, limit=limit)
    page = None
    if before is not None:
        page = _in_front(walked(before, backwards=True), run_id, limit)
        after = after if page is not None else None
    if page is None:
        page = _behind(walked(after, backwards=False), run_id, limit, after)
    if text.strip() or not page.rows:
        return page
    ahead = _ahead(session, data.stage_id, attempt, page.rows[0].pair_id) if page.previous is not None else 0
    return replace(page, first=ahead + 1, previous=page.previous if ahead else None)


def _in_front(walk: _Walk, run_id: int, limit: int) -> LabeledPage | None:
    """The page in front of a cursor; None where the first page has all of it."""
    if walk.ended and len(walk.pairs) < limit:
        return None
    page = walk.pairs[:limit][::-1]
    previous = None if walk.ended and len(walk.pairs) == limit else walk.last
    if len(walk.pairs) > limit:
        previous = page[0].pair_id
    return LabeledPage(
        rows=tuple(_row(run_id, pair) for pair in page),
        next=Cursor(value=page[-1].pair_id if page else walk.last, id=NEXT_TO),
        searched=walk.searched,
        previous=None if previous is None else Cursor(value=previous, id=NEXT_TO),
    )


def _behind(walk: _Walk, run_id: int, limit: int, after: Cursor | None) -> LabeledPage:
    """The page behind a cursor, or the first one."""
    page = walk.pairs[:limit]
    following = None if walk.ended else walk.last
    if len(walk.pairs) > limit:
        following = page[-1].pair_id
    previous = None
    if after is not None:
        previous = Cursor(value=page[0].pair_id, id=NEXT_TO) if page else Cursor(value=after.value, id=ITSELF)
    return LabeledPage(
        rows=tuple(_row(run_id, pair) for pair in page),
        next=None if following is None else Cursor(value=following, id=NEXT_TO),
        searched=walk.searched,
        previous=previous,
    )


def _walk(
    session: Session,
    stage_id: int,
    attempt: int | None,
    place: Cursor | None,
    *,
    text: str,
    limit: int,
    backwards: bool,
) -> _Walk:
    """From a place on until there are enough, or enough was looked at."""
    rows, searched, ended, last = list[Pair](), 0, False, place
    order = Pair.pair_id.desc() if backwards else Pair.pair_id
    while len(rows) <= limit and searched < MOST_LOOKED_AT and not ended:
        wanted = select(Pair).where(Pair.stage_id == stage_id, *_from(last, backwards=backwards))
        some = session.scalars(wanted.order_by(order).limit(STEP)).all()
        ended = len(some) < STEP
        searched += len(some)
        rows += [pair for pair in _unlabeled(session, attempt, some) if _says(pair, text)]
        last = Cursor(value=some[-1].pair_id, id=NEXT_TO) if some else last
    return _Walk(pairs=rows[: limit + 1], last=str(last.value) if last else "", ended=ended, searched=searched)


def _from(place: Cursor | None, *, backwards: bool) -> list[ColumnElement[bool]]:
    if place is None:
        return []
    if place.id == ITSELF:
        return [Pair.pair_id <= place.value if backwards else Pair.pair_id >= place.value]
    return [Pair.pair_id < place.value if backwards else Pair.pair_id > place.value]


def _ahead(session: Session, stage_id: int, attempt: int | None, pair_id: str) -> int:
    """How many pairs of the list stand in front of one, counted in two indexes as all of them are."""
    pairs = select(func.count()).select_from(Pair).where(Pair.stage_id == stage_id, Pair.pair_id < pair_id)
    weak = select(func.count()).select_from(Annotation)
    weak = weak.where(Annotation.attempt_id == attempt, Annotation.pair_id < pair_id)
    return int(session.execute(select(pairs.scalar_subquery() - weak.scalar_subquery())).scalar_one())


def count_labeled(session: Session, run_id: int) -> int | None:
    """Pairs of the run's data beside those that were labeled, as its stages counted them; None before that."""
    rows = session.execute(
        select(RunStage.slot, Stage.summary)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id == run_id, RunStage.slot.in_(("data", "labels")))
    )
    found: dict[str, dict[str, Any] | None] = {row.slot: row.summary for row in rows}
    data, labels = (found.get(slot) or {} for slot in ("data", "labels"))
    if "train_pairs" not in data:
        return None
    return int(data["train_pairs"]) - int(labels.get("n", 0))


def count_labeled_matching(session: Session, run_id: int, *, text: str, most: int) -> tuple[int, int]:
    """How many of the pairs of `labeled_pairs` hold the text, among at most so many; and how many were looked at."""
    found = slot_stages(session, [run_id], ["data", "labels"])
    data, labels = found.get((run_id, "data")), found.get((run_id, "labels"))
    if data is None or data.attempt_id is None:
        return 0, 0
    wanted = select(Pair.pair_id).where(Pair.stage_id == data.stage_id, Pair.human_label.is_not(None))
    if labels is not None and labels.attempt_id is not None:
        weak = select(Annotation.pair_id).where(Annotation.attempt_id == labels.attempt_id)
        wanted = wanted.where(~weak.where(Annotation.pair_id == Pair.pair_id).exists())
    ids = session.scalars(wanted.order_by(Pair.pair_id).limit(most)).all()
    holding = 0
    for some in batches(ids, STEP):
        pairs = session.scalars(select(Pair).where(Pair.stage_id == data.stage_id, Pair.pair_id.in_(some)))
        holding += sum(_says(pair, text) for pair in pairs)
    return holding, len(ids)


def _unlabeled(session: Session, attempt: int | None, pairs: Sequence[Pair]) -> list[Pair]:
    """Those with a human label that this attempt at labels has not labeled."""
    ids = [pair.pair_id for pair in pairs if pair.human_label is not None]
    weak = select(Annotation.pair_id).where(Annotation.attempt_id == attempt, Annotation.pair_id.in_(ids))
    said = set(session.scalars(weak)) if attempt is not None and ids else set()
    return [pair for pair in pairs if pair.human_label is not None and pair.pair_id not in said]


def _says(pair: Pair, text: str) -> bool:
    needle = text.strip().casefold()
    return not needle or any(needle in words.casefold() for words in (pair.prompt, pair.response_a, pair.response_b))


def _row(run_id: int, pair: Pair) -> LabeledRow:
    return LabeledRow(
        run_id=run_id, pair_id=pair.pair_id, prompt_id=pair.prompt_id, prompt=pair.prompt, response_a=pair.response_a,
        response_b=pair.response_b, human_label=pair.human_label, true_label=pair.true_label,
    )  # fmt: skip
