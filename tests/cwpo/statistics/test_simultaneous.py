"""The differences of one table: picture and test agree, few errors, power as stated; references of scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.rule import World, tables_of
from cwpo.statistics.cells import alike, hidden_variance
from cwpo.statistics.simultaneous import (
    DIFFERENT,
    EQUIVALENT,
    SMALL,
    UNTOLD,
    Found,
    Gap,
    contrasts,
    together,
    told,
)  # fmt: skip

TABLES = 120
ERROR = 3 * np.sqrt(0.05 * 0.95 / TABLES)  # Monte Carlo


def gaps_of(rng: np.random.Generator, *, methods: int, seeds: int, prompts: int, gain: float = 0.0) -> list[Gap]:
    """Wins of methods that share the prompts' difficulty; all against the last, of which the first is better."""
    chance = 0.55 + rng.uniform(-0.2, 0.2, prompts) + rng.normal(0, 0.02, (methods, seeds, 1))
    chance[0] += gain
    won = (rng.random((methods, seeds, prompts)) < chance).astype(float)
    return [Gap(first=str(m), second="last", cells=pd.DataFrame(won[m] - won[-1])) for m in range(methods - 1)]


def test_one_difference_of_one_seed_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random(200) < 0.6).astype(float), (rng.random(200) < 0.5).astype(float)
    wanted = stats.ttest_rel(one, other)
    (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame((one - other)[None]))])
    span = wanted.confidence_interval()
    assert (found.low, found.high) == pytest.approx((span.low, span.high), abs=1e-4)
    assert found.p == found.p_corrected == pytest.approx(wanted.pvalue, rel=1e-3)


def test_two_differences_of_one_seed_hold_at_once_by_the_bivariate_normal() -> None:
    """The chance that both intervals hold, with the covariance of the two over prompts, is 95 %."""
    gaps = gaps_of(np.random.default_rng(1), methods=3, seeds=1, prompts=600)
    found = together(gaps)
    cells = np.array([gap.cells.to_numpy()[0] for gap in gaps])
    halves = np.array([(one.high - one.low) / 2 for one in found])
    law = stats.multivariate_normal(cov=np.cov(cells) / 600)
    assert law.cdf(halves, lower_limit=-halves) == pytest.approx(0.95, abs=0.006)
    alone = stats.norm.isf(0.025) * np.sqrt(np.diag(np.cov(cells)) / 600)
    assert (halves > 1.05 * alone).all()
    assert (halves < stats.norm.isf(0.025 / 2) * np.sqrt(np.diag(np.cov(cells)) / 600)).all()  # Bonferroni


def test_picture_and_test_never_disagree() -> None:
    rng, told = np.random.default_rng(2), 0
    for _ in range(150):
        size = {"methods": int(rng.integers(2, 6)), "seeds": int(rng.integers(1, 5)), "prompts": 60}
        for one in together(gaps_of(rng, gain=float(rng.uniform(0, 0.4)), **size)):
            assert (one.p_corrected < 0.05) == (not one.low <= 0 <= one.high)
            assert one.p <= one.p_corrected
            told += one.p_corrected < 0.05
    assert told > 30


def test_neither_order_nor_side_changes_a_width() -> None:
    gaps = gaps_of(np.random.default_rng(3), methods=4, seeds=3, prompts=200)
    found = together(gaps)
    assert together(gaps[::-1])[::-1] == found
    other = [Gap(first=gap.second, second=gap.first, cells=-gap.cells) for gap in gaps]
    assert [one.turned for one in together(other)] == found


def test_more_comparisons_widen_the_intervals_and_the_effect_that_they_detect() -> None:
    gaps = gaps_of(np.random.default_rng(4), methods=7, seeds=1, prompts=400)
    few, many = together(gaps[:1])[0], together(gaps)[0]
    assert many.high - many.low > 1.2 * (few.high - few.low)
    assert few.detectable is not None
    assert many.detectable is not None
    assert many.detectable > few.detectable


def test_seeds_of_the_other_differences_tell_how_far_seeds_move() -> None:
    """Two seeds of one difference know little; those of six say that seeds hardly move anything."""
    rng = np.random.default_rng(5)
    halves = []
    for _ in range(20):
        gaps = gaps_of(rng, methods=7, seeds=2, prompts=400)
        halves.append([(together(some)[0].high - together(some)[0].low) for some in (gaps[:1], gaps)])
    alone, with_others = np.mean(halves, axis=0)
    assert with_others < 1.3 * alone  # Bonferroni takes 1.35 for six comparisons with a known spread


