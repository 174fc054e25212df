"""The headline of Compare: every case by numbers that are derived by hand, and the rule of the reference."""

from dataclasses import replace
from typing import Any

import pytest

from cwpo.compare import gra
from cwpo.compare.gra import DifferenceRow, GraRow, gra_table, pairs_against
from cwpo.compare.reference import PLANNED_PAIRS, named_reference, usual_reference
from cwpo.report.verdict import verdict
from tests.cwpo.compare.compared_runs import ALIKE, LABELS, outcomes_of, runs_of


def row_of(method: str, *, key: str = "", label: str = "", **changes: Any) -> GraRow:
    made = GraRow(
        group_key=key or method, label=label or LABELS.get(method, method), method=method, method_label=method,
        objective="dpo", top_percent=None, run_ids=(1,), seeds=(0, 1, 2, 3), estimate=0.6, low=0.55, high=0.65,
        interval_method="t", n_prompts=400, n_seeds=4, wins=1, ties=0, losses=0, strict=0.6, ties_dropped=0.6,
        seed_sd=0.01, kl=1.0, tokens=20.0, baseline_tokens=19.0, ungrammatical=None, baseline_ungrammatical=None,
        note="",
    )  # fmt: skip
    return replace(made, **changes)


def minus_human(label: str, estimate: float, half: float, p: float, **changes: Any) -> DifferenceRow:
    """label − Human, whose interval is estimate ± half."""
    made = DifferenceRow(
        first=label, second="human", label=f"{label} − Human", first_label=label, second_label="Human",
        first_method="cw", second_method="human", objective="dpo", estimate=estimate, low=estimate - half,
        high=estimate + half, p=p, p_corrected=p, comparisons=3, detectable=half + 0.01, n_prompts=400, n_seeds=4,
        kl_estimate=0.0, kl_low=-0.1, kl_high=0.1,
    )  # fmt: skip
    return replace(made, **changes)


ROWS = [row_of("human"), row_of("cw", key="CW"), row_of("weak", key="Weak labels")]


def said(*differences: DifferenceRow) -> tuple[str, str]:
    found = verdict(ROWS, differences, "human")
    return found.headline, " ".join(found.caveats)


def test_one_setting_that_did_better_is_the_headline_with_its_interval_and_its_correction() -> None:
    """+4.2 ± 2.3 points: 95 % +1.9 to +6.5."""
    headline, caveats = said(minus_human("CW", 0.042, 0.023, 0.012), minus_human("Weak labels", 0.001, 0.02, 0.9))
    assert headline == (
        "CW did better than Human by 4.2 points (95 % +1.9 to +6.5; p = 0.012, corrected for 3 comparisons)."
    )
    assert caveats == (
        "No difference from Human can be told for Weak labels at 4 seeds × 400 prompts; the smallest that could be "
        "found is 3.0 points. The gain came without moving measurably further in KL."
    )


def test_better_and_worse_stand_in_one_sentence() -> None:
    headline, _ = said(minus_human("CW", 0.042, 0.023, 0.012), minus_human("Weak labels", -0.031, 0.02, 0.0004))
    assert headline == (
        "CW did better than Human by 4.2 points (95 % +1.9 to +6.5; p = 0.012, corrected for 3 comparisons); Weak "
        "labels did worse by 3.1 points (95 % −5.1 to −1.1; p < 0.001, corrected for 3 comparisons)."
    )


def test_only_worse() -> None:
    headline, _ = said(minus_human("Weak labels", -0.031, 0.02, 0.004, comparisons=1))
    assert headline == "Weak labels did worse than Human by 3.1 points (95 % −5.1 to −1.1; p = 0.004)."


def test_two_are_both_named_and_the_larger_first() -> None:
    headline, _ = said(minus_human("Top", 0.03, 0.02, 0.01), minus_human("CW", 0.05, 0.02, 0.01))
    assert headline == (
        "CW by 5.0 points (95 % +3.0 to +7.0; p = 0.010, corrected for 3 comparisons) and Top by 3.0 points (95 % +1.0 "
        "to +5.0; p = 0.010, corrected for 3 comparisons) did better than Human."
    )


def test_of_many_the_best_is_named() -> None:
    """Five of six clear zero; the largest is +7 points."""
    many = [minus_human(f"CW {n}", 0.03 + n / 100, 0.01, 0.001, comparisons=6) for n in range(5)]
    headline, _ = said(*many, minus_human("Weak labels", 0.0, 0.02, 1.0))
    assert headline == (
        "5 of 6 settings did better than Human, most of all CW 4 by 7.0 points (95 % +6.0 to +8.0; p = 0.001, "
        "corrected for 6 comparisons)."
    )


def test_without_a_difference_the_smallest_that_could_be_found_is_said() -> None:
    """Half widths of 2.1 and 2.4 points, detectable 3.1 and 3.4."""
    headline, caveats = said(minus_human("CW", 0.004, 0.021, 0.8), minus_human("Weak labels", -0.01, 0.024, 0.5))
    assert headline == (
        "No difference from Human can be told at 4 seeds × 400 prompts; the smallest that could be found is 3.1 to 3.4 "
        "points."
    )
    assert caveats == ""


