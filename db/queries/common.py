"""Pieces that several queries share."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import ColumnElement, Select, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models import RunStage, Stage
from db.records import Cursor

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class SlotStage:
    """The stage in a slot; `attempt_id` is the published attempt, None before publication."""

    stage_id: int
    attempt_id: int | None
    fingerprint: str


def slot_stages(session: Session, run_ids: Collection[int], slots: Collection[str]) -> dict[tuple[int, str], SlotStage]:
    """Stages of the runs in the given slots, by (run, slot)."""
    found = session.execute(
        select(RunStage.run_id, RunStage.slot, Stage.id, Stage.published_attempt_id, Stage.fingerprint)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), RunStage.slot.in_(slots))
    )
    return {
        (row.run_id, row.slot): SlotStage(
            stage_id=row.id, attempt_id=row.published_attempt_id, fingerprint=row.fingerprint
        )
        for row in found
    }


def contains_words(text: str, columns: Sequence[InstrumentedAttribute[Any]]) -> list[ColumnElement[bool]]:
    """One condition per word: it stands in one of the columns, whatever its case; % and _ mean themselves."""
    return [contains(word, columns) for word in text.split()]


def contains(text: str, columns: Sequence[InstrumentedAttribute[Any]]) -> ColumnElement[bool]:
    """The text stands in one of the columns as it is, whatever its case."""
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def after_key(columns: Sequence[Any], cursor: Cursor | None, *, descending: bool) -> list[ColumnElement[bool]]:
    """Rows behind the cursor in the order of (value, id), or of id alone."""
    if cursor is None:
        return []
    if len(columns) == 1:
        return [columns[0] < cursor.id if descending else columns[0] > cursor.id]
    key, last = tuple_(*columns), tuple_(cursor.value, cursor.id)
    return [key < last if descending else key > last]


def cut(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool]:
    """The page without the extra row that was read to see whether another page follows."""
    return rows[:limit], len(rows) > limit


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse an unknown name with the valid ones."""
    if value not in choices:
        raise ValueError(f"{name} {value!r} is unknown: choose one of {', '.join(choices)}.")


def frame(session: Session, statement: Select[*tuple[Any, ...]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a DataFrame of the given types, column by column and past the ORM: many rows, few objects."""
    rows = session.connection().execute(statement).all()
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pd.DataFrame(dict(zip(columns, values, strict=True))).astype(dict(columns))
