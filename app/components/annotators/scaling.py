"""Raw and temperature-scaled confidence of the same labels, side by side."""

from app.components.frame import layout, tables
from app.components.frame.tables import Column
from cwpo.report.document.meanings import MEANINGS
from cwpo.report.labels.annotators import Scaling, Weights
from cwpo.report.listings import judged_numbers
from cwpo.report.numbers import interval, number, percent
from cwpo.report.tables import Table
from db.records import AnnotatorRow, Judged

OF_SCALED = (
    ("raw", "C from the annotator's margins as they are."),
    ("scaled", "C from the margins over the temperature T."),
    ("effective pairs", "How many pairs of equal weight would carry as much as these weights do."),
    ("ECE", f"{MEANINGS['ECE']} A calibrated annotator has some, too."),
    ("Brier score, log loss", "Errors of the stated probability; lower is better."),
)
NOT_FITTED = (
    "No temperature was fitted for this annotator; annotator.calibrate in a run's configuration adds that stage."
)


def show_scaling(row: AnnotatorRow, found: Scaling[Judged] | None, files: list[tables.Drawn]) -> None:
    """What dividing every margin by T changes in calibration and in the weights; labels and order stay."""
    layout.section("Temperature", meanings=OF_SCALED if found is not None else ())
    if row.temperature is None or found is None:
        layout.note(NOT_FITTED)
        return
    layout.note(
        f"C = tanh(Δ / 2T) with T = {found.temperature:.3f}, fitted on held-out labeled pairs with a twin that did not "
        f"see them, on {found.pairs:,} hidden human labels. Labels and their order by confidence stay the same."
    )
    columns = [Column(label=""), Column(label="raw", figures=True), Column(label="scaled", figures=True)]
    raw, scaled = _figures(found.raw), _figures(found.scaled)
    rows = [[name, one, other] for (name, one), (_, other) in zip(raw, scaled, strict=True)]
    tables.show_with_file(files, columns, rows, alt="raw and scaled confidence", numbers=lambda: _numbers(found))


def _numbers(found: Scaling[Judged]) -> Table:
    """Every figure of both, the effective share of the pairs among them."""
    both = (("raw", found.raw), ("scaled", found.scaled))
    table = judged_numbers([(name, weights.judged) for name, weights in both])
    more = tuple((name, "effective", weights.effective, None, None) for name, weights in both)
    return Table(columns=table.columns, rows=(*table.rows, *more))


def _figures(weights: Weights[Judged]) -> list[tuple[str, str]]:
    found = weights.judged
    return [
        ("mean C: average weight in the loss", number(found.mean_confidence.estimate, 3)),
        ("mean C − (2·accuracy − 1)", f"{number(found.gap.estimate, 3)} ({number(found.gap.low, 3)} to "
         f"{number(found.gap.high, 3)})"),
        ("effective pairs, (Σ C)² / Σ C² over n", percent(weights.effective)),
        ("ECE", number(found.ece, 4)),
        ("ECE if calibrated: 95 % below", number(found.ece_null_high, 4)),
        ("Brier score", number(found.brier, 4)),
        ("log loss, nats", number(found.log_loss, 4)),
        ("accuracy, 95 %", f"{percent(found.accuracy.estimate)} ({interval(found.accuracy.low, found.accuracy.high)})"),
    ]  # fmt: skip
