"""The verdict by hand-derived numbers, and which runs answer which cell of the paper."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cwpo.compare.configured_run import DIFFERENT_BASELINES
from cwpo.compare.gra import DifferenceRow
from cwpo.config import catalog
from cwpo.config.presets import comparison
from cwpo.config.run import RunConfig, expand, merged
from cwpo.data.split import split_prompts
from cwpo.paper import published
from cwpo.paper.answers import cells, gaps, sandbox_pairs, summaries, wanted_pairs
from cwpo.paper.names import arm_label, line_of
from cwpo.paper.presets import PAPER_PRESETS
from cwpo.paper.protocol import Group, answer_to, answers_to, asking, departures, differences_of, fits, groups_of
from cwpo.paper.published import Number
from cwpo.paper.verdict import Measured, PaperDifference, over_seeds, standard_error, unpaired, verdict
from cwpo.report.listings import fields_of
from cwpo.stages.from_config import _split
from cwpo.stages.settings import SplitSettings

T10 = published.TABLES["T10"]
RUN = {
    "data": {"dataset": "hh"},
    "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b"},
    "method": "weak",
}


def number(**changes: Any) -> Number:
    """T10's weak labels on HH: 65.9 % of 704 prompts."""
    found = next(n for n in published.numbers_of("T10") if (n.dataset, n.method) == ("hh", "weak"))
    return replace(found, **changes)


def ours(estimate: float, half: float, seeds: int = 3) -> Measured:
    return Measured(estimate=estimate, low=estimate - half, high=estimate + half, n_prompts=700, n_seeds=seeds)


def config(**changes: Any) -> RunConfig:
    return RunConfig.parse(merged(RUN, changes))


def group(key: str, values: RunConfig, seeds: int = 3, newest: int = 1) -> Group:
    return Group(key=key, config=values, run_ids=(newest,), n_seeds=seeds)


@pytest.mark.parametrize(
    ("value", "n", "sd", "error"),
    [
        (0.6, 600, None, 0.02),  # √(.6 · .4 / 600)
        (0.5, None, None, 0.5 / math.sqrt(700)),  # 1.9 points, 700 prompts where none are printed
        (0.6, 600, 0.05, 0.05 / math.sqrt(3)),  # the spread over subsets says more
        (0.6, 600, 0.0028, 0.02),  # three subsets agreed by chance
    ],
)
def test_error_of_a_published_number(value: float, n: int | None, sd: float | None, error: float) -> None:
    assert standard_error(number(value=value, n=n, sd=sd)) == pytest.approx(error)


@pytest.mark.parametrize(
    ("estimate", "half", "seeds", "name"),
    [
        # The paper: .60 ± 1.96 · .02 = .0392. With ± .03 the gap's half-width is √(.03² + .0392²) = .0494.
        (0.63, 0.03, 3, "consistent"),
        (0.649, 0.03, 3, "consistent"),
        (0.650, 0.03, 3, "not consistent"),
        (0.550, 0.03, 3, "not consistent"),
        # With ± .0312 it is .0501: wider than the margin.
        (0.63, 0.0312, 3, "underpowered"),
        # One seed's interval leaves out what another seed would do, whatever it says.
        (0.63, 0.03, 1, "underpowered"),
        (0.80, 0.03, 1, "underpowered"),
    ],
)
def test_verdict(estimate: float, half: float, seeds: int, name: str) -> None:
    found = verdict(ours(estimate, half, seeds), 0.60, 0.02)
    assert found.name == name
    assert found.gap == pytest.approx(estimate - 0.60)
    assert found.half_width == pytest.approx(math.hypot(half, 1.959964 * 0.02))


def test_the_papers_one_run_has_a_seed_of_its_own() -> None:
    """.65 ± .03 against .60 ± .0392 is a gap; where another seed may lie .06 away it is none, at √(.06² + .0392²)."""
    found = verdict(replace(ours(0.65, 0.03), another=0.06), 0.60, 0.02)
    assert (found.name, found.half_width) == ("underpowered", pytest.approx(math.hypot(0.06, 1.959964 * 0.02)))
    assert verdict(replace(ours(0.68, 0.03), another=0.06), 0.60, 0.02).name == "not consistent"


