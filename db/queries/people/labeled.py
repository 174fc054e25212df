"""The other pairs of the Examples page: those with a human label that the annotator did not label."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Annotation, Pair, RunStage, Stage
from db.queries.common import slot_stages
from db.records import Cursor, LabeledPage, LabeledRow

STEP = 500  # pairs looked at together
MOST_LOOKED_AT = 6_000  # of one page, where few are found


def labeled_pairs(
    session: Session, run_id: int, *, text: str = "", after: Cursor | None = None, limit: int = 20
) -> LabeledPage:
    """One page of pairs with a human label and no weak one, in the order of their ids, which is a random one."""
    found = slot_stages(session, [run_id], ["data", "labels"])
    data, labels = found.get((run_id, "data")), found.get((run_id, "labels"))
    if data is None or data.attempt_id is None:
        return LabeledPage(rows=(), next=None, searched=0)
    attempt = labels.attempt_id if labels is not None else None
    last, rows, searched, ended = str(after.value) if after is not None else "", list[Pair](), 0, False
    while len(rows) <= limit and searched < MOST_LOOKED_AT and not ended:
        some = session.scalars(
            select(Pair).where(Pair.stage_id == data.stage_id, Pair.pair_id > last).order_by(Pair.pair_id).limit(STEP)
        ).all()
        ended = len(some) < STEP
        searched += len(some)
        rows += [pair for pair in _unlabeled(session, attempt, some) if _says(pair, text)]
        last = some[-1].pair_id if some else last
    page = rows[:limit]
    if len(rows) > limit:
        last, ended = page[-1].pair_id, False
    return LabeledPage(
        rows=tuple(_row(run_id, pair) for pair in page),
        next=None if ended else Cursor(value=last, id=0),
        searched=searched,
    )


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
