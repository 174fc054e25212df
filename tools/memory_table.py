"""The table of docs/memory.md: `python -m tools.memory_table` says whether it is true, `--write` makes it so."""

import sys
from collections.abc import Iterator
from pathlib import Path

from cwpo.models.sizes.fits import CARDS, Way
from cwpo.stages.kinds import label_of
from tools.generated import brought
from workers.plan.fits import StageFit, catalog_fits, gb, judge_fits

PAGE = Path(__file__).resolve().parents[1] / "docs" / "memory.md"
BEGIN, END = "<!-- table of the catalog: python -m tools.memory_table --write -->\n", "<!-- end of the table -->\n"
HEAD = (
    "| pair | stage | before | as it is | with checkpointing | in 4 bits, with checkpointing | host before | host |"
    + "".join(f" {card} GB |" for card in CARDS)
)  # fmt: skip


def table() -> str:
    """One line per pair and stage; whole training adds what differs from training an adapter; judges at the end."""
    lines = [HEAD, "|---" * HEAD.count(" |") + "|"]
    for name, stages in catalog_fits():
        pair, _, what = name.rpartition(", ")
        shown = stages if what == "LoRA" else [fit for fit in stages if fit.kind in ("sft", "align")]
        lines += [_line(pair, kinds, what, fit) for kinds, fit in _alike(shown)]
    lines += [_line(judge, label_of(fit.kind), "", fit) for judge, fit in judge_fits()]
    return "\n".join(lines) + "\n"


def _alike(stages: list[StageFit]) -> Iterator[tuple[str, StageFit]]:
    """Stages that need the same, once, with the names of all."""
    groups: dict[tuple[Way, ...], list[StageFit]] = {}
    for fit in stages:
        groups.setdefault(fit.ways, []).append(fit)
    for same in groups.values():
        yield ", ".join(label_of(fit.kind) for fit in same), same[0]


def _line(pair: str, kinds: str, what: str, fit: StageFit) -> str:
    trains = fit.kind in ("sft", "align")
    cells = [
        pair, f"{kinds}, {what}" if trains else kinds, gb(fit.before), gb(fit.ways[0].bytes),
        _of(fit, checkpointing=True), _of(fit, four_bits=True, checkpointing=trains), gb(fit.host_before),
        gb(fit.ways[0].host), *(_short(fit.on(card), fit) for card in CARDS),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _of(fit: StageFit, *, checkpointing: bool = False, four_bits: bool = False) -> str:
    """Bytes of that way on one card; nothing where the stage has no such choice."""
    wanted = (checkpointing, four_bits, 1)
    found = [way for way in fit.ways if (way.checkpointing, way.four_bits, way.cards) == wanted]
    return gb(found[0].bytes) if found else ""


def _short(way: Way | None, fit: StageFit) -> str:
    if way is None:
        return "no"
    parts = [
        f"{way.cards} cards" if way.cards > 1 else "", "4 bits" if way.four_bits else "",
        "checkpointing" if way.checkpointing else "",
    ]  # fmt: skip
    return ", ".join(part for part in parts if part) or "yes"


def main(write: bool) -> int:
    """1 where the page says something else."""
    return brought(PAGE, BEGIN, END, table(), write=write, command="python -m tools.memory_table")


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
