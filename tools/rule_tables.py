"""What the rule can do, from benchmarks/results/rule.json in docs/statistics.md: `python -m tools.rule_tables`
says whether the tables are true, `--write` makes them so."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rule import DOUBTED, FILE, stored
from benchmarks.rule import POWER as POWERS
from tools.generated import brought

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
COMMAND = "python -m tools.rule_tables"
ASKED = 0.93, 0.97  # coverage of a 95 % interval that needs no remark
POWER = 0.75, 0.85  # power at the stated effect that needs none
Rows = Sequence[Mapping[str, Any]]
Part = Mapping[str, Any]


def coverage(part: Part) -> str:
    """The lowest and the highest cell by number of seeds."""
    rows, count = part["rows"], part["tables_per_cell"]["singles"]
    asked = " or ".join(str(prompts) for prompts in sorted({row["prompts"] for row in rows}))
    closely = [
        f"{max(counts):,} {where}, ±{_error(max(counts)):.1f}"
        for where, counts in (
            ("with one seed", {row.get("tables", 0) for row in rows if row["seeds"] == 1}),
            (
                f"where it seemed to be below {100 * DOUBTED:g} %",
                {row.get("tables", 0) for row in rows if row["seeds"] > 1},
            ),
        )
        if any(counts)
    ]
    more = f" ({'; '.join(closely)})" if closely else ""
    lines = [f"{asked} prompts, {count:,} tables a cell, so ±{_error(count):.1f} points{more}:\n"]
    lines += ["| seeds | before | now |", "|---|---|---|"]
    for seeds, mine in _by(rows, "seeds"):
        lines.append(f"| {seeds} | {_range(mine, 'before_coverage')} | {_range(mine, 'after_coverage')} |")
    return "\n".join(lines) + "\n"


def outside(rows: Rows) -> list[Mapping[str, Any]]:
    """The cells whose intervals cover less or more than they need to."""
    return [row for row in rows if not ASKED[0] <= row["after_coverage"] <= ASKED[1]]


def cells(part: Part) -> str:
    """Every such cell: a line for each number of seeds, GRA and kind of prompts, with the SD between seeds."""
    rows, named = part["rows"], outside(part["rows"])
    below = sum(row["after_coverage"] < ASKED[0] for row in named)
    lines = [
        f"{len(named)} of {len(rows)} cells lie outside of {100 * ASKED[0]:.0f} to {100 * ASKED[1]:.0f} %: {below} "
        f"below (in bold), {len(named) - below} above. Each stands after its SD between seeds, in points:\n",
        "| seeds | GRA, % | prompts | SD: coverage, % |",
        "|---|---|---|---|",
    ]
    for (seeds, mean, prompts), mine in _by(named, "seeds", "mean", "prompts", kind=_prompts):
        said = "; ".join(f"{100 * row['seed_sd']:g}: {_bold(row['after_coverage'])}" for row in mine)
        lines.append(f"| {seeds} | {100 * mean:g} | {prompts} | {said} |")
    return "\n".join(lines) + "\n"


def tables(part: Part) -> str:
    """Errors and power of whole tables of differences, before → now."""
    counts = part["tables_per_cell"]
    again = max((row["tables"] for row in part["rows"] if "tables" in row), default=0)
    more = f" ({again:,} and {POWERS * again:,} where error or power seemed wrong: ×)" if again else ""
    lines = [
        f"Errors of {counts['tables']:,} tables a cell, ±{_error(counts['tables']):.0f} points at 5 %; power of "
        f"{counts['power']:,}, ±{100 * math.sqrt(0.16 / counts['power']):.0f} points{more}:\n",
        "| seeds | prompts | SD between seeds | differences | error of a table, % | power at 8 points, % | stated "
        "effect, points | power at it, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in part["rows"]:
        spread = f"{100 * row['seed_sd']:g}{', ½ to 2 times' if row['uneven'] else ''}"
        figures = (_change(row, name, digits) for name, digits in
                   (("family_wise", 0), ("power_fixed", 0), ("stated", 1), ("power_stated", 0)))  # fmt: skip
        cell = f"| {row['seeds']}{' ×' if 'tables' in row else ''} | {_asked(row)} | {spread} | {row['differences']} |"
        lines.append(f"{cell} {' | '.join(figures)} |")
    return "\n".join([*lines, "", *_powers(part)]) + "\n"


def _powers(part: Part) -> list[str]:
    """Which cells state an effect whose power lies outside, and which none."""
    rows, error = part["rows"], 100 * math.sqrt(0.16 / part["tables_per_cell"]["power"])
    known = [row for row in rows if row["after_power_stated"] is not None]
    off = [row for row in known if not POWER[0] <= row["after_power_stated"] <= POWER[1]]
    low, high = (f"{100 * end:.0f}" for end in POWER)
    lines = [
        f"{len(off)} of {len(known)} cells have a power outside of {low} to {high} % at the effect that they state "
        f"now, where chance alone moves a power by ±{error:.1f}: {'; '.join(map(_cell, off)) or 'none'}."
    ]
    none = [row for row in rows if row["after_power_stated"] is None]
    return [*lines, "", f"No effect is stated in: {'; '.join(map(_cell, none))}."] if none else lines


def _cell(row: Mapping[str, Any]) -> str:
    seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
    power = row["after_power_stated"]
    asked = _asked(row) if "base" in row else f"{row['prompts']} prompts"
    looked = f"{row['differences']} difference{'' if row['differences'] == 1 else 's'}"
    where = f"{seeds}, {asked}, SD {100 * row['seed_sd']:g}, {looked}"
    return where if power is None else f"{where}: {100 * power:.0f} %"


def _asked(row: Mapping[str, Any]) -> str:
    """Number of prompts, and of a cell that is not as the others what sets it apart."""
    if "base" not in row:
        return str(row["prompts"])
    alike = ", little that lasts" if "own" in row else ""
    return f"{_prompts(row)}, GRA {100 * row['base']:g} %{alike}"


def verdicts(part: Part) -> str:
    """How often a number that is right is called wrong, over the spreads, by seeds; one seed says nothing."""
    count = part["tables_per_cell"]["verdicts"]
    lines = [f"{count:,} verdicts a cell:\n", "| seeds of ours | before | now |", "|---|---|---|"]
    for seeds, mine in _by(part["rows"], "seeds"):
        if seeds > 1:
            lines.append(f"| {seeds} | {_range(mine, 'before_false')} | {_range(mine, 'after_false')} |")
    return "\n".join(lines) + "\n"


def _prompts(row: Mapping[str, Any]) -> str:
    answers = f", {row['samples']} answers each" if row["samples"] > 1 else ""
    related = f", {row['per_cluster']} related" if row["per_cluster"] > 1 else ""
    return f"{row['prompts']}{answers}{related}"


def _by(
    rows: Rows, *names: str, kind: Callable[[Mapping[str, Any]], str] | None = None
) -> Iterator[tuple[Any, list[Mapping[str, Any]]]]:
    """Rows that are alike in these columns (a `kind` instead of the last), sorted by them."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        key = (*key[:-1], kind(row)) if kind else key
        groups.setdefault(key if len(key) > 1 else key[0], []).append(row)
    yield from sorted(groups.items(), key=lambda item: item[0])