def test_a_worse_table_never_has_a_narrower_interval() -> None:
    """Prompts that differ under a seed each, none at first: the rule of three at 100 prompts is 3.6 %."""
    halves = []
    for differ in range(0, 30, 3):
        cells = np.zeros((3, 100))
        cells[np.arange(differ) % 3, np.arange(differ)] = -1.0
        (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame(cells))])
        halves.append(found.high - found.low)
    assert halves[0] / 2 > 1 - 0.025 ** (1 / 100)
    assert (np.diff(halves) >= 0).all()


def test_prompts_that_are_seen_to_differ_hide_none() -> None:
    """Outcomes that go to either side by chance average to little over 16 seeds: the interval is that of what was
    measured, and not the rule of three (1.8 % of 200). Where three quarters of the prompts never differ, it is."""
    signs = np.random.default_rng(9).choice([-1.0, 1.0], (16, 200))
    signs[:, :20] = 0.5  # and these for good
    floor = 1 - 0.025 ** (1 / 200)
    (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame(0.1 * signs))])
    measured = stats.norm.isf(0.025) * (0.1 * signs).mean(axis=0).std(ddof=1) / 200**0.5
    assert measured < (found.high - found.low) / 2 < 0.6 * floor
    signs[:, 50:] = 0.0
    (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame(0.1 * signs))])
    assert (found.high - found.low) / 2 >= floor


def test_the_share_that_is_alike_is_counted_by_clusters() -> None:
    """Prompts 0, 1 and 3 never differ; with 0 and 2 related only one of three clusters does not: 1 and 3."""
    table = np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, -0.5]])
    assert alike(table) == 3 / 5
    assert alike(table, ["x", "y", "x", "y", "z"]) == 1 / 3
    assert alike(np.ones((2, 5))) == 1
    most = (1 - 0.025 ** (1 / 5)) / stats.norm.isf(0.025)
    assert hidden_variance(5, [1.0, 0.5, 0.25, 0.0]) == pytest.approx(np.array([1, 1, 0.5, 0]) * most**2)


def test_prompts_that_are_all_won_may_hide_one_that_is_lost() -> None:
    for value in (1.0, 0.5):
        (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame(np.full((1, 100), value)))])
        assert found.low <= value - 0.9 * (1 - 0.025 ** (1 / 100))


@pytest.mark.parametrize("always", [0.0, 0.02])
def test_many_seeds_that_agree_keep_the_level(always: float) -> None:
    """Sixteen seeds of noise on 200 prompts, and a share of prompts that the first wins under each: the true mean."""
    rng, held = np.random.default_rng(10), 0
    for _ in range(TABLES):
        cells = rng.choice([-1.0, 0.0, 1.0], (16, 200), p=[0.15, 0.7, 0.15])
        cells[:, rng.random(200) < always] = 1.0
        (found,) = together([Gap(first="a", second="b", cells=pd.DataFrame(cells))])
        held += found.low <= always <= found.high
    assert held / TABLES > 0.95 - ERROR


def test_what_an_interval_says_of_a_difference() -> None:
    """1.5 points either way count as none that matters."""
    assert told(-0.014, 0.0149) == "smaller than ±1.5"
    assert told(-0.0151, 0.01) == "cannot be told"
    assert told(0.001, 0.03) == "different"
    assert told(0.001, 0.012) == "different, smaller than ±1.5"
    assert told(None, 0.1) == ""


def test_clusters_of_copies_carry_no_more_than_one_prompt() -> None:
    cells = pd.DataFrame(
        np.random.default_rng(6).choice([-1.0, 0.0, 1.0], (3, 80)), columns=[f"p{i}" for i in range(80)]
    )
    copies = pd.concat([cells.add_suffix("a"), cells.add_suffix("b")], axis=1)
    names = {name: name[:-1] for name in copies.columns}
    (alone,) = together([Gap(first="a", second="b", cells=cells)])
    (found,) = together([Gap(first="a", second="b", cells=copies, clusters=names)])
    assert (found.low, found.high, found.prompts) == pytest.approx((alone.low, alone.high, 160))


def test_settings_that_differences_share_correlate_them() -> None:
    found = contrasts([("a", "c"), ("b", "c"), ("c", "a"), ("d", "e")])
    assert found[0] == pytest.approx([1, 0.5, -1, 0])


def test_a_table_with_gaps_or_without_prompts_is_refused() -> None:
    for cells in ([[np.nan, 1.0]], [[]]):
        with pytest.raises(ValueError, match="every seed on every prompt"):
            together([Gap(first="a", second="b", cells=pd.DataFrame(cells))])
    assert together([]) == []


def test_differences_of_unequal_seeds_and_prompts_stand_in_one_table() -> None:
    first, second = gaps_of(np.random.default_rng(7), methods=3, seeds=4, prompts=100)
    other = Gap(first="b", second="last", cells=second.cells.iloc[:1, :60])
    found: list[Found] = together([first, other])
    assert [(one.seeds, one.prompts, one.comparisons) for one in found] == [(4, 100, 2), (1, 60, 2)]


