"""The lines under a table: runs planned, failed, left out, and seeds that were added after a look."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from benchmarks import rule
from cwpo.compare.power import prompts_for_equivalence
from cwpo.config.run import RunConfig
from cwpo.report.under_table import (
    AT_AN_EDGE,
    HELD,
    LOSS_ALONE,
    OF_FIRST_TABLE,
    equivalence_out_of_reach,
    expected_of_losses,
    held_by_intervals,
    held_by_single_runs,
    late_seeds,
    paired_over,
    under_further_table,
    under_pair,
    under_table,
)  # fmt: skip
from tests.cwpo.report.test_verdict import minus_human, row_of

START = datetime(2026, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Run:
    id: int
    group_key: str = "cw"
    seed: int = 0
    status: str = "done"
    queued: int = 0  # hours
    ended: int | None = 1
    evaluated: bool = True

    @property
    def created_at(self) -> datetime:
        return START + timedelta(hours=self.queued)

    @property
    def finished_at(self) -> datetime | None:
        return None if self.ended is None else START + timedelta(hours=self.ended)

    @property
    def evaluation(self) -> object | None:
        return "GRA" if self.evaluated else None


def test_every_run_of_the_settings_is_counted_once() -> None:
    shown = [Run(id=1), Run(id=2, seed=1), Run(id=3, seed=2, status="failed", evaluated=False)]
    others = [Run(id=7, seed=3), Run(id=8, seed=4, status="queued", ended=None, evaluated=False)]
    assert under_table(shown, others, 2) == (
        "5 runs planned for these settings: 2 in the table, 1 failed or cancelled, 1 evaluated but left out (run 7), "
        "1 not evaluated yet. 2 differences looked at, and the intervals hold for all of them at once. "
        "All seeds were queued before a result was there."
    )
    assert under_table([], [], 0) == ""


def test_a_difference_over_fewer_seeds_than_its_settings_have_says_so() -> None:
    """Human has six seeds, CW six and two: the difference of the two GRAs is not the paired one."""
    settings = [row_of("cw", key=key, n_seeds=seeds) for key, seeds in (("human", 6), ("CW", 6), ("New", 2))]
    whole, few = (minus_human(label, 0.01, 0.02, 0.5, n_seeds=seeds) for label, seeds in (("CW", 6), ("New", 1)))
    assert paired_over(settings, [whole]) == ""
    assert paired_over(settings, [whole, few]).endswith("need not be that of their two GRAs: New over 1.")
    assert paired_over(settings, [replace(few, estimate=None)]) == ""
    assert paired_over(settings, [replace(few, less_first="CW", less_second="human")]) == ""


def test_seeds_that_were_queued_after_a_result_are_named() -> None:
    shown = [Run(id=1, ended=5), Run(id=2, seed=1, ended=9), Run(id=3, seed=2, queued=6, ended=20)]
    assert late_seeds(shown) == [2]
    assert "Seeds added after the first results were there: 2;" in under_table(shown, [], 1)


def test_seeds_that_were_added_late_are_named_before_they_have_a_result_and_when_they_never_get_one() -> None:
    shown = [Run(id=1), Run(id=2, seed=1)]
    waiting = Run(id=7, seed=7, queued=2, status="queued", ended=None, evaluated=False)
    failed = Run(id=8, seed=8, queued=2, status="failed", ended=3, evaluated=False)
    left_out = Run(id=9, seed=9, queued=2, ended=3)
    for late in (waiting, failed, left_out):
        assert f"Seeds added after the first results were there: {late.seed};" in under_table(shown, [late], 1)


def test_the_end_of_a_failed_run_shows_nobody_a_result() -> None:
    failed = Run(id=1, status="failed", ended=1, evaluated=False)
    assert late_seeds([failed, Run(id=2, seed=1, queued=2, ended=9), Run(id=3, seed=0, queued=2, ended=9)]) == []


def test_a_second_run_of_a_seed_is_no_new_seed_and_settings_are_apart() -> None:
    again = Run(id=4, seed=0, queued=8, ended=9)
    other = Run(id=5, group_key="weak", seed=0, queued=8, ended=9)
    assert late_seeds([Run(id=1), again, other]) == []


def test_what_a_change_of_the_loss_brings_is_said_where_settings_differ_in_the_objective_alone() -> None:
    """What only objectives read, and seeds, may differ too; a method that differs is another comparison."""

    def said(*runs: dict) -> str:
        return expected_of_losses([RunConfig.parse(values) for values in runs])

    assert "about 1 point, of benchmark accuracy and not of GRA" in LOSS_ALONE
    assert "SimPO, was worse (11.5 points)" in LOSS_ALONE
    assert "arXiv 2603.19335" in LOSS_ALONE
    tuned = {"objective": "orpo", "align": {"orpo_lambda": 0.3}, "seed": 1}
    assert said({"objective": "dpo"}, tuned) == LOSS_ALONE
    assert said({"objective": "dpo"}, {"objective": "ipo", "method": "weak"}, {"objective": "dpo", "seed": 2}) == ""
    assert said({"align": {"beta": 0.1}}, {"align": {"beta": 0.5}}) == ""
    assert said() == ""


@dataclass(frozen=True, kw_only=True)
class One:
    n_seeds: int
    estimate: float = 0.6


def test_how_often_intervals_hold_is_said_of_every_number_of_seeds() -> None:
    """Of one seed near 0 and 100 % alone: elsewhere its simulated intervals hold the truth in 93 to 97 % of cases."""
    assert held_by_intervals([One(n_seeds=1)]) == ""
    assert held_by_single_runs([0.5, 0.9]) == ""
    near = (
        "Simulated, 95 % intervals of GRA hold the truth in 91 to 99 % of cases with one seed and a GRA near 0 or "
        "100 %."
    )
    assert held_by_intervals([One(n_seeds=1, estimate=0.98)]) == near
    assert held_by_single_runs([0.5, 0.03]) == near
    assert held_by_intervals([One(n_seeds=2), One(n_seeds=1), One(n_seeds=2)]) == (
        "Simulated, 95 % intervals of GRA hold the truth in 94 to 100 % of cases with 2 seeds; in 83 % where seeds "
        "move a GRA of 97 % by 6 points."
    )
    assert held_by_intervals([One(n_seeds=8), One(n_seeds=3)]) == (
        "Simulated, 95 % intervals of GRA hold the truth in 94 to 100 % of cases with 3 and 8 seeds; in 89 % where "
        "seeds move a GRA of 97 % by 6 points."
    )
    assert held_by_intervals([One(n_seeds=1, estimate=0.98), One(n_seeds=2)]).startswith(
        "Simulated, 95 % intervals of GRA hold the truth in 91 to 99 % of cases with one seed and a GRA near 0 or 100 "
        "% and in 94 to 100 % of cases with 2 seeds; in 83 %"
    )


def test_a_number_of_seeds_that_was_not_simulated_has_what_its_neighbours_say() -> None:
    many = held_by_intervals([One(n_seeds=16), One(n_seeds=6), One(n_seeds=7)])
    assert "94 to 100 % of cases with 5 and 8 seeds" in many
    assert many.endswith("Not simulated: 6, 7 and 16 seeds.")


def test_what_is_said_of_intervals_is_what_was_simulated() -> None:
    """Every cell of the stored simulation lies where its number of seeds says, and where nothing is said nothing is to
    be said."""
    rows = rule.stored(rule.FILE)["singles"]["rows"]
    spoken = {seeds: [row for row in rows if row["seeds"] == seeds] for seeds in HELD}
    spoken[1] = [row for row in spoken[1] if held_by_single_runs([row["mean"]])]
    assert {row["seeds"] for row in rows} == set(HELD)
    for seeds, mine in spoken.items():
        edge, usual = (
            [
                round(100 * row["after_coverage"])
                for row in mine
                if ((row["mean"], row["seed_sd"]) == (0.97, 0.06)) is at
            ]
            for at in (True, False)
        )
        assert HELD[seeds] == (min(usual), max(usual))
        assert AT_AN_EDGE.get(seeds) == min(edge, default=None)
    silent = [row for row in rows if row["seeds"] == 1 and row not in spoken[1]]
    assert silent
    assert all(0.93 <= row["after_coverage"] <= 0.97 for row in silent)
    low = [row for row in rows if row["after_coverage"] < 0.93]
    corners = {(row["mean"], row["seed_sd"], row["seeds"] == 1) for row in low}
    assert corners == {(0.97, 0.06, False), (0.995, 0.0, True)}


def test_another_table_of_the_same_runs_says_how_many_differences_it_has() -> None:
    found, none = minus_human("CW", 0.01, 0.02, 0.5), replace(minus_human("Weak", 0.0, 0.1, 0.9), estimate=None)
    assert under_further_table([]) == under_further_table([none]) == ""
    assert under_further_table([found, none]) == f"{OF_FIRST_TABLE} 1 difference looked at."
    assert under_further_table([found, found, none]) == (
        f"{OF_FIRST_TABLE} 2 differences looked at, and the intervals hold for all of them at once."
    )
    assert under_pair(2) == f"{OF_FIRST_TABLE} It is the one pair that there is."
    assert under_pair(5).startswith(f"{OF_FIRST_TABLE} One pair of 10: the interval holds for it alone")


def test_where_no_number_of_seeds_tells_that_a_difference_is_small_the_prompts_that_would_are_said() -> None:
    """A half-width below 1.5 points under 99 seeds with an SD of 3, one answer to each prompt: by what differs from
    1.96² · (.005 + .295/99) / (.015² − 1.96² · .03²/99) = 161 prompts on; by what all of so few prompts may hide, where
    that is more, from ln .025 / ln(1 − √(.015² − 1.96² · .03²/99)) = 266 on."""
    rows = [minus_human("CW", 0.01, 0.03, 0.5)]
    needed = prompts_for_equivalence(samples=1, comparisons=1)
    assert needed is not None
    assert 158 <= needed <= 273
    said = equivalence_out_of_reach(rows, needed - 20, 1)
    assert f'"smaller than ±1.5" likely with {needed - 20} prompts' in said
    assert said.endswith(f"and 1 difference: it needs about {needed}.")
    assert equivalence_out_of_reach(rows, needed, 1) == ""
    assert equivalence_out_of_reach([], 10, 1) == ""
    assert equivalence_out_of_reach([minus_human("CW", 0.001, 0.01, 0.9)], 10, 1) == ""  # the table says it
    several = prompts_for_equivalence(samples=1, comparisons=6)
    assert several is not None
    assert several > needed
