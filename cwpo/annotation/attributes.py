"""What confidence reweights: sums over groups of pairs, gathered window by window while labels are made. Torch-free.

Texts are not kept. Each pair leaves one byte, and each pair that is judged (compared with its human label) fifteen
more, for its prompt, source, rival's vote and groups. When there are many pairs, only a share is judged: whole prompts
chosen by a hash, the same for every annotator.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cwpo import seeded
from cwpo.annotation import bag_of_words
from cwpo.annotation.bag_of_words import BagOfWords
from cwpo.annotation.trained_on import TrainedOn
from cwpo.data.rows import ROLE_NAMES
from cwpo.records import CandidatePair
from cwpo.sandbox import grammar, oracle

Floats = NDArray[np.float64]
TASKS: Mapping[str, str] = {
    "facts": "facts",
    "ask": "one question",
    "math": "arithmetic",
    "sum": "summary",
    "harm": "harmful wish",
    "mood": "comfort",
}
# Name of a difference -> the quality of a response whose values differ.
QUALITIES: Mapping[str, str] = {
    "content": "content",
    "false statement": "false",
    "off topic": "off_topic",
    "help with harm": "harmful",
    "courtesy": "polite",
    "rudeness": "rude",
    "hedging": "hedges",
    "repetition": "repeats",
    "words over the target": "words_over",
}
SOURCE, OTHER_SOURCES = "source", "other sources"
MOST_SOURCES = 20  # with a row of their own
_TOLD_APART = 5_000  # while labels are made
_HUMAN = f"{ROLE_NAMES['user']}:"
_QUESTION_WORDS = frozenset(
    (
        "what",
        "why",
        "how",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "which",
        "can",
        "could",
        "do",
        "does",
        "did",
        "is",
        "are",
        "should",
    )
)


@dataclass
class Sums:
    """Counts and sums of confidence over one group of pairs."""

    n: int = 0
    confidence: float = 0.0
    humans: int = 0
    agree: int = 0
    truths: int = 0
    correct: int = 0

    def add(self, confidence: float, agrees: bool | None, correct: bool | None) -> None:
        self.n += 1
        self.confidence += confidence
        if agrees is not None:
            self.humans += 1
            self.agree += agrees
        if correct is not None:
            self.truths += 1
            self.correct += correct

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})


@dataclass
class LabelAttributes:
    """Gathers groups, prompts and the rival's votes over the windows of a labels stage, in the order of its rows."""

    rival: BagOfWords | None
    share: float = 1.0  # of the prompts, whose pairs are judged
    trained_on: TrainedOn | None = None  # where an existing annotator labels; None: nothing is left out
    by_cluster: bool = False  # whether pairs say of which cluster of related prompts they are
    groups: dict[tuple[str, str], Sums] = field(default_factory=dict)
    _chosen: list[NDArray[np.bool_]] = field(default_factory=list)
    _unseen: list[NDArray[np.bool_]] = field(default_factory=list)
    _prompts: list[NDArray[np.uint64]] = field(default_factory=list)
    _votes: list[NDArray[np.int8]] = field(default_factory=list)
    _places: dict[str | None, int] = field(default_factory=dict)
    _sources: list[NDArray[np.int16]] = field(default_factory=list)
    _bits: dict[tuple[str, str], int] = field(default_factory=dict)  # of groups that are not sources
    _masks: list[NDArray[np.uint32]] = field(default_factory=list)

    def add(self, pairs: Sequence[CandidatePair], table: pa.Table) -> None:
        """One window: its pairs, and their rows of annotations.parquet in the table's order."""
        by_id = {pair.pair_id: pair for pair in pairs}
        kept = [by_id[pair_id] for pair_id in table["pair_id"].to_pylist()]
        self.by_cluster |= any(pair.cluster is not None for pair in kept)
        met = self.trained_on.prompts if self.trained_on is not None else frozenset[str]()
        unseen = np.array([pair.prompt_id not in met for pair in kept], dtype=bool)
        prompts = np.array([_key(pair.unit) for pair in kept], dtype=np.uint64)
        chosen = unseen & (prompts < self.share * 2.0**64 if self.share < 1 else np.ones(prompts.size, dtype=bool))
        judged = [pair for pair, mine in zip(kept, chosen, strict=True) if mine]
        self._chosen.append(chosen)
        self._unseen.append(unseen)
        self._prompts.append(prompts[chosen])
        self._sources.append(np.array([self._place(pair.source) for pair in kept], dtype=np.int16)[chosen])
        if self.rival is not None:
            self._votes.append((2 * bag_of_words.votes(self.rival, judged)).astype(np.int8))
        columns = (table[name].to_pylist() for name in ("label", "confidence"))
        masks = np.zeros(len(kept), dtype=np.uint32)
        for row, (pair, label, sure) in enumerate(zip(kept, *columns, strict=True)):
            agrees = None if pair.human_label is None or not unseen[row] else label == pair.human_label
            correct = None if pair.true_label is None or not unseen[row] else label == pair.true_label
            for family, value in groups_of(pair, label):
                told = value if family != SOURCE or value in self._places else OTHER_SOURCES
                self.groups.setdefault((family, told), Sums()).add(sure, agrees, correct)
                if family != SOURCE:
                    masks[row] |= np.uint32(1 << self._bits.setdefault((family, told), len(self._bits)))
        self._masks.append(masks[chosen])

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """Which rows are judged, of all rows of the table."""
        return np.concatenate(self._chosen) if self._chosen else np.zeros(0, dtype=bool)

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """Which rows are of prompts that the annotator was not trained on, of all rows of the table."""
        return np.concatenate(self._unseen) if self._unseen else np.zeros(0, dtype=bool)

    def apart_summary(self) -> dict[str, Any]:
        """How many pairs are left out because an existing annotator was trained on their prompts or on related ones;
        None where its training data are not here to tell. Nothing where that was not asked."""
        if self.trained_on is None:
            return {}
        return {"trained_on": int((~self.unseen).sum()) if self.trained_on.known else None}

    @property
    def prompts(self) -> NDArray[np.uint64]:
        """A number for each judged row's prompt: rows with the same number are one cluster."""
        return np.concatenate(self._prompts) if self._prompts else np.zeros(0, dtype=np.uint64)

    @property
    def sources(self) -> dict[str, NDArray[np.bool_]]:
        """Which judged rows are from each source, where the data say so; of many, from the most frequent."""
        rows = np.concatenate(self._sources) if self._sources else np.zeros(0, dtype=np.int16)
        places = {name: place for name, place in self._places.items() if name is not None}
        if len(places) <= MOST_SOURCES:
            return {name: rows == place for name, place in places.items()}
        counts = np.bincount(rows, minlength=len(self._places))
        told = sorted(places.keys() - {OTHER_SOURCES}, key=lambda name: (-counts[places[name]], name))[:MOST_SOURCES]
        rest = [place for name, place in places.items() if name not in told]
        return {**{name: rows == places[name] for name in told}, OTHER_SOURCES: np.isin(rows, rest)}

    @property
    def votes_for_a(self) -> NDArray[np.float32] | None:
        """The bag of words' vote of each judged row: 1, ½ or 0; None without a labeled pair."""
        if not self._votes:
            return None
        votes = np.concatenate(self._votes).astype(np.float32)
        votes /= 2
        return votes

    def members(self, family: str, value: str, told: Sequence[str] = ()) -> NDArray[np.bool_]:
        """Which judged rows are of a group of `result`; other sources are all but those `told` by name."""
        if family != SOURCE:
            masks = np.concatenate(self._masks) if self._masks else np.zeros(0, dtype=np.uint32)
            return ((masks >> np.uint32(self._bits[family, value])) & np.uint32(1)).astype(bool)
        rows = np.concatenate(self._sources) if self._sources else np.zeros(0, dtype=np.int16)
        if value != OTHER_SOURCES:
            return rows == self._places[value]
        return ~np.isin(rows, [place for name, place in self._places.items() if name is None or name in told])

    def result(self) -> list[dict[str, Any]]:
        """One row per group, families in the order of `groups_of`, the most frequent group of a family first."""
        families = list(dict.fromkeys(family for family, _ in self.groups))
        ordered = sorted(self.groups.items(), key=lambda item: (families.index(item[0][0]), -item[1].n, item[0][1]))
        names = [value for (family, value), _ in ordered if family == SOURCE and value != OTHER_SOURCES]
        pooled = {*names[MOST_SOURCES:], OTHER_SOURCES}
        rest = [sums for (family, value), sums in ordered if family == SOURCE and value in pooled]
        rows = [_row(*group, sums) for group, sums in ordered if group[0] != SOURCE or group[1] not in pooled]
        return [*rows, _row(SOURCE, OTHER_SOURCES, sum(rest, Sums()))] if rest else rows

    def _place(self, source: str | None) -> int:
        """A small number for a source; after the first `_TOLD_APART` sources, all others share one."""
        if source not in self._places and len(self._places) >= _TOLD_APART:
            source = OTHER_SOURCES
        return self._places.setdefault(source, len(self._places))


