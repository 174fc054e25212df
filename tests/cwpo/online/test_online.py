"""Online alignment: fresh pairs have the annotator's labels and weights, and a second attempt ends as one would."""

import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from cwpo.annotation.labeling import score_pairs
from cwpo.data.pairs import part_of
from cwpo.errors import Cancelled, DataError
from cwpo.models.load import ModelRef, load_annotator
from cwpo.models.logps import forward_path
from cwpo.models.tokenization import encode_pairs
from cwpo.online.stage import run_online
from cwpo.records import CandidatePair
from tests.cwpo import small_world
from tests.cwpo.stage import TRAIN, context

PAIRS = small_world.word_pairs(24)
POOL = part_of(PAIRS, "unlabeled", 0.4, 0)
LABELS = {
    **small_world.PART, "precision": "fp32", "max_length": None, "label_dropout": 0.0, "seed": 0, "judged": "all",
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online")
    return {
        "data": small_world.data_artifact(folder / "data", PAIRS),
        "annotator": small_world.annotator_artifact(folder / "annotator"),
        "start": small_world.policy_artifact(folder / "start"),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, inputs):
    """An undisturbed run: its context, its summary, and how often it asked whether to stop."""
    return attempt(tmp_path_factory.mktemp("whole"), inputs)


def config(**changes):
    """Eight steps of four prompts, refreshed every third."""
    return {
        **small_world.MODEL,
        **small_world.PART,
        "part": "unlabeled",
        "lora": None,
        "label_source": "weak",
        "weighting": {"name": "confidence"},
        "objective": {"name": "dpo", "beta": 0.5},
        "seed": 0,
        "train": {**TRAIN, "lr": 1e-2, "batch_size": 4, "epochs": 2.0},
        "refresh_every": 3,
        "decoding": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6, "samples": 2},
        "labels": LABELS,
        **changes,
    }


