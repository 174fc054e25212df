"""Judge cards in words: each card once, behind what tells it apart; who agrees with people how often."""

from typing import Any

import pytest

from cwpo.compare.gra import gra_table
from cwpo.compare.judges.card import card_rows, is_whole, oracle_card
from cwpo.report.judges.cards import MOST_CARDS, agreement_in_words, cards_in_words, judges_in_words, uncorrected
from tests.cwpo.compare.compared_runs import outcomes_of, runs_of


def card(judge: str = "trained", **about: Any) -> dict[str, Any]:
    """As a trial says it: three in four of 400 pairs, more of the longer ones."""
    terciles = [
        {"name": name, "pairs": 133, "q": q, "q_low": q - 0.1, "q_high": q + 0.1, "most": 90.0}
        for name, q in (("short", 0.7), ("middle", 0.75), ("long", 0.8))
    ]
    return {
        "judge": judge, "pairs": 400, "q": 0.75, "q_low": 0.70, "q_high": 0.80, "held_out": True, "ties": 0.05,
        "by_length": terciles, "by_source": [], "gaps": [0.1, 0.4, 0.8, 1.3, 2.5], "chose_longer": 0.62,
        "people_longer": 0.55, **about,
    }  # fmt: skip


HELD_OUT = "None of these pairs was learned from; a gold reward trained here was trained again without them."
BY_LENGTH = "Agreement by length: short 70.0 % (60.0 – 80.0), middle 75.0 % (65.0 – 85.0), long 80.0 % (70.0 – 90.0)."
LENGTH = "It chose the longer response of 62.0 % of these pairs, people of 55.0 %; it ties 5.0 %."
GAPS = (
    "Gaps between its scores of both responses, in SD of all scores: median 0.80, half of them 0.40 to 1.30, four in "
    "five 0.10 to 2.50."
)


def test_a_card_that_all_runs_share_is_said_once_and_without_a_name() -> None:
    cards = dict.fromkeys((1, 2, 3, 4), card())
    assert cards_in_words(cards, {1: 0, 2: 0, 3: 1, 4: 1}) == [HELD_OUT, BY_LENGTH, LENGTH, GAPS]
    assert cards_in_words({}, {}) == []


def test_where_no_lengths_differ_the_ties_are_said_alone() -> None:
    said = cards_in_words({1: card(chose_longer=None, people_longer=None)}, {1: 0})
    assert "It ties 5.0 % of these pairs." in said


def test_cards_of_several_seeds_are_told_apart_by_them_and_what_they_share_is_said_once() -> None:
    cards = {1: card(), 2: card(), 3: card(ties=0.5)}
    assert cards_in_words(cards, {1: 0, 2: 0, 3: 1}) == [
        HELD_OUT, BY_LENGTH, f"seed 0: {LENGTH}", GAPS, f"seed 1: {LENGTH.replace(' 5.0', ' 50.0')}",
    ]  # fmt: skip


def test_two_cards_of_one_seed_are_told_apart_by_their_runs_and_two_judges_by_their_names() -> None:
    """Rewards that are trained here from two models are both called trained."""
    said = cards_in_words({1: card(), 2: card(ties=0.5), 5: card(ties=0.5)}, {1: 0, 2: 0, 5: 1})
    assert f"run 1: {LENGTH}" in said
    assert f"runs 2, 5: {LENGTH.replace(' 5.0', ' 50.0')}" in said
    said = cards_in_words({1: card(), 2: card("/home/ada/models/rm", ties=0.5)}, {1: 0, 2: 0})
    assert f"trained: {LENGTH}" in said
    assert f"rm: {LENGTH.replace(' 5.0', ' 50.0')}" in said


def test_of_many_cards_the_first_are_said_and_the_others_named() -> None:
    many = {run: card(ties=run / 100) for run in range(MOST_CARDS + 2)}
    said = cards_in_words(many, {run: run for run in many})
    assert sum("it ties" in sentence for sentence in said) == MOST_CARDS
    assert said[-1] == "Further cards, on the pages of their runs: seed 3; seed 4."


def test_agreement_is_said_over_distinct_cards_and_by_the_data_that_it_is_of() -> None:
    """q .7 and .8 with ±.05 each: .75 ± .05, because errors on the same pairs do not average out; 800 pairs."""
    low, high = card(q=0.7, q_low=0.65, q_high=0.75), card(q=0.8, q_low=0.75, q_high=0.85)
    whole = "trained agrees with people on 75.0 % of 800 pairs (95 % 70.0 – 80.0)"
    assert agreement_in_words([low, low, high]) == whole
    assert judges_in_words({1: low, 2: low, 3: high}, dict.fromkeys((1, 2, 3), "HH")) == f"{whole}."
    assert judges_in_words({1: low, 2: high}, {1: "HH", 2: "TL;DR"}) == (
        "trained agrees with people on 70.0 % of 400 pairs (95 % 65.0 – 75.0) of HH; "
        "trained agrees with people on 80.0 % of 400 pairs (95 % 75.0 – 85.0) of TL;DR."
    )
    assert judges_in_words({}, {}) == ""


def test_the_pairs_of_a_card_that_seeds_share_count_once_and_its_judge_is_named_without_its_folder() -> None:
    runs = runs_of("cw", seeds=2)
    outcomes = outcomes_of(runs, chance={"cw": 0.6}).assign(score=0.0, baseline_score=0.0)
    (row,) = card_rows(gra_table(runs, outcomes), outcomes, {run.id: card("/home/ada/models/rm") for run in runs})
    assert (row.pairs, row.judge) == (400, "rm")


def test_why_nothing_is_corrected_is_said_once_with_the_settings() -> None:
    runs = runs_of("cw", "weak", seeds=1)
    outcomes = outcomes_of(runs, chance={"cw": 0.6, "weak": 0.6}).assign(score=0.0, baseline_score=0.0)
    coin = card(q=0.51, q_low=0.46, q_high=0.56)
    rows = card_rows(gra_table(runs, outcomes), outcomes, dict.fromkeys([run.id for run in runs], coin))
    (said,) = uncorrected(rows)
    assert said == "Corrected GRA: nothing: the judge cannot be told from a coin (Weak labels, CW)."


@pytest.mark.parametrize(
    ("known", "tried"),
    [(card(), True), (oracle_card({"human_accuracy": 0.75, "kept": 400}), False), (None, False)],
)
def test_what_is_known_of_the_oracle_without_a_trial_is_no_whole_card(known: Any, tried: bool) -> None:
    assert is_whole(known) is tried