def _range(rows: Rows, name: str) -> str:
    values = [100 * row[name] for row in rows]
    return f"{min(values):.0f} to {max(values):.0f} %"


def _error(count: int) -> float:
    """Of a coverage of 95 % over so many tables, in points."""
    return 100 * math.sqrt(0.05 * 0.95 / count)


def _bold(value: float) -> str:
    return f"**{100 * value:.1f}**" if value < ASKED[0] else f"{100 * value:.1f}"


def _change(row: Mapping[str, Any], name: str, digits: int) -> str:
    return " → ".join(_figure(row[f"{rule}_{name}"], digits) for rule in ("before", "after"))


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


# Name of a block in the page -> the part of the file that it is written from, and by what.
BLOCKS: Mapping[str, tuple[str, Callable[[Part], str]]] = {
    "coverage of one GRA": ("singles", coverage),
    "cells outside": ("singles", cells),
    "tables of differences": ("tables", tables),
    "verdicts": ("verdicts", verdicts),
}


def main(write: bool) -> int:
    """1 where the page says something else."""
    parts, code = stored(FILE), 0
    for name, (part, written) in BLOCKS.items():
        begin, end = f"<!-- {name}: {COMMAND} --write -->\n", f"<!-- end of {name} -->\n"
        code |= brought(PAGE, begin, end, written(parts[part]), write=write, command=COMMAND)
    return code


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
