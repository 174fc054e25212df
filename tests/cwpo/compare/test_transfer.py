"""From one source to another: a cell for what was learned and what was labeled, an annotator of a seed counted once."""

import pytest

from cwpo.compare.questions.gains import Quality
from cwpo.compare.questions.transfer import EVERY, transfer_rows
from cwpo.config.run import RunConfig, expand

SWEEP = {
    "method": ["weak", "cw"], "seed": [0, 1], "data": {"labeled_sources": ["facts", "math+sum"]},
}  # fmt: skip


def quality(accuracy: float, auroc: float | None = 0.6) -> Quality:
    return Quality(accuracy=accuracy, ece=0.1, auroc=auroc, mean_confidence=0.5)


def test_each_cell_is_the_mean_over_seeds_and_methods_with_one_annotator_count_once() -> None:
    """Accuracy .6 under seed 0 and .8 under seed 1 of both methods: .7 over two seeds, not over four runs."""
    configs = dict(enumerate(expand(SWEEP)))
    rows = transfer_rows(configs, {number: quality(0.6 + 0.2 * one.seed) for number, one in configs.items()})
    assert [(row.learned, row.labels, row.n_seeds) for row in rows] == [("facts", EVERY, 2), ("math + sum", EVERY, 2)]
    assert [row.accuracy for row in rows] == pytest.approx([0.7, 0.7])


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
