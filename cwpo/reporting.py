"""How the core says what it does, without knowing who listens."""

from collections.abc import Mapping
from typing import Any, Protocol


class Reporter(Protocol):
    """Receives progress, metrics and log lines of one stage. Calls are cheap; listeners batch them."""

    def resumed(self, step: int) -> None:
        """Training begins after this many finished optimizer steps: 0, or those of the checkpoint it goes on from."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units ("steps", "pairs", "prompts", "rows") are finished."""

    def share(self, value: float) -> None:
        """This share of the stage's work is done, in [0, 1], where the counts of `progress` grow unevenly with time."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Scalar values after optimizer step `step` (1 is the first)."""

    def log(self, message: str) -> None:
        """One line for the log tail."""

    def noted(self, sentence: str) -> None:
        """A line of the log that stands beside this execution of the stage, too: something was not as usual."""

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        """Something small to be looked at beside the stage, as plain values; the same name again replaces it."""


class PassedOn:
    """Passes everything on."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def resumed(self, step: int) -> None:
        self._reporter.resumed(step)

    def progress(self, done: int, total: int, unit: str) -> None:
        self._reporter.progress(done, total, unit)

    def share(self, value: float) -> None:
        self._reporter.share(value)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._reporter.metrics(step, values)

    def log(self, message: str) -> None:
        self._reporter.log(message)

    def noted(self, sentence: str) -> None:
        self._reporter.noted(sentence)

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        self._reporter.shown(name, data)


class InParts(PassedOn):
    """What is said of shares is meant of the part of the stage that is under way."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(reporter)
        self._start, self._end = 0.0, 1.0

    def part(self, start: float, end: float) -> None:
        """From here on: this part of the stage's work."""
        self._start, self._end = start, end
        self._reporter.share(start)

    def share(self, value: float) -> None:
        self._reporter.share(self._start + (self._end - self._start) * value)


class Keeping(PassedOn):
    """What is shown is kept, too."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(reporter)
        self.kept: dict[str, Mapping[str, Any]] = {}

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        self.kept[name] = data
        super().shown(name, data)


class SilentReporter:
    """Listens to nothing."""

    def resumed(self, step: int) -> None:
        pass

    def progress(self, done: int, total: int, unit: str) -> None:
        pass

    def share(self, value: float) -> None:
        pass

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def log(self, message: str) -> None:
        pass

    def noted(self, sentence: str) -> None:
        pass

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        pass
