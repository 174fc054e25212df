"""What judges say of settings: their order and how stable it is, curves along training, GRA with the judge's errors."""

import numpy as np
import pandas as pd
import pytest

from cwpo.compare.gra import gra_table
from cwpo.compare.judges.along import along_rows, best_of_rows, turned
from cwpo.compare.judges.card import IMPOSSIBLE, SILENT, TRUTH, card_rows, oracle_card, pooled
from cwpo.compare.judges.order import order_rows
from cwpo.report.sentences import believed, card_sentences
from tests.cwpo.compare.compared_runs import Run, outcomes_of, runs_of


def _outcomes(values: dict[int, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"run_id": run, "prompt_id": f"p{place}", "outcome": value}
            for run, own in values.items()
            for place, value in enumerate(own)
        ]
    )


def test_the_probability_of_an_order_is_the_one_counted_by_hand() -> None:
    """Of three prompts CW wins two that weak labels lose, and loses the third. Drawn three times with replacement, CW
    stays ahead with at least two draws of the two: 3 (2/3)² (1/3) + (2/3)³ = 20/27."""
    runs = runs_of("cw", "weak", seeds=1)
    (row,) = order_rows(runs, {"oracle": _outcomes({runs[0].id: [1, 1, 0], runs[1].id: [0, 0, 1]})})
    assert row.order == ("CW", "Weak labels")
    assert row.stable == pytest.approx(20 / 27)
    assert row.best == pytest.approx(20 / 27)
    assert (row.n_prompts, row.n_seeds) == (3, 1)


def test_a_tie_of_neighbours_counts_half_and_two_judges_meet_in_the_same_draws() -> None:
    """Two prompts, won by one setting each: of the draws (1,1), (1,2), (2,1), (2,2) one has CW ahead, two tie. The
    other judge turns everything around, so that in no draw without a tie both give one order."""
    runs = runs_of("cw", "weak", seeds=1)
    one = {runs[0].id: [1.0, 0.0], runs[1].id: [0.0, 1.0]}
    own, other = order_rows(
        runs, {"own": _outcomes(one), "turned": _outcomes({key: v[::-1] for key, v in one.items()})}
    )
    assert own.stable == pytest.approx(1 / 4 + 2 / 4 / 2)
    assert own.same is None
    assert other.same == pytest.approx(2 / 4)  # the two ties, which both leave in the order of the table
    assert other.tau == pytest.approx(0.0)  # nothing is ahead under either


def test_seeds_are_drawn_with_the_prompts_the_same_for_all_settings() -> None:
    """One prompt, three seeds, of which CW wins two against weak labels: 20/27 again, by draws of seeds."""
    runs = [
        Run(id=1 + 2 * seed + place, group_key=method, method=method, method_label=method, objective="dpo", seed=seed,
            baseline="b")
        for seed in range(3)
        for place, method in enumerate(("cw", "weak"))
    ]  # fmt: skip
    won = {1: [1.0], 2: [0.0], 3: [1.0], 4: [0.0], 5: [0.0], 6: [1.0]}
    (row,) = order_rows(runs, {"own": _outcomes(won)})
    assert row.stable == pytest.approx(20 / 27)


def test_copies_of_prompts_in_clusters_are_drawn_together() -> None:
    runs = runs_of("cw", "weak", seeds=1)
    alone = _outcomes({runs[0].id: [1, 1, 0], runs[1].id: [0, 0, 1]})
    twice = pd.concat([alone.assign(cluster=alone["prompt_id"]),
                       alone.assign(cluster=alone["prompt_id"], prompt_id=alone["prompt_id"] + "copy")])  # fmt: skip
    (row,) = order_rows(runs, {"own": twice})
    assert row.stable == pytest.approx(20 / 27)
    assert row.n_prompts == 6


def test_a_clear_order_is_stable_and_one_of_equals_is_not() -> None:
    runs = runs_of("cw", "weak", "human", seeds=3)
    clear = outcomes_of(runs, chance={"cw": 0.9, "weak": 0.6, "human": 0.3})
    equal = outcomes_of(runs, chance={"cw": 0.6, "weak": 0.6, "human": 0.6})
    one, other = order_rows(runs, {"own": clear, "other": equal})
    assert one.order == ("CW", "Weak labels", "Human")
    assert one.stable > 0.99
    assert other.stable < 0.9


