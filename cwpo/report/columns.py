"""What stands beside a GRA, one declaration per figure: its name, heading, unit, how it reads, where it stands.

Pages, terminal, CSV, JSON, Markdown, LaTeX and bundles render these lists. A figure that a row already has, or that
follows from one, is one more `Column`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cwpo.report import gra_terms
from cwpo.report.gra_terms import Terms
from cwpo.report.numbers import NOTHING, count, duration, interval, number, p_value, percent, points, points_interval
from cwpo.report.tables import Cell, Table

Place = Literal["main", "distance", "text", "file"]
ON_PAGES: tuple[Place, ...] = ("main", "distance")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of a row. For people `text` or `format` of the values; for machines the values themselves."""

    name: str  # in CSV and JSON
    heading: str = ""
    unit: str = ""
    format: Callable[..., str] = str  # of the value, or of both ends of an interval
    fields: tuple[str, ...] = ()  # names in CSV and JSON where one cell holds several values
    value: Callable[[Any], Cell] | None = None  # where the row has no field of that name
    text: Callable[[Any], str] | None = None  # where the cell follows from more than the values
    place: Place = "main"  # pages and terminal show main and distance apart; text: only whole tables; file: CSV, JSON
    in_files: bool = True
    words: bool = False  # to the left, as words stand; figures stand on the right
    muted: bool = False  # beside the answer, not the answer
    lead: bool = False  # the figure that is emphasised where it is real
    spare: bool = False  # left out where there is little room

    @property
    def title(self) -> str:
        """Heading and unit: KL, nats."""
        return f"{self.heading}, {self.unit}" if self.unit else self.heading

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns in CSV and JSON."""
        return self.fields or (self.name,)

    def values(self, row: Any) -> tuple[Cell, ...]:
        """At full precision, shares in [0, 1]."""
        return (self.value(row),) if self.value else tuple(getattr(row, name) for name in self.names)

    def cell(self, row: Any) -> str:
        """As people read it."""
        return self.text(row) if self.text else self.format(*self.values(row))

    def in_a_sentence(self, row: Any) -> str:
        """Heading, figure, unit: ties lose 60.9 %."""
        return " ".join(part for part in (self.heading, self.cell(row), self.unit) if part)


def part(columns: Sequence[Column], place: Place, *, narrow: bool = False) -> list[Column]:
    """What stands in one place, behind the name of the row; `narrow` leaves out what can be spared."""
    return [
        column
        for number, column in enumerate(columns)
        if (column.place == place or number == 0) and not (narrow and column.spare)
    ]


def title(name: str, columns: Sequence[Column] | None = None) -> str:
    """What a figure is called, for a table of another kind of row; of a GRA table unless another one is given."""
    return next(column.title for column in (GRA if columns is None else columns) if column.name == name)


def heading(name: str) -> str:
    """The same without its unit, where the figure carries it."""
    return next(column.heading for column in GRA if column.name == name)


def cells(columns: Sequence[Column], rows: Sequence[Any], notes: Sequence[str] = ()) -> Table:
    """A table for people, without words that no row has."""
    kept = [
        column
        for column in columns
        if column.place != "file" and (column.place != "text" or any(_says(column.cell(row)) for row in rows))
    ]
    return Table(
        columns=tuple(column.title for column in kept),
        rows=tuple(tuple(column.cell(row) for column in kept) for row in rows),
        notes=tuple(notes),
    )


def _says(cell: str) -> bool:
    return cell.strip() not in ("", NOTHING)


def numbers(columns: Sequence[Column], rows: Sequence[Any]) -> Table:
    """A table for machines."""
    kept = [column for column in columns if column.in_files]
    return Table(
        columns=tuple(name for column in kept for name in column.names),
        rows=tuple(tuple(value for column in kept for value in column.values(row)) for row in rows),
    )


def _share(value: float | None) -> str:
    """0.5926 -> 59.3; the unit is in the heading."""
    return percent(value).removesuffix(" %")


def _tenths(value: float | None) -> str:
    return number(value, 1)


def _whole(value: float | None) -> str:
    return number(value, 0)


def _counted(value: int) -> str:
    """Nothing was counted where there are no figures."""
    return count(value) if value else NOTHING


def _seeds(value: int) -> str:
    """With one seed an interval covers prompts alone."""
    return "1, prompts only" if value == 1 else _counted(value)


def _points(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def _span(low: float | None, high: float | None) -> str:
    return NOTHING if low is None else f"{number(low)} – {number(high)}"


def _signed_span(low: float | None, high: float | None) -> str:
    return NOTHING if low is None else f"{number(low)} to {number(high)}"


def _listed(name: str) -> Callable[[Any], Cell]:
    return lambda row: " ".join(map(str, getattr(row, name)))


def _reason_or(format_: Callable[..., str]) -> Callable[[Any], str]:
    """The interval, or in its place why there is none."""
    return lambda row: row.reason or format_(row.low, row.high)


def _file(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, place="file") for name in names)


_ENDS = ("low", "high")
_NOTE = Column(name="note", heading="note", place="text", words=True, spare=True)
_PROMPTS = Column(name="n_prompts", heading="prompts", format=_counted, muted=True)
_SEEDS = Column(name="n_seeds", heading="seeds", format=_seeds, muted=True)
_DETECTABLE = Column(name="detectable", heading="detectable", unit="points", format=_points, muted=True)
_P_HOLM = Column(name="p_corrected", heading="p, corrected", format=p_value, muted=True)
_TOLD = Column(name="told", heading="verdict", words=True, muted=True)
_SETTING = Column(name="label", heading="setting", words=True)

GRA: tuple[Column, ...] = (
    _SETTING,
    *_file("method", "objective", "top_percent"),
    Column(name="estimate", heading="GRA", unit="%", format=_share, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=interval),
    *_file("interval_method"),
    _PROMPTS,
    _SEEDS,
    *_file("wins", "ties", "losses"),
    Column(name="strict", heading="ties lose", unit="%", format=_share, muted=True, spare=True),
    Column(name="ties_dropped", heading="no ties", unit="%", format=_share, muted=True, spare=True),
    *_file("seed_sd"),
    Column(name="kl", heading="KL", unit="nats", format=number, place="distance"),
    Column(name="chosen_logratio", heading="chosen", unit="nats", format=number, place="distance", muted=True),
    Column(name="rejected_logratio", heading="rejected", unit="nats", format=number, place="distance", muted=True),
    Column(name="tokens", heading="tokens", format=_tenths, place="distance"),
    Column(name="baseline_tokens", heading="baseline's tokens", format=_tenths, place="distance", muted=True),
    Column(name="length_ratio", heading="length ratio", format=number, place="distance"),
    Column(name="length_controlled", heading="equal length", unit="%", format=_share, place="distance"),
    Column(
        name="length_interval", heading="equal length, 95 %", fields=("length_low", "length_high"), format=interval,
        place="distance", muted=True,
    ),
    Column(name="ungrammatical", heading="ungrammatical", unit="%", format=_share),
    Column(
        name="baseline_ungrammatical", heading="baseline's ungrammatical", unit="%", format=_share, muted=True,
        spare=True,
    ),
    *_file("beta"),
)  # fmt: skip

# What the rule of a table says of each of its differences.
_TESTED = (*_file("p"), _P_HOLM, *_file("comparisons"), _DETECTABLE, _TOLD)

DIFFERENCE: tuple[Column, ...] = (
    Column(name="label", heading="difference", words=True),
    *_file("objective"),
    Column(name="estimate", heading="points", format=points, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=points_interval, text=_reason_or(points_interval)),
    *_TESTED,
    *_file("interval_method"),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True, place="text"),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True, place="text"),
    Column(name="kl_estimate", heading="KL difference", unit="nats", format=number, muted=True, place="text"),
    *_file("kl_low", "kl_high"),
    _NOTE,
    *_file("reason", "first", "second"),
)

MATCHED: tuple[Column, ...] = (
    Column(name="label", heading="difference at matched KL", words=True),
    *_file("objective"),
    Column(name="estimate", heading="points", format=points, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=points_interval),
    *_TESTED,
    Column(name="kl_range", heading="KL", unit="nats", fields=("kl_low", "kl_high"), format=_span, muted=True),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True, place="text"),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True, place="text"),
    Column(
        name="said", heading="note", text=lambda row: row.reason or row.note, place="text", words=True, in_files=False
    ),
    *_file("note", "reason"),
)

TUNED: tuple[Column, ...] = (
    Column(name="label", heading="difference at each one's β", words=True),
    *_file("objective", "second_objective"),
    Column(name="estimate", heading="points", format=points, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=points_interval, text=_reason_or(points_interval)),
    *_TESTED,
    *(
        Column(name=f"{side}_beta", heading=f"{side}'s β", format=lambda beta: NOTHING if beta is None else f"{beta:g}")
        for side in ("first", "second")
    ),
    Column(name="validation_prompts", heading="prompts that chose", format=_counted, muted=True),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True, place="text"),
    _NOTE,
    *_file("reason"),
)

GAIN: tuple[Column, ...] = (
    Column(name="label", heading="weighted", words=True),
    *_file("objective"),
    Column(name="estimate", heading="points", format=points, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=points_interval, text=_reason_or(points_interval)),
    _P_HOLM,
    *_file("comparisons"),
    _TOLD,
    Column(name="ece", heading="ECE", format=lambda value: number(value, 3)),
    Column(name="auroc", heading="AUROC", format=lambda value: number(value, 3)),
    Column(name="accuracy", heading="labels met", unit="%", format=_share),
    Column(name="mean_confidence", heading="mean C", format=number, muted=True),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True, place="text"),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True),
    _NOTE,
    *_file("reason"),
)

GOLD: tuple[Column, ...] = (
    _SETTING,
    *_file("method"),
    Column(name="estimate", heading="own GRA", unit="%", format=_share),
    Column(name="interval", heading="95 %, own", fields=_ENDS, format=interval, muted=True),
    Column(name="further", heading="further GRA", unit="%", format=_share),
    Column(name="further_interval", heading="95 %, further", fields=("further_low", "further_high"), format=interval,
           muted=True),
    Column(name="same_side", heading="same side", unit="%", format=_share),
    *_file("same_low", "same_high"),
    Column(name="kappa", heading="κ", format=number),
    Column(name="kappa_interval", heading="95 %, κ", fields=("kappa_low", "kappa_high"), format=_signed_span,
           muted=True),
    Column(name="gain", heading="own gain", unit="SD", format=number),
    Column(name="further_gain", heading="further gain", unit="SD", format=number),
    Column(name="rank_baseline", heading="ρ baseline", format=number),
    Column(name="rank_aligned", heading="ρ aligned", format=number),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True, place="text"),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True, place="text"),
    _NOTE,
)  # fmt: skip

JUDGED: tuple[Column, ...] = (
    _SETTING,
    *_file("method"),
    Column(name="estimate", heading="win rate", unit="%", format=_share, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=interval),
    *_file("interval_method"),
    Column(name="gold", heading="GRA", unit="%", format=_share, muted=True),
    Column(name="same_side", heading="same side as gold", unit="%", format=_share),
    *_file("same_low", "same_high"),
    Column(name="kappa", heading="κ", format=number),
    *_file("kappa_low", "kappa_high"),
    Column(name="human", heading="agrees with people", unit="%", format=_share),
    Column(name="human_interval", heading="95 %, people", fields=("human_low", "human_high"), format=interval,
           muted=True),
    *_file("human_pairs"),
    Column(name="orders_agree", heading="orders agree", unit="%", format=_share),
    Column(name="first_shown", heading="first shown", unit="%", format=_share, muted=True),
    *_file("ties"),
    Column(name="calls", heading="questions", format=_counted, muted=True),
    Column(name="unread", heading="unread", format=count, muted=True),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True, place="text"),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True, place="text"),
    _NOTE,
)  # fmt: skip

CARD: tuple[Column, ...] = (
    _SETTING,
    *_file("method"),
    Column(name="estimate", heading="GRA", unit="%", format=_share, muted=True),
    *_file("low", "high"),
    Column(name="judge", heading="judge", words=True),
    Column(name="q", heading="agrees with people", unit="%", format=_share),
    Column(name="q_interval", heading="95 %, people", fields=("q_low", "q_high"), format=interval, muted=True),
    Column(name="pairs", heading="pairs", format=_counted, muted=True),
    Column(name="true", heading="corrected GRA", unit="%", format=_share,
           text=lambda row: row.said or _share(row.true), lead=True),
    Column(name="true_interval", heading="95 %, corrected", fields=("true_low", "true_high"), format=interval),
    *_file("said"),
    Column(name="ties", heading="tied", unit="%", format=_share, muted=True),
    Column(name="gap", heading="median gap", unit="SD", format=number, muted=True),
    Column(name="longer_won", heading="longer won", unit="%", format=_share),
)  # fmt: skip

HEAD_TO_HEAD: tuple[Column, ...] = (
    Column(name="pair", heading="pair", fields=("first_label", "second_label"), format="{} against {}".format,
           words=True),
    Column(name="share", heading="won", unit="%", format=_share, lead=True),
    Column(name="interval", heading="95 %", fields=_ENDS, format=interval),
    Column(name="p", heading="p", format=p_value, muted=True),
    _DETECTABLE,
    _TOLD,
    *(Column(name=name, heading=name, format=count, muted=True) for name in ("wins", "ties", "losses")),
    Column(name="tokens", heading="tokens", format=_tenths, muted=True),
    Column(name="second_tokens", heading="second's tokens", format=_tenths, muted=True),
    _PROMPTS,
    _SEEDS,
    Column(
        name="said", heading="note", text=lambda row: row.reason or row.note, place="text", words=True, in_files=False
    ),
    *_file("note", "reason"),
)  # fmt: skip

COSTS: tuple[Column, ...] = (
    _SETTING,
    *_file("method"),
    Column(name="human_labels", heading="human labels", format=_whole),
    Column(name="training_seconds", heading="training, alone", format=duration),
    Column(name="evaluation_seconds", heading="evaluation, alone", format=duration, muted=True),
    Column(name="estimate", heading="GRA", unit="%", format=_share),
    Column(name="cost", heading="cost", format=number),
    Column(name="per_point", heading="cost per point over 50 %", format=number),
    Column(
        name="per_point_interval", heading="95 %", fields=("per_point_low", "per_point_high"), format=_span, muted=True
    ),
    _NOTE,
)

STAGE_COSTS: tuple[Column, ...] = (
    Column(name="kind", heading="stage", words=True),
    Column(name="device", heading="device", words=True),
    Column(name="stages", heading="stages", format=count),
    Column(name="runs", heading="for runs", format=count),
    Column(name="seconds", heading="time, shared once", format=duration),
    Column(name="seconds_alone", heading="time, each run alone", format=duration),
)


def gra_columns(rows: Sequence[Any] = (), by_setting: Mapping[str, Terms] | None = None) -> tuple[Column, ...]:
    """All of a GRA table: with the terms by setting, those that differ among the rows are columns of their own."""
    known = by_setting or {}

    def term(name: str) -> Callable[[Any], str]:
        return lambda row: str(getattr(known[row.group_key], name))

    said = []
    for name in gra_terms.COLUMNS if known else ():
        differs = len({term(name)(row) for row in rows}) > 1
        said.append(
            Column(name=name, heading=name.replace("_", " "), value=term(name), format=lambda text: text or NOTHING,
                   place="text" if differs else "file", words=True)
        )  # fmt: skip
    lists = (Column(name=name, value=_listed(name), place="file") for name in ("seeds", "run_ids"))
    return (*GRA, _NOTE, *said, *lists, *_file("group_key"))


def gra_cells(rows: Sequence[Any], by_setting: Mapping[str, Terms], notes: Sequence[str] = ()) -> Table:
    """The GRA table as people read it; terms that the rows share stand in the notes, others are columns."""
    return cells(gra_columns(rows, by_setting), rows, notes)


def gra_numbers(rows: Sequence[Any], by_setting: Mapping[str, Terms]) -> Table:
    """The GRA table at full precision, with its terms."""
    return numbers(gra_columns(rows, by_setting), rows)
