"""Where presets depart from the paper, in docs/methods.md: `python -m tools.departures_table` says whether the table is
true, `--write` makes it so."""

import sys
from pathlib import Path

from cwpo.config.presets import comparison
from cwpo.config.run import expand
from cwpo.paper import published
from cwpo.paper.presets import PAPER_PRESETS, PaperPreset
from cwpo.paper.protocol import departures
from tools.generated import brought

PAGE = Path(__file__).resolve().parents[1] / "docs" / "methods.md"
COMMAND = "python -m tools.departures_table"
BEGIN, END = f"<!-- departures of the presets: {COMMAND} --write -->\n", "<!-- end of the departures -->\n"
NONE = "none"


def table() -> str:
    """One line per preset with models of a hub."""
    lines = ["| preset | made for | departures |", "|---|---|---|"]
    for preset in PAPER_PRESETS.values():
        if not preset.sandbox:
            tables = ", ".join(published.TABLES[name].label.partition(" · ")[0] for name in preset.tables)
            lines.append(f"| `{preset.name}` | {tables} | {said(preset)} |")
    return "\n".join(lines) + "\n"


def said(preset: PaperPreset) -> str:
    """The departures of all its runs for the figures that its tables print; by figure where they differ."""
    runs = expand({**comparison(preset), "seed": 0})
    metrics = dict.fromkeys(number.metric for name in preset.tables for number in published.numbers_of(name))
    found = {metric: "; ".join(dict.fromkeys(word for run in runs for word in departures(run, metric)))
             for metric in metrics}  # fmt: skip
    if len(set(found.values())) == 1:
        return next(iter(found.values())) or NONE
    return ". ".join(f"{metric}: {words or NONE}" for metric, words in found.items())


def main(write: bool) -> int:
    """1 where the page says something else."""
    return brought(PAGE, BEGIN, END, table(), write=write, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
