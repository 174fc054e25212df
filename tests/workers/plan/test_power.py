"""What the form says before launch of the difference that a plan can see, against hand-derived cases and simulation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cwpo.compare import power
from cwpo.compare.power import Need, Power, Prompts, SeedSpread
from cwpo.config.run import RunConfig, expand, merged
from cwpo.data.related.clusters import task_of
from cwpo.sandbox import world
from cwpo.statistics.cells import cells_of
from cwpo.statistics.simultaneous import Gap, together
from workers.cli import main
from workers.cli.config_file import read_config
from workers.plan import words

PAIR: dict[str, Any] = {"method": ["cw", "weak"], "evaluation": {"samples": 1}}
REAL = merged(PAIR, {"data": {"dataset": "hh-harmless", "test_prompts": 700}})
STUDY = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "study"
LASTING = 0.005**0.5  # SD over prompts of a difference that stays under every seed


def configs_of(values: dict[str, Any], seeds: int, prompts: int) -> list[RunConfig]:
    return expand(merged(values, {"seed": list(range(seeds)), "data": {"test_prompts": prompts}}))


def gap_of(rng: np.random.Generator, effect: float, *, seeds: int, prompts: int, sd: float, samples: int = 1) -> Gap:
    """30 % of the outcomes differ, of which a little lasts; seeds move the difference by `sd`."""
    moved = effect + rng.normal(0, sd, (seeds, 1)) + rng.choice([-LASTING, LASTING], (1, prompts))
    draw = rng.random((samples, seeds, prompts))
    up = 0.15 + moved / 2
    cells = np.where(draw < up, 1.0, np.where(draw < 0.3, -1.0, 0.0)).mean(axis=0)
    names = [f"p{place}" for place in range(prompts)]
    return Gap(first="a", second="b", cells=pd.DataFrame(cells, columns=names))


def test_one_seed_needs_the_prompts_of_the_known_table() -> None:
    """(1.96 + 0.84)² · (0.3 − d²) / d² prompts for 80 % power at 30 % that differ: 1,464, 5,879 and 23,540."""
    found = power.planned(configs_of(REAL, 1, 700), SeedSpread())
    for need in found.needs:
        by_hand = (1.95996 + 0.84162) ** 2 * (0.3 - need.effect**2) / need.effect**2
        assert need.prompts == pytest.approx(by_hand, rel=0.04)
        assert need.more_prompts == 2800
    assert [need.effect for need in found.needs] == [0.01, 0.02, 0.04]


def test_the_seeds_that_are_said_to_find_four_points_do_and_fewer_do_not() -> None:
    spread = SeedSpread(sd=0.03, comparisons=1)
    (need,) = [one for one in power.planned(configs_of(REAL, 4, 400), spread).needs if one.effect == 0.04]
    assert need.seeds is not None

    def share_found(seeds: int, tries: int = 120) -> float:
        rng = np.random.default_rng(seeds)
        tables = (together([gap_of(rng, 0.04, seeds=seeds, prompts=400, sd=0.03)]) for _ in range(tries))
        return sum(not row.low <= 0 <= row.high for (row,) in tables) / tries

    assert 0.72 < share_found(need.seeds) < 0.95
    assert share_found(need.seeds // 2) < 0.72


def test_what_seeds_move_does_not_average_out_over_prompts() -> None:
    """Four seeds with an SD of 3 points: ±1.96 · 3 / 2 = 2.9 points however many prompts, so 2 are never found."""
    found = power.planned(configs_of(REAL, 4, 400), SeedSpread(sd=0.03, comparisons=1))
    assert [need.prompts for need in found.needs][:2] == [None, None]
    (one, two, four) = words.needs_rows(found)
    assert (one[0], two[0], four[0]) == ("1 point", "2 points", "4 points")
    assert one[2] == two[2] == "> 100,000"
    assert words.needs_headings(found) == (
        "to find", "seeds on 400 prompts", "prompts under 4 seeds", "seeds on 1,600 prompts",
    )  # fmt: skip


def test_prompts_stand_in_two_digits_and_no_column_repeats_another() -> None:
    need = Need(effect=0.04, seeds=9, prompts=1464, more_prompts=1000, seeds_then=9)
    prompts = Prompts(count=1000, unrelated=348, most=1000)
    made = Power(
        prompts=prompts, seeds=1, samples=2, comparisons=1, detectable=0.05, spread=SeedSpread(), needs=(need,)
    )
    assert words.needs_headings(made) == ("to find", "seeds on 1,000 prompts", "prompts under 1 seed")
    assert words.needs_rows(made) == [("4 points", "9", "1,500")]
    meant = words.needs_meanings(words.needs_headings(made))
    assert meant[2] == ("prompts under 1 seed", "The fewest prompts that do.")
    assert len(meant) == 3


def test_prompts_of_one_task_count_as_one_in_the_sandbox_and_elsewhere_it_is_said_that_they_do() -> None:
    """400 prompts ask for 204 tasks. How often two are related follows from the sizes of the tasks."""
    asked = [task_of(prompt) for prompt in world.make_test_prompts(400, 0)]
    same = sum(asked.count(task) - 1 for task in asked) / (400 * 399)
    sandbox = power.planned(configs_of(PAIR, 4, 400), SeedSpread())
    assert (sandbox.prompts.unrelated, len(set(asked))) == (204, 204)
    assert sandbox.prompts.same == pytest.approx(same)
    assert sandbox.needs[0].more_prompts == world.MAX_TEST_PROMPTS
    sentence = words.power_sentence(sandbox)
    assert sentence.startswith("400 prompts (204 where related ones count as one) and 4 seeds: a difference of ")
    assert "how many of these are related" not in sentence
    real = words.power_sentence(power.planned(configs_of(REAL, 4, 400), SeedSpread()))
    assert real.endswith("how many of these are related is known when runs on this dataset have been evaluated.")
    earlier = power.planned(configs_of(REAL, 4, 400), SeedSpread(unrelated=0.9, same=0.001))
    assert words.power_sentence(earlier).startswith("400 prompts (360 where related ones count as one) and 4 seeds")


@pytest.mark.parametrize("sd", [0.007, 0.01])
def test_the_plan_agrees_with_what_tables_over_sixteen_seeds_of_the_sandbox_state(sd: float) -> None:
    """400 prompts of 204 tasks × 2 answers, as in the study: within 8 % of the mean of what such tables state."""
    planned = power.planned(
        configs_of(merged(PAIR, {"evaluation": {"samples": 2}}), 16, 400), SeedSpread(sd=sd, comparisons=1)
    ).detectable
    asked = [task_of(prompt) for prompt in world.make_test_prompts(400, 0)]
    rng, stated = np.random.default_rng(3), []
    for _ in range(25):
        gap = gap_of(rng, 0.0, seeds=16, prompts=400, sd=sd, samples=2)
        clusters = dict(zip(map(str, gap.cells.columns), asked, strict=True))
        (row,) = together([Gap(first="a", second="b", cells=gap.cells, clusters=clusters)])
        stated.append(row.detectable)
    assert planned == pytest.approx(np.mean([value for value in stated if value is not None]), rel=0.08)


def test_the_verb_plan_says_what_its_runs_can_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a database: with the spread of the study, and it says so."""
    config = tmp_path / "sweep.yaml"
    config.write_text("method: [cw, weak]\nseed: [0, 1, 2, 3]\ndata: {dataset: hh-harmless, test_prompts: 400}\n")
    assert main.main(["plan", str(config), "--gpu", "48"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "SD between seeds 3.0 points, and 30 % of prompts change their winner: assumed, no earlier runs were looked at."
        in said
    )
    assert "What would find 1, 2 and 4 points" in said
    assert "4 points" in said
    expected = power.planned(expand(read_config(config, [])), SeedSpread()).detectable
    assert expected is not None
    assert f"4 seeds: a difference of {100 * expected:.1f} points between two methods" in said


def test_prompts_of_one_task_say_of_a_difference_nearly_as_much_as_others() -> None:
    """Over the study's differences from weak labels: the noise of means over tasks against that over prompts, which
    grows by 1 + RELATED · (mean size of a prompt's task − 1)."""
    asked = [task_of(prompt) for prompt in world.make_test_prompts(400, 0)]
    beside = sum(asked.count(task) - 1 for task in asked) / 400
    lines: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for file in sorted(STUDY.glob("seed-*.jsonl")):
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            if line["group"] == "methods":
                rest = json.dumps({**line["label"], "method": ""}, sort_keys=True)
                won = np.array([int(mark) / 4 for mark in line["outcomes"]])
                lines.setdefault((rest, line["label"]["method"]), {})[int(file.stem.removeprefix("seed-"))] = won
    grown = []
    for (rest, method), mine in lines.items():
        weak = lines.get((rest, "weak"), {})
        seeds = sorted(set(mine) & set(weak))
        if method != "weak" and len(seeds) >= 8:
            gap = np.array([mine[seed] - weak[seed] for seed in seeds])
            grown.append(noise_of(cells_of(gap, asked)[0]) / noise_of(gap))
    assert len(grown) > 50
    assert 1 + power.RELATED * beside == pytest.approx(np.median(grown), abs=0.03)


def noise_of(cells: np.ndarray) -> float:
    """Variance that residuals add to the mean of a seed."""
    seeds, count = cells.shape
    residual = cells - cells.mean(axis=0) - cells.mean(axis=1, keepdims=True) + cells.mean()
    return float((residual**2).sum() / (seeds - 1) / (count - 1) / count)