def test_a_judge_of_one_setting_has_no_order() -> None:
    runs = runs_of("cw", "weak", seeds=2)
    rows = outcomes_of(runs, chance={"cw": 0.9, "weak": 0.6})
    one = rows[rows["run_id"].isin([run.id for run in runs if run.method == "cw"])]
    assert [row.judge for row in order_rows(runs, {"own": rows, "other": one})] == ["own"]


def _said(gold: list[list[float]], second: list[list[float]], **about: object) -> dict[str, object]:
    """A stage's summary with these outcomes by point and prompt."""
    names = [f"p{place}" for place in range(len(gold[0]))]
    return {
        "gold": "trained", "second": "oracle", "steps": 4, "prompt_ids": names, "clusters": names,
        "points": [{"step": 2 * (place + 1), "kl": 0.5 * (place + 1)} for place in range(len(gold))],
        "cells": [{"gold": one, "second": other} for one, other in zip(gold, second, strict=True)], **about,
    }  # fmt: skip


def test_curves_pool_the_seeds_and_name_where_the_judges_part() -> None:
    """Four prompts tell nothing; the same shares of four hundred do."""
    runs = runs_of("cw", seeds=2)
    fooled = _said([[1, 0.5, 0, 1], [1, 1, 1, 1]], [[1, 1, 1, 0], [0, 0, 1, 0]])
    many = _said([[1, 0.5, 0, 1] * 100, [1, 1, 1, 1] * 100], [[1, 1, 1, 0] * 100, [0, 0, 1, 0] * 100])
    (sentence,) = turned(along_rows(runs, {run.id: fooled for run in runs}))
    assert sentence.startswith("No curve's second judge falls")
    rows = along_rows(runs, {run.id: fooled for run in runs})
    assert [row.place for row in rows] == ["step 2 of 4", "step 4 of 4"]
    assert [row.gold for row in rows] == pytest.approx([0.625, 1.0])
    assert [row.second for row in rows] == pytest.approx([0.75, 0.25])
    assert [row.gap for row in rows] == pytest.approx([-0.125, 0.75])
    assert {(row.n_seeds, row.n_prompts) for row in rows} == {(2, 4)}
    (sentence,) = turned(along_rows(runs, {run.id: many for run in runs}))
    assert "step 2 of 4" in sentence
    assert "50.0 points lower" in sentence
    fine = _said([[1, 0.5, 0, 1], [1, 1, 1, 1]], [[0, 0, 1, 0], [1, 1, 1, 0]])
    (sentence,) = turned(along_rows(runs, {run.id: fine for run in runs}))
    assert sentence.startswith("No curve's second judge falls")


def test_one_baseline_of_several_runs_counts_once() -> None:
    said = _said([[0.5, 0.5], [1, 0.5]], [[0.5, 0.5], [0.5, 1]], points=[{"n": 1, "kl": 0.0}, {"n": 2, "kl": 0.19}])
    rows = best_of_rows([said, dict(said)])
    assert [(row.place, row.n_seeds) for row in rows] == [("n = 1", 1), ("n = 2", 1)]
    assert np.allclose([row.gold for row in rows], [0.5, 0.75])


def _won(runs: list[Run], wins: int, of: int = 120) -> pd.DataFrame:
    """Every run wins its first prompts; the aligned answer is the longer one on every second prompt."""
    rows = outcomes_of(runs, chance=dict.fromkeys({run.method for run in runs}, 0.5), prompts=of)
    place = rows.groupby("run_id").cumcount()
    lengths = np.where(place % 2 == 0, 20.0, 10.0)
    return rows.assign(
        outcome=(place < wins).astype(float), tokens=lengths, baseline_tokens=15.0, score=0.5 * (place < wins),
        baseline_score=place % 2,
    )  # fmt: skip