def test_a_published_difference_has_the_error_of_two_runs() -> None:
    """√(.02² + .02²) = .0283, so its 95 % interval alone is ± 5.5 points: one cell confirms nothing."""
    one = number(value=0.6, n=600)
    difference = PaperDifference(first=one, second=replace(one, method="human"))
    assert difference.error == pytest.approx(0.02 * math.sqrt(2))
    assert verdict(ours(0.0, 0.0), difference.estimate, difference.error).name == "underpowered"
    assert verdict(ours(0.06, 0.01), difference.estimate, difference.error).name == "not consistent"


def test_columns_with_different_opponents_lend_both_their_intervals() -> None:
    found = unpaired(ours(0.65, 0.03), ours(0.60, 0.04, seeds=2))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.05, 0.0, 0.10))
    assert found.n_seeds == 2


def test_accuracy_over_seeds_counts_seeds_and_pairs_and_has_wilsons_interval_with_one() -> None:
    """.62, .64, .66: mean .64, SD .02; ± 1.96 √(.02² / 3 + .64 · .36 / 1000) = .037 if that were the true spread."""
    several = over_seeds([0.62, 0.64, 0.66], 1000)
    assert several.estimate == pytest.approx(0.64)
    assert 0.037 < several.half_width < 2 * 0.037
    assert several.another is not None
    assert several.another > several.half_width
    one = over_seeds([0.5], 100)  # Wilson: (50 + 1.92) / 103.84 ± …
    assert (one.low, one.high, one.n_seeds) == pytest.approx((0.4038, 0.5962, 1), abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "cw"},
        {"objective": "ipo"},
        {"data": {"dataset": "hh-harmless"}},
        {"data": {"label_fraction": 0.2}},
        {"model": {"policy": "facebook/opt-2.7b"}},
        {"model": {"annotator": "Qwen/Qwen2.5-0.5B"}},
        {"annotator": {"kind": "joint"}},
        {"weighting": {"name": "sigma"}},
    ],
    ids=str,
)
def test_a_run_answers_only_its_own_cell(changes: dict[str, Any]) -> None:
    assert fits(number(), config())
    assert not fits(number(), config(**changes))


def test_online_and_offline_runs_answer_cells_of_their_own() -> None:
    """Tables 21 and 22, CW on HH with Qwen2.5-3B: 55.1 online, 61.3 offline."""
    models = {"annotator": "Qwen/Qwen2.5-0.5B", "policy": "Qwen/Qwen2.5-3B"}
    runs = [config(data={"dataset": "hh"}, model=models, method="cw", align=one) for one in ({}, {"online": {}})]
    cells = {
        round(n.value, 3): [fits(n, run) for run in runs]
        for n in published.numbers()
        if (n.table, n.dataset) in (("T21", "hh"), ("T22", "hh")) and n.method == "cw"
    }
    assert cells == {0.551: [False, True], 0.613: [True, False]}
    assert [departures(run) for run in runs] == [(), ()]
    gaps = {arm_label(one.first): arm_label(one.second) for one in differences_of(published.TABLES["T22"])}
    assert gaps == {"CW · online": "CW"}


def test_human_labels_need_no_annotator_to_be_the_same() -> None:
    human = next(n for n in published.numbers_of("T10") if (n.dataset, n.method) == ("hh", "human"))
    assert fits(human, config(method="human", model={"annotator": "Qwen/Qwen2.5-0.5B"}))


