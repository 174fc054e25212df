"""Plain values that cross the borders of the core. Free of torch."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["a", "b"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A held-out prompt that the aligned and the baseline model answer."""

    prompt_id: str
    prompt: str
    messages: str | None = None  # JSON list of chat messages, when the dataset has them
    cluster: str | None = None  # of related prompts; None where data are divided by prompt

    @property
    def unit(self) -> str:
        """What is held out whole: its cluster, or the prompt alone."""
        return self.prompt_id if self.cluster is None else self.cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidatePair:
    """Two responses to one prompt. The order of a and b says nothing about any label."""

    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str
    messages: str | None = None
    human_label: Side | None = None
    true_label: Side | None = None  # known in the sandbox only
    utility_a: float | None = None
    utility_b: float | None = None
    source: str | None = None  # which of several sources it is from, where the data say so
    cluster: str | None = None  # of its prompt; None where data are divided by prompt

    @property
    def unit(self) -> str:
        """What is kept whole when pairs are divided: the cluster of its prompt, or the prompt."""
        return self.prompt_id if self.cluster is None else self.cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferencePair:
    """A candidate pair with a label: which side is chosen, and by whom."""

    pair: CandidatePair
    label: Side
    source: Literal["human", "weak", "true"]
    margin: float | None = None  # annotator units, >= 0; where an annotator labels or weighs
    spread: float | None = None  # SD of the margin over annotators or passes; with several only
    agreement: float | None = None  # share of annotators or passes that vote for the label; where it is asked for

    @property
    def right(self) -> bool | None:
        """Whether the label is the true one; None where that is not known."""
        return None if self.pair.true_label is None else self.label == self.pair.true_label

    @property
    def true_gap(self) -> float | None:
        """|U(a) - U(b)|, >= 0; None where true utilities are not known."""
        a, b = self.pair.utility_a, self.pair.utility_b
        return None if a is None or b is None else abs(a - b)

    @property
    def chosen(self) -> str:
        return self.pair.response_a if self.label == "a" else self.pair.response_b

    @property
    def rejected(self) -> str:
        return self.pair.response_b if self.label == "a" else self.pair.response_a


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """What the annotator says of one pair: confidence = 2(sigmoid(margin) - 1/2) in [0, 1] (eq. 8)."""

    pair_id: str
    score_a: float
    score_b: float
    margin: float
    label: Side
    confidence: float
    human_label: Side | None = None
    true_label: Side | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sampled answer to a held-out prompt; log-probabilities are sums over its tokens, in nats."""

    prompt_id: str
    sample: int
    text: str
    tokens: int
    finished: bool
    logp: float
    reference_logp: float | None = None
    cluster: str | None = None  # of its prompt, where the data have clusters
