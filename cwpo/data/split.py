"""Which prompts are labeled, which unlabeled, and whose labels are swapped: by seeded hashes of ids. Torch-free.

The rule is what a stage's settings say of the split; labels are swapped only for stages that learn from them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cwpo import seeded
from cwpo.errors import DataError
from cwpo.records import CandidatePair, Side
from cwpo.stages.settings import SplitSettings, SwapSettings

PARTS = ("unlabeled", "labeled", "all")
_BATCH = 4096  # rows of a file in memory at once
Labels = Mapping[str, Side | None]  # pair -> the side that people chose later, None: they dropped it
_OTHER: Mapping[Side, Side] = {"a": "b", "b": "a"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which prompts are in which part, by their place in the seeded order; it grows with related prompts alone.

    Labeled are the prompts up to the place `labeled_to` (−1: none), or those at the places `mixed` where a mix or
    sources were asked for. Unlabeled are those behind `unlabeled_after`, or where it is None all that are not labeled;
    with sources those at the places `hidden`.
    """

    seed: int
    labeled_to: int
    mixed: frozenset[int] | None
    unlabeled_after: int | None
    unlabeled_pairs: int
    hidden: frozenset[int] | None = None
    clusters: Mapping[str, str] = field(default_factory=dict)  # prompt -> cluster, where it is not its own
    relabeled: Labels = field(default_factory=dict)

    def holds(self, part: str, pair: CandidatePair) -> bool:
        """Whether a pair belongs to a part: one that people labeled later to the labeled one, one that they dropped to
        none, any other where its prompt does."""
        if pair.pair_id in self.relabeled:
            return part != "unlabeled" and self.relabeled[pair.pair_id] is not None
        return self.has(part, pair.prompt_id)

    def has(self, part: str, prompt_id: str) -> bool:
        """Whether a prompt belongs to a part."""
        if part not in PARTS:
            raise KeyError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
        if part == "all":
            return True
        place = _place(self.clusters.get(prompt_id, prompt_id), self.seed)
        if part == "unlabeled" and self.hidden is not None:
            return place in self.hidden
        if part == "unlabeled" and self.unlabeled_after is not None:
            return place > self.unlabeled_after
        labeled = place <= self.labeled_to if self.mixed is None else place in self.mixed
        return labeled == (part == "labeled")


def split_pairs(pairs: Iterable[CandidatePair], rule: SplitSettings) -> Split:
    """The split of pairs in memory."""
    pairs = list(pairs)
    return split_prompts(((pair.prompt_id, pair.source) for pair in pairs), rule, clusters_in(pairs))


def clusters_in(pairs: Iterable[CandidatePair]) -> dict[str, str] | None:
    """Prompt -> cluster of those that are not their own; None where pairs are divided by prompt."""
    found = {pair.prompt_id: pair.cluster for pair in pairs if pair.cluster is not None}
    return {name: cluster for name, cluster in found.items() if name != cluster} if found else None