def test_the_annotator_of_every_method_answers_for_its_accuracy() -> None:
    """Table 6: weak, cw and top share one annotator; ws has its own; human has none."""
    accuracy = next(
        n for n in published.numbers_of("T6") if (n.dataset, n.method, n.annotator) == ("hh", "cw", "facebook/opt-125m")
    )
    assert [m for m in ("human", "ws", "weak", "cw", "top:30") if fits(accuracy, config(method=m))] == [
        "weak",
        "cw",
        "top:30",
    ]
    assert departures(config(align={"beta": 0.1}), accuracy.metric) == ()


def test_the_weak_model_of_ws_has_its_sft_or_has_none() -> None:
    """Table 6, OPT-125M on HH: DPO alone 50.8, SFT and DPO 52.1. SFT on the labeled part is the same SFT."""
    cell = ("hh", "ws", "facebook/opt-125m")
    own = [n for n in published.numbers_of("T6") if (n.dataset, n.method, n.annotator) == cell]
    alone, after_sft = sorted(own, key=lambda n: n.value)
    for data, answered in (("none", [alone]), ("pool", [after_sft]), ("labeled", [after_sft])):
        values = config(method="ws", sft={"data": data})
        assert [n for n in own if fits(n, values)] == answered, data
        assert departures(values, "accuracy") == ()
    longer = {"epochs": 1}
    assert departures(config(method="ws", sft=longer), "accuracy") == ("sft.epochs 1 (3)",)
    assert departures(config(method="ws", sft={**longer, "data": "none"}), "accuracy") == ()
    assert departures(config(method="cw", sft=longer), "accuracy") == ()
    assert departures(config(method="ws", sft={"data": "none"})) == ("sft.data none (pool)",)


def test_another_judge_than_the_papers_is_a_departure_for_shp_alone() -> None:
    asked = {"data": {"dataset": "shp"}, "evaluation": {"gold_reward": "skywork-llama-3.1-8b"}}
    (word,) = departures(config(**asked))
    assert word == "evaluation.gold_reward skywork-llama-3.1-8b (steamshp-flan-t5-large)"
    assert departures(config(**merged(asked, {"data": {"dataset": "hh"}}))) == ()
    assert departures(config(**asked), "accuracy") == ()


def test_what_another_objective_reads_is_no_departure() -> None:
    other = {"orpo_lambda": 0.5, "beta_dynamics": 0.1, "simpo_gamma": 1.0}
    assert departures(config(align=other)) == ()
    assert departures(config(objective="orpo", align={**other, "beta": 0.1})) == ("align.orpo_lambda 0.5 (0.1)",)
    assert departures(config(objective="bdpo", align=other)) == ("align.beta_dynamics 0.1 (0.6)",)


def test_departures_name_what_the_paper_states_and_not_what_it_leaves_open() -> None:
    open_ones = config(
        data={"test_prompts": 200}, evaluation={"samples": 2, "gold_reward": "skywork-llama-3.1-8b"}, seed=3
    )
    assert departures(open_ones) == ()
    changed = config(align={"beta": 0.1}, data={"max_pairs": 500})
    assert departures(changed) == ("data.max_pairs 500 (none)", "align.beta 0.1 (0.5)")


def test_a_part_that_a_run_does_without_is_a_departure() -> None:
    assert departures(config(data={"length_rule": None})) == ("data.length_rule none (max_tokens 512, counts pair)",)
    assert departures(config(data={"length_rule": {"max_tokens": 1024}})) == ("data.length_rule.max_tokens 1024 (512)",)
    assert departures(config(data={"length_rule": {"counts": "each"}})) == ()  # the paper does not say which
    assert departures(config(model={"lora": None})) == ("model.lora none (r 8, alpha 16, dropout 0.05)",)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("hh", 512), ("hh-harmless", 512), ("hh-helpful", 512), ("tldr", 1024), ("ultrafeedback", 2048)],
)
def test_pairs_longer_than_the_papers_limit_are_dropped(name: str, tokens: int) -> None:
    """Appendix E, of prompt and both responses."""
    rule = RunConfig.parse(merged(RUN, {"data": {"dataset": name}})).data.length_rule
    assert rule is not None
    assert rule.max_tokens == tokens


