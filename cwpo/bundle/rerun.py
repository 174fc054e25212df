"""Runs a reproduce bundle again in this process and compares its tables cell by cell."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch

from cwpo.artifacts import ArtifactStore
from cwpo.bundle import write
from cwpo.bundle.read import Bundle, Cell, Rows, place_files
from cwpo.data import relabels
from cwpo.report import gra_terms
from cwpo.reporting import Reporter
from cwpo.stages import pipeline
from cwpo.stages.execute import StageResult
from cwpo.stages.graph import StageSpec, build

_NUMBERED = re.compile(r" \(\d+\)")  # how settings of one name were told apart before they were named


@dataclass(frozen=True, kw_only=True)
class CellDifference:
    """A cell of a table that came out otherwise; column "" is the whole row."""

    table: str
    row: str
    column: str
    recorded: Cell
    computed: Cell


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """What running a bundle again gave. `tables`: JSON by name."""

    tables: Mapping[str, str]
    differences: tuple[CellDifference, ...]
    cells: int
    computed: int  # stages executed now
    reused: int  # stages that lay in this place already
    same_outputs: int  # stages whose files are the recorded ones, byte for byte
    known_outputs: int


def rerun(
    found: Bundle,
    *,
    home: Path,
    device: str,
    threads: int | None,
    reporter_for: Callable[[StageSpec], Reporter],
    on_run: Callable[[int, Mapping[str, StageResult]], None],
) -> Reproduced:
    """Every run in order over one store, so that stages they share are executed once.

    Each stage has the CPU threads that it was computed with, or `threads` where they are given.
    """

    def prepared(spec: StageSpec) -> Reporter:
        entry = found.stages.get(spec.fingerprint)
        torch.set_num_threads(threads or (entry.threads if entry else None) or 1)
        return reporter_for(spec)

    placed = place_files(found, home)
    store = ArtifactStore(home / "artifacts")
    for rows in found.relabels.values():
        relabels.put(store, rows)
    results: dict[str, bool] = {}
    evaluations = []
    pairs: dict[str, str] = {}  # recorded fingerprint -> the one of this program
    for number, (config, entry) in enumerate(zip(found.configs, found.manifest.runs, strict=True), 1):
        result = pipeline.run(write.renamed(config, placed), home=home, device=device, reporter_for=prepared)
        for slot, stage in result.stages.items():
            results.setdefault(stage.fingerprint, stage.computed)
            pairs[entry.stages.get(slot, "")] = stage.fingerprint
        evaluations.append(write.outcomes_in(store, result.stages["evaluation"].fingerprint))
        on_run(number, result.stages)
    built = write.tables_of(found.configs, found.settings, evaluations, reference=found.manifest.reference)
    differences, cells = compare(found.tables, {name: write.rows_of(text) for name, text in built.items()})
    known = {old: new for old, new in pairs.items() if old in found.stages and found.stages[old].files}
    return Reproduced(
        tables=built,
        differences=tuple(differences),
        cells=cells,
        computed=sum(results.values()),
        reused=len(results) - sum(results.values()),
        same_outputs=sum(write.outputs(store, new) == found.stages[old].files for old, new in known.items()),
        known_outputs=len(known),
    )


def compare(recorded: Mapping[str, Rows], computed: Mapping[str, Rows]) -> tuple[list[CellDifference], int]:
    """Cells that are not exactly equal, and how many were compared; of an older bundle the columns that it has."""
    found, cells = [], 0
    older = not any(name in row for row in recorded.get("gra", ()) for name in gra_terms.COLUMNS)
    for table in recorded:
        stated = {column for row in recorded[table] for column in row}
        for old, new in zip_longest(recorded[table], computed[table]):
            row = str((new or old or {}).get("label", ""))
            if old is None or new is None:
                there, gone = ("there", "missing") if new is None else ("missing", "there")
                found.append(CellDifference(table=table, row=row, column="", recorded=there, computed=gone))
                continue
            for column in dict.fromkeys((*old, *new)):
                before, after = old.get(column), new.get(column)
                if column not in stated or _was_not_stated(column, before, older=older):
                    continue
                cells += 1
                if not _same(before, after) or (column in old) != (column in new):
                    found.append(
                        CellDifference(table=table, row=row, column=column, recorded=before, computed=after)
                    )  # fmt: skip
    return found, cells


def _was_not_stated(column: str, before: Cell, *, older: bool) -> bool:
    """Bundles from before GRA said its terms have no β, and numbers for settings of one name; later ones may still lack
    the share of pairs that other weightings than `top` keep."""
    numbered = column == "label" and bool(_NUMBERED.search(str(before)))
    return (before is None and column == "top_percent") or (
        older and (numbered or (column == "beta" and before is None))
    )


def changed_packages(found: Bundle) -> list[str]:
    """What is installed here in another version than there."""
    here = write.versions()
    return [
        f"{name} {there}, here {here[name]}"
        for name, there in found.packages.items()
        if name in here and here[name] != there
    ]


def changed_stages(found: Bundle) -> list[str]:
    """Slots that this program computes in another way than the one that made the bundle: another fingerprint."""
    changed: dict[str, None] = {}
    for config, entry in zip(found.configs, found.manifest.runs, strict=True):
        specs = build(config)
        changed |= dict.fromkeys(slot for slot, spec in specs.items() if entry.stages.get(slot) != spec.fingerprint)
    return list(changed)


def distinct_stages(found: Bundle) -> int:
    """How many different stages its runs have."""
    return len({spec.fingerprint for config in found.configs for spec in build(config).values()})


def _same(before: Cell, after: Cell) -> bool:
    """Equal and of one kind: 1 is not 1.0 and not true."""
    return type(before) is type(after) and before == after


def shown(differences: Sequence[CellDifference], most: int = 40) -> list[str]:
    """One line per difference, for a terminal."""
    lines = [
        f"{one.table}, {one.row!r}{', ' + repr(one.column) if one.column else ''}: "
        f"recorded {one.recorded!r}, computed {one.computed!r}"
        for one in differences[:most]
    ]
    return [line[:300] for line in lines] + (
        [f"and {len(differences) - most:,} more"] if len(differences) > most else []
    )
