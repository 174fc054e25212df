"""Which prompts are labeled, which unlabeled, and whose labels are swapped: by seeded hashes of ids. Torch-free.

A rule is what a stage's config says of the split: label_fraction and split_seed and, only where they are set,
unlabeled_fraction and mix. `swapped_labels` ({share, seed}) stands only in stages that learn from human labels.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwpo.errors import DataError
from cwpo.records import CandidatePair, Side

PARTS = ("unlabeled", "labeled", "all")
Rule = Mapping[str, Any]
_OTHER: Mapping[Side, Side] = {"a": "b", "b": "a"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Prompt ids of the labeled part and of the unlabeled one (None: all that are not labeled), and its pairs."""

    labeled: frozenset[str]
    unlabeled: frozenset[str] | None
    unlabeled_pairs: int

    def has(self, part: str, prompt_id: str) -> bool:
        """Whether a prompt belongs to a part."""
        if part not in PARTS:
            raise KeyError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
        if part == "all":
            return True
        if part == "labeled":
            return prompt_id in self.labeled
        return prompt_id not in self.labeled if self.unlabeled is None else prompt_id in self.unlabeled


def split_pairs(pairs: Sequence[CandidatePair], rule: Rule) -> Split:
    """The split of pairs in memory; a prompt is of the source of its first pair."""
    counts: dict[str, int] = {}
    sources: dict[str, str | None] = {}
    for pair in pairs:
        counts[pair.prompt_id] = counts.get(pair.prompt_id, 0) + 1
        sources.setdefault(pair.prompt_id, pair.source)
    return split_prompts(list(counts), list(counts.values()), rule, sources=list(sources.values()))


def split_file(file: Path, rule: Rule) -> Split:
    """The same split from pairs.parquet: one or two columns are read, no pair is kept."""
    import pyarrow.parquet as pq

    mixed = rule.get("mix") and "source" in pq.read_schema(file).names
    table = pq.read_table(file, columns=["prompt_id", "source"] if mixed else ["prompt_id"])
    wanted: list[Any] = [("prompt_id", "count"), *([("source", "first", None)] if mixed else [])]
    found = table.group_by("prompt_id", use_threads=False).aggregate(wanted)
    sources = found["source_first"].to_pylist() if mixed else None
    return split_prompts(found["prompt_id"].to_pylist(), found["prompt_id_count"].to_numpy(), rule, sources=sources)


def split_prompts(
    prompt_ids: Sequence[str],
    counts: Sequence[int] | NDArray[np.int64],
    rule: Rule,
    *,
    sources: Sequence[str | None] | None = None,
) -> Split:
    """Whole prompts in the order of a seeded hash: labeled ones from its start, a fixed unlabeled part from its end.

    counts: pairs of each prompt. The labeled part neither knows nor moves with unlabeled_fraction, nor the other way.
    """
    seed = rule["split_seed"]
    places = (int(_key(f"{seed}:{prompt_id}")[:16], 16) for prompt_id in prompt_ids)
    keys = np.fromiter(places, dtype=np.uint64, count=len(prompt_ids))  # the order of the whole hash, in 8 bytes
    order = np.argsort(keys, kind="stable")
    pairs = np.asarray(counts, dtype=np.int64)[order]
    first_of_tail = _first_of_tail(pairs, rule.get("unlabeled_fraction"))
    target = round((rule["label_fraction"] or 0) * int(pairs.sum()))
    if rule.get("mix"):
        named = np.array([None] * len(order) if sources is None else list(sources), dtype=object)[order]
        taken = _mixed(pairs[:first_of_tail], named[:first_of_tail], rule["mix"], target)
    else:
        taken = _prefix(pairs, target)
    labeled = frozenset(prompt_ids[at] for at in order[: len(taken)][taken].tolist())
    if rule.get("unlabeled_fraction") is None:
        rest = int(pairs.sum() - pairs[: len(taken)][taken].sum())
        return Split(labeled=labeled, unlabeled=None, unlabeled_pairs=rest)
    tail = frozenset(prompt_ids[at] for at in order[first_of_tail:].tolist())
    return Split(labeled=labeled, unlabeled=tail, unlabeled_pairs=int(pairs[first_of_tail:].sum()))


