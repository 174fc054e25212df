"""Labels, seconds and money: hand-counted tables."""

from typing import Any

import pandas as pd
import pytest

from cwpo.compare.costs import CostRow, Prices, cost_table, human_labels, stage_costs
from cwpo.compare.gra import gra_table
from cwpo.config.run import RunConfig
from cwpo.report import columns
from tests.cwpo.compare.compared_runs import ALIKE, outcomes_of, runs_of


def config(method: str, **over: Any) -> RunConfig:
    return RunConfig.parse({"method": method, **over})


@pytest.mark.parametrize(
    ("method", "labels"),
    [("human", 700), ("human_100", 1000), ("human_labeled", 300), ("cw", 300), ("weak", 300), ("oracle", 0)],
)
def test_human_labels_that_enter_training(method: str, labels: int) -> None:
    """1,000 pairs, 30 % labeled: 300 for whoever trains an annotator, the pool for whoever reads its labels."""
    assert human_labels(config(method), 1000) == labels


def test_sft_on_labeled_pairs_uses_theirs_too() -> None:
    assert human_labels(config("human", sft={"data": "labeled"}), 1000) == 1000
    assert human_labels(config("oracle", sft={"data": "labeled"}), 1000) == 300


@pytest.mark.parametrize(("method", "labels"), [("cw", 100), ("human", 500), ("human_labeled", 100)])
def test_a_fixed_unlabeled_part_leaves_the_labeled_one_as_it_is(method: str, labels: int) -> None:
    """10 % labeled and half unlabeled: 400 pairs take no part at all."""
    data = {"label_fraction": 0.1, "unlabeled_fraction": 0.5}
    assert human_labels(config(method, data=data), 1000) == labels


def test_an_existing_annotator_has_been_paid_for_elsewhere() -> None:
    used = config("cw", annotator={"use": "a" * 64})
    assert human_labels(used, 1000) == 0


@pytest.mark.parametrize(
    ("method", "labels"), [("cw", 340), ("human_labeled", 340), ("human_100", 1040), ("oracle", 0), ("human", 700)]
)
def test_labels_that_people_gave_later_come_on_top_where_they_are_learned_from(method: str, labels: int) -> None:
    """A set of 40 pairs joins the labeled part and the whole; human labels of the unlabeled part hold none of them."""
    later = config(method, data={"relabels": "5" * 64})
    assert human_labels(later, 1000, {"5" * 64: 40}) == labels


def test_labels_of_a_set_that_nobody_knows_are_not_counted_as_none() -> None:
    assert human_labels(config("cw", data={"relabels": "5" * 64}), 1000) is None


SECONDS = pd.DataFrame(
    [
        (1, "data", 1, "data", 10.0),
        (1, "base_policy", 2, "base", 1000.0),
        (1, "annotator", 3, "annotator", 200.0),
        (1, "align", 4, "align", 150.0),
        (1, "samples", 5, "samples", 60.0),
        (1, "scores@other", 9, "scores", 500.0),
        (2, "data", 1, "data", 10.0),
        (2, "annotator", 3, "annotator", 200.0),
        (2, "align", 6, "align", 150.0),
        (2, "baseline_samples", 7, "samples", 40.0),
    ],
    columns=["run_id", "slot", "stage_id", "kind", "seconds"],
).assign(device="cpu")


def costs(prices: Prices, chance: float = 0.6) -> list[CostRow]:
    runs = runs_of("cw", "weak", seeds=1)
    rows = gra_table(runs, outcomes_of(runs, chance=dict.fromkeys(ALIKE, chance)))
    configs = {run.id: config(run.method) for run in runs}
    summaries = {"data": {1: {"train_pairs": 1000}, 2: {"train_pairs": 1000}}}
    return cost_table(rows, configs, SECONDS, summaries, prices)


def test_a_setting_alone_pays_for_all_of_its_training() -> None:
    """300 labels at 0.5 and 360 s = 0.1 h at 20: 152. Base models, evaluation and another judge are not its cost."""
    weak, cw = costs(Prices(label=0.5, hour=20.0), chance=0.9)
    assert (cw.human_labels, cw.training_seconds, cw.evaluation_seconds) == (300, 360.0, 60.0)
    assert weak.evaluation_seconds == 40.0
    assert cw.cost == pytest.approx(152.0)
    assert cw.per_point == pytest.approx(152.0 / (100 * (cw.estimate - 0.5)))
    assert cw.per_point_low is not None
    assert cw.per_point_high is not None
    assert cw.per_point_low < cw.per_point < cw.per_point_high
    assert columns.cells(columns.COSTS, [cw]).rows[0][:3] == ("CW", "300", "6 min 00 s")


def test_what_is_not_above_one_half_has_no_price_per_point() -> None:
    row = costs(Prices(label=0.5, hour=20.0), chance=0.5)[0]
    assert (row.per_point, row.note) == (None, "no cost per point, because the interval of GRA reaches 50 %")
    assert row.cost is not None


def test_without_prices_nothing_is_invented() -> None:
    assert [(row.cost, row.per_point) for row in costs(Prices(label=0.5))] == [(None, None), (None, None)]


def test_shared_stages_count_once_and_alone_beside() -> None:
    kinds = {one.kind: one for one in stage_costs(SECONDS)}
    annotator = kinds["annotator"]
    assert (annotator.stages, annotator.runs, annotator.seconds, annotator.seconds_alone) == (1, 2, 200.0, 400.0)
    assert (kinds["align"].seconds, kinds["align"].seconds_alone) == (300.0, 300.0)
