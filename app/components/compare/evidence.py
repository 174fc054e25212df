"""Why the settings differ: annotators, share of pairs, distance moved, curves."""

from collections.abc import Sequence

import streamlit as st

from app.charts import confidence_bins, top_share
from app.charts.top_share import TopShare
from app.charts.training_curves import UNITS
from app.components.form.control_links import show_controls
from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import Exported, of_columns, show_export
from app.components.frame.formats import share
from app.components.run.curves import POINTS
from app.reads import results
from cwpo.compare.gra import GraRow
from cwpo.compare.questions.gains import FEWEST, GainRow, rank_correlation
from cwpo.report import columns as report_columns
from cwpo.report.document.meanings import glossary
from cwpo.report.labels.spots import TRANSFER
from cwpo.report.listings import decile_cells, decile_numbers
from cwpo.report.numbers import number
from cwpo.report.under_table import under_further_table
from db import queries
from db.records import LabelSummary, RunRow

CURVES = ("loss", "rewards/accuracies", "rewards/margins", "grad_norm", "mean_weight")
THIRDS = {f"{metric} by confidence": metric for metric in confidence_bins.METRICS}
FRESH = tuple(metric for metric in UNITS if metric.startswith("fresh/"))
MOST_LINES = 50
TRANSFERS = "From one source to another"
GAINS = "What C gains, by annotator"


def show_annotators(rows: Sequence[RunRow]) -> None:
    """Each annotator once, however many runs share it."""
    named = _named(rows)
    if not named:
        layout.note("None of these settings has labels of an annotator.")
        return
    summaries = [summary for _, summary in named]
    left, right = layout.two_columns()
    with left:
        title = "How sure is the annotator?" if len(named) == 1 else f"How sure are the {len(named)} annotators?"
        show_chart("confidence_histogram", named, key="histograms", title=title, caption=_effective(summaries))
    with right:
        show_chart(
            "confidence_deciles", named, key="deciles", title="Is confidence right?", caption=_accuracy(summaries)
        )
    show_controls(rows)
    show_gains(rows)
    show_transfer(rows)


def show_gains(rows: Sequence[RunRow]) -> None:
    """Two pictures and the table; nothing with fewer than two annotators, of which nothing could be seen."""
    evaluated = [row for row in rows if row.evaluation is not None]
    found = results.gains_of(evaluated) if evaluated else []
    if len(found) < 2:
        return
    left, right = layout.two_columns()
    with left:
        show_chart("gain_by_annotator", found, key="gain_ece", axis="ece", title=f"{GAINS}: calibration")
    with right:
        show_chart("gain_by_annotator", found, key="gain_auroc", axis="auroc", title=f"{GAINS}: sorting")
    layout.small(GAINS, meanings=glossary(report_columns.GAIN))
    tables.show_report(report_columns.GAIN, found, alt=GAINS, is_real=lambda row: row.is_real)
    layout.note(_gains_in_words(found))
    under = under_further_table(found)
    if under:
        layout.note(under)
    notes = [under] if under else []
    with st.container(horizontal=True):
        show_export([of_columns("gain by annotator", report_columns.GAIN, found, notes=notes)], key="export_gains")


def show_transfer(rows: Sequence[RunRow]) -> None:
    """Annotators with labels of one source or dataset on pairs of another; nothing where no run has such labels."""
    found = results.transfer_of(rows)
    if len(found) < 2:
        return
    left, right = layout.two_columns()
    with left:
        show_chart("transfer", found, key="transfer_accuracy", title=f"{TRANSFERS}: labels met")
    with right:
        show_chart("transfer", found, key="transfer_auroc", figure="auroc", title=f"{TRANSFERS}: AUROC of C")
    layout.small(TRANSFERS, meanings=glossary(TRANSFER))
    tables.show_report(TRANSFER, found, alt=TRANSFERS)
    layout.note(
        "Against the human labels of the pairs that were labeled, as a mean over seeds. C borne out is 2 × labels met "
        "− 1: a larger mean C states more than the labels bear out. An existing annotator (annotator.use) learned from "
        "its own data, not from those of the run that uses it."
    )
    show_export([of_columns("transfer between sources", TRANSFER, found)], key="export_transfer")


def _gains_in_words(rows: Sequence[GainRow]) -> str:
    """What may be read off it."""
    words = (
        "ECE and AUROC are those of C against the human labels of the pairs that the annotator labeled, as a mean over "
        "seeds; the intervals hold for all annotators at once."
    )
    found = {name: rank_correlation(rows, key) for name, key in (("ECE", "ece"), ("AUROC", "auroc"))}
    known = [f"{number(value)} with {name}" for name, value in found.items() if value is not None]
    if not known:
        return f"{words} A rank correlation needs {FEWEST} annotators."
    return (
        f"{words} Spearman's ρ of the gain over {len(rows)} annotators: {', '.join(known)}; the error of the gains is "
        "not in it."
    )


def exports(rows: Sequence[RunRow]) -> list[Exported]:
    """Annotators by tenths of confidence."""
    if not any(row.annotator for row in rows):
        return []
    return [
        Exported(
            name="Annotators",
            numbers=lambda: decile_numbers(_named(rows)),
            cells=lambda: decile_cells(_named(rows)),
        )
    ]


