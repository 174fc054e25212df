"""What the function of a stage is given: its settings, its inputs, where to write, how to execute and who listens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from cwpo.artifacts import ArtifactStore
from cwpo.config.parts import ExecutionConfig
from cwpo.errors import Cancelled
from cwpo.parallel.ranks import ALONE, Ranks
from cwpo.reporting import Reporter, SilentReporter
from cwpo.stages.settings import Settings

S_co = TypeVar("S_co", bound=Settings, covariant=True)
_USUAL = ExecutionConfig()


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a stage is executed: the run's `execution` settings and a torch device. Nothing here enters a fingerprint."""

    device: str = "cpu"
    tokens_per_batch: int = _USUAL.tokens_per_batch
    gradient_checkpointing: bool | None = _USUAL.gradient_checkpointing  # None: when memory needs it
    checkpoint_seconds: float = _USUAL.checkpoint_seconds
    ranks: Ranks = ALONE  # the processes that compute the stage together, and which of them this is
    shard: bool | None = None  # weights and moments split over the ranks (FSDP2); None: when memory needs it

    @classmethod
    def of(cls, config: ExecutionConfig, device: str) -> "Execution":
        """From a run's `execution` settings."""
        return cls(
            device=device,
            tokens_per_batch=config.tokens_per_batch,
            gradient_checkpointing=config.gradient_checkpointing,
            checkpoint_seconds=config.checkpoint_seconds,
        )


def never() -> bool:
    """The default `should_stop`: never asks to stop."""
    return False


@dataclass(frozen=True, kw_only=True)
class WorkContext:
    """Any work on a model: how it is executed, who listens, and whether it is asked to stop."""

    execution: Execution = field(default_factory=Execution)
    reporter: Reporter = field(default_factory=SilentReporter)
    should_stop: Callable[[], bool] = never

    @property
    def device(self) -> str:
        return self.execution.device

    def stop_if_asked(self, sentence: str) -> None:
        """Raise Cancelled with that sentence where somebody asks to stop."""
        if self.should_stop():
            raise Cancelled(sentence)

    def stop_together(self, sentence: str) -> None:
        """The same on all ranks if any of them was asked; each of them has to come here equally often."""
        if self.execution.ranks.any(self.should_stop()):
            raise Cancelled(sentence)


@dataclass(frozen=True, kw_only=True)
class StageContext(WorkContext, Generic[S_co]):
    """Everything a stage may know: what entered its fingerprint, its inputs, and where to write."""

    kind: str
    settings: S_co
    inputs: Mapping[str, Path]
    out: Path
    checkpoints: Path
    store: ArtifactStore
