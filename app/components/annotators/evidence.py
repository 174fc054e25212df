"""What confidence reweights, accuracy by length, every figure for both judges, and the list of annotators."""

from collections.abc import Sequence

from app.components.form.control_links import show_controls
from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.formats import dataset_name, share
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.config.catalog import short_name
from cwpo.report.document.meanings import MEANINGS
from cwpo.report.labels import annotators
from cwpo.report.labels.annotators import Group
from cwpo.report.listings import fields_of, judged_numbers
from cwpo.report.numbers import interval, number, percent
from db.records import AnnotatorRow, Judged, LabelSummary, Slice

RULES = (
    "question: the last human turn ends in “?” or starts with a question word; dialogue: two or more human turns; "
    "instruction: anything else."
)
OVERLAP = "A pair counts for every quality in which its answers differ."
OF_GROUPS = (
    ("pairs, %", "Share of the pairs that are like this."),
    ("weight, %", "Share of the whole weight, the sum of C, that they get."),
    ("mean C", "Mean confidence of the annotator over them."),
    ("accuracy, %", "How often the annotator's label is the one it is judged by."),
    ("95 %", "Interval of that accuracy."),
)
OF_PARTS = (
    ("accuracy, %", "How often the annotator's label is the human one, with its 95 % interval."),
    ("ECE", MEANINGS["ECE"]),
    ("weight, %", "Share of the whole weight, the sum of C, that these pairs get."),
    ("2·accuracy − 1", "What mean C would be if confidence were right on average, with its 95 % interval."),
)
OF_UNSURE = (
    ("third", "A third of the pairs by the size of the mean margin."),
    ("they …", "Whether annotators or passes differ by more than in half of that third."),
    ("mean margin", "Mean size of Δ."),
    ("SD", "Mean standard deviation of Δ between annotators or passes."),
    ("accuracy, %", "How often the label is the human one, with its 95 % interval."),
)
OF_FIGURES = (
    ("ECE", MEANINGS["ECE"]),
    ("Brier score, log loss", "Errors of the stated probability p; lower is better."),
    ("AUROC of C", "How often C is larger for a right label than for a wrong one; 0.5 is chance."),
    (
        "AURC, AUGRC",
        "Wrong labels that remain while the least confident are left out, over all shares; lower is better.",
    ),
)
OF_ALL = (
    ("kind", "Whether one model gives the margin, several, or passes with dropout."),
    ("labels", "Share of the training prompts whose human labels it learned from."),
    ("pairs", "How many pairs it labeled."),
    ("human labels met, %", "How often its label is the human one."),
    ("true, %", "How often it is the better answer; only the sandbox knows."),
    ("runs", "How many runs use these labels."),
)
REWEIGHTING = "Weight of groups of pairs, relative to the average pair"
UNSURE = "Accuracy by margin, where annotators or passes agree and where they do not"


def show_reweighting(summary: LabelSummary, judge: str, files: list[tables.Drawn]) -> None:
    """Which pairs get the weight, and how often their labels are right."""
    groups = annotators.groups(summary, judge)
    if not groups:
        return
    layout.section("What confidence reweights", meanings=OF_GROUPS)
    left, right = layout.two_columns()
    with left:
        caption = OVERLAP if any(row.family == "the answers differ in" for row in groups) else RULES
        show_chart("reweighting", groups, key=f"reweighting_{judge}", alt=REWEIGHTING, caption=caption)
    with right:
        columns = [
            Column(label="pairs where …", whole=True), Column(label="pairs, %", figures=True),
            Column(label="weight, %", figures=True), Column(label="mean C", figures=True),
            Column(label="accuracy, %", figures=True), Column(label="95 %", figures=True),
        ]  # fmt: skip
        tables.show_with_file(files, columns, _group_rows(groups), alt="what confidence reweights",
                    numbers=lambda: fields_of(groups))  # fmt: skip
    with results.reading() as session:
        show_controls(results.runs_by_id(session, [summary.run_id]))