def show_top_share(table: Sequence[GraRow], *, distance: bool) -> None:
    """Top-N % against weighted where `top` was run, and GRA against the `distance` moved unless frontiers show it."""
    lines = top_share.prepare(table)
    if not table or not (lines or distance):
        return
    left, right = layout.two_columns()
    with left:
        if lines:
            caption = share_caption(lines)
            show_chart("top_share", table, key="top_share", title="Top N % against weighted", caption=caption)
    if not distance:
        return
    with right if lines else left:
        caption = "A method that moved further from its reference is not better for the same GRA."
        show_chart("gra_by_kl", table, key="gra_by_kl", title="How far did each move for its GRA?", caption=caption)


def share_caption(lines: Sequence[TopShare]) -> str:
    """What a smaller share means for the steps, as far as the lines shown say it."""
    steps = {line.steps for line in lines}
    words = ["100 % is weak labels without weights."] if any(line.shares[-1].percent == 100 for line in lines) else []
    if steps == {"kept"}:
        words.append("Fewer pairs also mean fewer steps.")
    elif steps == {"pool"}:
        words.append("Every share takes as many steps as all pairs would, so fewer pairs are seen more often.")
    elif steps == {"kept", "pool"}:
        words.append("Fewer pairs also mean fewer steps; at equal steps they are seen more often instead.")
    return " ".join(words)


def show_curves(rows: Sequence[RunRow]) -> None:
    """One metric of the alignment stage for all runs."""
    offered = [*CURVES, *_further(rows)]
    metric = st.segmented_control("Metric", offered, default=CURVES[0], key="metric", label_visibility="collapsed",
                                  bind="query-params", required=True) or CURVES[0]  # fmt: skip
    shown = rows[:MOST_LINES]
    with results.reading() as session:
        names = confidence_bins.names(THIRDS[metric]) if metric in THIRDS else [metric]
        runs = [row.id for row in shown]
        table = queries.metrics_of_runs(session, runs, "align", names=names, max_points=POINTS // 4)
    if table.empty:
        layout.note("Curves appear with the first training step.")
        return
    points, labels = dict(iter(table.groupby("run_id"))), results.labels_of(rows)
    lines = [
        (f"{labels[row.group_key]} · seed {row.seed}", row.method, points[row.id]) for row in shown if row.id in points
    ]
    alt = f"Alignment curves: {_metric_name(metric)}"
    if metric in THIRDS:
        caption = "Thirds of the pairs by C: dotted the least, dashed the middle, solid the most confident."
        show_chart("confidence_bins", lines, key=f"curves_{metric}", metric=THIRDS[metric], alt=alt, caption=caption)
        return
    show_chart("training_curves", lines, key=f"curves_{metric}", metric=metric, alt=alt,
               caption="A line is a run; seeds are threads of their method's colour.")  # fmt: skip


def _metric_name(metric: str) -> str:
    """reward accuracy, loss by confidence."""
    third = confidence_bins.METRICS.get(THIRDS.get(metric, ""))
    return f"{UNITS[third][0]} by confidence" if third else UNITS[metric][0]


def _further(rows: Sequence[RunRow]) -> list[str]:
    """What the alignment stages have of fresh pairs and by confidence."""
    with results.reading() as session:
        shown = [row.id for row in rows[:MOST_LINES]]
        names = [name for metric in THIRDS.values() for name in confidence_bins.names(metric)]
        found = set(queries.metric_names_of_runs(session, shown, "align", [*FRESH, *names]))
    thirds = [label for label, metric in THIRDS.items() if set(confidence_bins.names(metric)) & found]
    return [*(metric for metric in FRESH if metric in found), *thirds]


def _named(rows: Sequence[RunRow]) -> list[tuple[str, LabelSummary]]:
    """Each annotator once, by the seed of its first run."""
    seeds = {row.id: row.seed for row in rows}
    summaries = _distinct(results.label_summaries_of([row.id for row in rows if row.annotator]))
    return [(f"seed {seeds.get(summary.run_id, '?')}", summary) for summary in summaries]


def _distinct(summaries: Sequence[LabelSummary]) -> list[LabelSummary]:
    return list({summary.stage_id: summary for summary in summaries}.values())


def _effective(summaries: Sequence[LabelSummary]) -> str:
    sizes = [summary.effective_sample_size / summary.n for summary in summaries if summary.effective_sample_size]
    if not sizes:
        return ""
    return f"Weighted by C, {share(sum(sizes) / len(sizes))} of the pairs count: (Σ C)² / Σ C² over n."


def _accuracy(summaries: Sequence[LabelSummary]) -> str:
    humans = [summary.accuracy_human for summary in summaries if summary.accuracy_human is not None]
    if not humans:
        return ""
    words = f"{share(sum(humans) / len(humans), 1)} of the weak labels agree with the hidden human label"
    lengths = [summary.length_only_accuracy for summary in summaries if summary.length_only_accuracy is not None]
    return f"{words}; length alone {share(sum(lengths) / len(lengths), 1)}." if lengths else f"{words}."
