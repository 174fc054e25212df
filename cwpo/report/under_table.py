"""What stands under a table of differences: runs planned, failed, left out; comparisons; seeds added late; how much a
change of the loss alone is known to bring. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.config import catalog
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig
from cwpo.report.numbers import count

LOSS_ALONE = (
    "Some settings differ in the objective alone. What to expect of that: about 1 point, of benchmark accuracy and not "
    "of GRA; of 20 variants of DPO none was better than DPO after correction and one, SimPO, was worse (11.5 points), "
    "with 5 seeds each at 1.5B (oxRL, Li 2026, arXiv 2603.19335)."
)

# Simulated: benchmarks/results/rule.json, docs/statistics.md.
WIDER = (
    "With two or three seeds the 95 % intervals of GRA are wider than need be: simulated, they hold the truth in "
    "94 to 100 % of cases."
)
NARROWER = (
    "With five to eight seeds, where seeds move a result by 6 points, the 95 % intervals of GRA hold the truth in 92 "
    "to 93 % of cases in the worst of the simulated settings."
)

ENDED_BADLY = ("failed", "cancelled")
MOST_NAMED = 6


class Planned(Protocol):
    """A run that somebody queued; db.records.RunRow has it."""

    @property
    def id(self) -> int: ...
    @property
    def group_key(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def evaluation(self) -> object | None: ...


def under_table(shown: Sequence[Planned], others: Sequence[Planned], comparisons: int) -> str:
    """Of the runs that a table is about and all `others` of the same settings, archived ones too.

    12 runs planned: 9 evaluated and in the table, 1 failed, 2 left out (runs 7 and 8). 6 differences looked at.
    """
    every = [*shown, *others]
    if not every:
        return ""
    used = [run for run in shown if run.evaluation is not None]
    failed = [run for run in every if run.evaluation is None and run.status in ENDED_BADLY]
    left = [run for run in others if run.evaluation is not None]
    waiting = len(every) - len(used) - len(failed) - len(left)
    parts = [f"{count(len(used))} in the table", f"{count(len(failed))} failed or cancelled"]
    parts.append(f"{count(len(left))} evaluated but left out{_named(left)}")
    parts += [f"{count(waiting)} not evaluated yet"] if waiting else []
    noun = "difference" if comparisons == 1 else "differences"
    words = f"{_runs(len(every))} planned for these settings: {', '.join(parts)}. {count(comparisons)} {noun} looked at"
    words += ", and the intervals hold for all of them at once." if comparisons > 1 else "."
    return f"{words} {_late(every)}".strip()


def paired_over(settings: Sequence[GraRow], differences: Sequence[DifferenceRow]) -> str:
    """Why a difference need not be that of the two GRAs beside it: it is over the seeds that both settings have.
    Empty where each of them has the seeds of the other, and of interactions."""
    seeds = {row.group_key: row.n_seeds for row in settings}
    fewer = [
        row for row in differences
        if row.estimate is not None and not row.is_interaction
        and row.n_seeds < max(seeds.get(row.first, 0), seeds.get(row.second, 0))
    ]  # fmt: skip
    if not fewer:
        return ""
    named = ", ".join(f"{row.first_label} over {count(row.n_seeds)}" for row in fewer[:MOST_NAMED])
    more = " and others over fewer than they have" if len(fewer) > MOST_NAMED else ""
    return (
        "A difference is taken over the seeds that both settings have, so it need not be that of their two GRAs: "
        f"{named}{more}."
    )


def held_by_intervals(seeds: Iterable[int]) -> str:
    """Where intervals of GRA over so many seeds each are known to hold the truth more or less often than they say."""
    counts = set(seeds)
    words = [WIDER] if any(2 <= count <= 3 for count in counts) else []
    return " ".join([*words, *([NARROWER] if any(5 <= count <= 8 for count in counts) else [])])


def expected_of_losses(configs: Iterable[RunConfig]) -> str:
    """The size that a change of the loss is known to have, where two settings differ in the objective (and in what
    objectives alone read); nothing elsewhere."""
    read = {f"align.{name}" for row in catalog.OBJECTIVES.values() for name in row.fields}
    besides = {"objective", "seed", "name", "execution", *read}
    met: dict[str, str] = {}
    for config in configs:
        rest = repr(sorted(without(config.canonical(), besides).items()))
        if met.setdefault(rest, config.objective) != config.objective:
            return LOSS_ALONE
    return ""


def late_seeds(runs: Sequence[Planned]) -> list[int]:
    """Seeds that were queued when an earlier seed of the same setting had its result: somebody may have looked. Those
    that have none yet or never will are among them; a seed that was queued before and again is not."""
    late: set[int] = set()
    for key in {run.group_key for run in runs}:
        mine = [run for run in runs if run.group_key == key]
        ends = [run.finished_at for run in mine if run.finished_at is not None and run.evaluation is not None]
        before = {run.seed for run in mine if not ends or run.created_at <= min(ends)}
        late |= {run.seed for run in mine} - before
    return sorted(late)


def _late(runs: Sequence[Planned]) -> str:
    late = late_seeds(runs)
    if not late:
        return "All seeds were queued before a result was there."
    named = ", ".join(map(str, late[:MOST_NAMED])) + (" and more" if len(late) > MOST_NAMED else "")
    return (
        f"Seeds added after the first results were there: {named}; with seeds that are added until something is found, "
        "more than 5 % of tables without a difference show one."
    )


def _named(runs: Sequence[Planned]) -> str:
    if not runs:
        return ""
    ids = [str(run.id) for run in runs[:MOST_NAMED]]
    more = " and more" if len(runs) > MOST_NAMED else ""
    return f" ({'run' if len(runs) == 1 else 'runs'} {', '.join(ids)}{more})"


def _runs(number: int) -> str:
    return f"{count(number)} {'run' if number == 1 else 'runs'}"
