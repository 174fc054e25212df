"""The benchmarks' workload is what it claims to be, and their results are kept cell by cell."""

import importlib
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import annotator_quality, annotators, dpo, label_noise, measure, report, workload
from benchmarks.__main__ import NAMES, USUAL, options_of
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import equality, step
from benchmarks.gpu.rows import Rows
from benchmarks.measure import Results, Sample
from cwpo.config.run import RunConfig
from cwpo.data.split import is_swapped
from cwpo.records import CandidatePair
from cwpo.stages.graph import build


def test_lengths_have_the_statistics_of_the_real_pairs():
    """Of HH harmless-base test: 2,312 pairs; packed, concatenated, answer and padded tokens per pair."""
    lengths = workload.lengths()
    assert lengths.shape == (2312, 3)
    assert lengths.min() >= 1
    assert lengths.sum(axis=1).mean() == pytest.approx(workload.PACKED, abs=0.1)
    assert (2 * lengths[:, 0] + lengths[:, 1] + lengths[:, 2]).mean() == pytest.approx(workload.CONCATENATED, abs=0.1)
    assert lengths[:, 1:].sum(axis=1).mean() == pytest.approx(workload.RESPONSE, abs=0.1)
    padded = np.mean([workload.padded_mean(lengths, 8, seed=seed) for seed in range(20)])
    assert padded == pytest.approx(workload.PADDED_8, rel=0.01)


@pytest.mark.parametrize("count", [4, 8, 24])
def test_a_measured_batch_is_like_the_whole(count):
    rows = workload.typical(count, batch=min(count, 8))
    assert rows.sum(axis=1).mean() == pytest.approx(workload.PACKED, rel=0.03)
    assert rows[:, 1:].sum(axis=1).mean() == pytest.approx(workload.RESPONSE, rel=0.03)
    whole = workload.padded_mean(workload.lengths(), min(count, 8))
    assert workload.padded_mean(rows, min(count, 8)) == pytest.approx(whole, rel=0.05)


def test_useful_flops_by_hand():
    """6 tokens x 4 (4 h² + 2 h f) weights x 6, head 3 answer tokens, attention 12 L h (positions seen)."""
    shape = workload.SHAPES["opt-tiny"]
    layers = 4 * (4 * 128**2 + 2 * 128 * 512)
    assert workload.layer_weights(shape) == layers
    seen = 3**2 / 2 + 2 * (3 + 1) + 1 * (3 + 0.5)
    wanted = 6 * layers * 6 + 6 * 128 * 4096 * 3 + 12 * 4 * 128 * seen
    assert workload.useful_flops("opt-tiny", np.array([[3, 2, 1]])) == wanted


@pytest.mark.parametrize("name", ["opt-tiny", "qwen2-tiny"])
def test_weights_of_the_layers_are_those_of_the_model(name):
    model = workload.policy(name)
    own = sum(p.numel() for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2)
    assert own == workload.layer_weights(workload.SHAPES[name])


def test_samples_survive_a_kill_and_are_not_taken_twice(tmp_path):
    taken = []

    def measure():
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(1)
        return Sample(wall=float(len(taken)))

    results = Results("one", folder=tmp_path)
    results.take("cell", 0, measure)
    results.take("cell", 1, measure)
    with pytest.raises(KeyboardInterrupt):
        results.take("cell", 2, measure)
    again = Results("one", folder=tmp_path)
    for number in range(3):
        again.take("cell", number, lambda: Sample(wall=9.0))
    assert [sample["wall"] for sample in json.loads((tmp_path / "one.json").read_text())["cells"]["cell"]] == [1, 2, 9]
    assert again.median("cell") == 2.0
    assert again.machine["torch"]
    assert Results("one", anew=True, folder=tmp_path).cells == {}