def test_sft_above_7b_takes_the_papers_smaller_steps() -> None:
    """Table 9: 16 per device × 4 accumulation steps, 4 × 4 above 7B."""
    large = {"model": {"policy": "facebook/opt-13b"}}
    assert [config(**changes).sft.batch_size for changes in ({}, large)] == [64, 16]
    assert departures(config(**large)) == ()
    assert departures(config(**large, sft={"batch_size": 64})) == ("sft.batch_size 64 (16)",)
    assert config(**large).align.batch_size == 64


@pytest.mark.parametrize("name", ["t24", "t24-sandbox"])
def test_the_mixes_of_table_24_share_their_unlabeled_part(name: str) -> None:
    """Half and half, whatever the labeled part is made of: 4,000 prompts of two kinds, one split for each mix."""
    prompts = [(f"{place:016x}", ("harmless", "helpful")[place % 2]) for place in range(4_000)]
    runs = {str(run.data.mix): run for run in expand({**comparison(PAPER_PRESETS[name]), "seed": 0, "method": "cw"})}
    assert len(runs) == 3
    found, labeled = set(), set()
    for run in runs.values():
        split = split_prompts(prompts, SplitSettings(**_split(run)))
        pool = [(one, kind) for one, kind in prompts if split.has("unlabeled", one)]
        found.add(tuple(pool))
        labeled.add(tuple(one for one, _ in prompts if split.has("labeled", one)))
        assert sum(kind == "harmless" for _, kind in pool) == pytest.approx(len(pool) / 2, rel=0.05)
    assert (len(found), len(labeled)) == (1, 3)


def test_the_nearest_setting_answers_then_the_one_with_most_seeds() -> None:
    near, far = config(), config(align={"beta": 0.1})
    found = answer_to(number(), [group("far", far, 8, 3), group("one", near, 1, 2), group("three", near, 3, 1)])
    assert found is not None
    assert found.key == "three"
    only = answer_to(number(), [group("far", far)])
    assert only is not None
    assert only.key == "far"
    assert answer_to(number(), []) is None


def test_head_to_head_meets_the_setting_that_was_judged_alike() -> None:
    """Figure 5 on HH: CW against Human; one of the two human settings has another gold reward."""
    number = next(n for n in published.numbers_of("F5") if n.dataset == "hh")
    qwen = {"model": {"annotator": "Qwen/Qwen2.5-0.5B", "policy": "Qwen/Qwen2.5-7B"}}
    larger = {"evaluation": {"gold_reward": "skywork-llama-3.1-8b"}}
    one = group("cw", config(**qwen, method="cw", **larger))
    small = group("small", config(**qwen, method="human"), seeds=8, newest=9)
    same = group("same", config(**qwen, method="human", **larger), seeds=2)
    assert [found.key for found in answers_to(number, [small, one, same])] == ["cw", "same"]
    assert answers_to(number, [one]) == answers_to(number, [small]) == ()
    table = published.TABLES["F5"]
    met = {("cw", "head_to_head"): ours(0.56, 0.03)}
    (cell,) = [cell for cell in cells(table, [one, same], met) if cell.ours]
    assert (cell.number.value, cell.run_ids, cell.says) == (0.546, (1, 1), "consistent")
    sampled_longer = group("same", config(**qwen, method="human", **merged(larger, {"align": {"epochs": 1}})))
    (cell,) = [cell for cell in cells(table, [one, sampled_longer], met) if cell.ours]
    assert (cell.departures, cell.verdict) == (("align.epochs 1 (5)",), None)


def test_seconds_of_any_of_the_tables_models_stand_there_without_a_verdict() -> None:
    timed = Measured(estimate=1800.0, low=None, high=None, n_prompts=0, n_seeds=3)
    table = published.TABLES["T6"]
    rows = cells(table, [group("g", config(method="cw"))], {("g", "seconds"): timed})
    (cell,) = [row for row in rows if row.ours]
    assert (cell.number.value, cell.says, cell.verdict, cell.low) == (2450.0, "no verdict", None, None)
    other = config(method="cw", model={"annotator": "some/model"})
    assert not [row for row in cells(table, [group("g", other)], {("g", "seconds"): timed}) if row.ours]


