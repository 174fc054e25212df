"""From one source or dataset to another: a cell for what was learned and what was labeled, each annotator once."""

from dataclasses import replace

import pytest

from cwpo.compare.questions.gains import Quality
from cwpo.compare.questions.transfer import EVERY, Source, transfer_rows
from cwpo.config import catalog
from cwpo.config.run import RunConfig, expand
from cwpo.report.labels.spots import TRANSFER

SWEEP = {
    "method": ["weak", "cw"], "seed": [0, 1], "data": {"labeled_sources": ["facts", "math+sum"]},
}  # fmt: skip
HARMLESS, TLDR = Source.of("hh-harmless"), Source.of("tldr")
OF_HARMLESS, OF_TLDR = "a" * 64, "b" * 64
USED = {OF_HARMLESS: HARMLESS, OF_TLDR: TLDR}
SHP = catalog.DATASETS["shp"].label


def quality(accuracy: float, auroc: float | None = 0.6) -> Quality:
    return Quality(accuracy=accuracy, ece=0.1, auroc=auroc, mean_confidence=0.5)


def on(dataset: str, use: str | None = None, *, seed: int = 0, method: str = "cw", **data: str) -> RunConfig:
    """A run on that dataset, with an annotator of its own or with one that exists."""
    judged = {"evaluation": {"gold_reward": "trained"}}
    values = {"method": method, "seed": seed, "data": {"dataset": dataset, **data}, **judged}
    return RunConfig.parse(values if use is None else {**values, "annotator": {"use": use}})


def test_each_cell_is_the_mean_over_seeds_and_methods_with_one_annotator_count_once() -> None:
    """Accuracy .6 under seed 0 and .8 under seed 1 of both methods: .7 over two seeds, not over four runs."""
    configs = dict(enumerate(expand(SWEEP)))
    rows = transfer_rows(configs, {number: quality(0.6 + 0.2 * one.seed) for number, one in configs.items()})
    assert [(row.learned, row.labels, row.n_seeds) for row in rows] == [("facts", EVERY, 2), ("math + sum", EVERY, 2)]
    assert [row.accuracy for row in rows] == pytest.approx([0.7, 0.7])


def test_a_mean_c_is_held_against_what_the_labels_bear_out() -> None:
    """.6 and .8 of the labels met: .7, which bears out a C of 2 · .7 − 1 = .4, where the annotator states .5."""
    configs = dict(enumerate(expand(SWEEP)))
    row, _ = transfer_rows(configs, {number: quality(0.6 + 0.2 * one.seed) for number, one in configs.items()})
    assert row.borne_out == pytest.approx(0.4)
    headings = [column.title for column in TRANSFER]
    cells = dict(zip(headings, [column.cell(row) for column in TRANSFER], strict=True))
    assert (cells["mean C"], cells["C borne out"]) == ("0.50", "0.40")
    assert headings.index("C borne out") == headings.index("mean C") + 1
    assert replace(row, accuracy=None).borne_out is None


def test_sources_are_the_same_in_any_order_and_a_cell_on_the_diagonal_is_its_own() -> None:
    data = {"labeled_sources": "sum,math", "unlabeled_sources": "math + sum"}
    (row,) = transfer_rows({1: RunConfig.parse({"data": data})}, {1: quality(0.7, None)})
    assert row.own
    assert (row.learned, row.auroc) == ("math + sum", None)


def test_runs_without_sources_or_annotator_or_labels_are_in_no_cell() -> None:
    shifted = {"data": {"labeled_sources": "facts"}}
    configs = {
        1: RunConfig.parse({}),
        2: RunConfig.parse({"method": "human", **shifted}),
        3: RunConfig.parse({"method": "cw", **shifted}),
    }
    assert transfer_rows(configs, {1: quality(0.7), 2: quality(0.7)}) == []


