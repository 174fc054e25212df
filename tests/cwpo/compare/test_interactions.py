"""Labels × weights: the difference of two differences stands in the table, and is planned where all four are there."""

from dataclasses import replace

import pandas as pd
import pytest

from cwpo.compare.configured_run import NO_COMMON_SEED
from cwpo.compare.gra import NOT_EVALUATED, differences, gra_table, pairs_against, planned_interactions
from cwpo.report.sentences import verdict_sentence
from cwpo.report.verdict import verdict
from tests.cwpo.compare.compared_runs import Run, outcomes_of, runs_of

CELLS = ("human", "human_cw", "weak", "cw")
CHANCE = {"human": 0.6, "human_cw": 0.6, "weak": 0.4, "cw": 0.65}


@pytest.fixture(scope="module")
def square() -> tuple[list[Run], pd.DataFrame]:
    runs = runs_of(*CELLS)
    return runs, outcomes_of(runs, chance=CHANCE)


def test_a_two_by_two_table_has_what_c_adds_to_each_label_and_the_difference_of_the_two(square) -> None:
    runs, outcomes = square
    found = {row.label: row for row in differences(runs, outcomes)}
    assert list(found) == [
        "CW − Weak labels", "CW − Human", "Human, C − Human", "(Human, C − Human) − (CW − Weak labels)",
    ]  # fmt: skip
    won = outcomes.merge(pd.DataFrame([{"run_id": run.id, "method": run.method} for run in runs]))
    mean = won.groupby("method")["outcome"].mean()
    row = found["(Human, C − Human) − (CW − Weak labels)"]
    wanted = mean["human_cw"] - mean["human"] - (mean["cw"] - mean["weak"])
    assert row.estimate == pytest.approx(wanted)
    assert (row.n_seeds, row.n_prompts, row.comparisons, row.is_real) == (4, 120, 4, True)
    assert (row.less_first, row.less_second) == ("cw-dpo", "weak-dpo")


@pytest.mark.parametrize("missing", CELLS)
def test_without_one_of_the_four_no_interaction_is_planned(missing: str) -> None:
    runs = runs_of(*(name for name in CELLS if name != missing))
    assert planned_interactions(runs) == []
    assert not any(row.is_interaction for row in differences(runs, outcomes_of(runs, chance=CHANCE)))


def test_settings_that_differ_in_more_than_labels_and_weights_make_no_square(square) -> None:
    settings = {"human-dpo": "one", "human_cw-dpo": "one", "weak-dpo": "other", "cw-dpo": "other"}
    assert planned_interactions(square[0], settings=settings) == []


def test_an_interaction_without_a_seed_in_common_or_a_result_says_why(square) -> None:
    runs, outcomes = square
    apart = [replace(run, seed=run.seed + 9) if run.method == "weak" else run for run in runs]
    (row,) = (row for row in differences(apart, outcomes) if row.is_interaction)
    assert (row.estimate, row.reason) == (None, NO_COMMON_SEED)
    waiting = outcomes[~outcomes["run_id"].isin([run.id for run in runs if run.method == "weak"])]
    (row,) = (row for row in differences(runs, waiting) if row.is_interaction)
    assert row.reason == NOT_EVALUATED


def test_the_verdict_says_what_c_adds_to_which_labels_beside_a_reference_and_without_one(square) -> None:
    runs, outcomes = square
    table = gra_table(runs, outcomes)
    (row,) = (row for row in differences(runs, outcomes) if row.is_interaction)
    points = f"{100 * row.estimate:+.1f} points".replace("-", "−")
    assert f"C adds less to human labels than to weak ones ({points}" in verdict_sentence(table, [row])
    pairs = [*pairs_against(runs, "human-dpo"), *planned_interactions(runs)]
    found = verdict(table, differences(runs, outcomes, pairs=pairs), "human-dpo")
    assert "(CW − Weak labels)" not in found.headline
    assert any(one.startswith("C adds less to human labels than to weak ones") for one in found.caveats)
