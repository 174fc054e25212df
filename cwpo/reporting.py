"""How the core says what it does, without knowing who listens."""

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Receives progress, metrics and log lines of one stage. Calls are cheap; listeners batch them."""

    def resumed(self, step: int) -> None:
        """Training begins after this many finished optimizer steps: 0, or those of the checkpoint it goes on from."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units ("steps", "pairs", "prompts", "rows") are finished."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Scalar values after optimizer step `step` (1 is the first)."""

    def log(self, message: str) -> None:
        """One line for the log tail."""


class SilentReporter:
    """Listens to nothing."""

    def resumed(self, step: int) -> None:
        pass

    def progress(self, done: int, total: int, unit: str) -> None:
        pass

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def log(self, message: str) -> None:
        pass
