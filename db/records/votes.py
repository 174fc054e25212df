"""People's votes on pairs, and the sets of labels that are made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A pair before somebody's eyes, without anything that is said of it; `left`: which response stands left."""

    token: str
    run_id: int
    pair_id: str
    person: str
    queue: str
    left: str  # a | b
    prompt: str
    response_a: str
    response_b: str


@dataclass(frozen=True, kw_only=True)
class VoteRow:
    """One vote that holds, or held: `undone`. weak_label, confidence: what the annotator had said, where it had."""

    id: int
    token: str
    pair_id: str
    prompt_id: str
    run_id: int | None
    person: str
    queue: str
    shown_left: str
    vote: str
    seconds: float | None
    weak_label: str | None
    confidence: float | None
    at: datetime
    undone: bool = False
    human_label: str | None = None  # in the data, where it is known and was asked for


@dataclass(frozen=True, kw_only=True)
class VotedText:
    """The texts of a pair that was voted on."""

    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """One version of a set of labels; `runs` that use it, newest first."""

    name: str
    version: int
    fingerprint: str
    labels: int
    dropped: int
    undecided: int
    votes: int
    people: int
    note: str
    created_at: datetime
    runs: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """How a configuration writes it."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class VoteCounts:
    """How many votes of a run hold, by person and by queue."""

    people: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)

    @property
    def votes(self) -> int:
        return sum(self.people.values())
