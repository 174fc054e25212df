"""The tables of the Paper page: what its differences say, its cells beside ours, and the conflicts."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout, tables
from app.components.frame.tables import Cell, Column
from cwpo.paper import published
from cwpo.paper.answers import NO_VERDICT, OTHER_PROTOCOL, PaperCell, PaperGap, Summary
from cwpo.paper.conflicts import Conflict, conflicts
from cwpo.paper.names import METRICS, PLACES, arm_label, difference_label, parts_of, places, varied
from cwpo.paper.protocol import FROM_LABELS, SECONDS
from cwpo.paper.verdict import MARGIN, UNJUDGED, Measured
from cwpo.report import numbers as figures
from cwpo.report.columns import DIFFERENCE, title
from cwpo.report.listings import fields_of
from cwpo.report.numbers import interval, points, points_interval

RULE = (
    "The gap is ours minus the paper's. The paper's number is of one run, so the 95 % interval of the gap joins that "
    "of our mean to the result of one more seed, of the spread that our seeds show, with the standard error of the "
    "paper's number, which the paper does not print: that of one run on its number of prompts, or of the spread over "
    "three test subsets (Table 20) where that is larger; for a difference, that of two separate runs."
)
NAMES = {
    "not consistent": "the interval of the gap leaves out 0",
    "underpowered": f"it covers 0 but reaches more than {100 * MARGIN:.0f} points to either side, or we have one seed",
    "consistent": "it covers 0 and is narrower; that is no proof of equality, only no sign of a gap where one of about "
    "7 points would be seen four times in five",
}
LIMITS = (
    "A run whose settings depart from what the paper states gets no verdict, and neither does the sandbox. Of 20 "
    'numbers that agree in truth about one reads "not consistent" by chance: verdicts are not corrected for their '
    "number."
)
NOT_COVERED = (
    "Not covered: online DPO with a reward model from elsewhere as its annotator (first column of Table 21). Its "
    "published numbers are shown, no run here answers them."
)

OF_SUMMARY = (
    ("paper, points", "Mean difference over the cells of the paper's table, in percentage points."),
    ("positive", "In how many of the cells the first is ahead in the paper."),
    ("ours", "The verdicts of the differences that runs here answer."),
    ("sandbox", "On which side of 0 the same difference lies in the sandbox."),
)
OF_CELLS = (
    ("paper", "As it was published."),
    ("implied 95 %", "Interval that the paper's number of test prompts implies; it printed none."),
    ("ours", "The same figure of the runs here that have these settings."),
    ("95 %", "Interval of ours, over seeds and prompts."),
    ("prompts", "Held-out prompts that every seed answered."),
    ("verdict", "What both intervals say of each other; the rule stands below."),
    ("detectable", "The smallest true difference that runs like ours would find four times in five."),
)
BESIDE = ("kl", "length_ratio")  # figures that stand beside a GRA
DETECTABLE = (
    "Detectable: the smallest true difference, in points, that runs like ours would find four times in five, with the "
    "intervals of all paired differences of the table holding at once."
)
COLUMNS = (
    "Where two methods have different opponents, and for accuracy, ours are not paired, as in the paper: the interval "
    "joins those of both columns."
)


def show_summary(rows: Sequence[Summary], files: list[tables.Drawn], *, signs: bool = True) -> None:
    """One line per difference: the paper's mean, our verdicts, the sandbox's sign where differences are paired."""
    settings = any(row.about for row in rows)
    several = len({row.objective for row in rows}) > 1
    columns = [
        Column(label="difference", whole=True),
        *([Column(label="objective")] if several else []),
        *([Column(label="setting", whole=True)] if settings else []),
        Column(label="paper, points", figures=True),
        Column(label="positive", figures=True),
        Column(label="ours"),
        *([Column(label="sandbox")] if signs else []),
    ]
    lines = [
        [
            row.label,
            *([row.objective] if several else []),
            *([row.about] if settings else []),
            points(row.mean),
            Cell(text=f"{row.positive} of {row.cells}", muted=True),
            Cell(text=_verdicts(row), muted=not row.verdicts),
            *([Cell(text=row.sandbox_sign or "–", muted=row.sandbox_sign not in ("above", "below"))] if signs else []),
        ]
        for row in rows
    ]
    tables.show_with_file(files, columns, lines, alt="Summary of differences", numbers=lambda: fields_of(rows))


def show_cells(cells: Sequence[PaperCell], files: list[tables.Drawn]) -> None:
    """Every number beside ours; the parts in which the numbers do not differ stand in the caption, and intervals, KL
    and length have columns only where there are some."""
    numbers = [cell.number for cell in cells]
    words = places(numbers)
    metrics = len({number.metric for number in numbers}) > 1
    implied = any(cell.low is not None for cell in cells)
    ours = [cell.ours for cell in cells if cell.ours is not None]
    beside = [name for name in BESIDE if any(getattr(one, name) is not None for one in ours)]
    columns = [
        *(Column(label=PLACES[place]) for place in varied(numbers)),
        Column(label="method", whole=True),
        *([Column(label="figure")] if metrics else []),
        Column(label="paper", figures=True),
        *([Column(label="implied 95 %", figures=True)] if implied else []),
        Column(label="ours", figures=True),
        Column(label="95 %", figures=True),
        Column(label=_counts(numbers), figures=True),
        Column(label="seeds", figures=True),
        Column(label="verdict"),
        *(Column(label=title(name), figures=True) for name in beside),
    ]
    lines = [
        [
            *(Cell(text=word or "–", muted=word == above) for word, above in zip(place, before, strict=True)),
            arm_label(cell.number),
            *([Cell(text=METRICS[cell.number.metric], muted=True)] if metrics else []),
            _figure(cell.number, cell.number.value),
            *([Cell(text=interval(cell.low, cell.high), muted=True)] if implied else []),
            *_ours(cell),
            _says(cell.says),
            *(Cell(text=figures.number(getattr(cell.ours, name, None)), muted=True) for name in beside),
        ]
        for cell, place, before in zip(cells, words, [("",) * len(words[0]), *words[:-1]], strict=True)
    ]
    tables.show_with_file(files, columns, lines, alt="The paper's numbers and ours", numbers=lambda: fields_of(cells))


def show_gaps(gaps: Sequence[PaperGap], cells: Sequence[PaperCell], files: list[tables.Drawn]) -> None:
    """Differences cell by cell, where runs answer both sides; `cells` are all of the table."""
    numbers = [cell.number for cell in cells]
    differing = varied(numbers)
    detectable = any(gap.detectable is not None for gap in gaps)
    columns = [
        Column(label="difference", whole=True),
        Column(label="where"),
        Column(label="paper", figures=True),
        Column(label="ours", figures=True),
        Column(label="95 %", figures=True),
        *([Column(label=title("detectable", DIFFERENCE), figures=True)] if detectable else []),
        Column(label=_counts(numbers), figures=True),
        Column(label="seeds", figures=True),
        Column(label="verdict"),
    ]
    lines = [
        [
            difference_label(gap.difference),
            _where(gap, differing),
            points(gap.difference.estimate),
            points(gap.ours.estimate),
            points_interval(gap.ours.low, gap.ours.high),
            *([_detectable(gap)] if detectable else []),
            Cell(text=figures.count(gap.ours.n_prompts), muted=True),
            Cell(text=figures.count(gap.ours.n_seeds), muted=True),
            _says(gap.says),
        ]
        for gap in gaps
    ]
    tables.show_with_file(files, columns, lines, alt="Differences cell by cell", numbers=lambda: fields_of(gaps))
    if detectable:
        layout.note(DETECTABLE)
    if any(not gap.paired for gap in gaps):
        layout.note(COLUMNS)


def show_departures(cells: Sequence[PaperCell]) -> None:
    """Why figures of ours get no verdict, and of what they are where the number does not say it."""
    if words := dict.fromkeys(word for cell in cells for word in cell.departures):
        layout.note(f"Settings of ours that depart from the paper's, in brackets: {'; '.join(words)}.")
    answered = [cell for cell in cells if cell.ours is not None]
    for sentence in dict.fromkeys(UNJUDGED[m] for cell in answered if (m := cell.number.metric) in UNJUDGED):
        layout.note(sentence)
    if of := [f"{arm_label(cell.number)}, {cell.ours.about}" for cell in answered if cell.ours and cell.ours.about]:
        layout.note(f"Ours are of {'; '.join(of)}.")


def show_conflicts(table: str) -> None:
    """The inconsistencies of the paper that touch this table."""
    touching = [conflict for conflict in conflicts() if table in conflict.tables]
    if touching:
        layout.small("Before a number of it is quoted")
        _listed(touching)


def show_other_conflicts(table: str) -> None:
    """The rest of them."""
    layout.section("Where else the paper disagrees with itself")
    _listed([conflict for conflict in conflicts() if table not in conflict.tables])


def _listed(listed: Sequence[Conflict]) -> None:
    st.caption("\n".join(f"- {untrusted.label(conflict.sentence, 600)}" for conflict in listed))


def show_rule() -> None:
    """The rule of the verdicts, and what the page leaves out."""
    layout.section("How a verdict is given")
    layout.note(RULE)
    st.caption("\n".join(f"- **{name}**: {meaning}" for name, meaning in NAMES.items()))
    layout.note(LIMITS)
    layout.note(NOT_COVERED)


def _verdicts(row: Summary) -> str:
    return ", ".join(f"{count} {name}" for name, count in row.verdicts.items()) or "–"


def _figure(number: published.Number, value: float) -> str:
    """A value as the paper prints the number: shares in percent."""
    if number.metric in published.SHARES:
        return figures.number(100 * value, 2 if number.sd is not None and number.table == "T20" else 1)
    return figures.number(value, 2 if number.metric != SECONDS else 0 if value >= 10 else 1)


def _ours(cell: PaperCell) -> list[Cell]:
    """Our figure, its interval, and how much it rests on."""
    ours, number = cell.ours, cell.number
    if ours is None:
        return [Cell(text="–", muted=True)] * 4
    return [
        Cell(text=_figure(number, ours.estimate)),
        Cell(text=_interval(number, ours), muted=ours.low is None),
        Cell(text=figures.count(ours.n_prompts or None), muted=True),
        Cell(text=figures.count(ours.n_seeds), muted=True),
    ]


def _interval(number: published.Number, ours: Measured) -> str:
    if ours.low is None or ours.high is None:
        return "–"
    return f"{_figure(number, ours.low)} – {_figure(number, ours.high)}"


def _counts(numbers: Sequence[published.Number]) -> str:
    """What is counted: held-out prompts, or pairs that an annotator labels."""
    return "pairs" if any(number.metric in FROM_LABELS for number in numbers) else "prompts"


def _where(gap: PaperGap, differing: Sequence[int]) -> str:
    """The parts that both sides share, among those in which the table's numbers differ."""
    first, second = parts_of(gap.difference.first), parts_of(gap.difference.second)
    return " · ".join(first[place] for place in differing if first[place] and second[place] in ("", first[place]))


def _detectable(gap: PaperGap) -> Cell:
    return Cell(text=figures.number(None if gap.detectable is None else 100 * gap.detectable, 1), muted=True)


def _says(word: str) -> Cell:
    """In ink only what is a finding."""
    return Cell(text=word or "–", muted=word in ("", "underpowered", OTHER_PROTOCOL, NO_VERDICT))