def test_a_figure_without_an_interval_concludes_nothing() -> None:
    bare = Measured(estimate=0.9, low=None, high=None, n_prompts=700, n_seeds=3)
    assert verdict(bare, 0.5, 0.01).name == "underpowered"


def test_cells_have_a_verdict_only_under_the_papers_protocol() -> None:
    """65.9 % of 704 prompts: standard error 1.79 points, ± 3.5; with ours ± 2 the half-width is 4.0."""
    for values, says in ((config(), "consistent"), (config(align={"beta": 0.1}), "other protocol")):
        rows = cells(T10, [group("g", values)], {("g", "gra"): ours(0.66, 0.02)})
        answered = [row for row in rows if row.ours]
        assert [(row.number.dataset, row.number.method, row.says) for row in answered] == [("hh", "weak", says)]
        assert len(rows) == 15


def difference_row(first: str, second: str, estimate: float | None, half: float, **more: Any) -> DifferenceRow:
    names = dict.fromkeys(("label", "first_label", "second_label", "first_method", "second_method", "objective"), "x")
    known = estimate is not None
    return DifferenceRow(
        first=first, second=second, **names, estimate=estimate, low=estimate - half if known else None,
        high=estimate + half if known else None, n_prompts=400, n_seeds=4, **more,
    )  # fmt: skip


def test_differences_are_paired_or_compared_column_against_column() -> None:
    """T10 on HH: top 30 % − weak = 67.7 − 65.9 = +1.8 points."""
    groups = [group("top", config(method="top:30")), group("weak", config())]
    assert wanted_pairs(T10, groups) == [("top", "weak")]
    measured = {("top", "gra"): ours(0.70, 0.03), ("weak", "gra"): ours(0.66, 0.04)}
    (paired,) = gaps(T10, groups, measured, {("top", "weak"): difference_row("top", "weak", 0.02, 0.01)})
    assert paired.difference.estimate == pytest.approx(0.018)
    assert (paired.ours.estimate, paired.paired, paired.says) == (0.02, True, "underpowered")
    found = difference_row("top", "weak", 0.02, 0.01, detectable=0.015, p_corrected=0.04, kl_estimate=0.3)
    (known,) = gaps(T10, groups, measured, {("top", "weak"): found})
    assert (known.detectable, known.p_corrected, known.ours.kl) == (0.015, 0.04, 0.3)
    assert {"detectable", "p_corrected", "ours_kl"} <= set(fields_of([known]).columns)
    apart = difference_row("top", "weak", None, 0, reason=DIFFERENT_BASELINES)
    (columns,) = gaps(T10, groups, measured, {("top", "weak"): apart})
    assert (columns.ours.low, columns.ours.high, columns.paired) == (pytest.approx(-0.01), pytest.approx(0.09), False)


def test_accuracies_differ_by_training_size_and_labels() -> None:
    """Table 6: 64.8 − 54.9 and 64.8 − 53.8; Table 12: 65.7 − 62.5; Table 13: 64.8 − 60.4, all in points."""
    means = {}
    for name in ("T6", "T12", "T13"):
        for row in summaries(published.TABLES[name], [], [], {}):
            means[name, row.label] = (round(100 * row.mean, 1), row.cells, row.positive)
    assert means["T6", "Bradley–Terry − implicit reward"] == (9.9, 6, 6)
    assert means["T6", "Bradley–Terry − implicit reward · without SFT"] == (11.0, 6, 6)
    assert means["T6", "implicit reward − implicit reward · without SFT"] == (1.1, 6, 6)
    assert means["T12", "Qwen2.5 7B − Qwen2.5 0.5B"] == (3.3, 3, 3)  # of the cells; 3.2 of the rounded averages
    assert means["T13", "30 % labels − 10 % labels"] == (4.4, 3, 3)
    assert len([key for key in means if key[0] == "T12"]) == 3
    assert len([key for key in means if key[0] == "T13"]) == 4


