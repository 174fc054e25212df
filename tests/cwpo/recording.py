"""A reporter that keeps everything it hears, for tests of what stages say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RecordingReporter:
    """Keeps everything it hears, in order."""

    began_after: list[int] = field(default_factory=list)
    progresses: list[tuple[int, int, str]] = field(default_factory=list)
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    looked_at: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def resumed(self, step: int) -> None:
        self.began_after.append(step)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.progresses.append((done, total, unit))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append((step, dict(values)))

    def log(self, message: str) -> None:
        self.lines.append(message)

    def noted(self, sentence: str) -> None:
        self.lines.append(sentence)
        self.notes.append(sentence)

    def share(self, value: float) -> None:
        self.shares.append(value)

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        self.looked_at[name] = data
