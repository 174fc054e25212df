"""What a planned comparison can see: the spread between seeds that earlier runs had, and what follows from it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cwpo.compare import power
from cwpo.config.run import expand, merged
from cwpo.statistics import intervals
from cwpo.statistics.simultaneous import Gap, together
from workers.plan import words

SIX = ["cw", "weak", "human", "shuffled", "soft", "oracle"]
BASE: dict[str, Any] = {"method": "cw", "data": {"sandbox": {"pairs": 1000}, "test_prompts": 100}}


@dataclass(frozen=True)
class Run:
    """As much of a run as the spread between seeds is read off."""

    id: int
    group_key: str
    seed: int
    method: str = "cw"
    method_label: str = "CW"
    objective: str = "dpo"
    baseline: str = "x"
    judge: str = "oracle"


ONE = dict.fromkeys(range(20), 1)  # answers to each prompt of those runs


def tables(rng: np.random.Generator, seeds: int, prompts: int, sd: float) -> tuple[list[Run], pd.DataFrame]:
    """Two settings whose difference moves by `sd` with the seed; 3 of 10 prompts change their winner."""
    runs = [Run(id=10 * place + seed, group_key="ab"[place], seed=seed) for place in (0, 1) for seed in range(seeds)]
    frames = []
    for seed in range(seeds):
        draw, up = rng.random(prompts), 0.15 + rng.normal(0, sd) / 2
        second = np.where(draw < up, 1.0, np.where(draw < 0.3, 0.0, 0.5))
        first = np.where(draw < up, 0.0, np.where(draw < 0.3, 1.0, 0.5))
        for place, outcome in enumerate((first, second)):
            ids = [f"p{number}" for number in range(prompts)]
            frames.append(pd.DataFrame({"run_id": 10 * place + seed, "prompt_id": ids, "outcome": outcome}))
    return runs, pd.concat(frames, ignore_index=True)


def test_the_spread_between_seeds_is_measured_where_two_settings_share_seeds() -> None:
    runs, outcomes = tables(np.random.default_rng(3), seeds=9, prompts=800, sd=0.06)
    found = power.measured_spread(runs, outcomes, ONE)
    wide = outcomes.pivot_table(index="run_id", columns="prompt_id", values="outcome")
    alone = intervals.paired_difference(wide.loc[list(range(10, 19))], wide.loc[list(range(9))])
    assert (found.sd, found.comparisons) == (pytest.approx(alone.seed_sd), 1)
    assert 0.04 < found.sd < 0.09
    changed = (wide.loc[list(range(10, 19))].to_numpy() != wide.loc[list(range(9))].to_numpy()).mean()
    assert found.discordant == pytest.approx(changed)
    assert 0.27 < changed < 0.33
    assert power.measured_spread(runs[:1], outcomes, ONE) == power.SeedSpread()
    assert power.measured_spread([run for run in runs if run.seed < 3], outcomes, ONE) == power.SeedSpread()
    others = [dataclasses.replace(run, baseline="y") if run.group_key == "b" else run for run in runs]
    assert power.measured_spread(others, outcomes, ONE) == power.SeedSpread()
    judged = [dataclasses.replace(run, judge="y") if run.group_key == "b" else run for run in runs]
    assert power.measured_spread(judged, outcomes, ONE) == power.SeedSpread()
    one_seed = [run for run in runs if run.seed == 0]
    assert power.measured_spread(one_seed, outcomes, ONE) == power.SeedSpread()


def test_of_several_answers_a_prompt_the_share_is_that_of_one() -> None:
    """Two answers each: the difference of their means moves by half as much in the square."""
    rng = np.random.default_rng(3)
    runs, once = tables(rng, seeds=9, prompts=800, sd=0.06)
    twice = once.assign(outcome=(once["outcome"] + tables(rng, seeds=9, prompts=800, sd=0.06)[1]["outcome"]) / 2)
    one, two = power.measured_spread(runs, once, ONE), power.measured_spread(runs, twice, dict.fromkeys(ONE, 2))
    assert one.discordant is not None
    assert two.discordant == pytest.approx(one.discordant, abs=0.02)
    mixed = power.measured_spread(runs, once, ONE | {0: 2})
    assert (mixed.sd, mixed.comparisons, mixed.discordant) == (one.sd, one.comparisons, None)


def test_of_methods_that_gave_the_same_winners_a_plan_still_doubts() -> None:
    runs, outcomes = tables(np.random.default_rng(3), seeds=4, prompts=100, sd=0.0)
    spread = power.measured_spread(runs, outcomes.assign(outcome=1.0), ONE)
    assert (spread.sd, spread.discordant, spread.comparisons) == (0.0, 0.0, 1)
    configs = expand(merged(BASE, {"data": {"test_prompts": 100}, "seed": [0, 1]}))
    detectable = power.planned(configs, spread).detectable
    assert detectable is not None
    assert detectable > 0.03  # of 100 prompts three may differ unseen


def test_methods_that_change_fewer_winners_are_told_apart_sooner() -> None:
    configs = expand(merged(BASE, {"data": {"test_prompts": 400}, "seed": list(range(8))}))
    assumed, few = (
        power.planned(configs, power.SeedSpread(sd=0.01, discordant=share, comparisons=2)) for share in (None, 0.1)
    )
    assert assumed.detectable is not None
    assert few.detectable is not None
    assert few.detectable < 0.8 * assumed.detectable
    assert (
        "SD between seeds 1.0 points, and 10 % of prompts change their winner: measured in 2 "
        in words.power_sentence(few)
    )
    assert "on this dataset. 30 % of prompts change their winner: assumed." in words.power_sentence(assumed)


def test_related_prompts_are_one_in_the_spread_between_seeds() -> None:
    """Each prompt four times with one outcome: taken for news, what moves by chance would be the seeds'."""
    runs, once = tables(np.random.default_rng(3), seeds=9, prompts=100, sd=0.0)
    copies = [once.assign(prompt_id=once["prompt_id"] + f".{copy}", cluster=once["prompt_id"]) for copy in range(4)]
    four = pd.concat(copies, ignore_index=True)
    found = power.measured_spread(runs, four, ONE)
    assert found.sd == pytest.approx(power.measured_spread(runs, once, ONE).sd)
    assert (found.unrelated, found.same) == (0.25, pytest.approx(3 / 399))  # 100 clusters of 400; of 399 others 3
    assert power.measured_spread(runs, four.drop(columns="cluster"), ONE).sd > found.sd + 0.01


