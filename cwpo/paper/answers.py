"""The Paper page's rows: every published number with the runs that answer it, and the differences that it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cwpo.compare.configured_run import DIFFERENT_BASELINES
from cwpo.compare.gra import DifferenceRow
from cwpo.paper import published
from cwpo.paper.measured import Ours, of_difference
from cwpo.paper.names import line_of
from cwpo.paper.protocol import (
    PAPERS_JUDGE,
    WIN_RATE,
    Group,
    answer_to,
    answers_to,
    departures,
    differences_of,
    sandbox_pair,
)
from cwpo.paper.published import Number
from cwpo.paper.verdict import (
    SAMPLED,
    UNJUDGED,
    Measured,
    PaperDifference,
    Verdict,
    VerdictName,
    Z,
    standard_error,
    unpaired,
    verdict,
)

Pair = tuple[str, str]  # group keys
OTHER_PROTOCOL, NO_VERDICT = "other protocol", "no verdict"
PAIRED = ("gra", WIN_RATE)  # metrics whose differences are paired on prompts
SIGNS: Mapping[int, str] = {1: "above", -1: "below", 0: "not told apart"}


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One published number and what answers it; no verdict where nothing does, or only runs of another protocol."""

    number: Number
    low: float | None  # the number ± 1.96 of the standard errors that the paper does not print
    high: float | None
    ours: Measured | None = None
    run_ids: tuple[int, ...] = ()
    departures: tuple[str, ...] = ()
    verdict: Verdict | None = None

    @property
    def says(self) -> str:
        """The verdict, why there is none, or nothing."""
        if self.verdict is not None:
            return self.verdict.name
        if self.departures:
            return OTHER_PROTOCOL
        return NO_VERDICT if self.ours is not None and self.number.metric in UNJUDGED else ""


@dataclass(frozen=True, kw_only=True)
class PaperGap:
    """One difference of the paper and ours; `paired`: on the same prompts against the same baseline. `detectable`: the
    smallest true difference that ours would find four times in five, `p_corrected` corrected over the table's."""

    difference: PaperDifference
    ours: Measured
    paired: bool
    departures: tuple[str, ...]
    verdict: Verdict | None
    p_corrected: float | None = None
    detectable: float | None = None

    @property
    def says(self) -> str:
        return self.verdict.name if self.verdict is not None else OTHER_PROTOCOL


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All cells of one difference: what the paper says on average, and what answers it here."""

    label: str
    objective: str
    about: str  # label fraction or other setting, where the table varies it
    mean: float
    cells: int
    positive: int
    verdicts: Mapping[VerdictName, int]
    sandbox: DifferenceRow | None

    @property
    def sandbox_sign(self) -> str:
        """Never more than the sign, and no sign where the corrected interval does not give one."""
        row = self.sandbox
        if row is None or row.estimate is None:
            return ""
        return SIGNS[0 if not row.is_real else 1 if row.estimate > 0 else -1]


def cells(table: published.Table, groups: Sequence[Group], ours: Ours) -> list[PaperCell]:
    """Every number of a table, in its order; runs answer it unless the table says why none can."""
    return [
        _cell(number, () if table.unanswered else answers_to(number, groups), ours)
        for number in published.numbers_of(table.name)
    ]


def wanted_pairs(table: published.Table, groups: Sequence[Group]) -> list[Pair]:
    """The settings whose paired differences the table asks for."""
    pairs = [_answers(difference, groups) for difference in _paired_ones(table) if not table.unanswered]
    return list(dict.fromkeys((pair[0].key, pair[1].key) for pair in pairs if pair))


def sandbox_pairs(table: published.Table, groups: Sequence[Group]) -> list[Pair]:
    """The same in the sandbox."""
    pairs = [sandbox_pair(difference, groups) for difference in _paired_ones(table)]
    return list(dict.fromkeys((pair[0].key, pair[1].key) for pair in pairs if pair))


def gaps(
    table: published.Table, groups: Sequence[Group], ours: Ours, paired: Mapping[Pair, DifferenceRow]
) -> list[PaperGap]:
    """The differences that runs answer, cell by cell."""
    found = []
    for difference in differences_of(table):
        pair = None if table.unanswered else _answers(difference, groups)
        gap = _gap(difference, pair, ours, paired) if pair else None
        if gap is not None:
            found.append(gap)
    return found


def _gap(
    difference: PaperDifference, pair: tuple[Group, Group], ours: Ours, paired: Mapping[Pair, DifferenceRow]
) -> PaperGap | None:
    """Paired where it can be; column against column where the baselines differ, and for accuracy; else nothing."""
    metric = difference.first.metric
    columns = [ours.get((group.key, metric)) for group in pair]
    row = paired.get((pair[0].key, pair[1].key)) if metric in PAIRED else None
    measured = of_difference(row) if row else None
    if columns[0] is None or columns[1] is None:
        return None
    if measured is None and metric in PAIRED and (row is None or row.reason != DIFFERENT_BASELINES):
        return None
    gap = measured or unpaired(columns[0], columns[1])
    apart = (*_apart(pair, metric), *_another_judge(columns[0], metric))
    return PaperGap(
        difference=difference,
        ours=gap,
        paired=measured is not None,
        departures=apart,
        verdict=None if apart else verdict(gap, difference.estimate, difference.error),
        p_corrected=row.p_corrected if row else None,
        detectable=row.detectable if row else None,
    )


def summaries(
    table: published.Table, answered: Sequence[PaperGap], groups: Sequence[Group], paired: Mapping[Pair, DifferenceRow]
) -> list[Summary]:
    """One line per difference, objective and setting of the table; `groups` and `paired` are the sandbox's."""
    by_line: dict[tuple[str, str, str], list[PaperDifference]] = {}
    for difference in differences_of(table):
        by_line.setdefault(line_of(difference), []).append(difference)
    varied = len({about for _, _, about in by_line}) > 1
    return [
        Summary(
            label=label,
            objective=objective,
            about=about if varied else "",
            mean=sum(one.estimate for one in members) / len(members),
            cells=len(members),
            positive=sum(one.estimate > 0 for one in members),
            verdicts=_counts(gap for gap in answered if line_of(gap.difference) == (label, objective, about)),
            sandbox=_sandbox_row(members[0], groups, paired),
        )
        for (label, objective, about), members in by_line.items()
    ]


