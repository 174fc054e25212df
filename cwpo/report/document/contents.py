"""What a report of a comparison says, in its order: the verdict, the evidence, the terms, the configuration. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any, Protocol

from cwpo.bounds import yaml_text
from cwpo.compare.configured_run import ComparedRun, Configs, by_setting, config_of
from cwpo.compare.gra import DifferenceRow, GraRow, labels_of
from cwpo.compare.judges.card import CardRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.config.dotted import flat, without
from cwpo.config.run import RunConfig
from cwpo.report import columns as report_columns
from cwpo.report import config_differences
from cwpo.report.columns import Column, Place
from cwpo.report.document.meanings import GRA_IN_WORDS, glossary
from cwpo.report.document.parts import Block, Document, Heading, Paragraph, Part, Sheet
from cwpo.report.document.pictures import difference_picture, distance_picture, gra_picture
from cwpo.report.gra_terms import difference_notes, judge_of, seeds_each, table_notes, terms
from cwpo.report.judges import cards
from cwpo.report.numbers import NOTHING
from cwpo.report.tables import Table
from cwpo.report.under_table import expected_of_losses, held_by_intervals, paired_over, under_further_table
from cwpo.report.verdict import Verdict

OF_A_RUN = ("name", "seed", "execution")
PLANS = {"failed": "failed", "cancelled": "cancelled", "running": "not ready", "queued": "not ready"}


class ReportedRun(ComparedRun, Protocol):
    """A run with what became of it."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def evaluation(self) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Everything that a report is made of, as the Compare page shows it."""

    runs: Sequence[ReportedRun]
    configs: Configs
    table: Sequence[GraRow]
    differences: Sequence[DifferenceRow]
    matched: Sequence[MatchedRow]
    verdict: Verdict
    reference: str  # group key; "" for the planned pairs
    left_out: Sequence[str] = ()  # sentences: settings and runs that the comparison lacks
    cards: Sequence[CardRow] = ()  # the GRAs with their judges' errors
    of_cards: Sequence[str] = ()  # sentences: what the judge cards say
    under: str = ""  # of the table of differences: runs planned, failed, left out, differences, seeds added late


def document_of(found: Compared, *, title: str, made_at: datetime) -> Document:
    """The report; `title` where somebody gave one."""
    settings = len({run.group_key for run in found.runs})
    names = list(dict.fromkeys(run.name for run in found.runs if run.name))
    named = title.strip() or (names[0] if len(names) == 1 else f"Comparison of {settings} settings")
    parts: list[Part] = [
        Paragraph(text=found.verdict.headline, role="lead"),
        *(Paragraph(text=caveat) for caveat in found.verdict.caveats),
        Paragraph(text=GRA_IN_WORDS, role="note"),
        *(Paragraph(text=sentence, role="note") for sentence in found.left_out if sentence),
        *_results(found),
        *_terms(found),
        *_configuration(found),
        *_words(found),
    ]
    return Document(
        title=named,
        subtitle=_subtitle(found, settings),
        parts=tuple(parts),
        foot=f"Made by cwpo {version('cwpo')} on {made_at:%d %B %Y, %H:%M} UTC from runs {_numbers(found.runs)}.",
    )


def _subtitle(found: Compared, settings: int) -> str:
    words = [f"{settings} {'setting' if settings == 1 else 'settings'}", seeds_each(found.runs)]
    known = [run for run in found.runs if run.id in found.configs]
    datasets = {found.configs[run.id].data.dataset for run in known}
    words += [next(iter(datasets))] if len(datasets) == 1 else []
    return " · ".join([*words, *terms(known, found.configs).words])


def _results(found: Compared) -> list[Part]:
    if not found.table:
        return []
    parts: list[Part | None] = [Heading(text="Results"), gra_picture(found.table)]
    columns = report_columns.gra_columns()
    parts.append(_sheet("GRA and what stands beside it", columns, "main", found.table, _notes(found.table)))
    parts.append(difference_picture(found.differences))
    if found.differences:
        terms_of_it = difference_notes(found.runs, found.configs)[0]
        notes = [terms_of_it, paired_over(found.table, found.differences), found.under]
        parts.append(
            Sheet(
                title="Differences",
                table=report_columns.cells(report_columns.DIFFERENCE, found.differences, tuple(filter(None, notes))),
                strong=frozenset(place for place, row in enumerate(found.differences) if row.is_real),
            )
        )
    evaluated = [run.id for run in found.runs if run.evaluation is not None and run.id in found.configs]
    expected = expected_of_losses(found.configs[run_id] for run_id in evaluated)
    parts.append(Paragraph(text=expected, role="note") if expected else None)
    if any(row.estimate is not None for row in found.matched):
        parts.append(
            Sheet(
                title="Differences at matched KL",
                table=report_columns.cells(
                    report_columns.MATCHED, found.matched, (under_further_table(found.matched),)
                ),
                strong=frozenset(place for place, row in enumerate(found.matched) if row.is_real),
            )
        )
    parts.append(distance_picture(found.table))
    parts.append(_sheet("Distance and length", columns, "distance", found.table))
    if _tried(found):
        notes = [*cards.uncorrected(found.cards), *found.of_cards, cards.MODEL]
        figures = [replace(row, said="") for row in found.cards]
        parts.append(_sheet(cards.TITLE, report_columns.CARD, "main", figures, notes))
    return [part for part in parts if part is not None]