def test_what_one_seed_could_find_says_nothing_beside_several() -> None:
    """Over prompts alone it is smaller: 2.6 points, beside 3.1 over four seeds."""
    four, one = minus_human("CW", 0.004, 0.021, 0.8), minus_human("Weak labels", 0.0, 0.016, 0.9, n_seeds=1)
    assert said(four, one)[0].endswith("at 1–4 seeds × 400 prompts; the smallest that could be found is 3.1 points.")
    assert said(one)[0].endswith("the smallest that could be found is 2.6 points, what seeds move not counted.")


def test_what_is_too_small_to_matter_is_said_beside_what_cannot_be_told() -> None:
    """±1.5 points: −0.6 to +1.4 lies within, −2.0 to +2.8 does not."""
    alike, untold = minus_human("CW", 0.004, 0.01, 0.5), minus_human("Weak labels", 0.004, 0.024, 0.8)
    headline, caveats = said(alike, untold)
    assert headline.startswith("No difference from Human can be told at 4 seeds × 400 prompts")
    assert caveats == "Less than 1.5 points from Human either way: CW (95 % −0.6 to +1.4)."
    assert said(alike)[0] == "No setting differs from Human by 1.5 points at 4 seeds × 400 prompts."


def test_a_gain_that_moved_further_is_said_to_be_perhaps_distance() -> None:
    rows = [row_of("human", kl=1.0), row_of("cw", key="CW", kl=2.5)]
    pair = minus_human("CW", 0.042, 0.023, 0.012, kl_estimate=1.5, kl_low=1.2, kl_high=1.8)
    caveats = " ".join(verdict(rows, [pair], "human").caveats)
    assert caveats == (
        "Moved further in KL as well, so the gain may be distance and not direction: CW (2.50 against 1.00 nats)."
    )
    unmeasured = [row_of("human", kl=None), row_of("cw", key="CW", kl=None)]
    assert "KL was not measured" in " ".join(verdict(unmeasured, [pair], "human").caveats)


def test_one_seed_and_settings_that_cannot_be_compared_are_caveats() -> None:
    one = minus_human("CW", 0.06, 0.03, 0.01, n_seeds=1, note="prompt uncertainty only (1 seed)")
    other = replace(minus_human("WS", 0, 0, 1), estimate=None, low=None, high=None, reason="different opponents")
    headline, caveats = said(one, other)
    assert headline.startswith("CW did better than Human by 6.0 points")
    assert "With one seed the interval covers prompts only; another seed may turn it around." in caveats
    assert "Not compared, different opponents: WS." in caveats
    assert said(other)[0] == "No setting here can be compared with Human: different opponents."


def test_one_setting_says_what_it_is_and_that_a_second_one_is_needed() -> None:
    found = verdict([row_of("cw", estimate=0.613, low=0.581, high=0.644)], [], "")
    assert found.headline == "CW has a GRA of 61.3 % (95 % 58.1 – 64.4)."
    assert found.caveats == ("Nothing stands beside it: choose a second setting to see whether that is much.",)
    assert verdict([], [], "").headline == "None of these runs is evaluated yet, so nothing can be said."


def test_the_planned_pairs_keep_their_own_sentence() -> None:
    runs = runs_of("weak", "cw", "human")
    outcomes = outcomes_of(runs, chance=ALIKE)
    found = verdict(gra_table(runs, outcomes), gra.differences(runs, outcomes), "")
    assert "CW and Weak labels cannot be told apart" in found.headline


def test_the_headline_follows_from_simulated_runs_without_any_cw() -> None:
    runs = runs_of("human", "weak", "top", seeds=6)
    outcomes = outcomes_of(runs, chance={"human": 0.5, "weak": 0.5, "top": 0.8})
    rows = gra_table(runs, outcomes)
    pairs = pairs_against(runs, usual_reference(rows))
    assert verdict(rows, gra.differences(runs, outcomes, pairs=pairs), usual_reference(rows)).headline.startswith(
        "Top 30 % did better than Human by "
    )


# ---- the reference --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "wanted"),
    [
        (("cw", "weak", "human"), "human"),
        (("cw", "weak", "human_100"), "weak"),
        (("cw", "human_labeled"), "human_labeled"),
        (("top", "cw"), "top"),
        (("cw",), ""),
        ((), ""),
    ],
)
def test_the_usual_reference_is_human_labels_else_weak_labels_else_the_first(
    methods: tuple[str, ...], wanted: str
) -> None:
    assert usual_reference([row_of(method) for method in methods]) == wanted


def test_of_several_human_settings_the_one_that_shares_most_is_meant() -> None:
    rows = [
        row_of("human", key="lonely", place="a"),
        row_of("human", key="central", place="b"),
        row_of("cw", key="c", place="b"),
        row_of("weak", key="w", place="c"),
    ]
    assert usual_reference(rows) == "central"
    assert usual_reference(rows[:2]) == "lonely"


def test_an_address_pins_by_the_start_of_a_key_and_what_is_not_shown_counts_as_nothing() -> None:
    rows = [row_of("human", key="aa11"), row_of("cw", key="bb22")]
    assert named_reference("bb", rows) == "bb22"
    assert named_reference("cc", rows) == named_reference("", rows) == "aa11"
    assert named_reference(PLANNED_PAIRS, rows) == PLANNED_PAIRS
