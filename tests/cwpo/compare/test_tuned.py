"""β tuned per method: chosen on prompts that are in no figure, among the same values for all of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cwpo.compare.matched_kl import frontiers
from cwpo.compare.questions.tuned import NO_COMMON_BETA, TunedRow, is_validation, tuned_differences
from tests.cwpo.compare.beta_sweeps import BETAS, swept
from tests.cwpo.compare.compared_runs import PROMPTS

CHOOSES = np.array([is_validation(prompt) for prompt in PROMPTS])
# GRA at β 1, ½ and ¼ on the prompts that choose, and on the others. CW is best at ¼ where it is chosen and at 1 where
# it is not: what the others say must have no part in the choice.
AT: dict[str, dict[float, tuple[float, float]]] = {
    "cw": {1.0: (0.4, 0.9), 0.5: (0.5, 0.6), 0.25: (0.7, 0.65)},
    "weak": {1.0: (0.5, 0.2), 0.5: (0.6, 0.55), 0.25: (0.6, 0.9)},
}
# CW under KTO: best at ½ where it is chosen.
KTO: dict[float, tuple[float, float]] = {1.0: (0.5, 0.3), 0.5: (0.8, 0.75), 0.25: (0.6, 0.95)}


def outcomes_of(runs, configs) -> pd.DataFrame:
    frames = []
    for run in runs:
        chosen, other = (KTO if run.objective == "kto" else AT[run.method])[configs[run.id].align.beta]
        frames.append(
            pd.DataFrame(
                {
                    "run_id": run.id, "prompt_id": PROMPTS, "outcome": np.where(CHOOSES, chosen, other),
                    "logratio": 1 / configs[run.id].align.beta, "tokens": 20.0, "baseline_tokens": 20.0,
                }
            )
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def tuned(runs, configs, **more) -> list[TunedRow]:
    return tuned_differences(frontiers(runs, outcomes_of(runs, configs), configs), **more)


def test_each_method_is_compared_at_the_beta_that_other_prompts_chose() -> None:
    """CW at ¼ has 0.65 on the prompts that did not choose; weak labels tie at ½ and ¼, and ½ is taken: 0.55."""
    (row,) = tuned(*swept("cw", "weak"))
    assert (row.first_beta, row.second_beta, row.tried) == (0.25, 0.5, tuple(sorted(BETAS)))
    assert row.estimate == pytest.approx(0.1)
    assert (row.validation_prompts, row.n_prompts) == (CHOOSES.sum(), (~CHOOSES).sum())
    assert row.n_seeds == 3


def test_about_a_third_of_the_prompts_choose_and_clusters_stay_whole() -> None:
    names = [f"prompt {number}" for number in range(3000)]
    assert np.mean([is_validation(name) for name in names]) == pytest.approx(1 / 3, abs=0.03)
    related = {name: f"cluster {number // 2}" for number, name in enumerate(names)}
    parts = [is_validation(name, related) for name in names]
    assert parts[::2] == parts[1::2]


def test_a_beta_that_one_method_alone_was_run_at_cannot_be_chosen() -> None:
    """Without CW at ¼ weak labels may not choose it either: one budget for all."""
    runs, configs = swept("cw", "weak")
    kept = [run for run in runs if run.method == "weak" or configs[run.id].align.beta > 0.25]
    (row,) = tuned(kept, configs)
    assert (row.tried, row.first_beta, row.second_beta) == ((0.5, 1.0), 0.5, 0.5)


def test_with_one_beta_in_common_the_row_says_why_there_is_none() -> None:
    runs, configs = swept("cw", "weak")
    only = {"cw": (1.0, 0.5), "weak": (0.5, 0.25)}
    (row,) = tuned([run for run in runs if configs[run.id].align.beta in only[run.method]], configs)
    assert (row.estimate, row.reason) == (None, NO_COMMON_BETA)


def under_two_objectives(*methods: str):
    """These methods under DPO, and CW under KTO."""
    (runs, configs), (more, its) = swept(*methods), swept("cw", objective="kto", first_id=1001)
    return [*runs, *more], configs | its


def test_an_objective_is_compared_with_dpo_each_at_its_own_beta_within_one_method() -> None:
    """KTO chooses ½ and has 0.75 on the other prompts, DPO ¼ and 0.65; weak labels under DPO are no pair of KTO's."""
    row, other = tuned(*under_two_objectives("cw", "weak"))
    assert (row.first_method, row.second_method, row.objective, row.second_objective) == ("cw", "weak", "dpo", "dpo")
    assert (other.label, other.objective, other.second_objective) == ("CW · KTO − CW · DPO", "kto", "dpo")
    assert (other.first_beta, other.second_beta, other.tried) == (0.5, 0.25, tuple(sorted(BETAS)))
    assert other.estimate == pytest.approx(0.1)
    assert row.comparisons == other.comparisons == 2


def test_objectives_have_one_budget() -> None:
    """Without KTO at ¼ DPO may not choose it either, and takes ½: 0.75 against 0.6."""
    runs, configs = under_two_objectives("cw")
    kept = [run for run in runs if run.objective == "dpo" or configs[run.id].align.beta > 0.25]
    (row,) = tuned(kept, configs)
    assert (row.tried, row.first_beta, row.second_beta) == ((0.5, 1.0), 0.5, 0.5)
    assert row.estimate == pytest.approx(0.15)


def test_a_pinned_reference_is_what_objectives_of_its_method_are_held_against() -> None:
    runs, configs = under_two_objectives("cw", "weak")
    (row,) = tuned(runs, configs, reference="cw-kto-0.5")
    assert row.label == "CW · DPO − CW · KTO"
    assert row.estimate == pytest.approx(-0.1)


def test_other_opponents_are_not_compared() -> None:
    runs, configs = swept("cw", "weak")
    (row,) = tuned([replace(run, baseline=run.method) for run in runs], configs)
    assert row.reason == "different opponents"