@pytest.mark.parametrize(("seeds", "sd", "differences"), [(2, 0.06, 2), (3, 0.03, 6)])
def test_few_tables_of_equal_methods_show_a_difference(seeds: int, sd: float, differences: int) -> None:
    """The full grid: python -m benchmarks rule."""
    world = World(seeds=seeds, prompts=200, seed_sd=sd, differences=differences)
    null = tables_of(world, TABLES, 0.0, "after", 1)
    assert np.mean([any(one.real for one in table) for table in null]) < 0.05 + ERROR


def test_the_stated_effect_is_found_about_four_times_in_five() -> None:
    world = World(seeds=3, prompts=100, seed_sd=0.03, differences=2)
    stated = [table[0].stated for table in tables_of(world, TABLES, 0.0, "after", 1)]
    found = tables_of(world, TABLES, float(np.mean(stated)), "after", 2)
    assert 0.80 - 0.12 < np.mean([table[0].real for table in found]) < 0.80 + 0.12


def test_an_interaction_holds_together_with_its_differences_and_has_its_level() -> None:
    """2 × 2: (a − b) − (c − d) beside a − b and c − d, no effects; seeds move every setting by 3 points. All three
    intervals hold in 95 % of tables, and the interaction alone in at least as many."""
    rng, tables, missed, alone = np.random.default_rng(8), 120, 0, 0
    for _ in range(tables):
        chance = 0.6 + rng.uniform(-0.2, 0.2, 80) + rng.normal(0, 0.03, (4, 4, 1))
        a, b, c, d = (pd.DataFrame(one) for one in (rng.random((4, 4, 80)) < chance).astype(float))
        found = together(
            [
                Gap(first="a", second="b", cells=a - b),
                Gap(first="c", second="d", cells=c - d),
                Gap(first="a", second="b", cells=a - b - (c - d), less=("c", "d")),
            ]
        )
        missed += any(not one.low <= 0 <= one.high for one in found)
        alone += not found[2].low <= 0 <= found[2].high
        assert found[2].estimate == pytest.approx(found[0].estimate - found[1].estimate)
    error = 3 * np.sqrt(0.05 * 0.95 / tables)
    assert missed / tables < 0.05 + error
    assert alone / tables < 0.05 + error / 2


def test_an_interaction_is_correlated_with_its_differences_and_turns_with_its_signs() -> None:
    """Contrasts (1, −1, −1, 1) and (1, −1, 0, 0): 2 / √(4 · 2) = √½, and −√½ with the one that is subtracted."""
    found = contrasts([("a", "b", "c", "d"), ("a", "b"), ("c", "d"), ("c", "d", "a", "b")])
    assert found[0] == pytest.approx([1, 0.5**0.5, -(0.5**0.5), -1])
    rng = np.random.default_rng(9)
    cells = pd.DataFrame(rng.integers(-2, 3, (3, 50)).astype(float))
    gaps = [Gap(first="a", second="b", cells=cells, less=("c", "d")), Gap(first="a", second="b", cells=cells / 2)]
    turned = [Gap(first="b", second="a", cells=-cells, less=("d", "c")), gaps[1]]
    assert together(gaps)[0] == together(turned)[0].turned


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.012, 0.014, SMALL),  # all of it within 1.5 points of 0
        (-0.016, 0.012, UNTOLD),  # reaches beyond −1.5 and covers 0
        (-0.012, 0.015, UNTOLD),  # reaches 1.5
        (0.016, 0.060, DIFFERENT),
        (-0.060, -0.001, DIFFERENT),
        (0.001, 0.014, f"{DIFFERENT}, {SMALL}"),  # another sign than 0 is ruled out, and so is a size that matters
        (0.0, 0.020, UNTOLD),
        (None, None, ""),
    ],
)
def test_an_interval_says_different_too_small_to_matter_both_or_neither(
    low: float | None, high: float | None, said: str
) -> None:
    assert EQUIVALENT == 0.015
    assert told(low, high) == said


def test_equal_methods_on_many_prompts_are_told_to_be_alike_and_on_few_are_not() -> None:
    """One prompt in ten differs, as often to either side: ±1.96 · √(.1 / n) is 1.0 points at 4,000 and 3.1 at 400."""
    for prompts, said in ((4000, SMALL), (400, UNTOLD)):
        cells = np.zeros((1, prompts))
        cells[0, : prompts // 20], cells[0, prompts // 20 : prompts // 10] = 1.0, -1.0
        (row,) = together([Gap(first="a", second="b", cells=pd.DataFrame(cells))])
        assert row.high == pytest.approx(1.96 * (0.1 / prompts) ** 0.5, rel=0.02)
        assert told(row.low, row.high) == said
