"""CW-PO through the training loop: weights multiply losses, means are over all pairs, packing changes nothing."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cwpo.annotation.labeling import annotations
from cwpo.data.pairs import load_pairs, part_of
from cwpo.errors import ArtifactError, Cancelled, DataError
from cwpo.models.load import ModelRef, load_policy
from cwpo.models.logps import LogPs, forward_path, response_logps_and_sharpness
from cwpo.models.tokenization import encode_pairs, pack
from cwpo.training.align import (
    align_data,
    alignment_loss,
    confidence_bins,
    load_align_data,
    read_reference,
    run_align,
    train_policy,
    with_proportional_sampling,
)
from cwpo.training.finishing import kept_models
from cwpo.training.loop import micro_batches
from cwpo.training.objectives import objective
from cwpo.training.reference import reference_table, run_reference
from cwpo.training.sft import run_sft
from cwpo.training.weighting import Weights, systematic_sample, uniform, weigh
from tests.cwpo import random_models as tiny
from tests.cwpo import small_world
from tests.cwpo.gradients import worst_gradient
from tests.cwpo.stage import TRAIN, context, of_objective, weighting

ROWS = tiny.pairs(10, seed=7)
LABELS = ["a", "b", "b", "a", "a", "b", "a", "b", "a", "b"]
MARGINS = np.linspace(0.0, 4.0, 10)
DPO = {"name": "dpo", "beta": 0.5}
OBJECTIVES = [
    DPO,
    {"name": "ipo", "beta": 0.5, "ipo_reduction": "mean"},
    {"name": "rdpo", "beta": 0.5, "label_noise": 0.1},
    {"name": "cdpo", "beta": 0.5, "label_noise": 0.1},
    {"name": "simpo", "beta": 0.5, "simpo_gamma": 0.5},
    {"name": "orpo", "orpo_lambda": 0.1},
]


def config(**changes):
    return {"train": {**TRAIN, "lr": 1e-2, "epochs": 2.0}, "precision": "fp32", "seed": 0, "objective": DPO, **changes}


def reference_of(model, ctx) -> dict[str, tuple[float, float]]:
    path = forward_path(model, device="cpu", precision="fp32", log=print)
    rows = reference_table(path, ROWS, ctx).to_pylist()
    return {row["pair_id"]: (row["logp_a"], row["logp_b"]) for row in rows}


def trained(folder, weights: Weights, *, labels=LABELS, budget=60, **changes):
    """A float64 policy after two epochs of alignment on batches of 4 in micro-batches of 60 tokens, and its result."""
    model = tiny.policy("opt", torch.float64)
    ctx = context(folder, config=config(**changes), tokens_per_batch=budget)
    data = align_data(ROWS, labels, weights, reference_of(tiny.policy("opt", torch.float64), ctx))
    return model, train_policy(model, data, ctx), ctx


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_first_loss_is_log_2_times_the_mean_confidence(tmp_path):
    """Batch of 10 in several micro-batches; policy = reference, so every loss is C log 2."""
    _, _, ctx = trained(tmp_path, weigh(weighting("confidence"), MARGINS), train={**TRAIN, "batch_size": 10})
    first = ctx.reporter.points[0][1]
    assert first["loss"] == pytest.approx(math.log(2) * np.tanh(MARGINS / 2).mean(), rel=1e-9)
    assert first["mean_weight"] == pytest.approx(np.tanh(MARGINS / 2).mean())
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("settings", OBJECTIVES, ids=lambda settings: settings["name"])
def test_weights_of_one_give_the_unweighted_training_exactly(tmp_path, settings):
    """C(inf) = 1."""
    weighted, with_weights, _ = trained(
        tmp_path / "c", weigh(weighting("confidence"), np.full(10, np.inf)), objective=settings
    )
    plain, without, _ = trained(tmp_path / "1", uniform(MARGINS), objective=settings)
    assert same(weighted, plain)
    assert with_weights.history.points == without.history.points


@pytest.mark.parametrize("settings", OBJECTIVES, ids=lambda settings: settings["name"])
def test_weight_zero_gives_zero_gradient(tmp_path, settings):
    """All margins tie: no weight moves, not even in its last bit."""
    model, _, ctx = trained(tmp_path, weigh(weighting("confidence"), np.zeros(10)), objective=settings)
    assert same(model, tiny.policy("opt", torch.float64))
    assert {values["grad_norm"] for _, values in ctx.reporter.points} == {0.0}


def test_a_pair_of_weight_zero_counts_in_the_mean_but_has_no_influence(tmp_path):
    """Its label may be flipped without any effect; dropping it instead would change the mean."""
    weights = weigh(weighting("confidence"), MARGINS)  # pair 0 has margin 0
    one, _, _ = trained(tmp_path / "a", weights)
    other, _, _ = trained(tmp_path / "b", weights, labels=["b", *LABELS[1:]])
    assert same(one, other)


def test_swapped_weights_train_on_the_opposite_label(tmp_path):
    ones, zeros = np.ones(10), np.zeros(10)
    swapped, _, _ = trained(tmp_path / "s", Weights(kept=np.arange(10), w=zeros, w_swapped=ones))
    opposite = ["b" if label == "a" else "a" for label in LABELS]
    flipped, _, _ = trained(tmp_path / "f", uniform(MARGINS), labels=opposite)
    assert same(swapped, flipped)


def aligned(folder, data, **changes):
    """Float64 policy after alignment on prepared data."""
    model = tiny.policy("opt", torch.float64)
    ctx = context(folder, config=config(**changes), tokens_per_batch=60)
    return model, train_policy(model, data, ctx), ctx


def prepared(folder, weights: Weights, **given):
    reference = reference_of(tiny.policy("opt", torch.float64), context(folder, config=config(), tokens_per_batch=60))
    rows = [ROWS[row] for row in weights.kept]
    return align_data(rows, [LABELS[row] for row in weights.kept], weights, reference, **given)


def test_odpo_reads_the_margin_and_at_margin_one_is_dpo(tmp_path):
    settings = {"name": "odpo", "beta": 0.5, "odpo_alpha": 1.0}
    data = prepared(tmp_path, uniform(MARGINS), margins=np.ones(10))
    offset, _, _ = aligned(tmp_path / "o", data, objective=settings)
    plain, _, _ = aligned(tmp_path / "d", data)
    assert same(offset, plain)
    other, _, _ = aligned(tmp_path / "m", prepared(tmp_path, uniform(MARGINS), margins=MARGINS), objective=settings)
    assert not same(other, plain)


def test_wpo_starts_with_the_likelihood_of_both_responses_times_log_2(tmp_path):
    """The policy is the reference: every DPO loss is log 2, the factor at most 1."""
    data = prepared(tmp_path, uniform(MARGINS))
    train = {**TRAIN, "batch_size": 10}
    _, _, ctx = aligned(tmp_path / "w", data, objective={"name": "wpo", "beta": 0.5}, train=train)
    path = forward_path(tiny.policy("opt", torch.float64), device="cpu", precision="fp32", log=print)
    (batch,) = pack(ROWS, 10_000)
    with torch.no_grad():
        _, sharp = response_logps_and_sharpness(path, batch)
    factor = sharp.view(-1, 2).sum(1).exp().clamp_max(1.0).mean().item()
    assert ctx.reporter.points[0][1]["loss"] == pytest.approx(math.log(2) * factor, rel=1e-9)


def test_equal_steps_are_those_of_the_whole_pool(tmp_path):
    """3 of 10 pairs at batch size 4 and two epochs: 1 step each, or 3 each as the pool of 10 takes."""
    weights = weigh(weighting("top", percent=30), MARGINS)
    data = prepared(tmp_path, weights, pool=10)
    assert aligned(tmp_path / "k", data)[1].steps == 2
    assert aligned(tmp_path / "p", data, steps="pool")[1].steps == 6


def test_curves_by_confidence_add_up_to_the_curve_of_all(tmp_path):
    """Ten pairs in one batch, thirds of 4, 3 and 3: their means weighted by size are the mean of all, at each step."""
    data = prepared(tmp_path, uniform(MARGINS), margins=MARGINS)
    assert np.bincount(confidence_bins(MARGINS)).tolist() == [4, 3, 3]
    _, _, ctx = aligned(tmp_path / "b", data, train={**TRAIN, "batch_size": 10})
    for _, values in ctx.reporter.points:
        for part, whole in (("losses", "loss"), ("margins", "rewards/margins"), ("accuracies", "rewards/accuracies")):
            parts = [values[f"bins/{name}/{part}"] for name in ("low", "middle", "high")]
            assert np.dot(parts, [0.4, 0.3, 0.3]) == pytest.approx(values[whole])
    _, _, without = aligned(tmp_path / "n", prepared(tmp_path, uniform(MARGINS)))
    assert not any(name.startswith("bins") for _, values in without.reporter.points for name in values)


def test_training_does_not_depend_on_the_packing(tmp_path):
    weights = weigh(weighting("confidence"), MARGINS)
    runs = [trained(tmp_path / str(budget), weights, budget=budget)[0] for budget in (1, 60, 10_000)]
    for model in runs[1:]:
        pairs = zip(runs[0].parameters(), model.parameters(), strict=True)
        assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in pairs)


@pytest.mark.parametrize("settings", OBJECTIVES, ids=lambda settings: settings["name"])
def test_the_gradient_of_an_effective_batch_is_that_of_the_plain_weighted_mean(tmp_path, settings):
    """Against concatenated forward passes, one response at a time, and autograd over all logits."""
    packed, plain = tiny.policy("qwen2", torch.float64), tiny.policy("qwen2", torch.float64)
    ctx = context(tmp_path, config=config(), tokens_per_batch=60)
    reference = reference_of(tiny.policy("qwen2", torch.float64, seed=1), ctx)
    weights = weigh(weighting("confidence"), MARGINS)
    path = forward_path(packed, device="cpu", precision="fp32", log=print)
    share_of = alignment_loss(path, align_data(ROWS, LABELS, weights, reference), of_objective(settings))
    micros = micro_batches(ROWS, np.arange(10), ctx, share=1 / 10)
    assert len(micros) > 2
    losses = [share_of(micro)[0] for micro in micros]
    sum(losses).backward()
    wanted = sum(
        w * plain_loss(plain, row, label, reference[row.pair_id], settings) / 10
        for row, label, w in zip(ROWS, LABELS, weights.w, strict=True)
    )
    wanted.backward()
    assert sum(losses).item() == pytest.approx(wanted.item(), rel=1e-8)
    assert worst_gradient(packed, plain) <= 1e-6  # Qwen2 normalises in float32


def test_proportional_sampling_has_the_gradient_of_all_pairs_on_average(tmp_path):
    """Over an even comb of draws the mean gradient is that of the whole batch, with fewer pairs in each step."""
    ctx = context(tmp_path, config=config(), tokens_per_batch=10_000)
    reference = reference_of(tiny.policy("opt", torch.float64, seed=1), ctx)
    whole = align_data(ROWS, LABELS, weigh(weighting("confidence"), MARGINS), reference)
    sampled = with_proportional_sampling(whole)
    assert float(sampled.kept.mean()) < 0.9

    def gradient(data, chosen):
        model = tiny.policy("opt", torch.float64)
        path = forward_path(model, device="cpu", precision="fp32", log=print)
        share_of = alignment_loss(path, data, of_objective({"name": "dpo", "beta": 0.3}))
        for micro in micro_batches(ROWS, chosen, ctx, share=1 / len(ROWS)):
            share_of(micro)[0].backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    wanted = gradient(whole, np.arange(len(ROWS)))
    kept = sampled.kept.numpy()
    draws: dict[tuple[int, ...], int] = {}
    for start in (np.arange(2000) + 0.5) / 2000:
        chosen = tuple(systematic_sample(kept, start).tolist())
        draws[chosen] = draws.get(chosen, 0) + 1
    mean = sum(gradient(sampled, np.array(chosen)) * count / 2000 for chosen, count in draws.items())
    assert len(draws) > 3
    assert float((mean - wanted).norm() / wanted.norm()) < 5e-3


def test_proportional_sampling_keeps_the_steps_and_says_how_many_pairs_they_compute(tmp_path, inputs):
    settings = {**stage_config(), "pair_sampling": "proportional"}
    summary = run_align(context(tmp_path / "align", inputs=inputs, config=settings))
    assert 0 < summary["mean_kept"] < 1
    assert summary["steps"] == 6


def plain_loss(model, row, label, reference, settings) -> torch.Tensor:
    logps = tiny.concatenated_logps(model, row)
    order = [0, 1] if label == "a" else [1, 0]
    tokens = [torch.tensor(len(row.responses[side])) for side in order]
    values = [(logps[side], torch.tensor(reference[side], dtype=torch.float64)) for side in order]
    policy, fixed = (
        LogPs(chosen=values[0][n], rejected=values[1][n], chosen_tokens=tokens[0], rejected_tokens=tokens[1])
        for n in (0, 1)
    )
    return objective(of_objective(settings))(policy, fixed)


# The stages, over artifacts on disk.

PAIRS = small_world.word_pairs(40)


@pytest.fixture
def inputs(tmp_path):
    """Data, weak labels, SFT-less start model and its reference log-probabilities."""
    data = small_world.data_artifact(tmp_path / "data", PAIRS)
    start = small_world.policy_artifact(tmp_path / "start")
    labels = tmp_path / "labels"
    labels.mkdir()
    part = part_of(load_pairs(data), "unlabeled", 0.4, 0)
    rows = encode_pairs(part, small_world.word_tokenizer(), max_length=96).rows
    scores = np.random.default_rng(0).normal(size=(len(rows), 2))
    pq.write_table(annotations(part, rows, scores[:, None]), labels / "annotations.parquet")
    ctx = context(
        tmp_path / "reference",
        "reference",
        inputs={"data": data, "start": start},
        config={**small_world.MODEL, **small_world.PART, "part": "unlabeled"},
    )
    run_reference(ctx)
    return {"data": data, "labels": labels, "reference": ctx.out, "start": start}


def stage_config(**changes):
    return {
        **small_world.MODEL,
        **small_world.PART,
        "part": "unlabeled",
        "lora": None,
        "label_source": "weak",
        "weighting": {"name": "confidence", "percent": None},
        "objective": DPO,
        "seed": 0,
        "train": {**TRAIN, "batch_size": 8, "epochs": 2.0},
        **changes,
    }


def test_reference_rows_are_the_log_probabilities_of_the_start_model(inputs):
    rows = pq.read_table(inputs["reference"] / "reference.parquet").to_pylist()
    part = part_of(PAIRS, "unlabeled", 0.4, 0)
    encoded = encode_pairs(part, small_world.word_tokenizer(), max_length=96).rows
    model = tiny.policy("opt")
    assert [row["pair_id"] for row in rows] == [pair.pair_id for pair in part]
    for row, pair in zip(rows, encoded, strict=True):
        wanted = tiny.concatenated_logps(model, pair).tolist()
        assert [row["logp_a"], row["logp_b"]] == pytest.approx(wanted, rel=1e-5)
        assert [row["tokens_a"], row["tokens_b"]] == [len(ids) for ids in pair.responses]


def test_a_cw_run_starts_at_log_2_times_mean_confidence_and_learns(tmp_path, inputs):
    ctx = context(tmp_path / "align", inputs=inputs, config=stage_config(), tokens_per_batch=100)
    summary = run_align(ctx)
    first, last = ctx.reporter.points[0][1], ctx.reporter.points[-1][1]
    assert first["loss"] == pytest.approx(math.log(2) * first["mean_weight"], rel=1e-4)
    assert last["rewards/margins"] > 0.01
    assert summary["steps"] == 6
    assert summary["pairs"] == 24
    assert summary["first_step"] == 0
    json.dumps(summary, allow_nan=False)
    names = set(pq.read_table(ctx.out / "metrics.parquet")["name"].to_pylist())
    assert {"loss", "lr", "grad_norm", "rewards/accuracies", "logps/rejected", "mean_weight"} <= names
    saved = json.loads((ctx.out / "config.json").read_text())
    assert "cwpo" not in json.dumps(saved)  # the artifact is a plain model for anybody
    aligned = load_policy(
        ModelRef(artifact=ctx.out), store=ctx.store, device="cpu", precision="fp32", trainable=False, lora=None, seed=0
    )
    assert not same(aligned.model, tiny.policy("opt"))


def test_blind_spots_are_read_off_the_aligned_policy_beside_reference_and_confidence(tmp_path, inputs):
    """Every figure again from the models: βh by concatenated passes, confident from σ(βh) = 3/4 on, wrong against the
    human label. Without a β the stage is what it always was."""
    aligned = context(tmp_path / "align", inputs=inputs, config=stage_config(train={**TRAIN, "lr": 1e-2, "epochs": 3}))
    run_align(aligned)
    given = {name: inputs[name] for name in ("data", "labels", "reference")} | {"start": aligned.out}
    settings = {**small_world.MODEL, **small_world.PART, "part": "unlabeled"}
    plain = run_reference(context(tmp_path / "plain", "reference", inputs=given, config=settings))
    found = run_reference(context(tmp_path / "spots", "reference", inputs=given, config={**settings, "beta": 0.5}))
    assert {name: value for name, value in found.items() if name != "blind_spots"} == plain
    policy = load_policy(
        ModelRef(artifact=aligned.out), store=aligned.store, device="cpu", precision="fp32", trainable=False, lora=None,
        seed=0,
    )  # fmt: skip
    part = part_of(PAIRS, "unlabeled", 0.4, 0)
    before = read_reference(inputs["reference"])
    blind = []
    for pair, row in zip(part, encode_pairs(part, small_world.word_tokenizer(), max_length=96).rows, strict=True):
        a, b = tiny.concatenated_logps(policy.model, row).tolist()
        reward = 0.5 * (a - before[pair.pair_id][0] - b + before[pair.pair_id][1])
        wrong = (reward > 0) != (pair.human_label == "a")
        blind.append(wrong and 1 / (1 + math.exp(-abs(reward))) >= 0.75)
    spots = found["blind_spots"]
    assert spots["pairs"] == spots["all"]["n"] == sum(one["n"] for one in spots["parts"]) == 24
    assert spots["all"]["blind"] == pytest.approx(np.mean(blind))
    assert sum(one["n"] * one["blind"] for one in spots["parts"]) == pytest.approx(sum(blind))
    assert np.all(np.diff([one["mean_confidence"] for one in spots["parts"]]) > 0)
    json.dumps(found, allow_nan=False)


def test_top_half_keeps_half_of_the_pairs(tmp_path, inputs):
    settings = stage_config(weighting={"name": "top", "percent": 50.0})
    assert run_align(context(tmp_path / "align", inputs=inputs, config=settings))["pairs"] == 12


@pytest.mark.parametrize("source", ["human", "true"])
def test_labels_of_humans_and_of_the_truth_need_no_annotator(tmp_path, inputs, source):
    settings = stage_config(label_source=source, weighting={"name": "uniform", "percent": None})
    given = {name: path for name, path in inputs.items() if name != "labels"}
    assert run_align(context(tmp_path / "align", inputs=given, config=settings))["mean_weight"] == 1.0


def test_c_on_human_labels_is_that_of_the_annotator_whichever_label_it_gives(tmp_path, inputs):
    """Every pair weighs tanh(|difference of its scores| / 2) under human and under weak labels alike; the labels that
    are learned from are the humans', the annotator's differ in some of them."""
    rows = {row["pair_id"]: row for row in pq.read_table(inputs["labels"] / "annotations.parquet").to_pylist()}
    ctx = context(tmp_path / "align", inputs=inputs, config=stage_config(label_source="human"))
    found, counts = load_align_data(ctx, small_world.word_tokenizer(), 96)
    assert [row.pair_id for row in found.rows] == list(rows)
    weights = {row["pair_id"]: math.tanh(abs(row["score_a"] - row["score_b"]) / 2) for row in rows.values()}
    assert found.w.tolist() == pytest.approx(list(weights.values()))
    assert ["ab"[side] for side in found.chosen.tolist()] == [row["human_label"] for row in rows.values()]
    assert 0 < sum(row["human_label"] != row["label"] for row in rows.values()) < len(rows)
    assert counts["mean_weight"] == pytest.approx(np.mean(list(weights.values())))


def test_human_labels_of_pairs_that_the_annotator_could_not_read_are_left_out_of_c_and_said(tmp_path, inputs):
    file = inputs["labels"] / "annotations.parquet"
    pq.write_table(pq.read_table(file).slice(3), file)
    ctx = context(tmp_path / "align", inputs=inputs, config=stage_config(label_source="human"))
    assert len(load_align_data(ctx, small_world.word_tokenizer(), 96)[0].rows) == 21
    assert "3 pairs have no margin of the annotator and are left out." in ctx.reporter.lines


@pytest.mark.parametrize("source", ["weak", "human"])
def test_right_labels_alone_are_those_that_the_truth_has(tmp_path, inputs, source):
    rows = pq.read_table(inputs["labels"] / "annotations.parquet").to_pylist()
    label = {"weak": "label", "human": "human_label"}[source]
    wanted = [row["pair_id"] for row in rows if row[label] == row["true_label"]]
    settings = stage_config(label_source=source, weighting={"name": "correct"})
    ctx = context(tmp_path / "align", inputs=inputs, config=settings)
    found, counts = load_align_data(ctx, small_world.word_tokenizer(), 96)
    assert [row.pair_id for row in found.rows] == wanted
    assert (counts["pool"], set(found.w.tolist())) == (24, {1.0})


def test_without_a_right_label_it_is_a_sentence(tmp_path, inputs):
    bare = [replace(pair, true_label=None) for pair in PAIRS]
    given = {**inputs, "data": small_world.data_artifact(tmp_path / "bare", bare)}
    with pytest.raises(DataError, match="correct leaves no pair to learn from"):
        run_align(context(tmp_path / "align", inputs=given, config=stage_config(weighting={"name": "correct"})))


def test_top_by_true_gap_keeps_the_largest_differences_of_utility(tmp_path, inputs):
    """Utilities a = n, b = 2n for the n-th pair: the gap is n."""
    known = [replace(pair, utility_a=float(n), utility_b=2.0 * n) for n, pair in enumerate(PAIRS)]
    given = {**inputs, "data": small_world.data_artifact(tmp_path / "known", known)}
    settings = stage_config(weighting={"name": "top_true", "percent": 25.0})
    found, _ = load_align_data(
        context(tmp_path / "align", inputs=given, config=settings), small_world.word_tokenizer(), 96
    )
    part = [pair.pair_id for pair in part_of(known, "unlabeled", 0.4, 0)]
    assert [row.pair_id for row in found.rows] == part[-6:]


def test_adapters_are_stored_alone_and_start_from_the_reference(tmp_path, inputs):
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": None}
    ctx = context(tmp_path / "align", inputs=inputs, config=stage_config(lora=lora))
    run_align(ctx)
    first = ctx.reporter.points[0][1]
    assert first["loss"] == pytest.approx(math.log(2) * first["mean_weight"], rel=1e-4)
    assert not (ctx.out / "model.safetensors").exists()
    assert json.loads((ctx.out / "model.json").read_text())["form"] == "adapter"


def test_models_kept_along_a_training_change_nothing_and_are_the_same_after_a_kill(tmp_path, inputs):
    """Six steps in three parts: adapters after two and four, and the final one of a training that kept none."""
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": None}
    plain = context(tmp_path / "plain", inputs=inputs, config=stage_config(lora=lora))
    run_align(plain)
    whole = context(tmp_path / "whole", inputs=inputs, config=stage_config(lora=lora, kept=3))
    run_align(whole)
    steps = iter(range(1, 99))
    cut = context(
        tmp_path / "cut", inputs=inputs, config=stage_config(lora=lora, kept=3), should_stop=lambda: next(steps) > 2
    )
    with pytest.raises(Cancelled):
        run_align(cut)
    resumed = context(tmp_path / "cut", inputs=inputs, config=stage_config(lora=lora, kept=3))
    assert 2 <= run_align(resumed)["first_step"] < 6
    assert not (plain.out / "along").exists()
    assert [step for step, _ in kept_models(whole.out)] == [2, 4]
    weights: dict[str, list[bytes]] = {}
    for name, ctx in (("whole", whole), ("cut", resumed)):
        weights[name] = [(folder / "adapter.safetensors").read_bytes() for _, folder in kept_models(ctx.out)]
        assert (ctx.out / "adapter.safetensors").read_bytes() == (plain.out / "adapter.safetensors").read_bytes()
    assert weights["whole"] == weights["cut"]
    assert len({*weights["whole"], (plain.out / "adapter.safetensors").read_bytes()}) == 3


def test_a_reference_of_other_pairs_is_a_sentence(tmp_path, inputs):
    table = pq.read_table(inputs["reference"] / "reference.parquet")
    pq.write_table(table.slice(0, 3), inputs["reference"] / "reference.parquet")
    with pytest.raises(ArtifactError, match="says nothing of 21 pairs"):
        run_align(context(tmp_path / "align", inputs=inputs, config=stage_config()))


def test_a_context_too_short_for_every_answer_is_a_sentence(tmp_path, inputs):
    with pytest.raises(DataError, match=r"raise model\.max_length"):
        run_align(context(tmp_path / "align", inputs=inputs, config=stage_config(max_length=1)))


def test_a_part_without_labels_is_a_sentence(tmp_path, inputs):
    data = small_world.data_artifact(tmp_path / "bare", [replace(pair, true_label=None) for pair in PAIRS])
    with pytest.raises(DataError, match="has a true label"):
        run_align(
            context(tmp_path / "align", inputs={**inputs, "data": data}, config=stage_config(label_source="true"))
        )


@pytest.mark.parametrize(("source", "part", "pairs"), [("weak", "unlabeled", 24), ("human", "labeled", 16)])
def test_sft_learns_the_winners_of_its_label_source(tmp_path, inputs, source, part, pairs):
    """The first loss is the mean over response tokens of all winners, computed here one by one."""
    train = {**TRAIN, "batch_size": 64, "epochs": 3.0}
    settings = {**small_world.MODEL, **small_world.PART, "part": part, "label_source": source, "train": train}
    ctx = context(tmp_path / "sft", "sft", inputs={**inputs, "base": inputs["start"]}, config=settings)
    summary = run_sft(ctx)
    winners = {
        row["pair_id"]: row["label"] for row in pq.read_table(inputs["labels"] / "annotations.parquet").to_pylist()
    }
    model, total, tokens = tiny.policy("opt"), 0.0, 0
    chosen = part_of(PAIRS, part, 0.4, 0)
    for row, pair in zip(encode_pairs(chosen, small_world.word_tokenizer(), max_length=96).rows, chosen, strict=True):
        label = pair.human_label if source == "human" else winners[pair.pair_id]
        side = 0 if label == "a" else 1
        total -= tiny.concatenated_logps(model, row)[side].item()
        tokens += len(row.responses[side])
    assert ctx.reporter.points[0][1]["loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert summary["final_loss"] < total / tokens
    assert summary["pairs"] == pairs
