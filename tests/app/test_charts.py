"""Charts: data first, picture second. Every registered chart is drawn once in both themes; data is compared."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import app.charts
from app.charts import (
    CHARTS,
    confidence_bins,
    confidence_histogram,
    frame,
    gra_by_kl,
    gra_forest,
    matched_gap,
    paper_cells,
    parallel,
    reweighting,
    risk_coverage,
    top_share,
    training_curves,
)
from app.components.compare.evidence import share_caption
from app.components.run.steps import steps_of
from cwpo.annotation.summary import judged as label_summary_of
from cwpo.compare.gra import GraRow
from cwpo.compare.judges.along import AlongRow
from cwpo.compare.matched_kl import FrontierRow, Knot, MatchedRow
from cwpo.compare.questions.gains import GainRow
from cwpo.compare.questions.spots import SpotRow
from cwpo.compare.questions.transfer import TransferRow
from cwpo.config import catalog
from cwpo.paper import published
from cwpo.paper.answers import cells
from cwpo.report.config_differences import ABSENT
from cwpo.report.labels.annotators import Group
from cwpo.statistics.frontier import Curve
from db.records import ConfidenceHistogram, Decile, Interval, Judged, LabelSummary, Slice, SpreadCell

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"


def gra_row(
    method: str,
    estimate: float,
    *,
    percent: float | None = None,
    objective: str = "dpo",
    about: str = "",
    **changes: Any,
) -> GraRow:
    """A setting of two seeds; `about`: what its name says besides the method."""
    label = catalog.method_label(method, percent, changes.pop("weighting", ""))
    return GraRow(
        group_key=f"{label} {objective}", label=f"{label} · {about}" if about else label, method=method,
        method_label=label, objective=objective,
        top_percent=percent, run_ids=(1, 2), seeds=(0, 1), estimate=estimate, low=estimate - 0.03, high=estimate + 0.02,
        interval_method="crossed", n_prompts=400, n_seeds=2, wins=480, ties=100, losses=220, strict=estimate - 0.1,
        ties_dropped=estimate + 0.01, seed_sd=0.01, kl=2.0, tokens=20.0, baseline_tokens=19.0, ungrammatical=0.1,
        baseline_ungrammatical=0.2, note="", **changes,
    )  # fmt: skip


def label_summary(stage_id: int) -> LabelSummary:
    tenth = Decile(
        lo=0.0, hi=0.5, n=100, mean_confidence=0.4, agree_human=0.7, agree_truth=0.8, ci_low=0.6, ci_high=0.8
    )
    return LabelSummary(
        run_id=stage_id, stage_id=stage_id, fingerprint="f", n=200, accuracy_human=0.7, accuracy_truth=0.8,
        human_accuracy_truth=0.75, length_only_accuracy=0.55, mean_confidence=0.4, effective_sample_size=150.0,
        histogram=ConfidenceHistogram(
            edges=(0.0, 0.25, 0.5, 0.75, 1.0), counts=(80, 60, 40, 20), agree_counts=(40, 40, 40, 20)
        ),
        deciles=(tenth,),
    )  # fmt: skip


def judged(pairs: int) -> Judged:
    """A calibrated annotator's labels."""
    dice = np.random.default_rng(0)
    sure = dice.uniform(0, 0.9, pairs)
    found = label_summary_of(sure, (dice.random(pairs) < (1 + sure) / 2).astype(float))
    assert found is not None
    return Judged.from_summary(found)


