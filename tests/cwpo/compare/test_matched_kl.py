"""GRA at matched KL over the runs of a sweep in β: frontiers, paired differences, and the sentence."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from cwpo.compare.gra import differences, gra_table, setting_keys
from cwpo.compare.matched_kl import MatchedRow, frontier_rows, frontiers, matched_differences
from cwpo.report import columns
from cwpo.report.numbers import number
from cwpo.report.sentences import verdict_sentence
from tests.cwpo.compare.beta_sweeps import BETAS, outcomes_on_one_curve, swept, with_align


def matched_of(gain: float = 0.0, **choice: Any) -> list[MatchedRow]:
    runs, configs = swept("human", "weak", "cw")
    found = frontiers(runs, outcomes_on_one_curve(runs, configs, gain=gain), configs)
    return matched_differences(found, **choice)


def test_a_gain_that_is_distance_alone_vanishes_at_matched_kl() -> None:
    """KL 1 to 4 for weak, 1.4 to 5.6 for CW: compared from 1.4 to 4."""
    first, second = matched_of()
    assert (first.label, second.label) == ("CW − Weak labels", "CW − Human")
    assert (first.kl_low, first.kl_high) == pytest.approx((1.4, 4.0))
    assert first.estimate == pytest.approx(0.0, abs=1e-12)
    assert first.covers_zero
    assert (first.n_prompts, first.n_seeds, first.comparisons) == (120, 3, 2)


def test_a_better_direction_stays() -> None:
    first = matched_of(gain=0.03)[0]
    assert first.estimate == pytest.approx(0.03)
    assert first.curve is not None
    assert first.curve.estimate == pytest.approx([0.03] * len(first.curve.kl))


def test_a_reference_holds_every_other_method_against_its_frontier() -> None:
    assert [row.label for row in matched_of(reference="human-dpo-0.5")] == ["Weak labels − Human", "CW − Human"]


def test_a_frontier_has_a_point_for_each_beta_and_a_curve_that_all_seeds_cover() -> None:
    runs, configs = swept("weak")
    (row,) = frontier_rows(frontiers(runs, outcomes_on_one_curve(runs, configs), configs))
    assert [knot.beta for knot in row.knots] == list(BETAS)
    assert [knot.kl for knot in row.knots] == pytest.approx([1.0, 2.0, 4.0])
    assert row.curve is not None
    assert (row.curve.kl[0], row.curve.kl[-1]) == pytest.approx((1.0, 4.0))
    assert (row.label, row.n_seeds, row.reason) == ("Weak labels", 3, None)


def test_one_beta_is_no_frontier() -> None:
    runs, configs = swept("weak", "cw")
    kept = [run for run in runs if configs[run.id].align.beta == 0.5]
    assert frontiers(kept, outcomes_on_one_curve(runs, configs), configs) == []


def test_no_overlap_is_a_sentence_with_both_ranges() -> None:
    runs, configs = swept("weak", "cw")
    outcomes = outcomes_on_one_curve(runs, configs)
    far = outcomes["run_id"].isin([run.id for run in runs if run.method == "cw"])
    outcomes.loc[far, "logratio"] += 9
    (row,) = matched_differences(frontiers(runs, outcomes, configs))
    assert row.reason is not None
    assert row.reason.startswith("no overlap: there is no KL that every seed of both methods reaches")
    assert "Weak labels 1.00 to 4.00 nats" in row.reason
    assert (row.estimate, row.is_real) == (None, False)
    assert columns.cells(columns.MATCHED, [row]).rows[0][-1] == row.reason


def test_frontiers_of_two_judges_are_not_paired() -> None:
    runs, configs = swept("weak", "cw")
    outcomes = outcomes_on_one_curve(runs, configs, gain=0.03)
    judged = [replace(run, judge=run.method) for run in runs]
    (row,) = matched_differences(frontiers(judged, outcomes, configs))
    assert (row.reason, row.estimate, row.is_real) == ("different gold rewards", None, False)


def test_the_detectable_difference_at_matched_kl_is_that_of_its_rule() -> None:
    """Three seeds 5 points apart and no other noise: more than half the interval, itself above 1.96 · .05/√3."""
    runs, configs = swept("weak", "cw")
    outcomes = outcomes_on_one_curve(runs, configs)
    seeds = {run.id: run.seed for run in runs if run.method == "cw"}
    outcomes["outcome"] += outcomes["run_id"].map(seeds).fillna(1).map({0: -0.05, 1: 0.0, 2: 0.05})
    (row,) = matched_differences(frontiers(runs, outcomes, configs))
    assert row.estimate == pytest.approx(0.0, abs=1e-9)
    assert row.high is not None
    assert row.detectable is not None
    assert 1.96 * 0.05 / 3**0.5 < row.high < row.detectable
    cells = dict(
        zip(
            columns.cells(columns.MATCHED, [row]).columns,
            columns.cells(columns.MATCHED, [row]).rows[0],
            strict=True,
        )
    )
    assert cells["detectable, points"] == f"{100 * row.detectable:.1f}"
    numbers = columns.numbers(columns.MATCHED, [row])
    assert dict(zip(numbers.columns, numbers.rows[0], strict=True))["detectable"] == row.detectable


def test_frontiers_of_one_method_say_what_they_differ_in() -> None:
    """At several β, once with epochs over what is kept and once at equal steps: two curves, two names."""
    runs, configs = swept("top")
    kept = {run.id: with_align(configs[run.id], steps="kept") for run in runs}
    again = [replace(run, id=run.id + 1000, group_key=f"{run.group_key}-pool") for run in runs]
    pool = {run.id: with_align(configs[run.id - 1000], steps="pool") for run in again}
    every = {**kept, **pool}
    found = frontiers([*runs, *again], outcomes_on_one_curve([*runs, *again], every), every)
    assert [row.label for row in frontier_rows(found)] == ["Top 30 %", "Top 30 % · equal steps"]


def test_settings_that_differ_in_more_than_beta_are_not_paired() -> None:
    runs, configs = swept("weak", "cw")
    for run in runs:
        if run.method == "cw":
            configs[run.id] = with_align(configs[run.id], lr=1e-4)
    assert matched_differences(frontiers(runs, outcomes_on_one_curve(runs, configs), configs)) == []


def test_the_sentence_names_what_is_left_at_matched_kl() -> None:
    """Every other prompt 10 points better for CW, the others 10 worse."""
    runs, configs = swept("weak", "cw")
    outcomes = outcomes_on_one_curve(runs, configs)
    ours = outcomes["run_id"].isin([run.id for run in runs if run.method == "cw"])
    outcomes.loc[ours, "outcome"] += 0.2 * (pd.factorize(outcomes.loc[ours, "prompt_id"])[0] % 2) - 0.1
    rows = gra_table(runs, outcomes, configs=configs)
    matched = matched_differences(frontiers(runs, outcomes, configs))
    settings = setting_keys(runs, configs)
    pairs = differences(runs, outcomes, settings=settings, configs=configs)
    assert all(pair.estimate is not None and pair.estimate > 0.009 for pair in pairs)
    (row,) = matched
    assert row.low is not None
    assert row.detectable is not None
    half, least = number(-100 * row.low, 1), number(100 * row.detectable, 1)
    assert verdict_sentence(rows, pairs, matched) == (
        f"At matched KL (1.40 to 4.00 nats) CW and Weak labels cannot be told apart (0.0 points, 95 % −{half} to "
        f"+{half}; smallest detectable difference {least} points)."
    )


def test_where_two_methods_differ_on_no_prompt_no_detectable_difference_is_stated() -> None:
    runs, configs = swept("weak", "cw")
    outcomes = outcomes_on_one_curve(runs, configs)
    matched = matched_differences(frontiers(runs, outcomes, configs))
    assert [row.detectable for row in matched] == [None]
    assert "detectable" not in verdict_sentence(gra_table(runs, outcomes, configs=configs), [], matched)
