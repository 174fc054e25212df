"""Tables as files: CSV and JSON for machines, Markdown and LaTeX for people."""

import csv
import io
import json
import math
import re
from dataclasses import dataclass

from cwpo.report.numbers import NOTHING

Cell = str | int | float | None
_FORMULA_STARTS = (*"=+-@＝＋－＠", "\t", "\r", "\n", "\0")  # OWASP ASVS 1.2.10
# Where a spreadsheet begins another cell whose country separates by semicolons: it does not see the quotes inside
_NEXT_CELL = re.compile(r"([;|\t] *|[\r\n])(?=[=+\-@＝＋－＠])")
LATEX_WIDTH = 92  # characters of a line: a text of 16 cm in 9 points
LONG_WORDS = 46
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


def to_csv(table: Table) -> str:
    """Comma-separated; what a spreadsheet would run as a formula gets a quote in front, numbers stay numbers."""
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
    numeric = are_numeric(table)
    marks = ["---:" if right else "---" for right in numeric]
    lines = [[shown(name).translate(_MARKDOWN) for name in table.columns], marks]
    lines += [[shown(cell).translate(_MARKDOWN) for cell in row] for row in table.rows]
    notes = [f"\n{note.translate(_MARKDOWN)}\n" for note in table.notes]
    return "".join([*(f"| {' | '.join(line)} |\n" for line in lines), *notes])


def to_latex(table: Table) -> str:
    """Booktabs tabulars, each as wide as a line of text at most, the name of the row in each; below them the notes."""
    parts = [_tabular(one) for one in fitting(table, LATEX_WIDTH)]
    notes = [rf"\par{{\footnotesize {_latex(note)}\par}}" for note in table.notes if note.strip()]
    return "\n".join(["\n\\par\\medskip\n".join(parts), *notes]) + "\n"


def fitting(table: Table, width: int) -> list[Table]:
    """The table in as few parts of at most `width` characters a line as its columns allow, the first column in each;
    the notes stay with the table."""
    if not table.columns:
        return [table]
    wide = [min(_characters(table, place), LONG_WORDS) for place in range(len(table.columns))]
    groups: list[list[int]] = [[]]
    for place in range(1, len(wide)):
        used = wide[0] + sum(wide[other] for other in groups[-1])
        if groups[-1] and used + wide[place] > width:
            groups.append([])
        groups[-1].append(place)
    return [
        Table(
            columns=tuple(table.columns[place] for place in (0, *group)),
            rows=tuple(tuple(row[place] for place in (0, *group)) for row in table.rows),
        )
        for group in groups
    ]


def _tabular(table: Table) -> str:
    align = "".join(_alignment(table, place, right) for place, right in enumerate(are_numeric(table)))
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (table.columns, *table.rows)]
    parts = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*parts, r"\end{tabular}"])


def _alignment(table: Table, place: int, right: bool) -> str:
    """Long words break inside their column."""
    return r"p{0.4\linewidth}" if _characters(table, place) > LONG_WORDS else "r" if right else "l"


def _characters(table: Table, place: int) -> int:
    """How wide a column is, with what stands between it and the next."""
    return 2 + max(len(table.columns[place]), *(len(shown(row[place])) for row in table.rows), 0)


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _harmless(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = _NEXT_CELL.sub(r"\1'", cell)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def shown(cell: Cell) -> str:
    if cell is None:
        return NOTHING
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _latex(cell: Cell) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in shown(cell))


def are_numeric(table: Table) -> list[bool]:
    """Columns to the right: every cell is a number, or reads like one."""
    if not table.rows:
        return [index > 0 for index in range(len(table.columns))]
    return [all(_reads_as_number(row[index]) for row in table.rows) for index in range(len(table.columns))]


def _reads_as_number(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return True
    return _NUMBERS.fullmatch(cell) is not None
