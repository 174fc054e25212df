"""What C gains beside the quality of the annotator: one row per annotator, its gain, and its place among the others."""

import pandas as pd
import pytest

from cwpo.compare.configured_run import configured_run
from cwpo.compare.questions.gains import GainRow, Quality, gains, rank_correlation
from cwpo.config.run import RunConfig, expand
from cwpo.statistics.simultaneous import Gap, together

SWEEP = {"method": ["weak", "cw", "human"], "seed": [0, 1], "data": {"label_fraction": [0.1, 0.3]}}
PROMPTS = [f"p{number}" for number in range(40)]


def won(config: RunConfig) -> list[float]:
    """Weak labels win every second prompt; C wins 4 more of 40 with 10 % labels and 8 more with 30 %."""
    more = {0.1: 4, 0.3: 8}[config.data.label_fraction] if config.method == "cw" else 0
    return [float(place % 2 == 0 or place < 2 * more) for place in range(len(PROMPTS))]


@pytest.fixture(scope="module")
def rows() -> list[GainRow]:
    configs = dict(enumerate(expand(SWEEP), start=1))
    runs = [configured_run(number, config, config.group_key()) for number, config in configs.items()]
    frames = [
        pd.DataFrame({"run_id": number, "prompt_id": PROMPTS, "outcome": won(config), "logratio": 0.0})
        for number, config in configs.items()
    ]
    quality = {
        number: Quality(accuracy=0.7, ece=config.data.label_fraction / 2 + config.seed / 100, auroc=0.6)
        for number, config in configs.items()
        if config.method != "human"
    }
    return gains(runs, pd.concat(frames), configs, quality)


def test_each_annotator_has_its_gain_and_the_mean_of_its_quality_over_seeds(rows: list[GainRow]) -> None:
    """4 and 8 of 40 prompts; ECE 0.05 and 0.15 under seed 0, one hundredth more under seed 1."""
    assert [(row.estimate, row.ece, row.auroc) for row in rows] == [
        (pytest.approx(0.1), pytest.approx(0.055), pytest.approx(0.6)),
        (pytest.approx(0.2), pytest.approx(0.155), pytest.approx(0.6)),
    ]
    assert all((row.n_seeds, row.n_prompts, row.comparisons) == (2, 40, 2) for row in rows)


def test_the_intervals_hold_for_all_annotators_at_once(rows: list[GainRow]) -> None:
    gap = pd.DataFrame([[float(place % 2 == 1 and place < 8) for place in range(40)]] * 2)
    (alone,) = together([Gap(first="a", second="b", cells=gap)])
    assert rows[0].low is not None
    assert rows[0].low < alone.low


def test_a_rank_correlation_needs_five_annotators_that_differ(rows: list[GainRow]) -> None:
    """Gains 1, 2, 3, 4, 5 at ranks 1, 3, 2, 4, 5 of ECE: 1 − 6 · 2 / (5 · 24) = 0.9."""
    from dataclasses import replace

    made = [replace(rows[0], estimate=n / 100, ece=ece) for n, ece in enumerate((0.1, 0.3, 0.2, 0.4, 0.5), start=1)]
    assert rank_correlation(made, "ece") == pytest.approx(0.9)
    assert rank_correlation(made, "auroc") is None
    assert rank_correlation(made[:4], "ece") is None
    assert rank_correlation([replace(made[0], ece=None), *made[1:]], "ece") is None