def swap_labels(pairs: Iterable[CandidatePair], rule: Rule) -> list[CandidatePair]:
    """The pairs with the human labels that this stage is given; prompts, texts, order and ids stay."""
    swaps = rule.get("swapped_labels")
    if swaps is None:
        return list(pairs)
    return [
        replace(pair, human_label=_OTHER[pair.human_label])
        if pair.human_label is not None and is_swapped(pair.pair_id, swaps["share"], swaps["seed"])
        else pair
        for pair in pairs
    ]


def count_swapped(pairs: Iterable[CandidatePair], rule: Rule) -> dict[str, int]:
    """How many of these labels this stage is given swapped, for its summary; nothing where none may be."""
    swaps = rule.get("swapped_labels")
    if swaps is None:
        return {}
    swapped = (p.human_label is not None and is_swapped(p.pair_id, swaps["share"], swaps["seed"]) for p in pairs)
    return {"swapped_labels": sum(swapped)}


def is_swapped(pair_id: str, share: float, seed: int) -> bool:
    """A larger share swaps the same labels and more; the data artifact always keeps the label as it was given."""
    return swap_place(pair_id, seed) < share


def swap_place(pair_id: str, seed: int) -> float:
    """Where in [0, 1) a pair stands; shares above it swap its label."""
    return int(_key(f"swap:{seed}:{pair_id}")[:13], 16) / 16**13


def _prefix(pairs: NDArray[np.int64], target: int) -> NDArray[np.bool_]:
    """The first prompts until they hold `target` pairs."""
    taken: NDArray[np.bool_] = np.cumsum(pairs) - pairs < target
    return taken


def _first_of_tail(pairs: NDArray[np.int64], fraction: float | None) -> int:
    """Where the unlabeled part starts: the longest end with at most `fraction` of the pairs. The labeled part, which
    may end one prompt late, can therefore not reach it as long as both fractions add up to at most 1."""
    if fraction is None:
        return len(pairs)
    before = round(round(1 - fraction, 12) * int(pairs.sum()))
    return int(np.searchsorted(np.cumsum(pairs), before)) + 1 if before else 0


def _mixed(
    pairs: NDArray[np.int64], sources: NDArray[np.object_], mix: Mapping[str, float], target: int
) -> NDArray[np.bool_]:
    """Prompts of each source until its share of `target` is reached."""
    taken = np.zeros(len(pairs), dtype=bool)
    for source, wanted in _targets(mix, target).items():
        own = sources == source
        there = int(pairs[own].sum())
        if there < wanted:
            raise DataError(_too_few(source, wanted, there, sources))
        taken[own] = _prefix(pairs[own], wanted)
    return taken


def _targets(mix: Mapping[str, float], target: int) -> dict[str, int]:
    """Whole numbers of pairs that add up to `target`, each within one of its share."""
    names = sorted(mix)
    ends = np.rint(np.cumsum([mix[name] for name in names]) * target).astype(int)
    return dict(zip(names, np.diff(ends, prepend=0).tolist(), strict=True))


def _too_few(source: str, wanted: int, there: int, sources: NDArray[np.object_]) -> str:
    known = sorted({str(name) for name in sources if name is not None})
    if not known:
        return "data.mix needs pairs that name their source, and none does: give the file a column source."
    if source not in known:
        return f"data.mix names the source {source}, which no pair has: choose among {', '.join(known[:10])}."
    return (
        f"data.mix asks for {wanted:,} labeled pairs of {source} and {there:,} can be had: "
        "lower its share, data.label_fraction or data.unlabeled_fraction."
    )


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