TABLE = [gra_row("human", 0.64), gra_row("weak", 0.62), gra_row("cw", 0.62), gra_row("top", 0.61, percent=30)]
POINTS = [
    (f"seed {seed}", "cw", pd.DataFrame({"step": [2, 1, 3], "name": "loss", "value": [0.5, 0.6, 0.4]}))
    for seed in (0, 1)
]
BY_THIRD = [
    ("seed 0", "cw", pd.DataFrame({"step": [1, 2], "name": f"bins/{place}/accuracies", "value": [0.5, height]}))
    for place, height in (("low", 0.55), ("middle", 0.7), ("high", 0.95))
]
ONE, SEVERAL = [("seed 0", label_summary(1))], [("seed 0", label_summary(1)), ("seed 1", label_summary(2))]
CURVE = Curve(kl=(0.5, 1.0), estimate=(0.55, 0.6), low=(0.5, 0.55), high=(0.6, 0.65))
KNOTS = (Knot(beta=1.0, kl=0.5, gra=0.55), Knot(beta=0.25, kl=1.0, gra=0.6))
FRONTIERS = [
    FrontierRow(key="a", label="CW", method="cw", objective="dpo", knots=KNOTS, n_seeds=2, n_prompts=9, curve=CURVE),
    FrontierRow(key="b", label="Weak", method="weak", objective="dpo", knots=KNOTS, n_seeds=2, n_prompts=9, curve=None),
]
GAP = Curve(kl=(0.5, 1.0), estimate=(0.0, 0.02), low=(-0.02, 0.0), high=(0.02, 0.04))
MATCHED = [
    MatchedRow(label=f"CW − {name}", first_label="CW", second_label=name, first_method="cw", second_method=method,
               objective="dpo", curve=curve)
    for name, method, curve in (("Weak", "weak", GAP), ("Human", "human", GAP), ("Top 30 %", "top", None))
]  # fmt: skip
JUDGED = judged(400)
GROUPS = [
    Group(
        family=family, value=value, pairs=20, pairs_share=0.2, weight_share=0.3, mean_confidence=0.3, relative=1.5,
        accuracy=0.7, low=0.6, high=0.8,
    )
    for family, value in (("prompt", "facts"), ("prompt", "<b>sum</b>"), ("the answers differ in", "content"))
]  # fmt: skip
THIRDS = [
    Slice(
        name=f"{low}–{low + 9}", n=30, accuracy=Interval(estimate=0.6, low=0.5, high=0.7), mean_confidence=0.3,
        weight_share=0.3, ece=0.05, ece_null_high=0.1,
    )
    for low in (0, 10, 1_000)
]  # fmt: skip
CELLS = [
    SpreadCell(
        third=third, unsure=unsure, n=20, margin=1.0, spread=0.4, accuracy=Interval(estimate=0.6, low=0.5, high=0.7)
    )
    for third in range(3)
    for unsure in (False, True)
]
SWEPT = [
    (gra_row(method, estimate), {"method": method, "align.lr": rate, "data.length_rule": rule})
    for method, estimate, rate, rule in (
        ("cw", 0.70, 1e-6, None), ("cw", 0.60, 1e-4, "<b>drop</b>"), ("weak", 0.65, 1e-5, ABSENT),
    )
]  # fmt: skip
PUBLISHED = [cells(published.TABLES[name], [], {}) for name in ("T1", "T10", "F7")]
GAINS = [
    GainRow(
        label=f"CW · {share} % labels", method="cw", objective="dpo", estimate=gain, low=gain - 0.03, high=gain + 0.03,
        p_corrected=0.2, comparisons=3, n_prompts=200, n_seeds=4, accuracy=0.7, ece=ece, auroc=auroc,
        mean_confidence=0.4,
    )
    for share, gain, ece, auroc in ((5, 0.01, 0.1, 0.55), (30, 0.02, 0.05, 0.65), (50, 0.0, None, 0.7))
]  # fmt: skip
SPOTS = [
    SpotRow(
        part=part, n=10, mean_confidence=at, weak_wrong=0.4, reference_wrong=0.5, policy_wrong=0.3, confident=0.5,
        blind=0.2, blind_low=0.1, blind_high=0.4,
    )
    for part, at in (("1", 0.1), ("2", 0.6), ("all", 0.35))
]  # fmt: skip
TRANSFERS = [
    TransferRow(learned=one, labels=other, n_seeds=2, accuracy=0.7, auroc=None, ece=0.1, mean_confidence=0.4)
    for one, other in (("facts", "facts"), ("facts", "math"), ("math", "math"))
]
ALONG = [
    AlongRow(
        group_key=key, label=label, method=method, place=place, part=1.0, kl=kl, gold=0.6, gold_low=0.5, gold_high=0.7,
        second=second, second_low=second, second_high=second, gold_name="trained", second_name="oracle", n_prompts=9,
        n_seeds=1,
    )
    for key, label, method, second in (("a", "CW", "cw", 0.55), ("", "baseline, best of n", "", None))
    for place, kl in (("step 1 of 2", 0.2), ("step 2 of 2", 0.9))
]  # fmt: skip
EXAMPLES: dict[str, list[Any]] = {
    "gra_forest": [TABLE],
    "gra_by_kl": [TABLE],
    "blind_spots": [SPOTS],
    "gain_by_annotator": [GAINS],
    "gra_kl_frontier": [FRONTIERS],
    "matched_gap": [MATCHED],
    "along": [ALONG],
    "top_share": [TABLE],
    "text_lengths": [
        [
            {"part": part, "unit": "characters", "edges": [0.0, 1.0, 2.0, 4.0, 8.0], "counts": counts}
            for part, counts in {"prompt": [0, 2, 5, 1], "chosen": [1, 0, 0, 7]}.items()
        ]
    ],
    "paper_cells": PUBLISHED[:2],
    "parallel": [SWEPT],
    "training_curves": [POINTS],
    "transfer": [TRANSFERS],
    "confidence_bins": [BY_THIRD],
    "confidence_histogram": [ONE, SEVERAL],
    "confidence_deciles": [ONE, SEVERAL],
    "reliability": [[("raw", JUDGED)], [("raw", JUDGED), ("scaled, T = 2.00", JUDGED)]],
    "risk_coverage": [[("by confidence", JUDGED)]],
    "reweighting": [GROUPS],
    "part_accuracy": [THIRDS],
    "margin_spread": [CELLS],
}