def split_file(file: Path, rule: SplitSettings) -> Split:
    """The same split from pairs.parquet: one to three columns are read, batch by batch."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        there, clusters = table.schema_arrow.names, None
        columns = ["prompt_id", *(["source"] if _by_source(rule) and "source" in there else [])]
        if "cluster" in there:
            both = table.iter_batches(batch_size=_BATCH, columns=["prompt_id", "cluster"])
            rows = (row for batch in both for row in batch.to_pylist())
            clusters = {row["prompt_id"]: row["cluster"] for row in rows if row["cluster"] != row["prompt_id"]}
        batches = table.iter_batches(batch_size=_BATCH, columns=columns)
        return split_prompts(
            ((row["prompt_id"], row.get("source")) for batch in batches for row in batch.to_pylist()), rule, clusters
        )


def split_prompts(
    pairs: Iterable[tuple[str, str | None]], rule: SplitSettings, clusters: Mapping[str, str] | None = None
) -> Split:
    """Whole prompts in the order of a seeded hash: labeled ones from its start, a fixed unlabeled part from its end.

    pairs: prompt id and source of each; a prompt is of the source of its first pair. The labeled part neither knows
    nor moves with unlabeled_fraction, nor the other way. clusters: prompt -> its cluster where that is not the prompt
    alone; whole clusters are divided then, each part as near to its share as they allow.
    """
    seed, mix, fraction = rule.split_seed, rule.mix, rule.unlabeled_fraction
    if seed is None:
        raise KeyError('a split needs its seed; the part "all" is not split')
    sources: list[str | None] = []
    by_source = _by_source(rule)

    def place_each() -> Iterator[int]:
        for prompt_id, source in pairs:
            if by_source:
                sources.append(source)
            yield _place(prompt_id if clusters is None else clusters.get(prompt_id, prompt_id), seed)

    place_at = _place_at if clusters is None else _nearest_place
    places = np.fromiter(place_each(), dtype=np.uint64)  # eight bytes a pair
    order = np.argsort(places, kind="stable") if by_source else None
    places.sort()
    if rule.labeled_sources or rule.unlabeled_sources:
        named = np.array(sources, dtype=object)[order]
        return replace(_of_sources(places, named, rule, place_at), clusters=clusters or {})
    target = round((rule.label_fraction or 0) * places.size)
    labeled_to, mixed, labeled_pairs = place_at(places, target), None, 0
    after = None if fraction is None else place_at(places, round(round(1 - fraction, 12) * places.size))
    if mix and order is not None:
        before_tail = places.size if after is None else _pairs_up_to(places, after)
        named = np.array(sources, dtype=object)[order]
        mixed, labeled_pairs = _mixed(
            places[:before_tail], named[:before_tail], mix, target, nearest=clusters is not None
        )
    elif after is None:
        labeled_pairs = _pairs_up_to(places, labeled_to)
    rest = places.size - (labeled_pairs if after is None else _pairs_up_to(places, after))
    return Split(
        seed=seed,
        labeled_to=labeled_to,
        mixed=mixed,
        unlabeled_after=after,
        unlabeled_pairs=rest,
        clusters=clusters or {},
    )


def _by_source(rule: SplitSettings) -> bool:
    return bool(rule.mix or rule.labeled_sources or rule.unlabeled_sources)


def _of_sources(
    places: NDArray[np.uint64],
    sources: NDArray[np.object_],
    rule: SplitSettings,
    place_at: Callable[[NDArray[np.uint64], int], int],
) -> Split:
    """Labeled and unlabeled parts with sources of their own; the share of each is of the pairs of its sources, from the
    start of their order and from its end. Other pairs are in neither part. A cluster is of the source of its first
    pair; what is labeled is never unlabeled."""
    prompts, first, inverse, counts = np.unique(places, return_index=True, return_inverse=True, return_counts=True)
    whose = sources[first]
    labeled, hidden = (
        np.ones(len(prompts), dtype=bool) if names is None else np.isin(whose, _known(names, whose))
        for names in (rule.labeled_sources, rule.unlabeled_sources)
    )
    own, rest = places[labeled[inverse]], places[hidden[inverse]]
    labeled_to = place_at(own, round((rule.label_fraction or 0) * own.size))
    labeled &= prompts <= np.uint64(max(labeled_to, 0)) if labeled_to >= 0 else False
    fraction = rule.unlabeled_fraction
    if fraction is not None:
        after = place_at(rest, round(round(1 - fraction, 12) * rest.size))
        hidden &= prompts > np.uint64(after) if after >= 0 else True
    hidden &= ~labeled
    return Split(
        seed=rule.split_seed or 0,
        labeled_to=labeled_to,
        mixed=frozenset(prompts[labeled].tolist()),
        unlabeled_after=None,
        unlabeled_pairs=int(counts[hidden].sum()),
        hidden=frozenset(prompts[hidden].tolist()),
    )


def _known(names: tuple[str, ...], sources: NDArray[np.object_]) -> list[str]:
    """The names, all of which have pairs; a sentence otherwise."""
    there = sorted({str(name) for name in sources if name is not None})
    missing = [name for name in names if name not in there]
    if missing and not there:
        raise DataError("Parts by source need pairs that name theirs, and none does: give the file a column source.")
    if missing:
        raise DataError(f"data names the source {missing[0]}, which no pair has: choose among {', '.join(there[:10])}.")
    return list(names)


def swap_labels(pairs: Iterable[CandidatePair], swaps: SwapSettings | None) -> list[CandidatePair]:
    """The pairs with the human labels that this stage is given; prompts, texts, order and ids stay."""
    if swaps is None:
        return list(pairs)
    return [
        replace(pair, human_label=_OTHER[pair.human_label])
        if pair.human_label is not None and is_swapped(pair.pair_id, swaps.share, swaps.seed)
        else pair
        for pair in pairs
    ]


def relabel(pairs: Iterable[CandidatePair], labels: Labels) -> list[CandidatePair]:
    """The pairs with the labels that people gave later in place of those that they had."""
    return [replace(pair, human_label=labels[pair.pair_id]) if pair.pair_id in labels else pair for pair in pairs]


def count_swapped(pairs: Iterable[CandidatePair], swaps: SwapSettings | None) -> dict[str, int]:
    """How many of these labels this stage is given swapped, for its summary; nothing where none may be."""
    if swaps is None:
        return {}
    swapped = (p.human_label is not None and is_swapped(p.pair_id, swaps.share, swaps.seed) for p in pairs)
    return {"swapped_labels": sum(swapped)}


def is_swapped(pair_id: str, share: float, seed: int) -> bool:
    """Whether a pair's label is swapped. A larger share swaps the same labels and more; stored data never change."""
    return swap_place(pair_id, seed) < share