def test_goals_are_met_or_not_by_the_medians(tmp_path):
    results = Results("two", folder=tmp_path)
    walls = {"ours bf16": (1.0, 3.0), "ours fp32": (4.0, 4.0), "trl default bf16": (16.0, 20.0)}
    for cell, values in walls.items():
        results.cells[cell] = [{"wall": value, "cpu": value, "pairs": 8, "useful_gflop": 100.0} for value in values]
    results.cells["matmul peak"] = [{"wall": 0.0, "gflops": {"fp32": 50.0, "bf16": 200.0}}]
    plan = dpo.Plan(batch=8, rounds=2, goals=(("trl default", 9.5),))
    summary = dpo.summarise("opt-tiny", plan, results)
    assert summary["ratios"]["trl default"] == 9.0  # 18 over 2
    assert summary["goals"] == [{"goal": "trl default", "at least": 9.5, "measured": 9.0, "met": False}]
    assert summary["seconds_per_pair"]["ours bf16"] == 0.25
    assert summary["utilisation"]["fp32"] == 0.5
    assert summary["utilisation"]["bf16"] == 0.5


@pytest.mark.parametrize(("bf16", "measured"), [(1.2, ("fp32",)), (900.0, ("bf16", "fp32"))])
def test_what_a_processor_only_imitates_is_left_out(monkeypatch, bf16, measured):
    monkeypatch.setattr(measure, "_peak", lambda dtype, *_: bf16 if dtype == torch.bfloat16 else 150.0)
    measure.fast_precisions.cache_clear()
    try:
        assert measure.fast_precisions() == measured
        assert set(measure.peaks()) == set(measured)
        assert set(measure.peaks("cuda")) == {"bf16", "fp32"}
    finally:
        measure.fast_precisions.cache_clear()


def test_only_what_keeps_figures_is_told_to_forget_them():
    """`make bench BENCHMARKS="dpo ranks_chaos" ARGS=--anew` ended with a usage line at the second."""
    assert options_of("dpo", ["--anew", "--rounds", "1"]) == ["--anew", "--rounds", "1"]
    assert options_of("ranks_chaos", ["--anew", "--points", "2"]) == ["--points", "2"]
    for name in NAMES:
        options_of(name, ["--anew"])


def test_our_own_side_of_a_cell_runs():
    """Reference, packing, one warm step and one timed step on tiny pairs."""
    plan = dpo.PLANS["opt-tiny"]
    sample = dpo.measure_ours("opt-tiny", plan, "fp32", ((4, 3, 3),) * plan.batch)
    assert sample.wall > 0
    assert sample.more["tokens"] == 80
    assert sample.more["reference_seconds"] > 0


def test_an_annotator_costs_the_stages_up_to_its_labels():
    """Neither the policy nor its evaluation is measured, and the implicit reward pays for SFT and reference."""
    shared = {"data": {"dataset": "sandbox"}, "sft": {"data": "labeled"}}
    slots = {name: annotators.needed(build(RunConfig.parse({**shared, "method": name}))) for name in ("weak", "ws")}
    assert slots["weak"] == ["data", "base_annotator", "annotator", "labels"]
    assert slots["ws"] == [
        "data", "base_annotator", "annotator_sft", "annotator_reference", "annotator", "labels",
    ]  # fmt: skip


def test_annotators_are_compared_on_the_same_pairs():
    """Four pairs, two seeds: 5 of 8 right against 3 of 8, so 25 points; the kinds keep their own seconds."""
    figures = dict.fromkeys((*annotators.CALIBRATION, "mean_confidence", "gap"), 0.1)
    mean = {"estimate": 0.55, "low": 0.5, "high": 0.6}
    cells = {
        kind: [
            {"right": right, "prompts": "0 1 2 3", "cpu": cpu, "rivals": {"length": mean}, **figures} for right in rows
        ]
        for kind, rows, cpu in zip(annotators.METHODS, (("1100", "1000"), ("1110", "1010")), (2.0, 6.0), strict=True)
    }
    summary = annotators.summarise(cells)
    assert [row["accuracy, %"] for row in summary["kinds"]] == [37.5, 62.5]
    assert [row["CPU seconds"] for row in summary["kinds"]] == ["2.000 ± 0.000", "6.000 ± 0.000"]
    assert summary["differences"][0]["accuracy, %"] == 25.0
    assert summary["differences"][0]["low"] <= 25.0 <= summary["differences"][0]["high"]
    assert summary["rivals"] == [{"rival": "length", "accuracy, %": 55.0, "low": 50.0, "high": 60.0}]
    assert summary["pairs"] == 4