def test_every_file_is_registered_and_has_an_example() -> None:
    files = {path.stem for path in Path(app.charts.__file__).parent.glob("*.py")} - {"__init__", "frame"}
    assert files == set(CHARTS) == set(EXAMPLES)


@pytest.mark.parametrize("look", [frame.LIGHT, frame.DARK], ids=lambda look: look.name)
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn(name: str, look: frame.Look) -> None:
    """With rows and without: a quiet frame, units on both axes, at least one trace where there is data."""
    for rows in [*EXAMPLES[name], []]:
        figure = CHARTS[name].draw(CHARTS[name].prepare(rows), look)
        assert isinstance(figure, go.Figure)
        figure.to_json()
        assert figure.layout.xaxis.title.text
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert not figure.layout.xaxis.showgrid
        assert not rows or figure.data


@pytest.mark.parametrize("name", CHARTS)
def test_drawing_changes_nothing(name: str) -> None:
    """Both halves are pure: the same rows give the same data and the same picture."""
    rows = EXAMPLES[name][0]
    first, second = CHARTS[name].prepare(rows), CHARTS[name].prepare(rows)
    assert first == second
    assert CHARTS[name].draw(first) == CHARTS[name].draw(second)


def test_colour_carries_the_method_and_the_marker_the_objective() -> None:
    rows = [gra_row("cw", 0.6), gra_row("cw", 0.6, objective="ipo"), gra_row("weak", 0.6)]
    dots = [trace for trace in gra_forest.draw(gra_forest.prepare(rows)).data if trace.mode == "markers"]
    assert [dot.marker.color for dot in dots] == ["#2F5DA8", "#2F5DA8", "#C77F1A"]
    assert [dot.marker.symbol for dot in dots] == ["circle", "diamond", "circle"]


def test_the_tip_of_a_bar_counts_its_part_of_all_that_a_click_lists() -> None:
    """A click lists every pair of that confidence, agreed on or not."""
    (histogram,) = confidence_histogram.prepare(ONE)
    bars = confidence_histogram.draw([histogram]).data
    assert [tuple(bar.customdata) for bar in bars] == [histogram.counts, histogram.counts]
    parts = [sum(values) for values in zip(*(bar.y for bar in bars), strict=True)]
    assert tuple(parts) == histogram.counts
    assert all("of %{customdata:,} pairs" in bar.hovertemplate for bar in bars)