def test_accuracies_are_compared_column_against_column() -> None:
    """Table 13 on harmless pairs: 67.2 − 62.6 = 4.6; ours 66 ± 1 and 60 ± 1, so 6 ± 1.4."""
    table = published.TABLES["T13"]
    shares = {0.3: "more", 0.1: "few"}
    groups = [
        group(key, config(data={"dataset": "hh-harmless", "label_fraction": share})) for share, key in shares.items()
    ]
    measured = {("more", "accuracy"): ours(0.66, 0.01), ("few", "accuracy"): ours(0.60, 0.01)}
    (gap,) = gaps(table, groups, measured, {})
    assert gap.difference.estimate == pytest.approx(0.046)
    assert (gap.ours.low, gap.ours.high) == pytest.approx((0.06 - math.sqrt(2) / 100, 0.06 + math.sqrt(2) / 100))
    assert (gap.paired, gap.says) == (False, "consistent")  # half-width √(1.41² + 0.73²) = 1.6 points, gap 1.4
    assert wanted_pairs(table, groups) == []


def test_runs_with_a_mix_ask_what_no_cell_is_answered_by() -> None:
    qwen = {"model": {"annotator": "Qwen/Qwen2.5-0.5B", "policy": "Qwen/Qwen2.5-7B"}}
    mixed = {"data": {"dataset": "hh", "mix": {"harmless": 0.8, "helpful": 0.2}, "unlabeled_fraction": 0.5}}
    asked = [
        group(name, config(**qwen, **mixed, method=name), newest=place) for place, name in enumerate(("cw", "weak"))
    ]
    table = published.TABLES["T24"]
    assert asking(table, [*asked, group("plain", config(**qwen, method="cw"), newest=7)]) == [0, 1]
    assert not any(cell.ours for cell in cells(table, asked, {("cw", "gra"): ours(0.6, 0.01)}))
    assert asking(T10, asked) == []


def test_every_mix_has_its_own_sign_from_the_sandbox() -> None:
    """Table 24, CW − WS: 4.05, 4.0 and 4.3 points over harmless and helpful prompts; signs with a tenth labeled."""
    table = published.TABLES["T24"]
    mixed = {
        "dataset": "sandbox", "mix": {"harmless": 0.8, "helpful": 0.2}, "label_fraction": 0.1,
        "unlabeled_fraction": 0.5,
    }  # fmt: skip
    groups = [group(name, RunConfig.parse({"method": name, "data": mixed})) for name in ("cw", "ws")]
    assert sandbox_pairs(table, groups) == [("cw", "ws")]
    rows = summaries(table, [], groups, {("cw", "ws"): difference_row("cw", "ws", 0.05, 0.02, p_corrected=0.01)})
    assert [(row.about, row.sandbox_sign) for row in rows] == [
        ("harmless 50 %, helpful 50 %", ""),
        ("harmless 80 %, helpful 20 %", "above"),
        ("harmless 20 %, helpful 80 %", ""),
    ]
    assert [100 * row.mean for row in rows] == pytest.approx([4.05, 4.0, 4.3])


