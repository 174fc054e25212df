"""Where a policy is confident and wrong, by hand: tenths by the annotator's confidence, against human labels."""

import numpy as np
import pytest

from cwpo.compare.questions.spots import spot_rows
from cwpo.report.labels.spots import spots_in_words
from cwpo.statistics.blind_spots import blind_spots

SURE = float(np.log(3))  # sigma(log 3) = 3/4
N = 20


def found(**changes):
    """20 pairs with C = 0.00, 0.05, … 0.95, all of whose human labels are a. The policy prefers b, and just as surely
    as counts, on the four least sure, and b by a little less on the next two; a on all others."""
    given = {
        "weak": np.array([0.0, 1.0] * 10), "human": np.ones(N), "policy": found_policy(),
        "reference": np.where(np.arange(N) < 10, -1.0, 1.0), "clusters": [f"p{n}" for n in range(N)],
    }  # fmt: skip
    return blind_spots(np.arange(N) / N, **{**given, **changes})


def test_each_tenth_has_its_shares() -> None:
    """Two pairs a tenth: both blind in the first two; in the third wrong and not confident; none behind it."""
    rows = spot_rows(found())
    assert [row.blind for row in rows] == [1, 1, *[0] * 8, 0.2]
    assert [row.policy_wrong for row in rows] == [1, 1, 1, *[0] * 7, 0.3]
    assert [row.confident for row in rows] == [1, 1, 0, *[1] * 7, 0.9]
    assert [row.weak_wrong for row in rows] == [0.5] * 11
    assert [row.reference_wrong for row in rows] == [*[1] * 5, *[0] * 5, 0.5]
    assert [row.mean_confidence for row in rows[:2]] == pytest.approx([0.025, 0.125])
    assert (rows[-1].part, rows[-1].n) == ("all", 20)
    assert rows[-1].blind_low < 0.2 < rows[-1].blind_high


def test_the_order_of_the_pairs_does_not_matter_and_the_side_of_a_label_neither() -> None:
    turned = found(human=np.zeros(N), weak=1 - np.array([0.0, 1.0] * 10),
                   policy=-found_policy(), reference=np.where(np.arange(N) < 10, 1.0, -1.0))  # fmt: skip
    assert turned == found()


def found_policy() -> np.ndarray:
    policy = np.full(N, 2.0)
    policy[:4], policy[4:6] = -SURE, -SURE + 1e-6
    return policy


def test_pairs_without_a_human_label_count_nowhere() -> None:
    human = np.ones(N)
    human[:2] = np.nan
    rows = spot_rows(found(human=human))
    assert rows[-1].n == 18
    assert rows[-1].blind == pytest.approx(2 / 18)
    assert spot_rows(found(human=np.full(N, np.nan))) == []
    assert spots_in_words([]) == "No pair has a human label to hold the policy against."


def test_related_prompts_widen_the_interval() -> None:
    apart, alike = spot_rows(found())[-1], spot_rows(found(clusters=[f"p{n // 4}" for n in range(N)]))[-1]
    assert alike.blind_low < apart.blind_low
    assert alike.blind_high > apart.blind_high


def test_the_answer_is_one_sentence() -> None:
    said = spots_in_words(spot_rows(found()))
    assert said.startswith("The policy is confident and wrong on 100.0 % of the tenth of pairs that the annotator was")
    assert said.endswith("and on 20.0 % of all.")