def attempt(folder, inputs, *, stop_after=None, tokens=200, checkpoint_seconds=1e9, **changes):
    """The stage in a folder, which may hold an attempt's checkpoints; stopped when it has asked so often."""
    asked = []

    def should_stop() -> bool:
        asked.append(None)
        return stop_after is not None and len(asked) > stop_after

    ctx = context(
        folder, "online", inputs=inputs, config=config(**changes), tokens_per_batch=tokens, should_stop=should_stop,
        checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    return ctx, run_online(ctx), len(asked)


def rows_of(ctx):
    return pq.read_table(ctx.out / "fresh_pairs.parquet").to_pylist()


def texts_of(ctx):
    """By step, what was sampled."""
    found = {}
    for row in rows_of(ctx):
        found.setdefault(row["step"], []).append((row["response_a"], row["response_b"]))
    return found


def points_of(ctx):
    return sorted(tuple(row.values()) for row in pq.read_table(ctx.out / "metrics.parquet").to_pylist())


def weights_of(ctx, name="model.safetensors"):
    return load_file(ctx.out / name)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_label_and_weight_of_a_fresh_pair_are_the_annotators(inputs, whole):
    """Every answer is scored by the annotator here, alone: margin |s_a − s_b|, C = tanh(margin / 2)."""
    ctx, summary, _ = whole
    rows = rows_of(ctx)
    model, tokenizer = load_annotator(
        ModelRef(artifact=inputs["annotator"]), store=ctx.store, device="cpu", seed=0, dropout=None
    )
    path = forward_path(model.eval(), device="cpu", precision="fp32", log=print)
    prompts = {pair.pair_id: pair for pair in POOL}
    assert summary["pairs"] == len(rows) == 2 * len(POOL)
    assert {row["pair_id"] for row in rows} == set(prompts)
    for row in rows:
        assert row["prompt"] == prompts[row["pair_id"]].prompt
        if row["identical"]:
            continue
        pair = CandidatePair(
            pair_id="x", prompt_id="x", prompt=row["prompt"], response_a=row["response_a"], response_b=row["response_b"]
        )
        a, b = score_pairs(path, encode_pairs([pair], tokenizer, max_length=96).rows, ctx)[0]
        assert [row["score_a"], row["score_b"]] == pytest.approx([a, b], rel=1e-4, abs=1e-5)
        assert row["label"] == ("a" if a >= b else "b")
        assert row["margin"] == pytest.approx(abs(a - b), rel=1e-3, abs=1e-5)
        assert row["weight"] == row["confidence"] == pytest.approx(math.tanh(abs(a - b) / 2), rel=1e-3, abs=1e-5)
        assert row["used"]
    assert {row["label"] for row in rows} >= {"a", "b"}


def test_identical_answers_have_no_label_and_count_nothing(tmp_path, inputs):
    """At a temperature near 0 both answers are the likeliest one: every pair ties, and no weight of the model moves."""
    cold = {"temperature": 1e-4, "top_p": 1.0, "max_new_tokens": 3, "samples": 2}
    ctx, summary, _ = attempt(tmp_path, inputs, decoding=cold, refresh_every=100)
    assert summary["identical"] == summary["idle"] == 1.0
    assert {(row["used"], row["weight"], row["label"]) for row in rows_of(ctx)} == {(False, 0.0, None)}
    start = load_file(inputs["start"] / "model.safetensors")
    assert same(weights_of(ctx), start)


def test_the_first_pairs_are_those_of_the_start_model_and_cost_c_log_2(whole):
    """Policy and reference are the same before the first step, so KL is 0 and every loss C log 2; then KL moves."""
    ctx, _, _ = whole
    kl = {step: values["fresh/kl"] for step, values in ctx.reporter.points if "fresh/kl" in values}
    assert list(kl) == [0, 3, 6]
    assert kl[0] == pytest.approx(0.0, abs=1e-5)
    assert abs(kl[3]) > 1e-4
    weights = [row["weight"] for row in rows_of(ctx) if row["step"] == 1 and row["used"]]
    first = next(values for step, values in ctx.reporter.points if step == 1 and "loss" in values)
    assert first["loss"] == pytest.approx(math.log(2) * np.mean(weights), rel=1e-4)
    assert first["mean_weight"] == pytest.approx(np.mean(weights), rel=1e-4)


def test_answers_are_those_of_the_policy_as_it_is_when_they_are_refreshed(tmp_path, inputs, whole):
    """Up to step 3 it does not matter how often pairs are refreshed, whatever the packing; from step 4 on it does."""
    never, _, _ = attempt(tmp_path, inputs, refresh_every=100, tokens=60)
    often, once = texts_of(whole[0]), texts_of(never)
    assert [often[step] for step in (1, 2, 3)] == [once[step] for step in (1, 2, 3)]
    assert often[5] != once[5]


def test_a_second_attempt_goes_on_at_the_saved_step_and_ends_at_the_same_weights(tmp_path, inputs):
    """Stopped while answers are sampled and between steps, with dropout in the adapter and in the annotator."""
    changes = {
        "lora": {"r": 2, "alpha": 4, "dropout": 0.2, "target_modules": None},
        "labels": {**LABELS, "label_dropout": 0.2},
    }
    whole, said, asked = attempt(tmp_path / "whole", inputs, **changes)
    steps = set()
    for share in (0.45, 0.75):
        folder = tmp_path / str(share)
        with pytest.raises(Cancelled):
            attempt(folder, inputs, stop_after=round(share * asked), **changes)
        again, told, _ = attempt(folder, inputs, **changes)
        steps.add(told["first_step"])
        assert same(*(weights_of(ctx, "adapter.safetensors") for ctx in (whole, again)))
        assert rows_of(whole) == rows_of(again)
        assert points_of(whole) == points_of(again)
        assert whole.reporter.looked_at == again.reporter.looked_at != {}
        assert {**told, "first_step": 0} == said
    assert len(steps) == 2
    assert 0 not in steps


def test_pairs_of_steps_that_are_lost_are_sampled_again(tmp_path, inputs, whole):
    """Without its checkpoint the next attempt begins anew; what lies there was sampled from lost weights."""
    folder = tmp_path / "killed"
    with pytest.raises(Cancelled):
        attempt(folder, inputs, stop_after=round(0.8 * whole[2]))
    for checkpoint in (folder / "checkpoints").glob("step-*"):
        shutil.rmtree(checkpoint)
    for stale in (folder / "checkpoints").glob("fresh-*.sealed"):
        stale.write_bytes(b"of another policy")
    again, _, _ = attempt(folder, inputs)
    assert same(weights_of(whole[0]), weights_of(again))


@pytest.mark.parametrize(("name", "options", "used"), [("top", {"percent": 50.0}, 0.5), ("soft", {}, 1.0)])
def test_weightings_drop_and_swap_fresh_pairs_as_stored_ones(tmp_path, inputs, name, options, used):
    objective = {"name": "ipo", "beta": 0.5, "ipo_reduction": "mean"}
    weighting = {"name": name, **options}
    ctx, summary, _ = attempt(tmp_path, inputs, weighting=weighting, objective=objective, refresh_every=100)
    rows = [row for row in rows_of(ctx) if not row["identical"]]
    assert np.mean([row["used"] for row in rows]) == pytest.approx(used, abs=0.05)
    assert summary["steps"] == 8
    assert math.isfinite(summary["final_loss"])
    if name == "soft":
        assert [row["weight"] + row["weight_swapped"] for row in rows] == pytest.approx([1.0] * len(rows))


def test_every_kind_of_annotator_labels_fresh_pairs(tmp_path, inputs):
    """Several of them, with a spread; one that reads both answers together; the implicit reward of a weak model."""
    weak = small_world.policy_artifact(tmp_path / "weak", seed=3)
    kinds = {
        "several": ({"annotator_2": small_world.annotator_artifact(tmp_path / "other", "qwen2")}, {}),
        "joint": ({}, {"kind": "joint"}),
        "implicit": (
            {"annotator": weak, "annotator_start": inputs["start"]},
            {"kind": "implicit", "model": "none", "revision": None, "beta": 0.1},
        ),
    }
    train = {**TRAIN, "batch_size": 4, "epochs": 0.25}
    for name, (more, labels) in kinds.items():
        ctx, _, _ = attempt(tmp_path / name, {**inputs, **more}, labels={**LABELS, **labels}, train=train)
        rows = [row for row in rows_of(ctx) if not row["identical"]]
        assert rows
        assert all(row["used"] and row["weight"] == pytest.approx(math.tanh(row["margin"] / 2)) for row in rows)
        assert all((row["spread"] is not None) == (name == "several") for row in rows)


def test_progress_grows_and_never_falls_also_while_answers_are_sampled(whole):
    shares = whole[0].reporter.shares
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] > 0.9
    assert len(shares) > 30


def test_true_labels_are_for_the_sandbox(tmp_path, inputs):
    with pytest.raises(DataError, match="in the sandbox only"):
        attempt(tmp_path, inputs, labels=None, label_source="true", weighting={"name": "uniform"})