@pytest.mark.parametrize(
    ("estimate", "p", "sign"), [(0.05, 0.01, "above"), (-0.05, 0.01, "below"), (0.05, 0.2, "not told apart")]
)
def test_the_sandbox_shows_a_sign_and_never_a_verdict(estimate: float, p: float, sign: str) -> None:
    """Both settings must come from one world; no cell of the paper is ever answered from there."""
    tiny = {"objective": "dpo", "data": {"dataset": "sandbox"}}
    one, two = ({**tiny, "method": method} for method in ("top:30", "weak"))
    groups = [group(name, RunConfig.parse(values)) for name, values in (("a", one), ("b", two))]
    assert sandbox_pairs(T10, groups) == [("a", "b")]
    rows = summaries(T10, [], groups, {("a", "b"): difference_row("a", "b", estimate, 0.02, p_corrected=p)})
    top_weak = next(row for row in rows if row.label == "Top 30 % − Weak labels")
    assert (top_weak.sandbox_sign, top_weak.verdicts) == (sign, {})
    assert (top_weak.mean, top_weak.cells, top_weak.positive) == (pytest.approx(0.0333, abs=1e-4), 3, 3)
    assert not any(cell.ours for cell in cells(T10, groups, {(key, "gra"): ours(0.7, 0.01) for key in "ab"}))
    noisier = RunConfig.parse({**two, "data": {"dataset": "sandbox", "sandbox": {"noise": 3.0}}})
    assert sandbox_pairs(T10, [groups[0], group("b", noisier)]) == []


@dataclass(frozen=True)
class Listed:
    """As much of a run as is read here."""

    id: int
    group_key: str
    seed: int


def test_groups_hold_the_seeds_of_a_setting_newest_first() -> None:
    runs = [Listed(1, "a", 0), Listed(2, "a", 1), Listed(3, "b", 0), Listed(4, "c", 0)]
    found = groups_of(runs, dict.fromkeys((1, 2, 3), config()))
    assert [(one.key, one.run_ids, one.n_seeds) for one in found] == [("b", (3,), 1), ("a", (1, 2), 2)]


@pytest.mark.parametrize("table", [name for name, table in published.TABLES.items() if not table.unanswered])
def test_the_sweeps_of_a_table_answer_all_its_cells(table: str) -> None:
    """Under the paper's protocol, its judge of SHP included."""
    runs = [
        run
        for preset in PAPER_PRESETS.values()
        if table in preset.tables and not preset.sandbox
        for run in expand({**comparison(preset), "seed": 0})
    ]
    groups = [group(str(place), values, newest=place) for place, values in enumerate(runs)]
    for number in published.numbers_of(table):
        if number.method not in catalog.METHODS:  # online DPO with a reward model from elsewhere
            continue
        found = answers_to(number, groups)
        assert len(found) == (2 if number.metric == "head_to_head" else 1), number
        apart = {word for one in found for word in departures(one.config, number.metric)}
        assert apart == set(), number


@pytest.mark.parametrize("preset", [p for p in PAPER_PRESETS.values() if p.sandbox], ids=lambda p: p.name)
def test_the_small_sweep_of_a_table_asks_for_its_differences(preset: Any) -> None:
    table = published.TABLES[preset.tables[0]]
    sweeps = [one for one in PAPER_PRESETS.values() if one.sandbox and table.name in one.tables]
    runs = [run for one in sweeps for run in expand({**comparison(one), "seed": 0})]
    groups = [group(str(place), values, newest=place) for place, values in enumerate(runs)]
    paired = {
        line_of(difference) for difference in differences_of(table) if difference.first.metric in ("gra", "win_rate")
    }
    assert len(sandbox_pairs(table, groups)) == len(paired)


def test_a_win_rate_by_another_judge_than_the_papers_is_another_protocol() -> None:
    """CW on HH by DPO, OPT 13B: 51.9 % by GPT-4. The same runs, the same figure, another judge."""
    values = config(data={"dataset": "hh"}, model={"policy": "facebook/opt-13b"}, method="cw")
    groups = [group("cw", values)]
    says = {}
    for judge in ("gpt-4-0613", "a-small-judge"):
        figures = {("cw", "win_rate"): replace(ours(0.52, 0.03), about=judge)}
        (cell,) = [cell for cell in cells(published.TABLES["T17"], groups, figures) if cell.ours is not None]
        assert cell.number.value == pytest.approx(0.519)
        says[judge] = (cell.says, cell.departures)
    assert says == {
        "gpt-4-0613": ("consistent", ()),
        "a-small-judge": ("other protocol", ("judge a-small-judge (GPT-4)",)),
    }
