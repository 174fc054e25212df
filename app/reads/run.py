"""What the page of one run reads at once, and a part of it that is redrawn alone reads again."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from app.reads import results
from db import queries
from db.records import RunRecord, StageRow

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run with its stages, at one moment."""

    run: RunRecord
    stages: list[StageRow]


@dataclass
class Once(Generic[T]):
    """What was read for the whole page. A part that is redrawn alone gets it the first time, and None from then on."""

    value: T | None

    def take(self) -> T | None:
        """The value, the first time."""
        taken, self.value = self.value, None
        return taken


def watched(run_id: int) -> Watched:
    """The run as it is now; UnknownRun if there is none."""
    with results.reading() as session:
        found = Watched(run=queries.get_run(session, run_id), stages=queries.run_stages(session, run_id))
    results.keep_config(found.run)
    return found
