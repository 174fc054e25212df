"""The lines under a table: runs planned, failed, left out, and seeds that were added after a look."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from benchmarks import rule
from cwpo.config.run import RunConfig
from cwpo.report.under_table import (
    LOSS_ALONE,
    NARROWER,
    WIDER,
    expected_of_losses,
    held_by_intervals,
    late_seeds,
    paired_over,
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


def test_intervals_of_few_and_of_many_seeds_say_how_far_they_hold() -> None:
    """The figures are those of the stored simulation."""
    assert held_by_intervals([1, 4, 16]) == ""  # four and sixteen were not simulated
    assert held_by_intervals([2, 3, 1]) == WIDER
    assert held_by_intervals([8]) == NARROWER
    assert held_by_intervals([3, 5]) == f"{WIDER} {NARROWER}"
    rows = rule.stored(rule.FILE)["singles"]["rows"]
    few = [100 * row["after_coverage"] for row in rows if row["seeds"] in (2, 3)]
    assert f"{min(few):.0f} to {max(few):.0f} %" in WIDER
    low = [row for row in rows if row["seeds"] >= 5 and row["after_coverage"] < 0.93]
    worst = sorted(100 * row["after_coverage"] for row in low)
    assert f"{worst[0]:.0f} to {worst[-1]:.0f} %" in NARROWER
    assert {row["seed_sd"] for row in low} == {0.06}
