"""The benchmarks' workload is what it claims to be, and their results are kept cell by cell."""

import json

import numpy as np
import pytest

from benchmarks import annotators, dpo, workload
from benchmarks.measure import Results, Sample
from cwpo.config import RunConfig
from cwpo.stages import build


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
    plan = dpo.Plan(batch=8, rounds=2, plain_rounds=0, peer_precisions=("bf16",), goals=(("trl default", 9.5),))
    summary = dpo.summarise("opt-tiny", plan, results)
    assert summary["ratios"]["trl default"] == 9.0  # 18 over 2
    assert summary["goals"] == [{"goal": "trl default", "at least": 9.5, "measured": 9.0, "met": False}]
    assert summary["seconds_per_pair"]["ours bf16"] == 0.25
    assert summary["utilisation"]["fp32"] == 0.5
    assert summary["utilisation"]["bf16"] == 0.5


def test_our_own_side_of_a_cell_runs():
    """Reference, packing, one warm step and one timed step on tiny pairs."""
    plan = dpo.PLANS["opt-tiny"]
    sample = dpo._ours("opt-tiny", plan, "fp32", ((4, 3, 3),) * plan.batch)
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
