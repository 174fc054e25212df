"""Tables for people and for files: the same rows as text cells, or as numbers in CSV, JSON, Markdown and LaTeX."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwpo.compare.costs import CostRow, StageCost
from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.head_to_head import HeadToHead
from cwpo.compare.matched_kl import MatchedRow
from cwpo.compare.two_judges import GoldRow
from cwpo.report import terms
from cwpo.report.numbers import NOTHING, count, duration, interval, number, p_value, percent, points, points_interval
from cwpo.report.terms import Terms

Cell = str | int | float | None
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")  # OWASP ASVS 1.2.10
_NUMBERS = re.compile(r"[+−–\d.,%< ]+( to [+−\d.,]+)?")  # one figure, or an interval of two
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "Δ": "Delta", "ε": "varepsilon", "λ": "lambda", "π": "pi",
          "σ": "sigma", "Σ": "Sigma", "τ": "tau"}  # fmt: skip
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "−": "$-$", "–": "--", "×": r"$\times$",
    "→": r"$\to$", "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "½": r"$\frac{1}{2}$",
    "≥": r"$\geq$", "≤": r"$\leq$", "·": r"$\cdot$", "…": r"\dots{}", "\n": " ", "\r": " ", "\t": " ", "\0": "",
    **{sign: rf"$\{name}$" for sign, name in _GREEK.items()},
}  # fmt: skip
_MARKDOWN = {ord(sign): f"\\{sign}" for sign in "\\`*_[]|#"} | {
    ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord("\n"): " ", ord("\r"): " ", ord("\0"): "",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; text stays text and numbers stay numbers until a format is chosen."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()  # sentences under the table, where people read it


def gra_cells(rows: Sequence[GraRow], by_setting: Mapping[str, Terms], notes: Sequence[str] = ()) -> Table:
    """The GRA table as people read it; terms that the rows share stand in the notes, others are columns."""
    differing = [name for name in terms.COLUMNS if len({_term(row, name, by_setting) for row in rows}) > 1]
    return Table(
        columns=("method", "GRA, %", "95 %", "prompts", "seeds", "strict, %", "KL, nats", "chosen, nats",
                 "rejected, nats", "tokens", "baseline's tokens", "ratio", "equal length, %", "equal length, 95 %",
                 "ungrammatical, %", *(name.replace("_", " ") for name in differing), "note"),
        rows=tuple(
            (
                row.label,
                _bare(percent(row.estimate)),
                interval(row.low, row.high),
                count(row.n_prompts),
                count(row.n_seeds),
                _bare(percent(row.strict)),
                number(row.kl),
                number(row.chosen_logratio),
                number(row.rejected_logratio),
                number(row.tokens, 1),
                number(row.baseline_tokens, 1),
                number(row.length_ratio),
                _bare(percent(row.length_controlled)),
                interval(row.length_low, row.length_high),
                _bare(percent(row.ungrammatical)),
                *(_term(row, name, by_setting) or NOTHING for name in differing),
                row.note,
            )
            for row in rows
        ),
        notes=tuple(notes),
    )  # fmt: skip


def difference_cells(rows: Sequence[DifferenceRow]) -> Table:
    """Paired differences as people read them; a row without figures says why."""
    return Table(
        columns=("difference", "points", "95 %", "p, Holm", "detectable, points", "prompts", "seeds", "KL difference",
                 "note"),
        rows=tuple(
            (
                row.label,
                points(row.estimate),
                points_interval(row.low, row.high),
                p_value(row.p_holm),
                number(None if row.detectable is None else 100 * row.detectable, 1),
                count(row.n_prompts) if row.n_prompts else NOTHING,
                count(row.n_seeds) if row.n_seeds else NOTHING,
                number(row.kl_estimate),
                row.reason or row.note,
            )
            for row in rows
        ),
    )  # fmt: skip


def matched_cells(rows: Sequence[MatchedRow]) -> Table:
    """Differences at matched KL as people read them; a row without figures says why."""
    return Table(
        columns=("difference at matched KL", "points", "95 %", "p, Holm", "detectable, points", "from KL, nats",
                 "to KL, nats", "prompts", "seeds", "note"),
        rows=tuple(
            (
                row.label,
                points(row.estimate),
                points_interval(row.low, row.high),
                p_value(row.p_holm),
                number(None if row.detectable is None else 100 * row.detectable, 1),
                number(row.kl_low),
                number(row.kl_high),
                count(row.n_prompts) if row.n_prompts else NOTHING,
                count(row.n_seeds) if row.n_seeds else NOTHING,
                row.reason or row.note,
            )
            for row in rows
        ),
    )  # fmt: skip


def matched_numbers(rows: Sequence[MatchedRow]) -> Table:
    """Differences at matched KL at full precision, for CSV and JSON."""
    names = (
        "label", "objective", "estimate", "low", "high", "p", "p_holm", "comparisons", "detectable", "kl_low",
        "kl_high", "n_prompts", "n_seeds", "note", "reason",
    )  # fmt: skip
    return Table(columns=names, rows=tuple(tuple(getattr(row, name) for name in names) for row in rows))


def gold_cells(rows: Sequence[GoldRow], further: str) -> Table:
    """GRA under two gold rewards as people read it; `further` names the second."""
    return Table(
        columns=("method", "GRA, %", "95 %", f"GRA by {further}, %", "95 %, further", "same side, %", "kappa",
                 "kappa, 95 %", "gain, SD", "gain, SD, further", "rank, baseline", "rank, aligned", "prompts", "seeds",
                 "note"),
        rows=tuple(
            (
                row.label,
                _bare(percent(row.estimate)),
                interval(row.low, row.high),
                _bare(percent(row.further)),
                interval(row.further_low, row.further_high),
                _bare(percent(row.same_side)),
                number(row.kappa),
                NOTHING if row.kappa is None else f"{number(row.kappa_low)} to {number(row.kappa_high)}",
                number(row.gain),
                number(row.further_gain),
                number(row.rank_baseline),
                number(row.rank_aligned),
                count(row.n_prompts),
                count(row.n_seeds),
                row.note,
            )
            for row in rows
        ),
    )  # fmt: skip


def gold_numbers(rows: Sequence[GoldRow]) -> Table:
    """GRA under two gold rewards at full precision, for CSV and JSON."""
    names = tuple(name for name in GoldRow.__dataclass_fields__ if name != "group_key")
    return Table(columns=names, rows=tuple(tuple(getattr(row, name) for name in names) for row in rows))


def head_to_head_cells(rows: Sequence[HeadToHead]) -> Table:
    """Two aligned models against each other as people read it."""
    return Table(
        columns=("pair", "won, %", "95 %", "p", "detectable, points", "wins", "ties", "losses", "tokens",
                 "tokens, second", "prompts", "seeds", "note"),
        rows=tuple(
            (
                f"{row.first_label} against {row.second_label}",
                _bare(percent(row.share)),
                interval(row.low, row.high),
                p_value(row.p),
                number(None if row.detectable is None else 100 * row.detectable, 1),
                count(row.wins),
                count(row.ties),
                count(row.losses),
                number(row.tokens, 1),
                number(row.second_tokens, 1),
                count(row.n_prompts) if row.n_prompts else NOTHING,
                count(row.n_seeds) if row.n_seeds else NOTHING,
                row.reason or row.note,
            )
            for row in rows
        ),
    )  # fmt: skip


def head_to_head_numbers(rows: Sequence[HeadToHead]) -> Table:
    """Two aligned models against each other at full precision, for CSV and JSON."""
    names = tuple(HeadToHead.__dataclass_fields__)
    return Table(columns=names, rows=tuple(tuple(getattr(row, name) for name in names) for row in rows))


def cost_cells(rows: Sequence[CostRow]) -> Table:
    """Labels, seconds and money per setting as people read them."""
    return Table(
        columns=("method", "human labels", "training, alone", "evaluation, alone", "GRA, %", "cost", "cost per point",
                 "95 %", "note"),
        rows=tuple(
            (
                row.label,
                number(row.human_labels, 0),
                duration(row.training_seconds),
                duration(row.evaluation_seconds),
                _bare(percent(row.estimate)),
                number(row.cost),
                number(row.per_point),
                NOTHING if row.per_point is None else f"{number(row.per_point_low)} – {number(row.per_point_high)}",
                row.note,
            )
            for row in rows
        ),
    )  # fmt: skip


def stage_cost_cells(rows: Sequence[StageCost]) -> Table:
    """Seconds by kind of stage as people read them."""
    return Table(
        columns=("stage", "device", "stages", "for runs", "time, shared once", "time, each run alone"),
        rows=tuple(
            (row.kind, row.device, count(row.stages), count(row.runs), duration(row.seconds),
             duration(row.seconds_alone))
            for row in rows
        ),
    )  # fmt: skip


def cost_numbers(rows: Sequence[CostRow]) -> Table:
    """Costs at full precision, for CSV and JSON."""
    names = tuple(name for name in CostRow.__dataclass_fields__ if name != "group_key")
    return Table(columns=names, rows=tuple(tuple(getattr(row, name) for name in names) for row in rows))


def gra_numbers(rows: Sequence[GraRow], by_setting: Mapping[str, Terms]) -> Table:
    """The GRA table at full precision, shares in [0, 1], for CSV and JSON; terms by group key."""
    names = (
        "label", "method", "objective", "top_percent", "estimate", "low", "high", "interval_method", "n_prompts",
        "n_seeds", "wins", "ties", "losses", "strict", "ties_dropped", "seed_sd", "kl", "tokens", "baseline_tokens",
        "ungrammatical", "baseline_ungrammatical", "beta", "chosen_logratio", "rejected_logratio", "length_ratio",
        "length_controlled", "length_low", "length_high", "note",
    )  # fmt: skip
    extra = ("seeds", "run_ids", "group_key")
    return Table(
        columns=(*names, *terms.COLUMNS, *extra),
        rows=tuple(
            (
                *(getattr(row, name) for name in names),
                *(_term(row, name, by_setting) for name in terms.COLUMNS),
                _joined(row.seeds),
                _joined(row.run_ids),
                row.group_key,
            )
            for row in rows
        ),
    )


def difference_numbers(rows: Sequence[DifferenceRow]) -> Table:
    """Paired differences at full precision, for CSV and JSON."""
    names = (
        "label", "objective", "estimate", "low", "high", "p", "p_holm", "comparisons", "detectable", "interval_method",
        "n_prompts", "n_seeds", "kl_estimate", "kl_low", "kl_high", "note", "reason", "first", "second",
    )  # fmt: skip
    return Table(columns=names, rows=tuple(tuple(getattr(row, name) for name in names) for row in rows))


def to_csv(table: Table) -> str:
    """Comma-separated; text that a spreadsheet would run as a formula gets a leading quote, numbers stay numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180; also quotes a lone carriage return
    writer.writerow([_harmless(name) for name in table.columns])
    writer.writerows([_harmless(_finite(cell)) for cell in row] for row in table.rows)
    return text.getvalue()


