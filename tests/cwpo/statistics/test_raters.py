"""Agreement of people: published examples, hand-counted tables, a reference implementation."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cwpo.statistics.raters import kappa_of, krippendorff_alpha, percent_agreement, rater_agreement

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011): B, nominal data of two observers; C, of four.
TWO = (list("aabbdcccedda"), list("babbbccceddd"))
FOUR = (list("123321412***"), list("1233224125*3"), list("*3332342251*"), list("12332441251*"))


def units(*people: list[str]) -> list[dict[str, str]]:
    return [
        {f"p{person}": said for person, said in enumerate(votes) if said != "*"} for votes in zip(*people, strict=True)
    ]


def test_alpha_of_the_published_examples() -> None:
    assert krippendorff_alpha(units(*TWO)) == pytest.approx(0.692, abs=5e-4)
    assert krippendorff_alpha(units(*FOUR)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_by_hand() -> None:
    """Two people, ten pairs, 2 of 10 disagree; 20 values, 10 of each: 1 − 19·4/(20·19 − 2·10·9) = 1 − 76/200."""
    first, second = list("aaaaabbbbb"), list("aaaabbbbba")
    assert krippendorff_alpha(units(first, second)) == pytest.approx(1 - 76 / 200, abs=1e-12)


def _alpha_by_pairs(rows: list[dict[str, str]]) -> float:
    """Straight from the definition: disagreeing ordered pairs of values, within pairs and among all."""
    kept = [list(row.values()) for row in rows if len(row) > 1]
    values = [value for row in kept for value in row]
    n = len(values)
    observed = sum(sum(one != other for one in row for other in row) / (len(row) - 1) for row in kept) / n
    expected = sum(one != other for one in values for other in values) / (n * (n - 1))
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(20))
def test_alpha_and_percent_equal_their_definition(seed: int) -> None:
    dice = np.random.default_rng(seed)
    rows = [
        {f"p{person}": str(dice.choice(["a", "b", "tie", "drop"])) for person in range(4) if dice.random() < 0.6}
        for _ in range(40)
    ]
    assert krippendorff_alpha(rows) == pytest.approx(_alpha_by_pairs(rows), abs=1e-9)
    same = [
        one == other
        for row in rows
        for place, one in enumerate(row.values())
        for other in list(row.values())[place + 1 :]
    ]
    assert percent_agreement(rows) == pytest.approx(np.mean(same), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_kappa_equals_scikit_learn(seed: int) -> None:
    dice = np.random.default_rng(seed)
    first = dice.choice(["a", "b", "tie"], 60).tolist()
    second = [said if dice.random() < 0.5 else str(dice.choice(["a", "b", "tie", "drop"])) for said in first]
    found = kappa_of(units(first, second), "p0", "p1", resamples=50)
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)


def test_kappa_by_hand() -> None:
    """20 both a, 5 and 10 only one, 15 both b: observed .7, by chance .5, kappa .4."""
    first = ["a"] * 25 + ["b"] * 25
    second = ["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15
    found = kappa_of(units(first, second), "p0", "p1")
    assert found is not None
    assert found.value == pytest.approx(0.4, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high


def test_intervals_are_as_wide_as_those_of_the_delta_method() -> None:
    """κ of the table above has the standard error 0.1256 (Fleiss, Cohen & Everitt 1969), drawn from 50 pairs."""
    first = ["a"] * 25 + ["b"] * 25
    second = ["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15
    found = kappa_of(units(first, second), "p0", "p1", resamples=4_000)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1256, rel=0.1)


def test_the_same_votes_have_the_same_interval_twice() -> None:
    assert rater_agreement(units(*FOUR)) == rater_agreement(units(*FOUR))


def test_what_is_not_defined_is_none() -> None:
    nobody = rater_agreement([{"p0": "a"}])
    assert (nobody.pairs, nobody.percent, nobody.alpha) == (0, None, None)
    one_side = rater_agreement([{"p0": "a", "p1": "a"}] * 5)
    assert one_side.alpha is None
    assert one_side.percent is not None
    assert one_side.percent.value == 1.0
    assert kappa_of([{"p0": "a", "p1": "a"}], "p0", "p1") is None
    assert kappa_of([{"p0": "a"}], "p0", "p1") is None