@pytest.mark.parametrize("name", CHARTS)
def test_a_tip_is_one_box(name: str) -> None:
    """The second one that plotly would add has letters in the colour of the line, pale on a pale ground."""
    for rows in EXAMPLES[name]:
        for trace in CHARTS[name].draw(CHARTS[name].prepare(rows)).data:
            assert trace.hovertemplate is None or trace.hovertemplate.endswith("<extra></extra>")


def test_every_method_and_objective_of_the_catalog_has_its_ink() -> None:
    for look in frame.LOOKS.values():
        assert set(catalog.METHODS) <= set(look.methods)
    assert set(catalog.OBJECTIVES) == set(frame.MARKERS)


def test_fifty_percent_is_always_in_sight() -> None:
    low, high = gra_forest.draw(gra_forest.prepare([gra_row("cw", 0.9)])).layout.xaxis.range
    assert low < 0.5 < 0.92 < high


def test_all_pairs_without_weights_are_the_hundred_percent_point() -> None:
    """Shares ascend; weak labels stand at 100 %, the weighted setting is the band and no point."""
    tops = [gra_row("top", 0.6, percent=50), gra_row("top", 0.57, percent=10)]
    (line,) = top_share.prepare([gra_row("weak", 0.62), *tops, gra_row("cw", 0.63)])
    assert [(share.percent, share.estimate) for share in line.shares] == [(10, 0.57), (50, 0.6), (100, 0.62)]
    assert line.weighted is not None
    assert line.weighted.estimate == 0.63
    assert top_share.prepare([gra_row("weak", 0.62), gra_row("cw", 0.63)]) == []


def test_settings_that_differ_in_more_than_the_share_are_never_joined() -> None:
    """Epochs over what is kept and equal steps at two label fractions: a line each. Weak labels and CW keep all pairs,
    so equal steps are their own steps; those of another place stand beside no other line."""
    rows = [
        gra_row(method, estimate, percent=percent, place=place, steps=steps, about=about)
        for method, estimate, percent, place, steps, about in (
            ("cw", 0.70, None, "half", "kept", "50 % labels"),
            ("top", 0.60, 50, "third", "kept", "30 % labels"),
            ("top", 0.57, 10, "third", "kept", "30 % labels"),
            ("top", 0.64, 50, "third", "pool", "30 % labels · equal steps"),
            ("top", 0.68, 50, "half", "kept", "50 % labels"),
            ("weak", 0.62, None, "third", "kept", "30 % labels"),
            ("cw", 0.63, None, "third", "kept", "30 % labels"),
        )
    ]
    lines = top_share.prepare(rows)
    assert [[(share.percent, share.estimate) for share in line.shares] for line in lines] == [
        [(10, 0.57), (50, 0.60), (100, 0.62)], [(50, 0.64), (100, 0.62)], [(50, 0.68)],
    ]  # fmt: skip
    names = ["top N % · 30 % labels", "top N % · 30 % labels · equal steps", "top N % · 50 % labels"]
    assert [line.name for line in lines] == names
    assert [line.weighted.estimate for line in lines if line.weighted] == [0.63, 0.63, 0.70]
    traces = [(trace.name, trace.line.dash) for trace in top_share.draw(lines).data]
    assert traces == [
        ("weighted, all pairs · 30 % labels", "solid"), (names[0], "solid"), (names[1], "dash"),
        ("weighted, all pairs · 50 % labels", "dot"), (names[2], "dot"),
    ]  # fmt: skip