def _group_rows(groups: Sequence[Group]) -> list[list[object]]:
    rows: list[list[object]] = []
    family = ""
    for group in groups:
        if group.family != family:
            rows.append([Cell(text=f"{group.family} …", muted=True), *[Cell(text=" ")] * 5])
            family = group.family
        rows.append(
            [
                group.value,
                number(100 * group.pairs_share, 1),
                number(100 * group.weight_share, 1),
                number(group.mean_confidence),
                None if group.accuracy is None else number(100 * group.accuracy, 1),
                interval(group.low, group.high),
            ]
        )
    return rows


def show_parts(parts: Sequence[Slice], files: list[tables.Drawn], *, title: str, axis: str, key: str) -> None:
    """Accuracy and calibration of parts of the pairs, where they are known."""
    if not parts:
        return
    layout.section(
        title, "Against the human labels; of calibrated annotators 95 % have an ECE below the last column.", OF_PARTS
    )
    left, right = layout.two_columns()
    with left:
        show_chart("part_accuracy", parts, key=key, alt=f"Accuracy {title[:1].lower()}{title[1:]}", axis=axis)
    with right:
        columns = [
            Column(label=axis.rsplit(", ", 1)[-1], whole=True), Column(label="pairs", figures=True),
            Column(label="accuracy, %", figures=True), Column(label="95 %", figures=True),
            Column(label="ECE", figures=True), Column(label="95 % below", figures=True),
        ]  # fmt: skip
        rows = [
            [
                row.name, f"{row.n:,}", number(100 * row.accuracy.estimate, 1),
                interval(row.accuracy.low, row.accuracy.high), number(row.ece, 3), number(row.ece_null_high, 3),
            ]
            for row in parts
        ]  # fmt: skip
        tables.show_with_file(
            files, columns, rows, alt=f"Accuracy {title[:1].lower()}{title[1:]}", numbers=lambda: fields_of(parts)
        )
        _show_stated(parts, title, columns[0], files)


def _show_stated(parts: Sequence[Slice], title: str, first: Column, files: list[tables.Drawn]) -> None:
    """Quiet: what the annotator states of each part beside what its accuracy is worth, equal where it is calibrated."""
    columns = [
        first, Column(label="weight, %", figures=True), Column(label="mean C", figures=True),
        Column(label="2·accuracy − 1", figures=True), Column(label="95 %", figures=True),
    ]  # fmt: skip
    worths = annotators.worths(parts)
    rows = [
        [
            worth.name,
            *(
                Cell(text=text, muted=True)
                for text in (
                    number(100 * worth.weight_share, 1), number(worth.mean_confidence), number(worth.estimate),
                    f"{number(worth.low)} to {number(worth.high)}",
                )
            ),
        ]
        for worth in worths
    ]  # fmt: skip
    tables.show_with_file(files, columns, rows, alt=f"Confidence {title[:1].lower()}{title[1:]}",
                numbers=lambda: fields_of(worths))  # fmt: skip


def show_unsure(summary: LabelSummary, files: list[tables.Drawn]) -> None:
    """Whether a label is unsure because the answers are close, or because annotators or passes disagree."""
    found = summary.unsure
    if found is None:
        return
    layout.section(
        "Close answers, or an unsure annotator?",
        "C is taken from the mean margin over annotators or passes; their disagreement, the SD of the margin, is not.",
        OF_UNSURE,
    )
    left, right = layout.two_columns()
    with left:
        caption = "Each third by margin is cut at its own median disagreement, against the human labels."
        show_chart("margin_spread", found.cells, key="margin_spread", alt=UNSURE, caption=caption)
    with right:
        columns = [
            Column(label="third", whole=True), Column(label="they …", whole=True), Column(label="pairs", figures=True),
            Column(label="mean margin", figures=True), Column(label="SD", figures=True),
            Column(label="accuracy, %", figures=True), Column(label="95 %", figures=True),
        ]  # fmt: skip
        rows = [
            [
                ("closest", "middle", "farthest")[cell.third], "disagree" if cell.unsure else "agree", f"{cell.n:,}",
                number(cell.margin), number(cell.spread), number(100 * cell.accuracy.estimate, 1),
                interval(cell.accuracy.low, cell.accuracy.high),
            ]
            for cell in found.cells
        ]  # fmt: skip
        tables.show_with_file(files, columns, rows, alt="accuracy by margin and disagreement",
                    numbers=lambda: fields_of(found.cells))  # fmt: skip
        layout.note(
            "AUROC against wrong labels: margin "
            f"{_within(found.auroc_confidence, found.auroc_confidence_low, found.auroc_confidence_high)}, agreement "
            f"{_within(found.auroc_spread, found.auroc_spread_low, found.auroc_spread_high)}."
        )