def _card(q: float, half: float = 0.03, **about: object) -> dict[str, object]:
    return {"judge": "rm", "pairs": 1000, "q": q, "q_low": q - half, "q_high": q + half, **about}


def test_a_gra_of_sixty_by_a_judge_that_is_right_in_three_of_four_is_seventy_if_the_labels_are_right() -> None:
    """(0.6 + 0.75 − 1)/(2 · 0.75 − 1) = 0.7, with a wider interval than GRA's; half of the wins are the longer ones."""
    runs = runs_of("cw", seeds=1)
    outcomes = _won(runs, 72)
    (row,) = card_rows(gra_table(runs, outcomes), outcomes, {runs[0].id: _card(0.75)})
    assert row.estimate == pytest.approx(0.6)
    assert row.true == pytest.approx(0.7)
    assert row.true_low is not None
    assert row.true_high is not None
    assert row.true_high - row.true_low > row.high - row.low
    assert (row.q, row.pairs, row.said) == (0.75, 1000, "")
    assert row.ties == 0.0
    assert row.longer_won == pytest.approx((36 + 24) / 120)  # longer on the even prompts: 36 won, 24 odd ones lost
    assert row.gap == pytest.approx(0.5 / outcomes["baseline_score"].std())


@pytest.mark.parametrize(
    ("wins", "q", "said"),
    [(108, 0.6, IMPOSSIBLE), (86, 0.7, f"{IMPOSSIBLE}, or chance"), (72, 0.51, SILENT), (72, 0.75, "")],
)
def test_where_a_corrected_gra_cannot_be_it_is_said_instead(wins: int, q: float, said: str) -> None:
    runs = runs_of("cw", seeds=1)
    outcomes = _won(runs, wins)
    (row,) = card_rows(gra_table(runs, outcomes), outcomes, {runs[0].id: _card(q)})
    assert row.said == said
    assert (row.true is None) == bool(said)
    assert (said or "and the labels are right, GRA without them is 70.0 % in place of 60.0 %") in believed(row)


def test_nobody_tried_the_judge() -> None:
    runs = runs_of("cw", seeds=1)
    outcomes = _won(runs, 72)
    (row,) = card_rows(gra_table(runs, outcomes), outcomes, {})
    assert (row.q, row.true, row.pairs) == (None, None, 0)
    assert believed(row) == "Nobody tried this judge on pairs with human labels yet."


def test_a_card_that_seeds_share_counts_once_and_errors_of_two_on_the_same_pairs_do_not_average_out() -> None:
    once = pooled([_card(0.75), _card(0.75)])
    assert once == pytest.approx((0.75, 0.03 / 1.96), rel=1e-3)
    both = pooled([_card(0.7), _card(0.8)])
    assert both == pytest.approx((0.75, 0.03 / 1.96), rel=1e-3)


def test_the_oracle_is_known_by_how_often_the_labels_are_the_truth() -> None:
    card = oracle_card({"human_accuracy": 0.75, "kept": 400, "longer_wins": 0.5})
    assert card is not None
    assert (card["q"], card["pairs"], card["judge"]) == (0.75, 400, "oracle")
    assert card["q_low"] < 0.75 < card["q_high"]
    assert oracle_card({"kept": 400}) is None
    assert card_sentences(card)[0] == "The oracle learns from no pair."


@pytest.mark.parametrize("wins", [60, 72, 120])
def test_the_oracle_is_the_truth_and_nothing_is_corrected(wins: int) -> None:
    """Its q of 75 % is the noise of the labels: 60 % would be made 70 %, 100 % called impossible."""
    card = oracle_card({"human_accuracy": 0.75, "kept": 400, "longer_wins": 0.5})
    assert card is not None
    runs = runs_of("cw", seeds=1)
    outcomes = _won(runs, wins)
    (row,) = card_rows(gra_table(runs, outcomes), outcomes, {runs[0].id: card})
    assert (row.true, row.true_low, row.true_high, row.q, row.said) == (None, None, None, 0.75, TRUTH)
    assert "which is the noise of the labels; the oracle is the truth: nothing to correct." in believed(row)
