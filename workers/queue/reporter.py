"""What a stage says, buffered: one short transaction per worker every two seconds instead of one per step."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cwpo.redaction import without_secrets
from cwpo.report.log_lines import WARNING, loss_line
from db.engine import BATCH_ROWS
from db.records import PACE_PARTS, Pace

_LONGEST_LINE = 2_000
_MOST_WARNINGS = 50  # of one stage
_MOST_NOTES = 5  # beside one attempt
_LOSS_LINES = 10  # of one training
_BEGINNING, _FIRST_STEP, _STEP = 0.02, 0.999 / PACE_PARTS, 0.0099  # shares of the work between points of the pace


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What was said since the last batch, as much as one transaction may write."""

    progress: tuple[int, int, str] | None
    points: tuple[tuple[int, str, float], ...]  # step, name, value
    lines: tuple[str, ...]
    first_step: int | None  # finished steps when this attempt's training began; told once
    pace: Pace = ()
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    note: str = ""  # beside the attempt

    @property
    def empty(self) -> bool:
        said = (self.points, self.lines, self.pace, self.shown, self.note)
        return self.progress is None and self.first_step is None and not any(said)


class BufferingReporter:
    """The core's Reporter. Another thread takes batches out, and gives back what could not be written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: tuple[int, int, str] | None = None
        self._points: list[tuple[int, str, float]] = []
        self._lines: list[str] = []
        self._first_step: int | None = None
        self._first_step_told = False
        self._began = time.monotonic()
        self._paces: list[tuple[float, float]] = []
        self._share: float | None = None  # of the last point of the pace
        self._says_shares = False
        self._steps: int | None = None  # of the training
        self._said_loss: int | None = None  # the tenth of the training that a line was written of
        self._shown: dict[str, Mapping[str, Any]] = {}
        self._notes: list[str] = []  # all of this attempt
        self._noted = 0  # of them that were taken

    def resumed(self, step: int) -> None:
        with self._lock:
            if self._first_step is None:  # an ensemble trains several times, one after the other
                self._first_step = step

    def progress(self, done: int, total: int, unit: str) -> None:
        with self._lock:
            self._progress = (done, total, unit)
            if total > 0 and not self._says_shares:
                self._go_on(done / total)

    def share(self, value: float) -> None:
        with self._lock:
            self._says_shares = True
            self._go_on(value)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        with self._lock:
            self._points.extend((step, name, float(value)) for name, value in values.items())
            if "loss" in values:
                self._say_loss(step, values)

    def log(self, message: str) -> None:
        with self._lock:
            self._lines.extend(_clean(line) for line in without_secrets(message).splitlines() if line.strip())

    def noted(self, sentence: str) -> None:
        self.log(f"{WARNING}{sentence}")
        with self._lock:
            if sentence not in self._notes and len(self._notes) < _MOST_NOTES:
                self._notes.append(_clean(sentence))

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            self._shown[name] = data

    def take(self) -> Batch:
        """What waits, oldest first; a fast stage may say more than one batch holds (`full`)."""
        with self._lock:
            first = self._first_step if not self._first_step_told else None
            points, lines = tuple(self._points[:BATCH_ROWS]), tuple(self._lines[:BATCH_ROWS])
            batch = Batch(
                progress=self._progress, points=points, lines=lines, first_step=first, pace=tuple(self._paces),
                shown=dict(self._shown), note=" ".join(self._notes) if len(self._notes) > self._noted else "",
            )  # fmt: skip
            self._noted = len(self._notes)
            self._progress = None
            self._paces.clear()
            self._shown.clear()
            del self._points[: len(points)], self._lines[: len(lines)]
            self._first_step_told = self._first_step is not None
            return batch

    def _say_loss(self, step: int, values: Mapping[str, float]) -> None:
        """A line at the first step, then about one for each tenth of the training, and at the last step."""
        total = self._progress[1] if self._progress else self._steps
        self._steps = total
        tenth = step if total is None else step * _LOSS_LINES // max(total, 1)
        if self._said_loss is None or tenth > self._said_loss:
            self._said_loss = tenth
            self._lines.append(loss_line(step, total, values))

    def _go_on(self, share: float) -> None:
        """A point of the pace where enough was done since the last one: about 120 of a stage, however long it is."""
        share = round(PACE_PARTS * min(1.0, max(0.0, share))) / PACE_PARTS
        least = _FIRST_STEP if share <= _BEGINNING else _STEP
        if self._share is None or share >= self._share + least or (share == 1.0 > self._share):
            self._share = share
            self._paces.append((share, time.monotonic() - self._began))

    @property
    def first_step(self) -> int | None:
        """Finished steps when this attempt's training began; > 0: resumed from a checkpoint."""
        return self._first_step

    @property
    def full(self) -> bool:
        """Whether more than one batch waits."""
        return max(len(self._points), len(self._lines)) > BATCH_ROWS

    def give_back(self, batch: Batch) -> None:
        """Put a batch that could not be written in front of what came since."""
        with self._lock:
            self._progress = self._progress or batch.progress
            self._points[:0] = batch.points
            self._lines[:0] = batch.lines
            self._paces[:0] = batch.pace
            self._shown = {**batch.shown, **self._shown}
            self._first_step_told = self._first_step_told and batch.first_step is None
            self._noted = 0 if batch.note else self._noted


@contextmanager
def warnings_in(reporter: BufferingReporter) -> Iterator[None]:
    """What this process warns of while a stage is executed is a line of the stage's log, too."""
    handler = _Warnings(reporter)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Warnings(logging.Handler):
    """Each warning once, its first line."""

    def __init__(self, reporter: BufferingReporter) -> None:
        super().__init__(logging.WARNING)
        self._reporter, self._said = reporter, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().strip().partition("\n")[0]
        if record.name.startswith("workers."):  # the job says in its own words how the stage ends
            return
        if line and line not in self._said and len(self._said) < _MOST_WARNINGS:
            self._said.add(line)
            self._reporter.log(f"{WARNING}{line}")


def _clean(line: str) -> str:
    """No secret and no endless line reaches the database."""
    return without_secrets(line)[:_LONGEST_LINE].replace("\x00", "")
