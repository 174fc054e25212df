"""Runs, stages, annotators and configurations as tables for files: numbers at full precision, shares in [0, 1]."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from types import UnionType
from typing import Any, Protocol, get_args, get_type_hints

from cwpo.report import gra_terms
from cwpo.report.gra_terms import Terms
from cwpo.report.labels.label_records import Judged, LabelSummary
from cwpo.report.numbers import count, interval, number, percent
from cwpo.report.tables import Cell, Table

_RESULT = ("gra", "ci_low", "ci_high", "interval_method", "prompts", "wins", "ties", "losses", "gra_strict", "kl",
           "mean_tokens", "baseline_mean_tokens")  # fmt: skip


class ListedRun(Protocol):
    """A run with its result; every other column is read by its name."""

    @property
    def id(self) -> int: ...
    @property
    def evaluation(self) -> object: ...


def run_numbers(rows: Sequence[ListedRun], by_run: Mapping[int, Terms]) -> Table:
    """One line per run with its own result, and the terms of it by run."""
    names = ("id", "name", "status", "method_label", "objective", "seed", "annotator", "policy", "dataset",
             "label_fraction", "stages", "stages_done", "stages_reused")  # fmt: skip
    times = ("created_at", "started_at", "finished_at")
    return Table(
        columns=("run", *names[1:], *_RESULT, *gra_terms.COLUMNS, *times),
        rows=tuple(
            (
                *(getattr(row, name) for name in names),
                *(getattr(row.evaluation, name, None) for name in _RESULT),
                *(getattr(by_run.get(row.id), name, None) for name in gra_terms.COLUMNS),
                *(moment.isoformat() if (moment := getattr(row, name)) else None for name in times),
            )
            for row in rows
        ),
    )


def stage_numbers(stages: Sequence[object]) -> Table:
    """The stages of a run with their seconds."""
    names = ("slot", "kind", "model", "status", "seconds", "expected_seconds", "done", "total", "unit", "attempts",
             "reused", "shared_by", "first_step", "fingerprint")  # fmt: skip
    return Table(columns=names, rows=tuple(tuple(getattr(stage, name) for name in names) for stage in stages))


def decile_numbers(annotators: Sequence[tuple[str, LabelSummary]]) -> Table:
    """Every annotator by tenths of confidence; what holds for all its pairs repeats in each line."""
    whole = ("n", "accuracy_human", "accuracy_truth", "length_only_accuracy", "mean_confidence",
             "effective_sample_size")  # fmt: skip
    tenth = ("lo", "hi", "n", "mean_confidence", "agree_human", "ci_low", "ci_high", "agree_truth")
    return Table(
        columns=("annotator", "decile", *(f"decile_{name}" for name in tenth), *whole, "fingerprint"),
        rows=tuple(
            (
                name,
                place,
                *(getattr(decile, field) for field in tenth),
                *(getattr(summary, field) for field in whole),
                summary.fingerprint,
            )
            for name, summary in annotators
            for place, decile in enumerate(summary.deciles, 1)
        ),
    )


def decile_cells(annotators: Sequence[tuple[str, LabelSummary]]) -> Table:
    """The same as people read it."""
    return Table(
        columns=("annotator", "confidence", "pairs", "agree with human, %", "95 %", "right, %"),
        rows=tuple(
            (
                name,
                f"{number(decile.lo)} – {number(decile.hi)}",
                count(decile.n),
                percent(decile.agree_human).removesuffix(" %"),
                "–" if decile.ci_low is None or decile.ci_high is None else interval(decile.ci_low, decile.ci_high),
                percent(decile.agree_truth).removesuffix(" %"),
            )
            for name, summary in annotators
            for decile in summary.deciles
        ),
    )


def fields_of(rows: Sequence[Any]) -> Table:
    """Rows of one dataclass, a column per field; a part that is a dataclass has a column per field of its own, its
    estimate under the part's own name. The columns follow from the class, not from what the rows hold."""
    leaves = list(_leaves(type(rows[0]))) if rows else []
    return Table(
        columns=tuple("_".join(name for name in path if name != "estimate") for path in leaves),
        rows=tuple(tuple(_plain(_reach(row, path)) for path in leaves) for row in rows),
    )


def _leaves(kind: type) -> Iterator[tuple[str, ...]]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        part = _part(hints[field.name])
        if part is None:
            yield (field.name,)
        else:
            yield from ((field.name, *path) for path in _leaves(part))


def _part(hint: Any) -> type | None:
    """The dataclass that a field holds, or holds if it is not None."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next((one for one in options if isinstance(one, type) and is_dataclass(one)), None)


def _reach(row: Any, path: Sequence[str]) -> Any:
    for name in path:
        row = None if row is None else getattr(row, name)
    return row


def judged_numbers(judged: Sequence[tuple[str, Judged]]) -> Table:
    """Accuracy and calibration, a line per figure and judge; intervals where a figure has one."""
    plain = ("n", "ece", "ece_null", "ece_null_high", "brier", "log_loss", "aurc", "augrc")
    lines: list[tuple[Cell, ...]] = []
    for name, found in judged:
        means = {"accuracy": found.accuracy, "mean_confidence": found.mean_confidence, "gap": found.gap}
        lines += [(name, label, one.estimate, one.low, one.high) for label, one in means.items()]
        lines.append((name, "auroc", found.auroc, found.auroc_low, found.auroc_high))
        lines += [(name, field, getattr(found, field), None, None) for field in plain]
    return Table(columns=("labels", "figure", "value", "low", "high"), rows=tuple(lines))


def config_numbers(names: Sequence[str], fields: Mapping[str, Sequence[Any]]) -> Table:
    """Fields by setting; what is neither text nor a number is JSON."""
    return Table(
        columns=("field", *names), rows=tuple((field, *map(_plain, values)) for field, values in fields.items())
    )


def _plain(value: Any) -> Cell:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, default=_as_json, ensure_ascii=False)


def _as_json(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
