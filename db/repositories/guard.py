"""What every write of a stage passes: the graph's mutex, the token, clean values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.engine import BATCH_ROWS
from db.errors import StaleToken
from db.models import Base, Setting, Stage
from db.records import ClaimedStage
from db.status import RUNNING


def lock_graph(session: Session) -> None:
    """One changer of runs and stages at a time: two stages of a run that finish together must see each other,
    and rows are never locked in two orders. SQLite's BEGIN IMMEDIATE does the same by itself."""
    session.execute(select(Setting.key).where(Setting.key == "graph").with_for_update()).one()


def check_token(session: Session, stage_id: int, token: int) -> None:
    """Refuse to write for a stage that this token does not hold; keeps it so until the transaction ends."""
    held = select(Stage.id).where(Stage.id == stage_id, Stage.token == token, Stage.status == RUNNING)
    if session.execute(held.with_for_update(read=True)).first() is None:
        raise stale(stage_id, token)


def stale(stage_id: int, token: int) -> StaleToken:
    """The refusal, in one sentence."""
    return StaleToken(
        f"Stage {stage_id} is no longer held under token {token}: it was requeued, cancelled or published meanwhile; "
        "this attempt's result is dropped."
    )


def bulk_insert(session: Session, claim: ClaimedStage, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert up to BATCH_ROWS rows under the claim's token, so that no transaction holds the writer for long."""
    if len(rows) > BATCH_ROWS:
        raise ValueError(f"{len(rows)} rows in one transaction: write at most {BATCH_ROWS} and commit between.")
    check_token(session, claim.stage_id, claim.token)
    if rows:
        session.execute(insert(model.__table__), [dict(row) for row in rows])  # type: ignore[arg-type]


def clean_text(text: str) -> str:
    """Text that both databases store: no NUL (Postgres) and no lone surrogate (UTF-8)."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")


def finite(value: float | None) -> float | None:
    """A number or null: SQL has no portable NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


def plain(value: Any) -> Any:
    """JSON that both databases store: NaN and infinities become null, text is cleaned."""
    if isinstance(value, Mapping):
        return {clean_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return finite(value)
    return clean_text(value) if isinstance(value, str) else value