def groups_of(pair: CandidatePair, label: str) -> Iterator[tuple[str, str]]:
    """(family, group) of a pair. Groups of "the answers differ in" overlap; all other families are partitions."""
    if pair.utility_a is not None:
        yield "prompt", TASKS[grammar.read_prompt(pair.prompt).kind]
        a, b = (oracle.attributes(pair.prompt, text) for text in (pair.response_a, pair.response_b))
        for name, quality in QUALITIES.items():
            if getattr(a, quality) != getattr(b, quality):
                yield "the answers differ in", name
    else:
        yield "prompt", prompt_kind(pair)
    if pair.source is not None:
        yield SOURCE, pair.source
    longer = len(pair.response_a) - len(pair.response_b)
    if longer == 0:
        yield "the annotator chose", "one of equal length"
    else:
        yield "the annotator chose", "the longer answer" if (longer > 0) == (label == "a") else "the shorter answer"


def prompt_kind(pair: CandidatePair) -> str:
    """dialogue: two or more human turns; question: the last human turn ends in "?" or starts with a question word;
    instruction: anything else."""
    turns = _human_turns(pair)
    if len(turns) > 1:
        return "dialogue"
    last = turns[-1].strip().lower() if turns else ""
    first = last.split(maxsplit=1)[0] if last else ""
    return "question" if last.endswith("?") or first in _QUESTION_WORDS else "instruction"


def _human_turns(pair: CandidatePair) -> list[str]:
    if pair.messages is not None:
        return [message["content"] for message in json.loads(pair.messages) if message["role"] == "user"]
    turns = pair.prompt.split(_HUMAN)
    return [turn.split(f"{ROLE_NAMES['assistant']}:")[0] for turn in (turns[1:] or turns)]


def _key(prompt_id: str) -> int:
    return seeded.word(prompt_id)


def _row(family: str, value: str, sums: Sums) -> dict[str, Any]:
    return {
        "family": family,
        "value": value,
        "n": sums.n,
        "confidence": sums.confidence,
        "humans": sums.humans,
        "agree": sums.agree,
        "truths": sums.truths,
        "correct": sums.correct,
    }
