"""What stands under a table of differences: runs planned, failed, left out; comparisons; seeds added late; how much a
change of the loss alone is known to bring. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.power import prompts_for_equivalence
from cwpo.config import catalog
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig
from cwpo.report.numbers import count
from cwpo.statistics.planning import MOST_SEEDS
from cwpo.statistics.simultaneous import SMALL

LOSS_ALONE = (
    "Some settings differ in the objective alone. What to expect of that: about 1 point, of benchmark accuracy and not "
    "of GRA; of 20 variants of DPO none was better than DPO after correction and one, SimPO, was worse (11.5 points), "
    "with 5 seeds each at 1.5B (oxRL, Li 2026, arXiv 2603.19335)."
)

# How often 95 % intervals of one GRA hold the truth, in percent, in the simulated setting where they do least often and
# in the one where they do most, by number of seeds (benchmarks/results/rule.json, docs/statistics.md). `AT_AN_EDGE`:
# the least where seeds move a GRA of 97 % by 6 points, so that many a seed would be at 100 %.
HELD: Mapping[int, tuple[int, int]] = {
    1: (91, 99), 2: (94, 100), 3: (94, 100), 4: (94, 100), 5: (94, 100), 8: (94, 100),
}  # fmt: skip
AT_AN_EDGE: Mapping[int, int] = {2: 83, 3: 89, 4: 90, 5: 92, 8: 93}
NEAR_AN_END = 0.935  # GRA, or 1 − GRA, from which one seed is nearer to the simulated 97 % than to 90 %
OF_FIRST_TABLE = "Of the runs that are counted under the first table of differences."

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


class Line(Protocol):
    """A difference; none where `estimate` is None."""

    @property
    def estimate(self) -> float | None: ...


class Held(Protocol):
    """A GRA with an interval: a row of a table, or a figure of ours beside the paper's."""

    @property
    def n_seeds(self) -> int: ...
    @property
    def estimate(self) -> float: ...


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
    words = f"{_runs(len(every))} planned for these settings: {', '.join(parts)}."
    return f"{words} {looked_at(comparisons)} {_late(every)}".strip()


def looked_at(comparisons: int) -> str:
    """6 differences looked at, and the intervals hold for all of them at once."""
    words = f"{count(comparisons)} {'difference' if comparisons == 1 else 'differences'} looked at"
    return f"{words}, and the intervals hold for all of them at once." if comparisons > 1 else f"{words}."


def under_further_table(rows: Iterable[Line]) -> str:
    """Of another table of the same runs: how many differences it has of its own."""
    comparisons = sum(row.estimate is not None for row in rows)
    return f"{OF_FIRST_TABLE} {looked_at(comparisons)}" if comparisons else ""


def under_pair(settings: int) -> str:
    """Of two settings that somebody chose among so many to hold one against the other."""
    pairs = settings * (settings - 1) // 2
    if pairs == 1:
        return f"{OF_FIRST_TABLE} It is the one pair that there is."
    return (
        f"{OF_FIRST_TABLE} One pair of {count(pairs)}: the interval holds for it alone, not for the one of them all "
        "that looks best."
    )


def equivalence_out_of_reach(rows: Sequence[DifferenceRow], unrelated: int, samples: int) -> str:
    """Where no number of seeds would call a difference too small to matter, how many prompts that needs; of tables that
    call one so nothing is said."""
    known = [row for row in rows if row.estimate is not None]
    if not known or any(SMALL in row.told for row in known):
        return ""
    needed = prompts_for_equivalence(samples=samples, comparisons=len(known))
    if needed is not None and needed <= unrelated:
        return ""
    asked = "more than there can be" if needed is None else f"about {count(needed)}"
    return (
        f'No number of seeds up to {MOST_SEEDS} makes "{SMALL}" likely with {count(unrelated)} prompts (related ones '
        f"count as one) and {count(len(known))} {'difference' if len(known) == 1 else 'differences'}: it needs {asked}."
    )


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


def held_by_intervals(rows: Iterable[Held]) -> str:
    """Where intervals of these GRAs are known to hold the truth in fewer than 93 or more than 97 of 100 cases: how
    often they do in the simulation, and of which numbers of seeds only the neighbours are known. Empty elsewhere."""
    return _held({row.n_seeds for row in rows if row.n_seeds > 1 or _near_an_end(row.estimate)})


def held_by_single_runs(shares: Iterable[float]) -> str:
    """The same of single runs with these GRAs."""
    return _held({1} if any(map(_near_an_end, shares)) else set())


def _held(seeds_each: Collection[int]) -> str:
    counts = sorted(seeds_each)
    if not counts:
        return ""
    known = sorted({simulated for seeds in counts for simulated in _simulated(seeds)})
    ranges = dict.fromkeys(HELD[seeds] for seeds in known)
    said = [
        f"{low} to {high} % of cases with {_of_seeds([seeds for seeds in known if HELD[seeds] == (low, high)])}"
        for low, high in ranges
    ]
    words = f"Simulated, 95 % intervals of GRA hold the truth in {' and in '.join(said)}"
    least = min((AT_AN_EDGE[seeds] for seeds in known if seeds in AT_AN_EDGE), default=None)
    words += "." if least is None else f"; in {least} % where seeds move a GRA of 97 % by 6 points."
    apart = [seeds for seeds in counts if seeds not in HELD]
    if apart:
        words += f" Not simulated: {_listed(apart)} seeds."
    return words


def _near_an_end(share: float) -> bool:
    return max(share, 1 - share) > NEAR_AN_END


def _simulated(seeds: int) -> list[int]:
    """This number of seeds, or its neighbours among those that were simulated."""
    below, above = [known for known in HELD if known <= seeds], [known for known in HELD if known >= seeds]
    return sorted({*below[-1:], *above[:1]})


def _of_seeds(seeds: Sequence[int]) -> str:
    return "one seed and a GRA near 0 or 100 %" if list(seeds) == [1] else f"{_listed(seeds)} seeds"


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


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