def test_the_measurements_of_a_gpu_run_without_one_too(tmp_path, monkeypatch, capsys):
    """Every part on tiny shapes; the rows are kept, written as tables, and not measured again."""
    monkeypatch.setattr(measure, "PEAK_SIZE", 64)
    monkeypatch.setattr(equality, "FAMILIES", {"gemma2": equality.FAMILIES["gemma2"]})
    arguments = ["--device", "cpu", "--shapes", "opt-nano", "--sides", "ours", "--tunings", "whole",
                 "--batch", "2", "--steps", "1", "--out", str(tmp_path)]  # fmt: skip
    assert gpu.main(arguments) == 0
    stored = json.loads((tmp_path / "gpu-tried-on-cpu.json").read_text())
    parts = stored["summary"]["parts"]
    assert {part: len(rows) for part, rows in parts.items()} == {
        "equality": 2, "step": 2, "labeling": 2, "sampling": 2, "memory": 2,
    }  # fmt: skip
    assert all(row["right"] for row in parts["equality"].values())
    assert parts["step"]["opt-nano whole ours"]["tokens/s"] > 0
    assert parts["sampling"]["opt-nano fp32"]["tokens/s"] > 0
    assert stored["summary"]["goals"] == []
    assert "| opt-nano whole ours |" in report.figures(tmp_path)
    capsys.readouterr()
    assert gpu.main([*arguments, "--seconds", "0"]) == 0
    assert "took" not in capsys.readouterr().out


def test_rows_of_a_gpu_are_bounded_in_time_and_failures_do_not_end_them(tmp_path):
    """What failed or was skipped is measured by the next run, what was measured is not."""

    def fail():
        raise RuntimeError("out of\nmemory")

    rows = Rows("cpu", folder=tmp_path, seconds=60)
    rows.begin("step")
    assert rows.take("one", lambda: {"right": True})["right"]
    assert rows.take("two", fail)["error"] == "RuntimeError: out of memory"
    assert rows.take("three", lambda: {"right": False})["right"] is False
    assert rows.wrong() == ["step: two", "step: three"]
    late = Rows("cpu", folder=tmp_path, seconds=-1)
    late.begin("step")
    assert late.take("one", fail)["right"]
    assert late.take("two", fail) == {"skipped": "out of time"}
    again = Rows("cpu", folder=tmp_path, seconds=60)
    again.begin("step")
    assert again.take("two", lambda: {"right": True})["right"]
    assert Rows("cpu", folder=tmp_path, seconds=60, anew=True).parts == {}


def test_goals_of_a_gpu_are_against_the_better_of_their_batches(tmp_path):
    """Ours 0.1 s a pair; TRL's default 0.3, its best 0.2 at random and 0.12 grouped."""
    rows = Rows("cpu", folder=tmp_path, seconds=60)
    walls = {"ours": 0.1, "default": 0.3, "best": 0.2, "grouped": 0.12}
    rows.parts["step"] = {f"opt lora {side}": {"s/pair": seconds} for side, seconds in walls.items()}
    rows.parts["step"]["opt whole ours"] = {"s/pair": 0.1}
    rows.parts["step"]["opt whole default"] = {"not installed": "trl"}
    step.add_goals(rows)
    assert rows.goals == [
        {"goal": "opt lora: trl default", "at least": 2.5, "measured": 3.0, "met": True},
        {"goal": "opt lora: trl best", "at least": 1.4, "measured": 1.2, "met": False},
    ]


