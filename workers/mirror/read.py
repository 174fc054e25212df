"""What a mirror gets of a run, read from the database: what it is, its curves as rows, and its results as rows."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db import queries
from db.queries.results import EVALUATION_SLOT
from db.records import EvaluationRecord, RunRow, StageRow
from db.status import LIVE
from workers.machine.database import reading

PAGE = 2_000  # points read at once
RESULT = "result"  # the part that the final figures are rows of
FIGURES = {
    "gra": "gra", "gra_low": "ci_low", "gra_high": "ci_high", "gra_strict": "gra_strict", "kl": "kl",
    "mean_tokens": "mean_tokens", "prompts": "prompts",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one part of a run says at one step; a part is a slot, or the result of one gold reward."""

    part: str
    step: int
    values: Mapping[str, float]

    @property
    def named(self) -> dict[str, float]:
        """The values under their whole names."""
        return {f"{self.part}/{name}": value for name, value in self.values.items()}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stage of the run that may have curves. `over`: no row of it follows any more."""

    name: str
    stage_id: int
    over: bool


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a run is. `identity` is its own in all the world, `sweep` the group that it belongs to."""

    identity: str
    id: int
    title: str
    sweep: str | None
    status: str
    error: str | None
    config: Mapping[str, Any]
    about: Mapping[str, str]
    tags: tuple[str, ...]
    note: str
    created_at: datetime
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status not in LIVE


@dataclass(frozen=True, kw_only=True)
class Source:
    """A run with its parts."""

    told: Told
    parts: tuple[Part, ...]
    results: tuple[Row, ...]


def source(run_id: int) -> Source:
    """The run as it is now; UnknownRun where it is gone."""
    with reading() as session:
        run = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
        marks = queries.kept_runs(session, [run_id])
        results = tuple(_results(session, run_id))
    tags, note = (marks[0].tags, marks[0].note) if marks else ((), "")
    row = run.row
    told = Told(
        identity=identity(row, run.config_hash), id=row.id, title=_title(row), sweep=row.sweep_id, status=row.status,
        error=row.error, config=run.config, about=_about(row), tags=tags, note=note, created_at=row.created_at,
        finished_at=row.finished_at if row.status not in LIVE else None,
    )  # fmt: skip
    return Source(told=told, parts=tuple(_part(stage, told) for stage in stages), results=results)


def identity(run: RunRow, config_hash: str) -> str:
    """A name that no run of another installation has; the number alone would meet those of others."""
    words = f"{run.id} {run.created_at.isoformat()} {config_hash}"
    return f"cwpo-{run.id}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields with their dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def rows(part: Part, after: int) -> Iterator[Sequence[Row]]:
    """The rows of a part beyond a step, page by page. The newest row of a part that is not over is kept back: more
    values of its step may follow, and a row is sent once."""
    while True:
        with reading() as session:
            points = queries.points_after(session, part.stage_id, after, PAGE)
        page = _grouped(part.name, points)
        more = len(points) == PAGE
        if page and (len(page) > 1 if more else not part.over):
            page.pop()  # cut off, or not whole yet
        if page:
            yield page
            after = page[-1].step
        if not more:
            return


def _grouped(part: str, points: Sequence[tuple[int, str, float]]) -> list[Row]:
    steps: dict[int, dict[str, float]] = {}
    for step, name, value in points:
        steps.setdefault(step, {})[name] = value
    return [Row(part=part, step=step, values=values) for step, values in steps.items()]


def _part(stage: StageRow, told: Told) -> Part:
    return Part(name=stage.slot, stage_id=stage.stage_id, over=told.ended or stage.status not in LIVE)


def _results(session: Session, run_id: int) -> Iterator[Row]:
    """The figures of each gold reward that judged the run, as one row."""
    for slot in (EVALUATION_SLOT, *(one.slot for one in queries.rescorings(session, [run_id]))):
        found = queries.evaluations(session, [run_id], slot=slot).get(run_id)
        if found is not None:
            yield Row(part=RESULT + slot.removeprefix(EVALUATION_SLOT), step=0, values=_figures(found))


def _figures(found: EvaluationRecord) -> dict[str, float]:
    values = {name: getattr(found, field) for name, field in FIGURES.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def _title(run: RunRow) -> str:
    return f"{run.id} {run.name or f'{run.method_label} {run.objective} seed {run.seed}'}"


def _about(run: RunRow) -> dict[str, str]:
    """What lists of runs are filtered by."""
    words = {
        "run": run.id, "method": run.method, "objective": run.objective, "dataset": run.dataset, "policy": run.policy,
        "annotator": run.annotator, "seed": run.seed, "sweep": run.sweep_id,
    }  # fmt: skip
    return {name: str(word) for name, word in words.items() if word is not None}