def _cell(number: Number, groups: Sequence[Group], ours: Ours) -> PaperCell:
    """The number with what its settings found; other protocols and figures without an error get no verdict."""
    error = standard_error(number) if number.metric in SAMPLED else None
    low, high = (None, None) if error is None else (number.value - Z * error, number.value + Z * error)
    measured = ours.get((groups[0].key, number.metric)) if groups else None
    if measured is None:
        return PaperCell(number=number, low=low, high=high)
    apart = (*_apart(groups, number.metric), *_another_judge(measured, number.metric))
    return PaperCell(
        number=number,
        low=low,
        high=high,
        ours=measured,
        run_ids=tuple(run_id for group in groups for run_id in group.run_ids),
        departures=apart,
        verdict=None if apart or error is None else verdict(measured, number.value, error),
    )


def _apart(groups: Sequence[Group], metric: str) -> tuple[str, ...]:
    """In what any of the settings departs from the protocol."""
    return tuple(dict.fromkeys(word for group in groups for word in departures(group.config, metric)))


def _another_judge(ours: Measured, metric: str) -> tuple[str, ...]:
    """A win rate is the judge model's: another one than the paper's is another protocol."""
    return () if metric != WIN_RATE or ours.about.startswith(PAPERS_JUDGE) else (f"judge {ours.about} (GPT-4)",)


def _paired_ones(table: published.Table) -> list[PaperDifference]:
    return [difference for difference in differences_of(table) if difference.first.metric in PAIRED]


def _answers(difference: PaperDifference, groups: Sequence[Group]) -> tuple[Group, Group] | None:
    first, second = answer_to(difference.first, groups), answer_to(difference.second, groups)
    return (first, second) if first and second else None


def _counts(answered: Iterable[PaperGap]) -> dict[VerdictName, int]:
    found: dict[VerdictName, int] = {}
    for gap in answered:
        if gap.verdict is not None:
            found[gap.verdict.name] = found.get(gap.verdict.name, 0) + 1
    return found


def _sandbox_row(
    difference: PaperDifference, groups: Sequence[Group], paired: Mapping[Pair, DifferenceRow]
) -> DifferenceRow | None:
    pair = sandbox_pair(difference, groups) if difference.first.metric in PAIRED else None
    return paired.get((pair[0].key, pair[1].key)) if pair else None