def noise_pairs(count):
    """The longer answer is chosen; a and b in turn."""
    return [
        CandidatePair(
            pair_id=f"id{at}", prompt_id=f"p{at // 2}", prompt="q", human_label="ab"[at % 2],
            response_a="good " * (3 if at % 2 == 0 else 1), response_b="bad " * (1 if at % 2 == 0 else 3),
        )
        for at in range(count)
    ]  # fmt: skip


def test_exactly_as_many_labels_are_swapped_as_asked():
    ids = [f"id{at}" for at in range(100)]
    for count in (0, 20, 100):
        share = label_noise.share_that_swaps(ids, count, 5)
        assert sum(is_swapped(name, share, 5) for name in ids) == count


def test_folds_keep_prompts_whole_and_a_pair_is_never_judged_by_what_it_taught():
    pairs = noise_pairs(60)
    fold = label_noise.folds([pair.prompt_id for pair in pairs], 3, 0)
    assert np.bincount(fold).tolist() == [20, 20, 20]
    assert (fold[::2] == fold[1::2]).all()
    seen = []

    def rule(labeled, hidden):
        seen.append(({pair.prompt_id for pair in labeled}, {pair.prompt_id for pair in hidden}))
        return np.array([float(pair.pair_id[2:]) for pair in hidden])

    assert label_noise.cross_fit(rule, pairs, fold).tolist() == list(range(60))
    assert [len(learned & judged) for learned, judged in seen] == [0, 0, 0]
    assert set.union(*(judged for _, judged in seen)) == {pair.prompt_id for pair in pairs}


def test_the_rules_learn_what_the_labels_say():
    """Length and words both decide these pairs; turned labels turn the rule."""
    pairs = noise_pairs(40)
    for rule in (label_noise.length, label_noise.words):
        assert ((rule(pairs[:20], pairs[20:]) > 0) == label_noise._a_wins(pairs[20:])).mean() >= 0.5
    turned = [label_noise.replace(pair, human_label="ab"[pair.human_label == "a"]) for pair in pairs]
    assert np.allclose(label_noise.length(turned[:20], pairs[20:]), -label_noise.length(pairs[:20], pairs[20:]))


def test_a_swap_is_seen_by_the_signed_margin_and_not_by_confidence():
    """Ten pairs, margins 1 to 10 for the file's label; three swapped labels turn their margins round, C stays."""
    scores, swapped = np.arange(1.0, 11.0), np.isin(np.arange(10), [2, 5, 8])
    found = label_noise.detected(scores, ~swapped, swapped, [np.arange(10)] * 2)
    assert found["AUROC signed margin"]["value"] == 1.0
    assert found["precision@3 signed margin"]["value"] == 1.0
    # Below margin 3 are 2 of 7 others, below 6 are 4, below 9 are 6: (5 + 3 + 1) / 21 of them are above.
    assert found["AUROC C"]["value"] == pytest.approx(9 / 21)
    assert found["precision@3 C"]["value"] == pytest.approx(1 / 3)


def test_tied_values_share_the_last_places():
    """Two places, one taken by a swapped pair, the other by one of four tied ones of which one is swapped."""
    values, swapped = np.array([0.0, 1.0, 1.0, 1.0, 1.0]), np.array([True, True, False, False, False])
    assert label_noise.precision_of_low(values, swapped, 2) == pytest.approx((1 + 0.25) / 2)


def test_prompts_are_resampled_whole_and_the_same_again():
    ids = ["a", "b", "a", "c"]
    first, again = (label_noise.prompt_resamples(ids, 4, 50) for _ in range(2))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert all((one == 0).sum() == (one == 2).sum() for one in first)
    found = label_noise.estimate(lambda at: float(at.mean()), first, 4)
    assert found["value"] == 1.5
    assert found["low"] < 1.5 < found["high"]


