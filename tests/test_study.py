"""The sandbox study: its page has what its lines say, and related prompts count as one in all of it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import study, study_report
from benchmarks.study_settings import (
    EVALUATION_SEED,
    PROMPTS,
    Setting,
    at_its_kl,
    difference,
    setting,
    tasks,
)  # fmt: skip
from cwpo.data.relabels import prompt_id_of
from cwpo.sandbox import grammar, world
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import together

NUMBER = re.compile(r"(?<![\w.])[−+]?\d+(?:\.\d+)?")
WITH_INTERVAL = re.compile(r"([−+]?\d+\.\d)(?: points)? \[([−+]?\d+\.\d), ([−+]?\d+\.\d)\]")


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    return [line for seed in (*range(study.SEEDS), *study.FRESH) for line in study.current_lines(seed)]


@pytest.fixture(scope="module")
def printed(lines: list[dict]) -> str:
    return study_report.body(lines)


def made(outcomes: np.ndarray, kl: list[float], key: str) -> Setting:
    figures = {"kl": tuple(kl), "accuracy_truth": tuple(kl)}
    return Setting(key=key, seeds=tuple(range(len(kl))), outcomes=outcomes, figures=figures)


def turned(figure: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same difference the other way round."""
    estimate, low, high = (text.translate(str.maketrans("−+", "+−")) for text in figure)
    return estimate, high, low


def by_task(rng: np.random.Generator) -> np.ndarray:
    """Eight seeds, alike, and so are all prompts of a task."""
    codes = np.unique(list(tasks().values()), return_inverse=True)[1]
    return np.tile(rng.integers(0, 5, codes.max() + 1)[codes] / 4, (8, 1))


def test_all_runs_of_the_study_answer_the_prompts_that_the_report_names() -> None:
    for cell in study.cells():
        config = cell.config(3)
        assert (config.data.test_prompts, config.evaluation.seed) == (PROMPTS, EVALUATION_SEED)
    assert list(tasks()) == sorted(tasks())
    assert (len(tasks()), len(set(tasks().values()))) == (400, 204)


def test_outcomes_stand_in_the_order_of_the_prompts(lines: list[dict]) -> None:
    """Scores of a kind of task are alike, which no other order shows: prompts' mean scores over all runs, and how much
    of their variance lies between the kinds, beside 200 orders by chance."""
    kinds = {prompt_id_of(text): grammar.read_prompt(text).kind for text in world.make_test_prompts(PROMPTS, 0)}
    codes = np.unique([kinds[name] for name in tasks()], return_inverse=True)[1]
    scores = np.mean([line["scores"] for line in lines], axis=0)

    def between(order: np.ndarray) -> float:
        means = np.array([scores[order[codes == code]].mean() for code in range(codes.max() + 1)])
        return float(means[codes].var())

    rng = np.random.default_rng(0)
    assert between(np.arange(PROMPTS)) > 2 * max(between(rng.permutation(PROMPTS)) for _ in range(200))


def test_prompts_of_one_task_count_as_one_in_shares_and_differences() -> None:
    """Outcomes that are alike within a task say no more than one prompt a task: about √(400/204) times as wide."""
    rng = np.random.default_rng(1)
    one, other = (made(by_task(rng), [1.0] * 8, name) for name in ("a", "b"))
    low, high = (float(text) for text in re.findall(r"[\d.]+", study_report.percent(one))[1:])
    apart = share(one.outcomes)
    assert high - low > 1.2 * 100 * (apart.high - apart.low)
    gap = difference(one, other)
    assert gap is not None
    (found,), (naive,) = together([gap]), together([replace(gap, clusters=None)])
    assert found.prompts == naive.prompts == 400
    assert found.high - found.low > 1.1 * (naive.high - naive.low)


def test_a_line_without_an_outcome_for_each_prompt_is_refused() -> None:
    line = {"seed": 0, "label": {"method": "cw"}, "outcomes": "4321", "kl": 1.0}
    with pytest.raises(ValueError, match="one outcome for each of 400 prompts"):
        setting([line], method="cw")


def test_a_setting_is_held_against_a_curve_in_the_seeds_that_meet() -> None:
    """The curve goes from outcomes of 0 at KL 1 to 1 at KL 4; √2.25 lies half way. The third seed moved beyond it."""
    knots = [made(np.full((3, PROMPTS), value), [kl] * 3, str(kl)) for kl, value in ((1.0, 0.0), (4.0, 1.0))]
    moved = made(np.full((3, PROMPTS), 0.75), [2.25, 2.25, 9.0], "moved")
    met = at_its_kl(moved, knots)
    assert met is not None
    assert (list(met.gap.cells.index), met.kl) == ([0, 1], 2.25)
    assert met.gap.cells.to_numpy() == pytest.approx(0.25)
    assert met.turned.cells.to_numpy() == pytest.approx(-0.25)
    assert at_its_kl(made(moved.outcomes, [2.25, 9.0, 9.0], "moved"), knots) is None


def test_the_page_has_the_tables_of_the_lines(printed: str) -> None:
    """Up to one unit of the last digit, by which another processor may round."""
    page = study_report.PAGE.read_text(encoding="utf-8").split(study_report.BEGIN)[1].split(study_report.END)[0]
    assert NUMBER.sub("#", page).split() == NUMBER.sub("#", printed).split()
    for one, other in zip(NUMBER.findall(page), NUMBER.findall(printed), strict=True):
        unit = 10.0 ** -len(one.partition(".")[2])
        assert abs(float(one.replace("−", "-")) - float(other.replace("−", "-"))) < 1.01 * unit, (one, other)


def test_every_difference_of_the_study_that_a_page_states_stands_in_its_tables() -> None:
    page, tables = study_report.PAGE.read_text(encoding="utf-8").split(study_report.BEGIN)
    others = [
        (study_report.PAGE.parent / name).read_text(encoding="utf-8") for name in ("sandbox.md", "performance.md")
    ]
    said = [
        page.split("\n## On real pairs")[0],
        others[0].split("\n## Measured")[1].split("**Time**")[0],
        others[1].split("- **Pair sampling**")[1].split("\n- **")[0],
    ]
    stated = [WITH_INTERVAL.findall(" ".join(text.split())) for text in said]
    assert [len(figures) > least for figures, least in zip(stated, (20, 5, 1), strict=True)] == [True] * 3
    written = {tuple(figure) for figure in WITH_INTERVAL.findall(tables)}
    assert [figure for figures in stated for figure in figures if not {figure, turned(figure)} & written] == []