def swap_place(pair_id: str, seed: int) -> float:
    """Where in [0, 1) a pair stands; shares above it swap its label."""
    return seeded.share(f"swap:{seed}:{pair_id}")


def _place(prompt_id: str, seed: int) -> int:
    """Where in the seeded order a prompt stands, 0 … 2⁶⁴ − 1."""
    return seeded.place(f"{seed}:{prompt_id}")


def _place_at(places: NDArray[np.uint64], pairs: int) -> int:
    """The place of the prompt with which so many pairs are reached; −1 for no pair. places: ascending, one a pair.

    A labeled part may therefore end one prompt late, and a fixed unlabeled part begin as late: they cannot meet as
    long as both fractions add up to at most 1.
    """
    return int(places[pairs - 1]) if pairs else -1


def _nearest_place(places: NDArray[np.uint64], pairs: int) -> int:
    """The place of the cluster at which the number of pairs is nearest to so many; both sides of it get a cluster
    unless no pair or all are asked for. −1 for no pair. It never falls as `pairs` grows, so that a labeled part and a
    fixed unlabeled part cannot meet as long as both fractions add up to at most 1 and there are two clusters."""
    if pairs in (0, places.size):
        return int(places[-1]) if pairs else -1
    reached = places[pairs - 1]
    begin, end = (int(np.searchsorted(places, reached, side=side)) for side in ("left", "right"))
    if begin == 0 or (end < places.size and end - pairs <= pairs - begin):
        return int(reached)
    return int(places[begin - 1])


def _pairs_up_to(places: NDArray[np.uint64], place: int) -> int:
    return int(np.searchsorted(places, np.uint64(place), side="right")) if place >= 0 else 0


def _mixed(
    places: NDArray[np.uint64], sources: NDArray[np.object_], mix: Mapping[str, float], target: int, *, nearest: bool
) -> tuple[frozenset[int], int]:
    """The first prompts of each source until its share of `target` is reached, and how many pairs they hold. nearest:
    one cluster fewer where that is nearer to the share, but one at least."""
    prompts, first, counts = np.unique(places, return_index=True, return_counts=True)
    named = sources[first]
    taken = np.zeros(len(prompts), dtype=bool)
    for source, wanted in _targets(mix, target).items():
        own = named == source
        pairs = counts[own]
        if pairs.sum() < wanted:
            raise DataError(_too_few(source, wanted, int(pairs.sum()), named))
        reached = np.cumsum(pairs)
        within = reached - pairs < wanted
        if nearest and within.sum() > 1:
            last = int(within.sum()) - 1
            within[last] = reached[last] - wanted <= wanted - reached[last - 1]
        taken[own] = within
    return frozenset(prompts[taken].tolist()), int(counts[taken].sum())


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