def test_another_dataset_is_named() -> None:
    config = RunConfig.parse({"data": {"dataset": "hh", "labeled_sources": "helpful", "unlabeled_sources": "harmless"}})
    (row,) = transfer_rows({1: config}, {1: quality(0.6)})
    assert (row.learned, row.labels) == ("HH-RLHF: helpful", "HH-RLHF: harmless")


def test_an_annotator_of_another_dataset_is_a_cell_beside_those_of_the_datasets_own() -> None:
    """Harmless on harmless: .8 and .7 under two seeds. Harmless on TL;DR: .6 under seed 0, by two methods with the same
    labels, and .5 under seed 1. TL;DR on harmless: .52 once. Nobody learned UltraFeedback from elsewhere."""
    configs = {
        1: on("hh-harmless"),
        2: on("hh-harmless", seed=1),
        3: on("tldr", OF_HARMLESS, method="weak"),
        4: on("tldr", OF_HARMLESS),
        5: on("tldr", OF_HARMLESS, seed=1),
        6: on("hh-harmless", OF_TLDR),
        7: on("ultrafeedback"),
        8: on("tldr", OF_HARMLESS, method="human"),
    }
    right = {1: 0.8, 2: 0.7, 3: 0.6, 4: 0.6, 5: 0.5, 6: 0.52, 7: 0.9, 8: 0.1}
    rows = transfer_rows(configs, {number: quality(share) for number, share in right.items()}, USED)
    assert [(row.learned, row.labels, row.n_seeds, row.own) for row in rows] == [
        ("HH-RLHF harmless", "HH-RLHF harmless", 2, True),
        ("HH-RLHF harmless", "Reddit TL;DR", 2, False),
        ("Reddit TL;DR", "HH-RLHF harmless", 1, False),
    ]
    assert [row.accuracy for row in rows] == pytest.approx([0.75, 0.55, 0.52])


def test_what_a_used_annotator_learned_is_its_own_and_not_what_the_run_names() -> None:
    """It learned from facts; the run, which trains none, names sums for its labeled part."""
    used = {OF_HARMLESS: Source.of("sandbox", sources=["facts"])}
    configs = {
        1: on("sandbox", OF_HARMLESS, labeled_sources="sum", unlabeled_sources="mood"),
        2: on("sandbox", OF_HARMLESS),
        3: on("sandbox"),
    }
    rows = transfer_rows(configs, {number: quality(number / 10) for number in configs}, used)
    assert [(row.learned, row.labels, row.accuracy) for row in rows] == [
        (EVERY, EVERY, 0.3),
        ("facts", EVERY, 0.2),
        ("facts", "mood", 0.1),
    ]


def test_runs_whose_annotator_is_not_known_or_learned_the_same_data_alone_are_in_no_cell() -> None:
    configs = {1: on("tldr", "c" * 64), 2: on("tldr", OF_TLDR), 3: on("tldr")}
    assert transfer_rows(configs, {number: quality(0.7) for number in configs}, USED) == []


def test_datasets_of_one_name_and_subsets_are_told_apart() -> None:
    used = {
        OF_HARMLESS: Source.of("/a/pairs.jsonl", revision="sha256:0123456789"),
        OF_TLDR: Source.of("shp", subset="askbaking"),
    }
    configs = {
        1: on("/a/pairs.jsonl", OF_HARMLESS, revision="sha256:abcdefghij"),
        2: on("shp", OF_TLDR, subset="askphysics"),
    }
    rows = transfer_rows(configs, {number: quality(0.7) for number in configs}, used)
    assert [(row.learned, row.labels) for row in rows] == [
        ("/a/pairs.jsonl 01234567", "/a/pairs.jsonl abcdefgh"),
        (f"{SHP} askbaking", f"{SHP} askphysics"),
    ]


def test_a_file_is_the_same_data_whatever_it_is_called() -> None:
    used = {OF_HARMLESS: Source.of("/a/pairs.jsonl", revision="sha256:1")}
    assert transfer_rows({1: on("/b/copy.jsonl", OF_HARMLESS, revision="sha256:1")}, {1: quality(0.7)}, used) == []