def to_json(table: Table) -> str:
    """A list of objects; what is not a finite number is null."""
    rows = [dict(zip(table.columns, map(_finite, row), strict=True)) for row in table.rows]
    return json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def to_markdown(table: Table) -> str:
    """A pipe table, numbers to the right; under it its notes."""
    numeric = _numeric(table)
    marks = ["---:" if right else "---" for right in numeric]
    lines = [[_shown(name).translate(_MARKDOWN) for name in table.columns], marks]
    lines += [[_shown(cell).translate(_MARKDOWN) for cell in row] for row in table.rows]
    notes = [f"\n{note.translate(_MARKDOWN)}\n" for note in table.notes]
    return "".join([*(f"| {' | '.join(line)} |\n" for line in lines), *notes])


def to_latex(table: Table) -> str:
    """A booktabs tabular; under it its notes."""
    align = "".join("r" if right else "l" for right in _numeric(table))
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (table.columns, *table.rows)]
    parts = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    notes = [rf"\par{{\footnotesize {_latex(note)}\par}}" for note in table.notes]
    return "\n".join([*parts, r"\end{tabular}", *notes]) + "\n"


def _term(row: GraRow, name: str, by_setting: Mapping[str, Terms]) -> str:
    """One of the terms of a row's setting."""
    text: str = getattr(by_setting[row.group_key], name)
    return text


def _bare(text: str) -> str:
    """Without the unit, which is in the header."""
    return text.removesuffix(" %")


def _joined(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _shown(cell: Cell) -> str:
    if cell is None:
        return NOTHING
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _latex(cell: Cell) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in _shown(cell))


def _numeric(table: Table) -> list[bool]:
    """Columns to the right: every cell is a number, or reads like one."""
    if not table.rows:
        return [index > 0 for index in range(len(table.columns))]
    return [all(_reads_as_number(row[index]) for row in table.rows) for index in range(len(table.columns))]


def _reads_as_number(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return True
    return _NUMBERS.fullmatch(cell) is not None