def _tried(found: Compared) -> bool:
    """Whether anything is known of the judge of a GRA."""
    return any(row.q is not None for row in found.cards)


def _sheet(
    title: str, columns: Sequence[Column], place: Place, rows: Sequence[Any], notes: Sequence[str] = ()
) -> Sheet:
    kept = report_columns.part(columns, place)
    cells = tuple(tuple(column.cell(row) for column in kept) for row in rows)
    return Sheet(
        title=title, table=Table(columns=tuple(column.title for column in kept), rows=cells, notes=tuple(notes))
    )


def _notes(table: Sequence[GraRow]) -> list[str]:
    own = dict.fromkeys(f"{row.label}: {row.note}." for row in table if row.note)
    return [*filter(None, [held_by_intervals(table)]), *own]


def _terms(found: Compared) -> list[Part]:
    """On what terms GRA was counted, and what became of every seed."""
    known = [run for run in found.runs if run.id in found.configs]
    same = terms(known, found.configs)
    revision = {judge_of(found.configs[run.id])[1] for run in known}
    rows = [
        ("opponent", same.opponent or NOTHING),
        ("ties", same.tie_rule),
        ("gold reward", same.gold_reward or NOTHING),
        ("its revision", (next(iter(revision)) if len(revision) == 1 else same.gold_revision) or "not pinned"),
        ("decoding", same.decoding or NOTHING),
    ]
    return [
        Heading(text="Terms"),
        Sheet(
            title="How GRA was counted",
            table=Table(columns=("term", "value"), rows=tuple(rows), notes=table_notes(known, found.configs)[1:]),
        ),
        Sheet(title="Seeds", table=_seeds(found)),
    ]


def _seeds(found: Compared) -> Table:
    """Planned, evaluated, failed, and those that the table leaves out."""
    labels = labels_of(found.runs, found.configs)
    used = {row.group_key: set(row.run_ids) for row in found.table}
    rows = []
    for key, runs in by_setting(found.runs).items():
        evaluated = [run for run in runs if run.evaluation is not None]
        states = {word: [run for run in runs if run.evaluation is None and PLANS.get(run.status) == word]
                  for word in ("failed", "cancelled", "not ready")}  # fmt: skip
        spare = [run for run in evaluated if run.id not in used.get(key, set())]
        cells = [_seed_list(some) for some in (runs, evaluated, *states.values(), spare)]
        rows.append((labels[key], *cells))
    return Table(
        columns=("setting", "planned", "evaluated", "failed", "cancelled", "not ready", "left out"), rows=tuple(rows)
    )


def _seed_list(runs: Sequence[ReportedRun]) -> str:
    """3 (0, 1, 2)."""
    seeds = sorted(run.seed for run in runs)
    return f"{len(seeds)} ({', '.join(map(str, seeds))})" if seeds else "0"


def _configuration(found: Compared) -> list[Part]:
    """What differs as a table, and what all share as YAML."""
    groups = by_setting(found.runs)
    labels = labels_of(found.runs, found.configs)
    ordered = sorted(groups, key=lambda key: key != found.reference)
    known = {key: config for key in ordered if (config := config_of(groups[key], found.configs)) is not None}
    if not known:
        return [Heading(text="Configuration"), Paragraph(text="No configuration can be read here.")]
    plain = [without(config.canonical(), OF_A_RUN) for config in known.values()]
    differences = config_differences.differences_between([labels[key] for key in known], plain)
    parts: list[Part] = [Heading(text="Configuration")]
    if differences.fields:
        parts.append(Sheet(title="What differs", table=config_differences.cells(differences)))
    first = next(iter(known.values()))
    parts.append(Block(title="What all settings share", text=shared_yaml(first, differences.fields)))
    return parts


def shared_yaml(config: RunConfig, differing: Mapping[str, object]) -> str:
    """The fields that no setting changes."""
    values = without(config.canonical(), (*OF_A_RUN, *differing))
    kept = _without_empty(values, {name for name, value in flat(config.canonical()) if value == {}})
    return yaml_text.written(kept, width=100, flow=False)


def _without_empty(values: Mapping[str, Any], empty: set[str], prefix: str = "") -> dict[str, Any]:
    """Parts whose fields all differ are left out; those that were empty from the start stay."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        below = _without_empty(value, empty, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        if below != {} or f"{prefix}{name}" in empty:
            kept[name] = below
    return kept


def _words(found: Compared) -> list[Part]:
    columns = [*report_columns.gra_columns(), *report_columns.DIFFERENCE]
    said = dict(glossary(columns, "main", "distance"))
    if _tried(found):
        said |= dict(glossary(report_columns.CARD))
    rows = tuple(said.items())
    return [
        Heading(text="Words"),
        Sheet(title="What the headings mean", table=Table(columns=("word", "meaning"), rows=rows)),
    ]


def _numbers(runs: Sequence[ReportedRun]) -> str:
    return ", ".join(str(run.id) for run in runs)
