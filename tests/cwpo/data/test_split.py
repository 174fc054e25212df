"""Parts, mixes and swaps follow from hashes of ids: nested over shares, the same in memory and from the file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwpo.data.pairs import load_pairs, load_part, write_pairs
from cwpo.data.split import is_swapped, split_file, split_pairs, split_prompts, swap_labels
from cwpo.errors import DataError
from cwpo.records import CandidatePair
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import SplitSettings, SwapSettings
from cwpo.training.preferences import preference_pairs
from tests.cwpo.stage import context


def pairs_of(prompts: int, each: int = 3, *, harmless: float = 0.5) -> list[CandidatePair]:
    """Pairs of two sources, whole prompts of each; label a for even pairs."""
    return [
        CandidatePair(
            pair_id=f"{prompt}-{k}", prompt_id=f"p{prompt}", prompt=f"Question {prompt}?", response_a=f"a{k}",
            response_b=f"b{k}", human_label="a" if k % 2 == 0 else "b",
            source="harmless" if prompt < harmless * prompts else "helpful",
        )
        for prompt in range(prompts)
        for k in range(each)
    ]  # fmt: skip


def rule(fraction: float | None = 0.3, **more: Any) -> SplitSettings:
    return SplitSettings(label_fraction=fraction, split_seed=7, **more)


def ids(pairs: list[CandidatePair]) -> list[str]:
    return [pair.pair_id for pair in pairs]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_pairs(pairs_of(100), tmp_path)
    return tmp_path


def test_a_fixed_unlabeled_part_is_the_same_for_every_label_fraction(data: Path) -> None:
    """Figure 3, left: 50 % of 300 pairs stay unlabeled while the labeled part grows as it would without."""
    hidden = ids(load_part(data, "unlabeled", rule(None, unlabeled_fraction=0.5)))
    assert len(hidden) == 150
    for fraction in (0.1, 0.2, 0.3, 0.4, 0.5):
        fixed = rule(fraction, unlabeled_fraction=0.5)
        assert ids(load_part(data, "unlabeled", fixed)) == hidden
        labeled = ids(load_part(data, "labeled", fixed))
        assert labeled == ids(load_part(data, "labeled", rule(fraction)))
        assert not set(labeled) & set(hidden)
    assert set(ids(load_part(data, "unlabeled", rule(0.5)))) == set(hidden)  # at one half each, nothing is left over


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    labeled=st.integers(0, 100),
    unlabeled=st.integers(1, 100),
    seed=st.integers(0, 5),
)
def test_parts_never_overlap_and_have_their_sizes(counts: list[int], labeled: int, unlabeled: int, seed: int) -> None:
    """For any sizes of prompts: the labeled part reaches its share, the unlabeled one stays within its own."""
    unlabeled = min(unlabeled, 100 - labeled)
    shares = SplitSettings(label_fraction=labeled / 100, split_seed=seed, unlabeled_fraction=unlabeled / 100 or None)
    names = [f"p{at}" for at in range(len(counts))]
    split = split_prompts(
        ((name, None) for name, count in zip(names, counts, strict=True) for _ in range(count)), shares
    )
    size = dict(zip(names, counts, strict=True))
    chosen, hidden = ({name for name in names if split.has(part, name)} for part in ("labeled", "unlabeled"))
    assert not chosen & hidden
    assert split.unlabeled_pairs == sum(size[name] for name in hidden)
    reached, wanted = sum(size[name] for name in chosen), round(labeled / 100 * sum(counts))
    assert wanted <= reached < wanted + max(counts)
    if split.unlabeled_after is not None:
        assert split.unlabeled_pairs <= unlabeled / 100 * sum(counts) + 0.5


@pytest.mark.parametrize(
    "more", [{}, {"unlabeled_fraction": 0.4}, {"mix": {"harmless": 0.8, "helpful": 0.2}}], ids=["rest", "fixed", "mix"]
)
def test_the_file_is_split_as_the_pairs_in_memory(data: Path, more: dict[str, object]) -> None:
    assert split_file(data / "pairs.parquet", rule(**more)) == split_pairs(load_pairs(data), rule(**more))


def test_a_mix_keeps_the_size_and_sets_the_shares(data: Path) -> None:
    """90 of 300 labels, 80 + 20: 72 harmless and 18 helpful pairs; the rest of both is unlabeled."""
    mixed = rule(mix={"harmless": 0.8, "helpful": 0.2})
    labeled, hidden = load_part(data, "labeled", mixed), load_part(data, "unlabeled", mixed)
    assert (len(labeled), len(hidden)) == (90, 210)
    assert sum(pair.source == "harmless" for pair in labeled) == 72
    assert not {pair.prompt_id for pair in labeled} & {pair.prompt_id for pair in hidden}
    more = load_part(data, "labeled", rule(0.5, mix={"harmless": 0.8, "helpful": 0.2}))
    assert set(ids(labeled)) < set(ids(more))


def test_a_mix_never_reaches_into_a_fixed_unlabeled_part(data: Path) -> None:
    both = rule(0.1, unlabeled_fraction=0.5, mix={"harmless": 1.0})
    assert {pair.source for pair in load_part(data, "labeled", both)} == {"harmless"}
    hidden = set(ids(load_part(data, "unlabeled", both)))
    assert hidden == set(ids(load_part(data, "unlabeled", rule(None, unlabeled_fraction=0.5))))
    assert not hidden & set(ids(load_part(data, "labeled", both)))


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ({"harmless": 1.0}, "asks for 180 labeled pairs of harmless and 150 can be had"),
        ({"honest": 0.5, "helpful": 0.5}, "names the source honest, which no pair has: choose among harmless, helpful"),
    ],
)
def test_a_source_with_too_few_pairs_is_one_sentence(data: Path, mix: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_part(data, "labeled", rule(0.6, mix=mix))


def test_pairs_without_a_source_cannot_be_mixed(tmp_path: Path) -> None:
    write_pairs([replace(pair, source=None) for pair in pairs_of(20)], tmp_path)
    with pytest.raises(DataError, match="give the file a column source"):
        load_part(tmp_path, "labeled", rule(mix={"harmless": 1.0}))


def test_an_artifact_of_before_there_were_sources_loads_and_splits(data: Path) -> None:
    file = data / "pairs.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["source"]), file)
    pairs = load_pairs(data)
    assert {pair.source for pair in pairs} == {None}
    assert split_file(file, rule()) == split_pairs(pairs, rule())
    with pytest.raises(DataError, match="give the file a column source"):
        split_file(file, rule(mix={"harmless": 1.0}))


def test_swaps_move_labels_alone_and_larger_shares_swap_more() -> None:
    """1,000 labels at 20 %: 200 ± 4 standard deviations of 12.6."""
    pairs = pairs_of(500, each=2)
    given = [swap_labels(pairs, SwapSettings(share=share, seed=3)) for share in (0.0, 0.2, 0.5, 1.0)]
    swapped = [
        {one.pair_id for one, two in zip(pairs, other, strict=True) if one.human_label != two.human_label}
        for other in given
    ]
    assert [len(found) for found in swapped[::3]] == [0, 1000]
    assert 150 < len(swapped[1]) < 250
    assert swapped[1] < swapped[2]
    for other in given:
        assert [replace(pair, human_label=None) for pair in other] == [
            replace(pair, human_label=None) for pair in pairs
        ]
    assert swapped[1] == {pair.pair_id for pair in pairs if is_swapped(pair.pair_id, 0.2, 3)}
    assert swapped[1] != {pair.pair_id for pair in pairs if is_swapped(pair.pair_id, 0.2, 4)}
    hidden = [replace(pair, human_label=None) for pair in pairs]
    assert swap_labels(hidden, SwapSettings(share=1.0, seed=3)) == hidden


def test_human_methods_align_on_the_swapped_labels_and_the_artifact_keeps_the_given_ones(data: Path) -> None:
    config = {"part": "unlabeled", "label_source": "human", **to_plain(rule())}
    swaps = {"swapped_labels": {"share": 0.3, "seed": 0}}
    plain = preference_pairs(context(data / "one", config=config, inputs={"data": data}))
    swapped = preference_pairs(context(data / "two", config={**config, **swaps}, inputs={"data": data}))
    assert ids([one.pair for one in plain]) == ids([one.pair for one in swapped])
    moved = [one.pair.pair_id for one, two in zip(plain, swapped, strict=True) if one.chosen == two.rejected]
    assert moved == [one.pair.pair_id for one in plain if is_swapped(one.pair.pair_id, 0.3, 0)]
    assert 0 < len(moved) < len(plain)
    assert load_pairs(data) == pairs_of(100)


def test_an_unknown_part_lists_the_valid_ones() -> None:
    with pytest.raises(KeyError, match="choose one of unlabeled, labeled, all"):
        split_pairs([], rule()).has("test", "p")


@pytest.mark.parametrize("unlabeled", [None, 0.5])
@pytest.mark.parametrize(("labels", "hides"), [("harmless", "helpful"), ("harmless", "harmless"), ("helpful", None)])
def test_parts_of_named_sources_have_their_share_of_them_and_never_meet(
    data: Path, labels: str, hides: str | None, unlabeled: float | None
) -> None:
    """150 pairs of each source. 30 % of those of the labels' source are labeled; unlabeled are the last half of their
    own sources, or all of them, that are not labeled. In memory as in the file."""
    sources = {"labeled_sources": (labels,), "unlabeled_sources": None if hides is None else (hides,)}
    shifted = rule(0.3, unlabeled_fraction=unlabeled, **sources)
    labeled, hidden = (load_part(data, part, shifted) for part in ("labeled", "unlabeled"))
    assert {pair.source for pair in labeled} == {labels}
    assert {pair.source for pair in hidden} == ({hides} if hides else {"harmless", "helpful"})
    assert len(labeled) == 45
    there = 150 if hides else 300
    assert len(hidden) == there * unlabeled if unlabeled else there - (45 if hides in (None, labels) else 0)
    assert not {pair.prompt_id for pair in labeled} & {pair.prompt_id for pair in hidden}
    found = split_file(data / "pairs.parquet", shifted)
    assert found == split_pairs(load_pairs(data), shifted)
    assert found.unlabeled_pairs == len(hidden)


def test_a_fixed_unlabeled_part_of_a_source_is_the_same_whichever_source_was_labeled(data: Path) -> None:
    """So that annotators of several sources can be held against each other on the same pairs."""
    hidden = [
        ids(load_part(data, "unlabeled", rule(0.5, unlabeled_fraction=0.5, labeled_sources=(source,),
                                              unlabeled_sources=("helpful",))))
        for source in ("helpful", "harmless")
    ]  # fmt: skip
    assert hidden[0] == hidden[1]
    assert len(hidden[0]) == 75


def test_clusters_stay_whole_when_parts_have_sources(tmp_path: Path) -> None:
    """Two prompts of a cluster are of the source of its first pair."""
    pairs = [replace(pair, cluster=f"c{int(pair.prompt_id[1:]) // 2}") for pair in pairs_of(80)]
    shifted = rule(0.4, labeled_sources=("harmless",), unlabeled_sources=("helpful",))
    found = split_pairs(pairs, shifted)
    for part in ("labeled", "unlabeled"):
        inside = [pair.cluster for pair in pairs if found.holds(part, pair)]
        assert all(inside.count(cluster) == 6 for cluster in set(inside))
    assert sum(found.holds("labeled", pair) for pair in pairs) == 48


def test_a_source_that_no_pair_has_is_one_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="choose among harmless, helpful"):
        load_part(data, "labeled", rule(labeled_sources=("jokes",)))
    bare = [replace(pair, source=None) for pair in pairs_of(4)]
    with pytest.raises(DataError, match="give the file a column source"):
        split_pairs(bare, rule(labeled_sources=("jokes",)))
