"""Prompts of one cluster count as one wherever an interval over prompts stands."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from cwpo.compare.configured_run import by_setting
from cwpo.compare.gra import DifferenceRow, GraRow, differences, gra_table
from cwpo.compare.head_to_head import head_to_head
from cwpo.compare.in_list import setting_results
from cwpo.compare.two_judges import gold_table
from cwpo.data.related.outcomes import clusters_at, clusters_in, with_clusters
from tests.cwpo.compare.compared_runs import outcomes_of, runs_of

CHANCE = {"cw": 0.6, "weak": 0.5}
RUNS = runs_of("cw", "weak", seeds=4)
ONCE = outcomes_of(RUNS, chance=CHANCE)
# Every prompt three times with the same outcomes: three prompts of a cluster that agree in everything.
COPIES = pd.concat([ONCE.assign(prompt_id=ONCE["prompt_id"] + f".{copy}") for copy in range(3)], ignore_index=True)
RELATED = COPIES.assign(cluster=COPIES["prompt_id"].str.partition(".")[0])


def width(row: GraRow | DifferenceRow) -> float:
    assert row.low is not None
    assert row.high is not None
    return row.high - row.low


def test_copies_of_prompts_in_clusters_are_worth_the_prompts_once() -> None:
    """Estimate, interval and p are those of 120 prompts, the number of prompts stays 360."""
    for found, once in zip(gra_table(RUNS, RELATED), gra_table(RUNS, ONCE), strict=True):
        assert (found.estimate, found.low, found.high) == pytest.approx((once.estimate, once.low, once.high), abs=1e-9)
        assert (found.n_prompts, once.n_prompts) == (360, 120)
        assert (found.length_low, found.length_high) == pytest.approx((once.length_low, once.length_high), abs=1e-6)
    (found,), (once,) = (differences(RUNS, rows) for rows in (RELATED, ONCE))
    assert (found.low, found.high, found.p) == pytest.approx((once.low, once.high, once.p), abs=1e-9)
    assert (found.kl_low, found.kl_high) == pytest.approx((once.kl_low, once.kl_high), abs=1e-9)
    assert found.n_prompts == 360


def test_without_clusters_the_same_copies_are_taken_for_news() -> None:
    """One seed, so that prompts alone make the interval: three copies of each make it narrower by √3."""
    first = [run for run in RUNS if run.seed == 0]
    for related, alone in zip(gra_table(first, RELATED), gra_table(first, COPIES), strict=True):
        assert related.estimate == pytest.approx(alone.estimate)
        assert width(related) > 1.5 * width(alone)
    (related_gap,), (alone_gap,) = (differences(first, rows) for rows in (RELATED, COPIES))
    assert width(related_gap) > 1.5 * width(alone_gap)


def test_a_line_of_a_list_says_what_the_table_says() -> None:
    for seeds in (1, 4):
        runs = [run for run in RUNS if run.seed < seeds]
        rows = RELATED[RELATED["run_id"].isin([run.id for run in runs])]
        lines = setting_results(by_setting(runs), rows)
        for row in gra_table(runs, rows):
            mine = lines[row.group_key]
            assert (mine.estimate, mine.low, mine.high) == pytest.approx((row.estimate, row.low, row.high), abs=1e-12)


def test_head_to_head_and_two_judges_read_clusters() -> None:
    groups = list(by_setting(RUNS).values())
    met = [head_to_head(groups[0], groups[1], _scores(rows), labels=("a", "b")) for rows in (RELATED, ONCE)]
    assert (met[0].low, met[0].high, met[0].p) == pytest.approx((met[1].low, met[1].high, met[1].p), abs=1e-9)
    judged = [
        gold_table(RUNS, rows, rows.assign(outcome=1 - rows["outcome"])) for rows in (_both(RELATED), _both(ONCE))
    ]
    for found, once in zip(*judged, strict=True):
        assert (found.low, found.further_high, found.same_low, found.kappa_high) == pytest.approx(
            (once.low, once.further_high, once.same_low, once.kappa_high), abs=1e-9
        )


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    """One sample a prompt, whose score is its outcome; no two runs say the same."""
    return rows.assign(sample=0, answer=rows["run_id"], score=rows["outcome"] + rows["logratio"], judge="one")


def _both(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(score=rows["outcome"], baseline_score=np.arange(len(rows)) % 7)


@pytest.mark.parametrize(
    ("by_run", "wanted"),
    [
        ({}, {"a": "a", "b": "b"}),
        ({1: {"a": "x", "b": "x"}}, {"a": "x", "b": "x"}),
        ({1: {"a": "x"}, 2: {"b": "y"}}, {"a": "x", "b": "b"}),
    ],
)
def test_a_prompt_that_no_cluster_of_its_run_names_is_its_own(
    by_run: Mapping[int, Mapping[str, str]], wanted: Mapping[str, str]
) -> None:
    rows = with_clusters(pd.DataFrame({"run_id": [1, 1], "prompt_id": ["a", "b"]}), by_run)
    assert dict(zip(rows["prompt_id"], rows["cluster"], strict=True)) == wanted


def test_clusters_of_one_prompt_are_none() -> None:
    rows = pd.DataFrame({"run_id": 1, "prompt_id": ["a", "b", "c"], "cluster": ["x", "x", "c"]})
    assert clusters_in(rows) == {"a": "x", "b": "x"}
    assert clusters_at(clusters_in(rows), ["c", "b"]) == ["c", "x"]
    assert clusters_at(clusters_in(rows), ["c", "d"]) is None
    assert clusters_in(rows[["run_id", "prompt_id"]]) == {}