def test_only_uniform_weak_labels_are_the_hundred_percent_point_and_only_c_is_the_band() -> None:
    rows = [
        gra_row("top", 0.6, percent=50),
        gra_row("weak", 0.55, weighting="σ(Δ)"),
        gra_row("cw", 0.5, weighting="C^2"),
        gra_row("top", 0.4, percent=30, weighting="C"),
    ]
    (line,) = top_share.prepare(rows)
    assert [(share.percent, share.estimate) for share in line.shares] == [(50, 0.6)]
    assert line.weighted is None
    assert top_share.prepare(rows[1:]) == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (("kept",), "Fewer pairs also mean fewer steps."),
        (("pool",), "Every share takes as many steps as all pairs would, so fewer pairs are seen more often."),
        (("kept", "pool"), "Fewer pairs also mean fewer steps; at equal steps they are seen more often instead."),
        (("",), ""),
    ],
)
def test_the_caption_says_what_fewer_pairs_mean_for_the_lines_shown(steps: tuple[str, ...], said: str) -> None:
    rows = [gra_row("top", 0.6, percent=30, steps=one) for one in steps]
    assert share_caption(top_share.prepare(rows)) == said
    whole = share_caption(top_share.prepare([*rows, gra_row("weak", 0.6)]))
    assert whole == f"100 % is weak labels without weights. {said}".strip()


def test_a_difference_along_kl_has_the_colour_of_the_side_that_varies() -> None:
    """Points; a pair without a KL in common is not drawn."""
    gaps = matched_gap.prepare(MATCHED)
    assert [gap.method for gap in gaps] == ["weak", "human"]
    assert [gap.method for gap in matched_gap.prepare(MATCHED[:1])] == ["cw"]
    lines = [trace for trace in matched_gap.draw(gaps).data if trace.showlegend is None]
    assert [tuple(line.y) for line in lines] == [(0.0, 2.0), (0.0, 2.0)]


def test_the_papers_numbers_stand_in_lines_and_methods_beside_each_other() -> None:
    """Table 1: 18 lines of three methods; figures without an implied error, as those of C, are not drawn."""
    lines = paper_cells.prepare(PUBLISHED[0])
    assert (len(lines.labels), len(lines.dots)) == (18, 54)
    assert [dot.offset for dot in lines.dots[:3]] == pytest.approx([-0.22, 0.0, 0.22])
    assert lines.dots[2].paper == pytest.approx((0.613, 0.577, 0.649), abs=5e-4)  # ± 1.96 √(.613 · .387 / 704)
    assert paper_cells.prepare(PUBLISHED[2]).dots == ()


def test_curves_are_ordered_by_step_and_hold_one_metric() -> None:
    other = ("seed 2", "cw", POINTS[0][2].assign(name="lr"))
    gap = ("seed 3", "cw", POINTS[0][2].assign(value=[0.5, float("nan"), 0.4]))
    curves = training_curves.prepare([*POINTS, other, gap], metric="loss")
    assert [line.steps for line in curves.lines] == [(1, 2, 3), (1, 2, 3), (2, 3)]
    assert curves.lines[0].values == (0.6, 0.5, 0.4)


def test_names_stand_beside_their_points_only_where_there_is_room() -> None:
    """Ten settings in one place: a few names, and all of them under the pointer."""
    crowd = [gra_row("top", 0.6 + 0.0001 * percent, percent=percent) for percent in range(10, 100, 10)]
    figure = gra_by_kl.draw(gra_by_kl.prepare([*crowd, gra_row("cw", 0.9)]))
    names = [trace.text[0] for trace in figure.data]
    assert names[-1] == "CW"
    assert 1 <= sum(bool(name) for name in names[:-1]) <= 4
    assert all(f"Top {percent} %" in figure.to_json() for percent in range(10, 100, 10))


