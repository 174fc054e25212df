"""The figures of a list are those of the table, whatever is missing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cwpo.compare.configured_run import by_setting
from cwpo.compare.gra import gra_table
from cwpo.compare.in_list import setting_results
from tests.cwpo.compare.compared_runs import Run, outcomes_of, runs_of

CHANCE = {"cw": 0.6, "weak": 0.5, "human": 0.55}


def _twice(runs: list[Run], outcomes: pd.DataFrame) -> tuple[list[Run], pd.DataFrame]:
    """Two runs of one seed, which is one seed."""
    again = replace(runs[0], id=99)
    more = outcomes_of([again], chance=CHANCE)
    return [*runs, again], pd.concat([outcomes, more.iloc[:-7]])


def _fewer(runs: list[Run], outcomes: pd.DataFrame) -> tuple[list[Run], pd.DataFrame]:
    """Prompts that one seed has not, rows in any order, and a run without outcomes."""
    kept = outcomes[(outcomes.run_id != runs[0].id) | (outcomes.prompt_id > "p050")]
    return [*runs, replace(runs[1], id=77, seed=7)], kept.sample(frac=1, random_state=0)


def _nothing_shared(runs: list[Run], outcomes: pd.DataFrame) -> tuple[list[Run], pd.DataFrame]:
    """Each seed answered prompts of its own."""
    own = outcomes.run_id.astype(str) + outcomes.prompt_id
    return runs, outcomes.assign(prompt_id=own)


def _no_kl(runs: list[Run], outcomes: pd.DataFrame) -> tuple[list[Run], pd.DataFrame]:
    return runs, outcomes.assign(logratio=np.nan)


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("change", [lambda *both: both, _twice, _fewer, _nothing_shared, _no_kl])
def test_a_line_says_what_the_table_says(change: Callable[..., tuple[list[Run], pd.DataFrame]], seeds: int) -> None:
    made = runs_of("cw", "weak", "human", seeds=seeds)
    runs, outcomes = change(made, outcomes_of(made, chance=CHANCE))
    found = setting_results(by_setting(runs), outcomes)
    table = gra_table(runs, outcomes)
    assert {row.group_key for row in table} == set(found)
    for row in table:
        mine = found[row.group_key]
        assert (mine.estimate, mine.low, mine.high) == pytest.approx((row.estimate, row.low, row.high), abs=1e-12)
        assert mine.kl == (None if row.kl is None else pytest.approx(row.kl, abs=1e-12))


def test_no_outcomes_are_no_results() -> None:
    runs = runs_of("cw")
    assert setting_results(by_setting(runs), outcomes_of(runs, chance=CHANCE).iloc[:0]) == {}
