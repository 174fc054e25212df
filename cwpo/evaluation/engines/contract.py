"""What an engine is asked and what it answers. Token ids go in and come out; texts are nobody's business here."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

Key = tuple[str, int]  # prompt id, sample


@dataclass(frozen=True, kw_only=True)
class Question:
    """One answer still to be written."""

    prompt_id: str
    sample: int
    prompt_ids: list[int]

    @property
    def key(self) -> Key:
        return self.prompt_id, self.sample


@dataclass(frozen=True, kw_only=True)
class Written:
    """One answer; `ids` end with the stop token if it was drawn, and then it is finished."""

    prompt_id: str
    sample: int
    ids: list[int]
    finished: bool

    @property
    def key(self) -> Key:
        return self.prompt_id, self.sample


class Engine(Protocol):
    """A model with its decoding and its evaluation seed, ready to answer.

    The same batch has the same answers, whatever was answered before it. Where one process asks, it asks batch after
    batch; where N ranks ask, batch i belongs to rank i % N.
    """

    def batches(self, questions: Sequence[Question], done: Collection[Key]) -> list[list[Question]]:
        """The questions whose answers are not all done, in the batches in which they are asked."""
        ...

    def answers(self, batch: Sequence[Question], should_stop: Callable[[], bool]) -> list[Written]:
        """The answers to a batch, in its order; Cancelled where somebody asks to stop."""
        ...
