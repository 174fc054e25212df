"""Two gold rewards over the same answers, and two aligned models against each other: hand-made scores."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from cwpo.compare.head_to_head import HeadToHead, head_to_head
from cwpo.compare.two_judges import gold_table
from cwpo.report import columns
from cwpo.report.sentences import agreement_sentence
from tests.cwpo.compare.compared_runs import PROMPTS, runs_of


def outcomes(run_ids: list[int], score: np.ndarray, baseline: np.ndarray) -> pd.DataFrame:
    """The same scores in every run."""
    rows = {"prompt_id": PROMPTS[: len(score)], "score": score, "baseline_score": baseline}
    won = np.where(score == baseline, 0.5, (score > baseline).astype(float))
    return pd.concat([pd.DataFrame({"run_id": run, **rows, "outcome": won}) for run in run_ids], ignore_index=True)


def test_a_judge_that_alignment_fools_is_seen() -> None:
    """The further judge ranks baseline answers as the own one does, aligned ones the other way round."""
    runs = runs_of("cw", seeds=2)
    baseline = np.arange(100.0)
    ids = [run.id for run in runs]
    own = outcomes(ids, baseline + 10, baseline)
    further = outcomes(ids, baseline[::-1].copy(), baseline)
    (row,) = gold_table(runs, own, further)
    assert (row.estimate, row.further) == (1.0, 0.5)
    assert row.same_side == 0.5
    assert row.kappa == pytest.approx(0.0, abs=1e-12)
    assert row.gain == pytest.approx(10 / float(pd.Series(np.tile(baseline, 2)).std()))
    assert row.further_gain == pytest.approx(0.0)
    assert (row.rank_baseline, row.rank_aligned) == pytest.approx((1.0, -1.0))
    assert (row.n_prompts, row.n_seeds, row.label) == (100, 2, "CW")
    assert "baseline answers alike at ρ = 1.00, aligned answers at −1.00" in agreement_sentence([row])
    assert columns.cells(columns.GOLD, [row], "judge").rows[0][:2] == ("CW", "100.0")


def test_only_runs_that_both_judged_count() -> None:
    runs = runs_of("cw", "weak", seeds=2)
    own = outcomes([run.id for run in runs], np.ones(50), np.arange(50.0))
    further = own[own["run_id"].isin([run.id for run in runs if run.method == "cw" and run.seed == 0])]
    (row,) = gold_table(runs, own, further)
    assert (row.method, row.n_seeds, row.same_side) == ("cw", 1, 1.0)
    assert "1 seed" in row.note


def scored(run: int, score: np.ndarray, *, judge: str = "a", tokens: float = 20.0) -> pd.DataFrame:
    """No two runs say the same."""
    rows = {"prompt_id": PROMPTS[: len(score)], "sample": 0, "score": score, "tokens": tokens, "judge": judge}
    return pd.DataFrame({"run_id": run, "answer": run, **rows})


def met(*frames: pd.DataFrame, seeds: int = 2) -> HeadToHead:
    runs = runs_of("cw", "weak", seeds=seeds)
    first, second = ([run for run in runs if run.method == name] for name in ("cw", "weak"))
    return head_to_head(first, second, pd.concat(frames), labels=("CW", "Weak labels"))


def test_head_to_head_counts_sample_against_sample() -> None:
    """60 of 100 prompts won, 20 tied, in both seeds: .7."""
    ours = np.concatenate([np.ones(60), np.zeros(20), -np.ones(20)])
    found = met(*(scored(run, ours if run % 2 else np.zeros(100), tokens=18 + run) for run in (1, 2, 3, 4)))
    assert found.share == pytest.approx(0.7)
    assert (found.wins, found.ties, found.losses) == (120, 40, 40)
    assert found.is_real
    assert found.detectable is not None
    assert found.low is not None
    assert found.detectable > found.share - found.low  # four times in five asks for more than half the interval
    cells = dict(
        zip(
            columns.cells(columns.HEAD_TO_HEAD, [found]).columns,
            columns.cells(columns.HEAD_TO_HEAD, [found]).rows[0],
            strict=True,
        )
    )
    assert cells["detectable, points"] == f"{100 * found.detectable:.1f}"
    assert cells["verdict"] == "different"
    assert (
        dict(
            zip(
                columns.numbers(columns.HEAD_TO_HEAD, [found]).columns,
                columns.numbers(columns.HEAD_TO_HEAD, [found]).rows[0],
                strict=True,
            )
        )["detectable"]
        == found.detectable
    )
    assert (found.tokens, found.second_tokens) == (20.0, 21.0)
    assert (found.n_prompts, found.n_seeds) == (100, 2)
    assert columns.cells(columns.HEAD_TO_HEAD, [found]).rows[0][0] == "CW against Weak labels"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.488, 0.512, "smaller than ±1.5"),
        (0.480, 0.512, "cannot be told"),
        (0.53, 0.58, "different"),
        (None, None, ""),
    ],
)
def test_a_share_is_told_from_one_half_as_a_difference_is_from_nothing(
    low: float | None, high: float | None, verdict: str
) -> None:
    found = HeadToHead(first_label="CW", second_label="Weak labels", share=0.5, low=low, high=high)
    assert found.told == verdict


def test_the_same_answer_ties_whatever_the_last_bits_of_its_scores_are() -> None:
    """Of 100 prompts 60 have one text from both, scored 2e-7 apart in another batch; of the others the first wins 10:
    10 + 60/2 of 100. Two texts with these scores are a win."""
    ours = np.concatenate([np.full(60, 2e-7), np.ones(10), -np.ones(30)])
    same = np.arange(100) < 60
    second = scored(2, np.zeros(100)).assign(answer=np.where(same, 1, 2))
    found = met(scored(1, ours), second, seeds=1)
    assert (found.wins, found.ties, found.losses) == (10, 60, 30)
    assert found.share == pytest.approx(0.4)
    assert met(scored(1, ours), scored(2, np.zeros(100)), seeds=1).share == pytest.approx(0.7)


def test_a_share_near_one_half_is_never_emphasised() -> None:
    ours = np.tile([1.0, -1.0], 50)
    found = met(*(scored(run, ours if run % 2 else np.zeros(100)) for run in (1, 2, 3, 4)))
    assert found.share == 0.5
    assert not found.is_real


def test_different_judges_are_not_mixed() -> None:
    found = met(scored(1, np.ones(5)), scored(2, np.zeros(5), judge="b"), seeds=1)
    assert (found.reason, found.share, found.is_real) == ("different gold rewards", None, False)
    assert met(scored(1, np.ones(5)), seeds=1).reason == "not scored yet"
    assert met(scored(1, np.ones(5)), scored(4, np.ones(5))).reason == "no seed in common"


@pytest.mark.parametrize("wins", [50, 97, 100])
def test_head_to_head_of_one_seed_has_wilsons_interval(wins: int) -> None:
    """An interval of t is symmetric: of 97 wins of 100 its lower end lies higher."""
    found = met(scored(1, np.arange(100) < wins), scored(2, np.full(100, 0.5)), seeds=1)
    assert (found.share, found.n_seeds) == (pytest.approx(wins / 100), 1)
    assert (found.low, found.high) == pytest.approx(proportion_confint(wins, 100, method="wilson"), abs=1e-9)
