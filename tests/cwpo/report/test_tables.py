"""Comparison tables: intervals over seeds, pairing, the sentence for every case, formats and exports."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from cwpo.compare import gra
from cwpo.compare.alignment_end import alignment_ends
from cwpo.compare.gra import DifferenceRow, GraRow, gra_table, pairs_against, planned_pairs, setting_key
from cwpo.config.run import RunConfig
from cwpo.report import columns
from cwpo.report.gra_terms import Terms, terms_by_setting
from cwpo.report.numbers import count, duration, interval, number, p_value, percent, points, points_interval, size
from cwpo.report.sentences import verdict_sentence, what_the_seed_moved
from cwpo.report.tables import Table, to_csv, to_json, to_latex, to_markdown
from cwpo.statistics import intervals
from cwpo.statistics.shares import share
from tests.cwpo.compare.compared_runs import ALIKE, LABELS, PROMPTS, outcomes_of, runs_of


def test_gra_over_seeds_is_the_share_over_seeds_and_prompts_and_never_one_binomial() -> None:
    runs = runs_of("weak", "cw")
    outcomes = outcomes_of(runs, chance=ALIKE)
    row = next(row for row in gra_table(runs, outcomes) if row.method == "cw")
    table = outcomes[outcomes["run_id"].isin(row.run_ids)].pivot(index="run_id", columns="prompt_id", values="outcome")
    wanted = share(table.to_numpy())
    assert (row.estimate, row.low, row.high) == (wanted.estimate, wanted.low, wanted.high)
    assert row.estimate == pytest.approx(table.to_numpy().mean())
    pooled = stats.binomtest(int(table.to_numpy().sum()), table.size).proportion_ci(method="wilson")
    assert row.high - row.low > pooled.high - pooled.low
    assert (row.n_prompts, row.n_seeds, row.seeds, row.note) == (120, 4, (0, 1, 2, 3), "")
    assert row.wins + row.ties + row.losses == 480
    assert row.tokens == pytest.approx(21.5)
    assert (row.baseline_tokens, row.ungrammatical, row.baseline_ungrammatical) == (18.0, 0.25, None)
    assert row.kl == pytest.approx(1.0, abs=0.02)


def test_drift_and_length_stand_beside_every_gra() -> None:
    """Rewards are β times log-ratios, averaged over seeds; tokens 20 and 21 against 18."""
    runs = runs_of("cw", seeds=2)
    outcomes = outcomes_of(runs, chance=ALIKE)
    ends = pd.DataFrame(
        [(1, "rewards/chosen", -0.5), (1, "rewards/rejected", -1.5), (2, "rewards/chosen", -0.7)],
        columns=["run_id", "name", "value"],
    )
    configs = {run.id: RunConfig.parse({"align": {"beta": 0.25}}) for run in runs}
    (row,) = gra_table(runs, outcomes, configs=configs, ends=alignment_ends(configs, ends))
    assert (row.beta, row.chosen_logratio, row.rejected_logratio) == (0.25, pytest.approx(-2.4), pytest.approx(-6.0))
    assert row.length_ratio == pytest.approx(20.5 / 18)
    assert row.length_low is not None
    assert row.length_controlled is not None
    assert row.length_high is not None
    assert row.length_low < row.length_controlled < row.length_high
    table = columns.gra_cells([row], {row.group_key: Terms()})
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert (cells["chosen, nats"], cells["rejected, nats"], cells["length ratio"]) == ("−2.40", "−6.00", "1.14")


def test_settings_that_differ_in_beta_say_so() -> None:
    runs = runs_of("cw", "weak")
    runs += [replace(run, group_key=f"{run.group_key}-b", id=run.id + 100) for run in runs]
    configs = {run.id: RunConfig.parse({"align": {"beta": 0.5 if run.id < 100 else 0.25}}) for run in runs}
    rows = gra_table(runs, outcomes_of(runs, chance=ALIKE), configs=configs)
    assert [row.label for row in rows] == ["Weak labels · β 0.25", "Weak labels · β 0.5", "CW · β 0.25", "CW · β 0.5"]


def test_one_seed_says_that_it_covers_prompts_only() -> None:
    runs = runs_of("cw", seeds=1)
    outcomes = outcomes_of(runs, chance=ALIKE)
    row = gra_table(runs, outcomes)[0]
    wanted = intervals.single_run_interval(outcomes["outcome"].to_numpy())
    assert (row.low, row.high, row.interval_method) == (wanted.low, wanted.high, "Wilson")
    assert row.note == "prompt uncertainty only (1 seed)"
    assert row.seed_sd is None


def test_rows_stand_in_the_order_of_the_catalog_and_name_their_objective_when_there_are_several() -> None:
    runs = runs_of("top", "cw", "human") + runs_of("cw", objective="ipo", first_id=100)
    rows = gra_table(runs, outcomes_of(runs, chance=ALIKE))
    assert [row.label for row in rows] == ["Human · DPO", "CW · DPO", "Top 30 % · DPO", "CW · IPO"]


@pytest.mark.parametrize("method", ["top", "random", "bottom"])
def test_the_share_of_pairs_kept_is_read_off_the_configuration_of_every_method_that_has_one(method: str) -> None:
    """Whatever the label says; settings of one method stand in the order of their shares, and files carry them."""
    shares = {0: 50.0, 1: 7.5}
    runs = [replace(runs_of("cw", seeds=1)[0], id=one, group_key=str(one), method=method) for one in shares]
    configs = {one: RunConfig.parse({"method": method, "top_percent": share}) for one, share in shares.items()}
    outcomes = outcomes_of(runs, chance={method: 0.6})
    rows = gra_table(runs, outcomes, configs=configs)
    assert [row.top_percent for row in rows] == [7.5, 50.0]
    values = json.loads(to_json(columns.gra_numbers(rows, terms_by_setting(runs, configs))))
    assert [row["top_percent"] for row in values] == [7.5, 50.0]
    weak = {one: RunConfig.parse({"method": "weak"}) for one in shares}
    assert [row.top_percent for row in gra_table(runs, outcomes, configs=weak)] == [None, None]


def test_settings_that_share_a_name_are_numbered() -> None:
    runs = runs_of("cw") + [
        replace(run, group_key="other", id=run.id + 100) for run in runs_of("cw")
    ]  # fmt: skip
    rows = gra_table(runs, outcomes_of(runs, chance=ALIKE))
    assert [row.label for row in rows] == ["CW (1)", "CW (2)"]


def test_runs_without_outcomes_are_left_out() -> None:
    runs = runs_of("cw", "weak", seeds=3)
    outcomes = outcomes_of([run for run in runs if run.method == "cw" and run.seed != 2], chance=ALIKE)
    (row,) = gra_table(runs, outcomes)
    assert (row.method, row.seeds) == ("cw", (0, 1))
    (pair,) = gra.differences(runs, outcomes)
    assert (pair.reason, pair.estimate, pair.is_real) == ("not evaluated yet", None, False)


def test_prompts_that_a_seed_lacks_are_left_out_and_counted() -> None:
    runs = runs_of("cw", seeds=2)
    outcomes = outcomes_of(runs, chance=ALIKE)
    outcomes = outcomes[~((outcomes["run_id"] == runs[1].id) & outcomes["prompt_id"].isin(PROMPTS[:7]))]
    (row,) = gra_table(runs, outcomes)
    assert (row.n_prompts, row.note) == (113, "7 prompts left out that not every seed answered")


def test_seeds_without_a_common_prompt_show_one_seed_and_say_so() -> None:
    runs = runs_of("cw", seeds=2)
    outcomes = outcomes_of(runs, chance=ALIKE)
    outcomes.loc[outcomes["run_id"] == runs[1].id, "prompt_id"] += "x"
    (row,) = gra_table(runs, outcomes)
    assert (row.n_seeds, row.run_ids) == (1, (runs[0].id,))
    assert "share no prompt: only seed 0" in row.note


def test_two_runs_of_one_seed_are_not_two_seeds() -> None:
    runs = runs_of("cw", seeds=1)
    runs.append(replace(runs[0], id=50))
    (row,) = gra_table(runs, outcomes_of(runs, chance=ALIKE))
    assert (row.n_seeds, row.n_prompts) == (1, 120)


def test_differences_are_paired_cell_by_cell() -> None:
    runs = runs_of("human", "weak", "cw")
    outcomes = outcomes_of(runs, chance=ALIKE | {"cw": 0.7})
    found = gra.differences(runs, outcomes)
    assert [row.label for row in found] == ["CW − Weak labels", "CW − Human"]
    tables = {}
    for method in ("cw", "weak"):
        ids = [run.id for run in runs if run.method == method]
        tables[method] = outcomes[outcomes["run_id"].isin(ids)].pivot(
            index="run_id", columns="prompt_id", values="outcome"
        )
    gap = tables["cw"].to_numpy() - tables["weak"].to_numpy()
    first = found[0]
    assert first.estimate == pytest.approx(gap.mean())
    assert first.low is not None
    assert first.high is not None
    assert first.low + first.high == pytest.approx(2 * gap.mean())
    for row in found:
        assert row.p is not None
        assert row.p_corrected is not None
        assert row.p <= row.p_corrected <= 2 * row.p + 0.01  # Bonferroni, and the error of the draws
        assert (row.p_corrected < 0.05) == row.is_real == (not row.covers_zero)
        assert row.comparisons == 2
    assert first.detectable is not None
    assert first.detectable > (first.high - first.low) / 2
    assert first.kl_low is not None
    assert first.kl_low < 0 < first.kl_high


def test_only_runs_with_the_same_opponent_are_paired() -> None:
    runs = runs_of("weak", "cw")
    outcomes = outcomes_of(runs, chance=ALIKE)
    own = [replace(run, baseline=run.method) for run in runs]
    assert [row.reason for row in gra.differences(own, outcomes)] == ["different opponents"]
    per_seed = [replace(run, baseline=f"seed {run.seed}") for run in runs]
    assert [row.reason for row in gra.differences(per_seed, outcomes)] == [None]
    unknown = [replace(run, baseline=None) for run in runs]
    assert [row.reason for row in gra.differences(unknown, outcomes)] == ["opponent unknown"]


def test_only_runs_with_the_same_judge_are_paired() -> None:
    """Ten points apart, by two gold rewards: no figure, planned or pinned, and nothing to emphasise."""
    runs = runs_of("weak", "cw")
    outcomes = outcomes_of(runs, chance=ALIKE | {"cw": 0.9})
    assert gra.differences(runs, outcomes)[0].is_real
    other = [replace(run, judge=run.method) for run in runs]
    for pairs in (None, pairs_against(other, "weak-dpo")):
        (row,) = gra.differences(other, outcomes, pairs=pairs)
        assert (row.reason, row.estimate, row.is_real) == ("different gold rewards", None, False)
    assert "CW and Weak labels cannot be compared (different gold rewards)" in verdict_sentence(
        gra_table(other, outcomes), [row]
    )
    trained = [replace(run, judge=f"trained under seed {run.seed}") for run in runs]
    assert [row.reason for row in gra.differences(trained, outcomes)] == [None]
    unknown = [replace(run, judge=None) for run in runs]
    assert [row.reason for row in gra.differences(unknown, outcomes)] == ["gold reward unknown"]


def test_no_common_seed_or_prompt_is_a_reason() -> None:
    runs = runs_of("weak", "cw", seeds=1)
    outcomes = outcomes_of(runs, chance=ALIKE)
    shifted = [replace(run, seed=run.seed + (run.method == "cw")) for run in runs]
    assert gra.differences(shifted, outcomes)[0].reason == "no seed in common"
    outcomes.loc[outcomes["run_id"] == runs[1].id, "prompt_id"] += "x"
    assert gra.differences(runs, outcomes)[0].reason == "no prompt in common"


def test_equal_runs_differ_by_nothing_and_do_not_crash() -> None:
    runs = runs_of("weak", "cw", seeds=2)
    outcomes = outcomes_of(runs, chance=ALIKE)
    outcomes["outcome"] = 1.0
    outcomes["logratio"] = 0.5
    (row,) = gra.differences(runs, outcomes)
    assert (row.estimate, row.p_corrected, row.kl_estimate) == (0.0, 1.0, 0.0)
    assert row.covers_zero
    assert row.high is not None
    assert row.high > 1 - 0.025 ** (1 / 120)  # what 120 prompts that all agree may hide
    assert "cannot be told apart" in verdict_sentence(gra_table(runs, outcomes), [row])


def test_pairs_can_be_pinned_to_a_reference_and_kept_within_a_setting() -> None:
    runs = runs_of("weak", "cw", "human", seeds=2)
    assert pairs_against(runs, "weak-dpo") == [("cw-dpo", "weak-dpo"), ("human-dpo", "weak-dpo")]
    other = [replace(run, group_key=f"{run.group_key}-beta1", id=run.id + 50) for run in runs_of("weak", "cw", seeds=2)]
    assert planned_pairs(runs + other) == []  # several settings of each method: nothing is guessed
    settings = {run.group_key: "beta 1" if run.group_key.endswith("beta1") else "beta .5" for run in runs + other}
    assert planned_pairs(runs + other, settings=settings) == [
        ("cw-dpo", "weak-dpo"), ("cw-dpo", "human-dpo"), ("cw-dpo-beta1", "weak-dpo-beta1"),
    ]  # fmt: skip


def test_setting_key_ignores_method_seed_and_name_alone() -> None:
    def key(**changes: Any) -> str:
        return setting_key(RunConfig(**changes))

    assert key(method="cw", seed=3, name="x") == key(method="top:30", seed=1)
    assert key(align={"beta": 0.3}) != key(align={"beta": 0.5})


# ---- the sentence -------------------------------------------------------------------------------------------------


def row_of(method: str, *, kl: float | None = 1.0, objective: str = "dpo", key: str | None = None) -> GraRow:
    return GraRow(
        group_key=key or method, label=LABELS[method], method=method, method_label=LABELS[method], objective=objective,
        top_percent=None, run_ids=(1,), seeds=(0, 1, 2, 3), estimate=0.6, low=0.55, high=0.65, interval_method="t",
        n_prompts=400, n_seeds=4, wins=1, ties=0, losses=0, strict=0.6, ties_dropped=0.6, seed_sd=0.01, kl=kl,
        tokens=20.0, baseline_tokens=19.0, ungrammatical=None, baseline_ungrammatical=None, note="",
    )  # fmt: skip


def pair_of(
    second: str,
    estimate: float,
    half: float,
    *,
    objective: str = "dpo",
    keys: tuple[str, str] | None = None,
    **changes: Any,
) -> DifferenceRow:
    first, other = keys or ("cw", second)
    found = DifferenceRow(
        first=first, second=other, label=f"CW − {LABELS[second]}", first_label="CW", second_label=LABELS[second],
        first_method="cw", second_method=second, objective=objective, estimate=estimate, low=estimate - half,
        high=estimate + half, p=0.01, p_corrected=0.02, comparisons=2, detectable=half + 0.009, n_prompts=400,
        n_seeds=4, kl_estimate=0.0, kl_low=-0.1, kl_high=0.1,
    )  # fmt: skip
    return replace(found, **changes)


FURTHER = {"kl_estimate": 0.35, "kl_low": 0.2, "kl_high": 0.5}
NEARER = {"kl_estimate": -0.35, "kl_low": -0.5, "kl_high": -0.2}
ROWS = [row_of("human"), row_of("weak", kl=1.8), row_of("cw", kl=2.5)]


def test_an_interval_over_zero_cannot_be_told_apart() -> None:
    text = verdict_sentence(ROWS[1:], [pair_of("weak", -0.014, 0.021, p_corrected=0.4)])
    assert text == (
        "CW and Weak labels cannot be told apart at 400 prompts × 4 seeds (−1.4 points, 95 % −3.5 to +0.7; "
        "smallest detectable difference 3.0 points)."
    )


def test_an_undecided_difference_still_tells_who_moved_further() -> None:
    text = verdict_sentence(ROWS[1:], [pair_of("weak", 0.001, 0.021, **FURTHER)])
    assert text.endswith(", though it moved further from its reference (KL 2.50 against 1.80 nats).")
    text = verdict_sentence(ROWS[1:], [pair_of("weak", 0.001, 0.021, **NEARER)])
    assert "moved less far" in text


def test_a_gain_that_moved_further_may_be_distance() -> None:
    text = verdict_sentence(ROWS[1:], [pair_of("weak", 0.014, 0.009, **FURTHER)])
    assert text == (
        "CW is above Weak labels at 400 prompts × 4 seeds (+1.4 points, 95 % +0.5 to +2.3), but it also moved further "
        "from its reference (KL 2.50 against 1.80 nats), so the gain may be distance, not direction."
    )


@pytest.mark.parametrize(
    ("kl", "words"), [({}, "without moving measurably further"), (NEARER, "without moving as far")]
)
def test_a_gain_at_the_same_distance(kl: dict[str, float], words: str) -> None:
    text = verdict_sentence(ROWS[1:], [pair_of("weak", 0.014, 0.009, **kl)])
    assert "CW is above Weak labels" in text
    assert words in text
    assert "may be distance" not in text


def test_a_gain_without_a_kl_may_be_distance_too() -> None:
    rows = [row_of("weak", kl=None), row_of("cw", kl=None)]
    unmeasured = {"kl_estimate": None, "kl_low": None, "kl_high": None}
    text = verdict_sentence(rows, [pair_of("weak", 0.014, 0.009, **unmeasured)])
    assert "KL was not measured, so the gain may be distance alone" in text


def test_without_paired_log_ratios_the_means_decide_who_moved_further() -> None:
    unpaired = {"kl_estimate": None, "kl_low": None, "kl_high": None}
    assert "may be distance" in verdict_sentence(ROWS[1:], [pair_of("weak", 0.014, 0.009, **unpaired)])


def test_a_loss_is_said_as_plainly() -> None:
    text = verdict_sentence(ROWS, [pair_of("weak", -0.03, 0.01, **FURTHER), pair_of("human", -0.063, 0.012)])
    assert text == (
        "CW is below Weak labels at 400 prompts × 4 seeds (−3.0 points, 95 % −4.0 to −2.0), though it moved further "
        "from its reference (KL 2.50 against 1.80 nats); CW is below Human at 400 prompts × 4 seeds (−6.3 points, "
        "95 % −7.5 to −5.1), at KL 2.50 against 1.00 nats."
    )


def test_an_interval_within_a_point_and_a_half_says_that_the_two_differ_by_less() -> None:
    text = verdict_sentence(ROWS[1:], [pair_of("weak", 0.002, 0.01, p_corrected=0.7)])
    assert text.startswith("CW and Weak labels differ by less than 1.5 points at 400 prompts × 4 seeds (+0.2 points")
    assert pair_of("weak", 0.002, 0.01).told == "smaller than ±1.5"
    assert pair_of("weak", 0.007, 0.006).told == "different, smaller than ±1.5"
    assert (pair_of("weak", 0.02, 0.01).told, pair_of("weak", 0.01, 0.02).told) == ("different", "cannot be told")


def test_one_seed_may_turn_around() -> None:
    pair = pair_of("weak", 0.05, 0.03, n_seeds=1, note="prompt uncertainty only (1 seed)")
    text = verdict_sentence(ROWS[1:], [pair])
    assert "400 prompts × 1 seed (" in text
    assert text.endswith("prompt uncertainty only, and another seed may turn it around.")


def test_the_order_of_a_pinned_reference_does_not_change_the_sentence() -> None:
    runs = runs_of("human", "weak", "cw", seeds=5)
    outcomes = outcomes_of(runs, chance={"human": 0.6, "weak": 0.45, "cw": 0.75}, kl={"cw": 1.6})
    rows = gra_table(runs, outcomes)
    planned = gra.differences(runs, outcomes)
    pinned = gra.differences(runs, outcomes, pairs=pairs_against(runs, "cw-dpo"))
    assert {(row.first_method, row.second_method) for row in pinned} == {("weak", "cw"), ("human", "cw")}
    assert verdict_sentence(rows, pinned) == verdict_sentence(rows, planned)


def test_no_figures_gives_the_reason() -> None:
    pair = DifferenceRow(
        first="cw", second="weak", label="", first_label="CW", second_label="Weak labels", first_method="cw",
        second_method="weak", objective="dpo", reason="different opponents",
    )  # fmt: skip
    assert verdict_sentence(ROWS[1:], [pair]) == "CW and Weak labels cannot be compared (different opponents)."


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "No run of this table has been evaluated yet"),
        ([row_of("human"), row_of("weak")], "no evaluated CW setting"),
        ([row_of("cw"), row_of("top")], "neither uniform weak labels"),
        ([row_of("cw"), row_of("weak"), row_of("weak", key="other")], "CW and Weak labels stand here in several"),
    ],
)
def test_a_table_that_supports_nothing_says_so(rows: list[GraRow], words: str) -> None:
    assert words in verdict_sentence(rows, [])


def test_each_objective_has_its_own_sentence() -> None:
    rows = [*ROWS[1:], row_of("weak", objective="ipo", key="w"), row_of("cw", objective="ipo", key="c")]
    pairs = [pair_of("weak", 0.0, 0.02), pair_of("weak", 0.05, 0.02, objective="ipo", keys=("c", "w"))]
    text = verdict_sentence(rows, pairs)
    assert text.startswith("DPO: CW and Weak labels cannot be told apart")
    assert " IPO: CW is above Weak labels" in text


def test_the_sentence_follows_from_simulated_runs() -> None:
    runs = runs_of("human", "weak", "cw", seeds=5)
    outcomes = outcomes_of(runs, chance={"human": 0.6, "weak": 0.45, "cw": 0.75}, kl={"cw": 1.6})
    text = verdict_sentence(gra_table(runs, outcomes), gra.differences(runs, outcomes))
    assert "CW is above Weak labels at 120 prompts × 5 seeds" in text
    assert "the gain may be distance" in text


# ---- what the seed moved --------------------------------------------------------------------------------------------


def test_the_seed_moves_everything_but_prompts_and_base_models_in_the_sandbox() -> None:
    configs = [RunConfig(method=method, seed=seed) for method in ("cw", "human") for seed in (0, 1, 2)]
    assert what_the_seed_moved(configs) == (
        "3 seeds: the seed moved the split into labeled and unlabeled pairs, the annotator and alignment; held-out "
        "prompts and sampling noise stay the same (evaluation.seed 0), and so do the pretrained base models "
        "(seeds.base 0)."
    )


def test_fixed_seeds_are_named() -> None:
    config = RunConfig(seeds={"annotator": 7}, data={"dataset": "hh"}, sft={"data": "pool"})
    text = what_the_seed_moved([config])
    assert text.startswith(
        "One seed: the seed would move the split into labeled and unlabeled pairs, SFT and alignment;"
    )
    assert text.endswith("and so do the annotator (seeds.annotator 7).")


def test_an_existing_annotator_does_not_move_but_its_label_dropout_does() -> None:
    use = {"use": "ab" * 32}
    steady, noisy = (
        what_the_seed_moved([RunConfig(annotator={**use, "label_dropout": dropout})]) for dropout in (0.0, 0.2)
    )
    moved = "One seed: the seed would move the split into labeled and unlabeled pairs"
    assert steady.startswith(f"{moved} and alignment; ")
    assert noisy.startswith(f"{moved}, alignment and label dropout; ")
    assert "so do the annotator that exists already (annotator.use abababababab) and the pretrained base" in steady


# ---- formats and exports -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (percent(0.59264), "59.3 %"),
        (percent(None), "–"),
        (percent(float("nan")), "–"),
        (points(0.0141), "+1.4"),
        (points(-0.0141), "−1.4"),
        (points(-0.0001), "0.0"),
        (interval(0.5921, 0.649), "59.2 – 64.9"),
        (points_interval(-0.019, 0.029), "−1.9 to +2.9"),
        (number(-1234.5, 1), "−1,234.5"),
        (count(100000), "100,000"),
        (p_value(0.00001), "< 0.001"),
        (p_value(0.0234), "0.023"),
        (duration(3840), "1 h 04 min"),
        (duration(59.7), "1 min 00 s"),
        (duration(0.44), "0.4 s"),
        (duration(-600.0), "0.0 s"),
        (size(12_345_678), "12.3 MB"),
        (size(999), "999 B"),
        (size(999_999), "1.0 MB"),
    ],
)
def test_formats(shown: str, wanted: str) -> None:
    assert shown == wanted


HOSTILE = ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "\0x", "\nx"]


def test_csv_runs_no_formula_and_keeps_numbers() -> None:
    table = Table(columns=("=name", "value"), rows=(*((text, -1.5) for text in HOSTILE), ("fine", None)))
    read = list(csv.reader(io.StringIO(to_csv(table).replace("\0", "\\0"), newline="")))
    assert read[0] == ["'=name", "value"]
    assert [row[0][0] for row in read[1:-1]] == ["'"] * len(HOSTILE)
    assert [row[1] for row in read[1:-1]] == ["-1.5"] * len(HOSTILE)
    assert read[-1] == ["fine", ""]


def test_json_is_untouched_and_has_no_nan() -> None:
    table = Table(columns=("name", "value"), rows=(("=x", float("nan")), ("−", -1.5)))
    assert json.loads(to_json(table)) == [{"name": "=x", "value": None}, {"name": "−", "value": -1.5}]


def test_markdown_keeps_its_columns_whatever_the_text() -> None:
    table = Table(columns=("name", "value"), rows=(("a|b\n<script>*x*", 1.25), ("ok", None)))
    lines = to_markdown(table).splitlines()
    assert lines == [
        "| name | value |",
        "| --- | ---: |",
        "| a\\|b &lt;script&gt;\\*x\\* | 1.25 |",
        "| ok | – |",
    ]


def test_latex_escapes_what_would_break_it() -> None:
    table = Table(columns=("method", "95 %"), rows=(("50% & $x_1^2$ \\input{~}", "−1.9 to +2.9"),))
    text = to_latex(table)
    assert text.startswith("\\begin{tabular}{lr}\n\\toprule\nmethod & 95 \\% \\\\\n\\midrule\n")
    assert r"50\% \& \$x\_1\textasciicircum{}2\$ \textbackslash{}input\{\textasciitilde{}\} & $-$1.9 to +2.9 \\" in text


def test_tables_of_a_comparison_export_in_every_format() -> None:
    runs = runs_of("human", "weak", "cw", seeds=2)
    outcomes = outcomes_of(runs, chance=ALIKE)
    rows, pairs = gra_table(runs, outcomes), gra.differences(runs, outcomes)
    terms = {row.group_key: Terms() for row in rows}
    cells = columns.gra_cells(rows, terms)
    assert [row[0] for row in cells.rows] == ["Human", "Weak labels", "CW"]
    assert cells.rows[0][1] == f"{100 * rows[0].estimate:.1f}"
    assert "---:" in to_markdown(cells)
    back = pd.read_csv(io.StringIO(to_csv(columns.gra_numbers(rows, terms))))
    assert back["estimate"].tolist() == pytest.approx([row.estimate for row in rows], abs=1e-15)
    assert back["seeds"].tolist() == ["0 1"] * 3
    differences = json.loads(to_json(columns.numbers(columns.DIFFERENCE, pairs)))
    assert [row["label"] for row in differences] == ["CW − Weak labels", "CW − Human"]
    assert differences[0]["low"] == pairs[0].low
    assert columns.cells(columns.DIFFERENCE, pairs).rows[0][1] == points(pairs[0].estimate)
    assert r"\bottomrule" in to_latex(columns.cells(columns.DIFFERENCE, pairs))