def show_figures(summary: LabelSummary, files: list[tables.Drawn]) -> None:
    """Every figure, once per judge."""
    judges = [(name, found) for name, found in (("human", summary.human), ("truth", summary.truth)) if found]
    if not judges:
        return
    layout.section("All figures", "p = (1 + C) / 2 is what the annotator states; log loss in nats.", OF_FIGURES)
    columns = [Column(label=""), *(Column(label=f"{annotators.JUDGES[name]}", figures=True) for name, _ in judges)]
    names = [name for name, _ in figures_of(judges[0][1])]
    values = [[value for _, value in figures_of(found)] for _, found in judges]
    tables.show_with_file(
        files,
        columns,
        [list(row) for row in zip(names, *values, strict=True)],
        alt="calibration by judge",
        numbers=lambda: judged_numbers([(annotators.JUDGES[name], found) for name, found in judges]),
    )


def figures_of(found: Judged) -> list[tuple[str, str]]:
    """Name and value, in the order of the page."""
    return [
        ("pairs", f"{found.n:,}"),
        ("accuracy, 95 %", f"{percent(found.accuracy.estimate)} ({interval(found.accuracy.low, found.accuracy.high)})"),
        ("mean C − (2·accuracy − 1), 95 %", f"{number(found.gap.estimate)} ({number(found.gap.low)} to "
         f"{number(found.gap.high)})"),
        ("ECE, 15 bins of equal size", number(found.ece, 4)),
        ("ECE if calibrated: mean, 95 % below", f"{number(found.ece_null, 4)}, {number(found.ece_null_high, 4)}"),
        ("Brier score of p", number(found.brier, 4)),
        ("log loss of p", number(found.log_loss, 4)),
        ("AUROC of C, 95 %", _within(found.auroc, found.auroc_low, found.auroc_high, 4)),
        ("AURC", number(found.aurc, 4)),
        ("AUGRC", number(found.augrc, 4)),
    ]  # fmt: skip


def _within(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """0.57 (0.53 to 0.61)."""
    span = "" if low is None else f" ({number(low, digits)} to {number(high, digits)})"
    return f"{number(value, digits)}{span}"


def show_annotators(rows: Sequence[AnnotatorRow], chosen: AnnotatorRow, files: list[tables.Drawn]) -> None:
    """Each once, however many runs share it; of very many the newest."""
    cut = len(rows) >= results.MOST_ANNOTATORS
    order = f"The newest {results.MOST_ANNOTATORS}, and the one that is looked at." if cut else "Newest first."
    title = "Newest annotators" if cut else "All annotators"
    layout.section(title, f"{order} An annotator is listed once, however many runs share its labels.", OF_ALL)
    columns = [
        Column(label="model", whole=True), Column(label="kind"), Column(label="data"),
        Column(label="labels", figures=True), Column(label="seed", figures=True), Column(label="pairs", figures=True),
        Column(label="human labels met, %", figures=True), Column(label="true, %", figures=True),
        Column(label="runs", figures=True),
    ]  # fmt: skip
    shown = [
        [
            Cell(text=short_name(row.model), strong=row.stage_id == chosen.stage_id), annotators.kind_name(row),
            dataset_name(row.dataset), share(row.label_fraction), row.seed,
            f"{row.n:,}", None if row.accuracy_human is None else number(100 * row.accuracy_human, 1),
            None if row.accuracy_truth is None else number(100 * row.accuracy_truth, 1), row.runs,
        ]
        for row in rows
    ]  # fmt: skip
    tables.show_with_file(files, columns, shown, alt="annotators", numbers=lambda: fields_of(rows))