def test_a_learning_rate_stands_on_a_logarithmic_axis_and_words_at_equal_distances() -> None:
    """1e−6, 1e−4, 1e−5 at 0, 1 and ½; none, a word and absent are three places of one axis; KL is the same for all."""
    found = parallel.prepare(SWEPT)
    names = [axis.name for axis in found.axes]
    assert names == ["method", "align.lr, log", "data.length_rule", "GRA, %", "KL, nats", "tokens"]
    assert [line.heights[1] for line in found.lines] == pytest.approx([0.0, 1.0, 0.5])
    assert [line.heights[2] for line in found.lines] == [1.0, 0.5, 0.0]
    assert [text for _, text in found.axes[2].ticks] == ["none", "&lt;b&gt;drop&lt;/b&gt;", "absent"]
    assert [line.heights[3] for line in found.lines] == pytest.approx([1.0, 0.0, 0.5])
    assert [line.heights[4] for line in found.lines] == [0.5, 0.5, 0.5]


def test_what_is_no_number_stands_below_an_axis_of_numbers() -> None:
    """Seeds of a split: 1, 3 and none; 1 and 3 span less than a decade, so the axis is linear."""
    rows = [(gra_row("cw", 0.6), {"seeds.split": value}) for value in (1, 3, None)]
    axis, *_ = parallel.prepare(rows).axes
    assert axis.name == "seeds.split"
    assert [line.heights[0] for line in parallel.prepare(rows).lines] == [0.0, 1.0, parallel.NOTHING]
    assert axis.ticks == ((0.0, "1"), (1.0, "3"), (parallel.NOTHING, "none"))


def test_a_sweep_of_one_method_is_coloured_by_gra_and_of_several_by_method() -> None:
    several = parallel.draw(parallel.prepare(SWEPT)).data
    assert {trace.line.color for trace in several} == {"#2F5DA8", "#C77F1A"}
    one = parallel.draw(parallel.prepare(SWEPT[:2])).data
    assert [trace.line.color for trace in one] == ["rgba(47, 93, 168, 0.2)", "rgba(47, 93, 168, 1)"]


def test_fifty_settings_with_many_fields_keep_a_readable_number_of_axes() -> None:
    rows = [(gra_row("cw", 0.5 + place / 200), {f"f{n}": place % (n + 2) for n in range(20)}) for place in range(50)]
    found = parallel.prepare(rows)
    assert len(found.axes) == parallel.MOST_AXES + 3
    assert len(found.lines) == 50
    assert all(len(axis.ticks) <= 2 * parallel.MOST_TICKS for axis in found.axes)


def test_a_name_with_markup_reaches_no_chart() -> None:
    hostile = gra_row("cw", 0.6)
    hostile = GraRow(**{**vars(hostile), "label": "<img src=x onerror=alert(1)>"})
    for name in ("gra_forest", "gra_by_kl"):
        assert "<img" not in CHARTS[name].draw(CHARTS[name].prepare([hostile])).to_json()


def test_perfect_order_makes_no_error_until_only_wrong_labels_are_left() -> None:
    """30 % wrong: nothing wrong up to 70 %, (.85 − .7)/.85 at 85 %, 30 % at the end; random order stays at 30 %."""
    assert [risk_coverage.oracle_risk(share, 0.3) for share in (0.0, 0.5, 0.7, 0.85, 1.0)] == pytest.approx(
        [0, 0, 0, 0.15 / 0.85, 0.3]
    )


def test_families_are_blocks_with_half_a_line_between_them() -> None:
    assert reweighting._heights(reweighting.prepare(GROUPS)) == [0.0, -1.0, -2.5]


def test_smoothing_is_the_moving_mean_with_its_start_taken_out() -> None:
    """Weight ½ on 4, 0, 8: 2/½, (1 + 0)/¾, (½ + 4)/⅞."""
    assert training_curves.smoothed((4.0, 0.0, 8.0), 0.5) == pytest.approx((4.0, 4 / 3, 36 / 7))
    assert training_curves.smoothed((3.0,) * 50, 0.99) == pytest.approx((3.0,) * 50)


@pytest.mark.parametrize(("chart", "rows"), [(training_curves, POINTS), (confidence_bins, BY_THIRD)])
def test_what_was_measured_stays_faint_behind_a_smooth_line(chart: Any, rows: Any) -> None:
    plain = chart.draw(chart.prepare(rows))
    smooth = chart.draw(chart.prepare(rows, way=training_curves.Way(smoothing=0.9)))
    lines = len(plain.data)
    assert len(smooth.data) == 2 * lines
    assert [trace.y for trace in smooth.data[:lines]] == [trace.y for trace in plain.data]
    assert all(trace.line.color.startswith("rgba") and trace.hoverinfo == "skip" for trace in smooth.data[:lines])