def test_the_noise_study_runs_from_file_to_table(tmp_path, capsys):
    """A tiny model, 24 pairs, 6 swapped: everything that is stated is there, and the file's place is not."""
    from tests.cwpo import tiny

    rows = [
        {"prompt": f"w{at} w{at % 7}", "chosen": " ".join(f"w{(at + k) % 20}" for k in range(4)), "rejected": f"w{at}"}
        for at in range(30)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = tiny.save(tmp_path / "model", "opt")
    label_noise.main(
        ["--data", str(file), "--annotator", str(model), "--pairs", "24", "--swapped", "6", "--folds", "2",
         "--epochs", "1", "--max-length", "64", "--out", str(tmp_path)]
    )  # fmt: skip
    stored = (tmp_path / "label_noise.json").read_text()
    summary = json.loads(stored)["summary"]
    assert summary["chance"] == {"auroc": 0.5, "precision": 0.25}
    assert [row["rule"] for row in summary["detection"]][:2] == ["annotator, clean", "annotator, swapped"]
    assert {"accuracy", "Brier", "ECE", "ECE null"} <= summary["labels"][0].keys()
    assert "accuracy lost" in summary["labels"][1]
    assert str(tmp_path) not in stored
    assert "AUROC signed margin" in capsys.readouterr().out


@pytest.mark.parametrize("name", USUAL)
def test_every_usual_benchmark_can_be_made_anew(name, monkeypatch, capsys):
    """`make bench ARGS=--anew` hands it to all of them."""
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "--anew" in capsys.readouterr().out


def test_outcomes_are_kept_short_and_come_back_with_their_clusters():
    kept = annotator_quality.compact(["a", "b", "c", "d"], ["a", "b", "c", "b"], [1.0, 0.5, 0.0, 0.25])
    assert (kept["together"], kept["outcomes"]) == ([[1, 3]], "1 0.5 0 0.25")
    rows = annotator_quality.outcomes_of(kept)
    assert rows["outcome"].tolist() == [1.0, 0.5, 0.0, 0.25]
    assert rows["cluster"].tolist() == [rows["prompt_id"][place] for place in (0, 1, 2, 1)]
    other = annotator_quality.outcomes_of(annotator_quality.compact(["a", "b", "c", "e"], ["a"] * 4, [1.0] * 4))
    assert not set(rows["prompt_id"]) & set(other["prompt_id"])


def test_every_annotator_has_its_gain_and_a_temperature_moves_its_calibration_alone():
    """Nine annotators, of the best C at three temperatures too; weak labels lose 4 of 40 prompts that C wins. Margins
    1, 2, 3, 4 with the first label wrong: C sorts them perfectly at any T, and states less at T = 4."""
    configs = list(annotator_quality.configs(2))
    labels = pd.DataFrame({"margin": [1.0, 2.0, 3.0, 4.0], "label": ["a"] * 4, "human_label": ["b", "a", "a", "a"]})
    plain, flat = (annotator_quality.quality_of(labels, value) for value in (1.0, 4.0))
    assert (plain.accuracy, plain.auroc, flat.auroc) == (0.75, 1.0, 1.0)
    assert flat.mean_confidence < plain.mean_confidence
    assert flat.ece != plain.ece
    prompts = [f"p{number}" for number in range(40)]
    cells = {
        config.hash()[:16]: [
            {
                "quality": asdict(plain),
                **annotator_quality.compact(
                    prompts, prompts, [float(config.method == "cw" or place >= 4) for place in range(40)]
                ),
            }
        ]
        for config in configs
    }  # fmt: skip
    assert len(cells) == len(configs) == 2 * (9 * 2 + 3)
    rows = annotator_quality.gain_rows(configs, cells)
    assert [(row.estimate, row.n_seeds, row.comparisons) for row in rows] == [(pytest.approx(0.1), 2, 12)] * 12
    assert len({row.label for row in rows}) == 12
