"""How the core says what it does, without knowing who listens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Reporter(Protocol):
    """Receives progress, metrics and log lines of one stage. Calls are cheap; listeners batch them."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units ("steps", "pairs", "prompts", "rows") are finished."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Scalar values after optimizer step `step` (1 is the first)."""

    def log(self, message: str) -> None:
        """One line for the log tail."""


class SilentReporter:
    """Listens to nothing."""

    def progress(self, done: int, total: int, unit: str) -> None:
        pass

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def log(self, message: str) -> None:
        pass


@dataclass
class RecordingReporter:
    """Keeps everything it hears, in order."""

    progresses: list[tuple[int, int, str]] = field(default_factory=list)
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.progresses.append((done, total, unit))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append((step, dict(values)))

    def log(self, message: str) -> None:
        self.lines.append(message)
