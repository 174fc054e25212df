"""What commands on runs say: what was done, why some runs stayed as they were, and the way back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import queries
from db.records.keeping import KeptRun
from workers.access.doing import reads

Values = Mapping[int, Any]


@dataclass(frozen=True, kw_only=True)
class Undo:
    """The way back from a command: the name of what does it, and its value for each run."""

    command: str
    values: Values


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command did: `sentence` says it, `refused` says why some runs stayed as they were."""

    sentence: str
    run_ids: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    undo: Undo | None = None

    @property
    def said(self) -> str:
        """All of it in one line."""
        return " ".join(part for part in (self.sentence, *self.refused[:3], _more(self.refused[3:])) if part)


@reads
def named(run_ids: Collection[int]) -> str:
    """Run 3; Runs 3 and 4; 12 runs."""
    ids = sorted(run_ids)
    if len(ids) > 4:
        return f"{len(ids):,} runs"
    if len(ids) < 2:
        return f"Run {ids[0]}" if ids else "No run"
    return f"Runs {', '.join(map(str, ids[:-1]))} and {ids[-1]}"


@reads
def others(session: Session, run_ids: Collection[int], changed: Collection[int]) -> list[KeptRun]:
    """The runs that a command left as they were."""
    return queries.kept_runs(session, set(run_ids) - set(changed))


@reads
def live_stay(rest: Sequence[KeptRun], verb: str) -> list[str]:
    """Why live runs stayed."""
    live = [run for run in rest if run.status in ("queued", "running")]
    return [f"Run {run.id} is {run.status} and cannot be {verb}: cancel it first." for run in live]


@reads
def back(command: str, run_ids: Collection[int], value: Any = None) -> Undo | None:
    """The way back for these runs, by a command that needs the same value for each."""
    return Undo(command=command, values=dict.fromkeys(run_ids, value)) if run_ids else None


@reads
def done(
    changed: Collection[int], what: str, asked: Collection[int], otherwise: str, command: str, value: Any = None, *,
    refused: Sequence[str] = (),
) -> Done:  # fmt: skip
    """What was done, or that it was so before; `refused`: why others stayed."""
    same = [] if changed or not asked else [f"{named(asked)} {otherwise}."]
    return said(tuple(changed), what, [*same, *refused], undo=back(command, changed, value))


@reads
def said(
    changed: tuple[int, ...], what: str, refused: Sequence[str] = (), *, many: str = "", undo: Undo | None = None
) -> Done:
    """What was done to these runs, and why others stayed."""
    words = many if many and len(changed) > 1 else what
    sentence = f"{named(changed)} {words}." if changed else ("" if refused else "Nothing changed.")
    return Done(sentence=sentence, run_ids=changed, refused=tuple(refused), undo=undo if changed else None)


def _more(rest: Sequence[str]) -> str:
    return f"The same of {len(rest)} more." if rest else ""
