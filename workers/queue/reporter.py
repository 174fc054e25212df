"""What a stage says, buffered: one short transaction per worker every two seconds instead of one per step."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from db.engine import BATCH_ROWS

_LONGEST_LINE = 2_000
_SECRETS = re.compile(r"hf_[A-Za-z0-9]{16,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)|AKIA[0-9A-Z]{16}")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What was said since the last batch, as much as one transaction may write."""

    progress: tuple[int, int, str] | None
    points: tuple[tuple[int, str, float], ...]  # step, name, value
    lines: tuple[str, ...]
    first_step: int | None  # finished steps when this attempt's training began; told once

    @property
    def empty(self) -> bool:
        return self.progress is None and not self.points and not self.lines and self.first_step is None


class BufferingReporter:
    """The core's Reporter. Another thread takes batches out, and gives back what could not be written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: tuple[int, int, str] | None = None
        self._points: list[tuple[int, str, float]] = []
        self._lines: list[str] = []
        self._first_step: int | None = None
        self._first_step_told = False

    def resumed(self, step: int) -> None:
        with self._lock:
            if self._first_step is None:  # an ensemble trains several times, one after the other
                self._first_step = step

    def progress(self, done: int, total: int, unit: str) -> None:
        with self._lock:
            self._progress = (done, total, unit)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        with self._lock:
            self._points.extend((step, name, float(value)) for name, value in values.items())

    def log(self, message: str) -> None:
        with self._lock:
            self._lines.extend(_clean(line) for line in message.splitlines() if line.strip())

    def take(self) -> Batch:
        """What waits, oldest first; a fast stage may say more than one batch holds (`full`)."""
        with self._lock:
            first = self._first_step if not self._first_step_told else None
            points, lines = tuple(self._points[:BATCH_ROWS]), tuple(self._lines[:BATCH_ROWS])
            batch = Batch(progress=self._progress, points=points, lines=lines, first_step=first)
            self._progress = None
            del self._points[: len(points)], self._lines[: len(lines)]
            self._first_step_told = self._first_step is not None
            return batch

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
            self._first_step_told = self._first_step_told and batch.first_step is None


def _clean(line: str) -> str:
    """No secret and no endless line reaches the database."""
    return _SECRETS.sub("…", line)[:_LONGEST_LINE].replace("\x00", "")