@pytest.mark.parametrize(("prompts", "seeds", "sd"), [(512, 3, 0.015), (400, 8, 0.02), (700, 1, 0.0)])
def test_the_detectable_difference_matches_a_simulation_within_a_seventh(prompts: int, seeds: int, sd: float) -> None:
    """80 % power lies between 0.85 and 1.15 times what the plan says."""
    configs = expand(
        merged(BASE, {"data": {"test_prompts": prompts}, "evaluation": {"samples": 1}, "seed": list(range(seeds))})
    )
    effect = power.planned(configs, power.SeedSpread(sd=sd)).detectable
    assert effect is not None
    rng = np.random.default_rng(1)

    def share_found(true: float, tries: int = 200) -> float:
        found = 0
        for _ in range(tries):
            up = 0.15 + (true + rng.normal(0, sd, (seeds, 1))) / 2
            draw = rng.random((seeds, prompts))
            gap = np.where(draw < up, 1.0, np.where(draw < 0.3, -1.0, 0.0))
            (row,) = together([Gap(first="a", second="b", cells=pd.DataFrame(gap))])
            found += not row.low <= 0 <= row.high
        return found / tries

    assert share_found(0.85 * effect) < 0.8 < share_found(1.15 * effect)


def test_a_plan_says_what_would_find_less_and_counts_settings_and_samples() -> None:
    seeds = {"seed": [0, 1, 2], "data": {"test_prompts": 400}}
    two, six = (expand(merged(BASE, {**seeds, "method": methods})) for methods in (["cw", "weak"], SIX))
    few, many = (power.planned(configs, power.SeedSpread()) for configs in (two, six))
    assert (few.comparisons, many.comparisons) == (1, 5)
    assert few.detectable is not None
    assert many.detectable is not None
    assert few.detectable < many.detectable
    sampled = expand(merged(BASE, {**seeds, "method": ["cw", "weak"], "evaluation": {"samples": 8}}))
    assert (power.planned(sampled, power.SeedSpread()).detectable or 1) < few.detectable
    assert [need.effect for need in few.needs] == [0.01, 0.02, 0.04]
    sentence = words.power_sentence(few)
    assert "SD between seeds 3.0 points, and 30 % of prompts change their winner: assumed, as this dataset" in sentence
    assert sentence.startswith(
        f"400 prompts (204 where related ones count as one) × 2 answers and 3 seeds: a difference of "
        f"{100 * few.detectable:.1f} points between two methods is found four times in five."
    )
    assert [row[0] for row in words.needs_rows(few)] == ["1 point", "2 points", "4 points"]