def test_a_log_scale_draws_nothing_of_zero_and_below() -> None:
    points = pd.DataFrame({"step": [1, 2, 3], "name": "loss", "value": [0.5, 0.0, -1.0]})
    way = training_curves.Way(log=True)
    figure = training_curves.draw(training_curves.prepare([("a", "cw", points)], way=way))
    assert figure.layout.yaxis.type == "log"
    assert list(figure.data[0].y) == [0.5, None, None]


@pytest.mark.parametrize(("chart", "rows"), [(training_curves, POINTS), (confidence_bins, BY_THIRD)])
def test_chosen_steps_are_shown_alone_and_smoothed_as_among_all(chart: Any, rows: Any) -> None:
    """Where a chart has any of them; dragging chooses steps."""
    way = training_curves.Way(smoothing=0.9, zoom=True)
    every = chart.draw(chart.prepare(rows, way=way))
    assert (every.layout.dragmode, every.layout.selectdirection) == ("select", "h")
    assert chart.draw(chart.prepare(rows)).layout.dragmode is False
    steps = sorted({step for trace in every.data for step in trace.x})
    first, last = steps[0], steps[-1] - 1
    near = chart.draw(chart.prepare(rows, way=replace(way, steps=(first, last))))
    assert list(near.layout.xaxis.range) == [first, last]
    for one, whole in zip(near.data, every.data, strict=True):
        within = [(x, y) for x, y in zip(whole.x, whole.y, strict=True) if first <= x <= last]
        assert list(zip(one.x, one.y, strict=True)) == within
    beyond = chart.draw(chart.prepare(rows, way=replace(way, steps=(10**6, 10**7))))
    assert [trace.x for trace in beyond.data] == [trace.x for trace in every.data]


@pytest.mark.parametrize(
    ("text", "steps"),
    [("10-40", (10, 40)), (" 0 – 7 ", (0, 7)), ("3:4", (3, 4)), ("3 to 4", (3, 4)), ("5 9", (5, 9)),
     ("", None), ("7", None), ("9-3", None), ("4-4", None), ("-3-4", None), ("a-b", None), ("1-2-3", None),
     ("0-999999999", (0, 999_999_999)), ("0-9999999999", None)],
)  # fmt: skip
def test_steps_are_two_numbers_the_first_before_the_last(text: str, steps: tuple[int, int] | None) -> None:
    assert steps_of(text) == steps


@pytest.mark.parametrize("look", [frame.LIGHT, frame.DARK])
def test_every_ink_of_words_can_be_read_on_the_page_and_on_each_line_of_a_grid(look: frame.Look) -> None:
    """Methods, what is muted, and the ink itself; also where a line is ticked or under the pointer."""
    assert frame.contrast("#FFFFFF", "#000000") == pytest.approx(21)
    inks = {method: frame.in_words(look.name, method) for method in (*look.methods, None)}
    faint = {
        (name, place): frame.contrast(ink, ground)
        for name, ink in {**inks, "muted": look.muted, "ink": look.ink}.items()
        for place, ground in frame.grounds(look).items()
        if frame.contrast(ink, ground) < 4.5
    }
    assert faint == {}
    assert inks["cw"] == look.methods["cw"]  # what is read easily stays as it is


@pytest.mark.parametrize("look", [frame.LIGHT, frame.DARK])
def test_what_words_stand_on_is_the_paper_of_the_theme(look: frame.Look) -> None:
    theme = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"][look.name]
    names = ("backgroundColor", "secondaryBackgroundColor", "primaryColor", "textColor")
    assert (look.paper, look.second, look.accent, look.ink) == tuple(theme[name] for name in names)
    assert len(set(frame.grounds(look).values())) == 4
