"""Bradley–Terry training, the kept epoch, and labels that hide what the humans said."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cwpo.annotation import annotator, labeling
from cwpo.annotation import summary as label_summary
from cwpo.annotation.annotator import bradley_terry_loss, joint_loss, run_annotator, run_calibration
from cwpo.annotation.attributes import LabelAttributes
from cwpo.annotation.labeling import annotations, run_labels
from cwpo.data.pairs import part_of
from cwpo.errors import ArtifactError, Cancelled
from cwpo.models.logps import forward_path, response_scores
from cwpo.models.tokenization import encode_pairs, pack
from cwpo.training.loop import Micro
from tests.cwpo import random_models as tiny
from tests.cwpo import small_world
from tests.cwpo.stage import TRAIN, context

PAIRS = small_world.word_pairs(60)
UNLABELED = part_of(PAIRS, "unlabeled", 0.4, 0)
TRAINING = {
    **small_world.MODEL,
    **small_world.PART,
    "seed": 0,
    "train": {**TRAIN, "batch_size": 8, "epochs": 4.0, "lr": 3e-3},
    "dropout": 0.0,
    "early_stopping": False,
    "heldout_fraction": None,
}
LABELING = {**small_world.PART, "precision": "fp32", "max_length": None, "label_dropout": 0.0, "seed": 0}


@pytest.fixture
def inputs(tmp_path):
    return {
        "data": small_world.data_artifact(tmp_path / "data", PAIRS),
        "base": small_world.policy_artifact(tmp_path / "base"),
        "annotator": small_world.annotator_artifact(tmp_path / "annotator"),
    }


def rows_of(ctx) -> list[dict]:
    return pq.read_table(ctx.out / "annotations.parquet").to_pylist()


def labeled(folder, inputs, **changes):
    ctx = context(folder, "labels", inputs=inputs, config={**LABELING, **changes}, tokens_per_batch=200)
    return ctx, run_labels(ctx)


def test_the_loss_is_the_mean_of_minus_log_sigmoid_of_the_margin():
    rows = tiny.pairs(5, seed=8)
    labels = {row.pair_id: index % 2 for index, row in enumerate(rows)}
    path = forward_path(tiny.scorer("opt", torch.float64), device="cpu", precision="fp32", log=print)
    share_of = bradley_terry_loss(path, rows, labels, "cpu")
    loss = sum(share_of(Micro(batch=batch, share=1 / 5))[0] for batch in pack(rows, 40)).item()
    wanted = 0.0
    for row in rows:
        scores = []
        for response in row.responses:
            ids = torch.tensor(np.concatenate([row.prompt_ids, response]))[None]
            scores.append(path.model.score(path.model.model(input_ids=ids).last_hidden_state[0, -1]).item())
        margin = scores[labels[row.pair_id]] - scores[1 - labels[row.pair_id]]
        wanted += math.log1p(math.exp(-margin)) / 5
    assert loss == pytest.approx(wanted, rel=1e-9)


def test_training_reads_the_labeled_part_alone_and_learns(tmp_path, inputs):
    """Labels of the unlabeled part may be anything."""
    summaries, weights = [], []
    hidden = {pair.pair_id for pair in UNLABELED}
    for name, pairs in (
        ("as is", PAIRS),
        ("flipped", [replace(pair, human_label="a") if pair.pair_id in hidden else pair for pair in PAIRS]),
    ):
        data = small_world.data_artifact(tmp_path / name, pairs)
        ctx = context(tmp_path / f"{name} run", "annotator", inputs={**inputs, "data": data}, config=TRAINING)
        summaries.append(run_annotator(ctx))
        weights.append((ctx.out / "model.safetensors").read_bytes())
    assert summaries[0] == summaries[1]
    assert weights[0] == weights[1]
    assert summaries[0]["pairs"] == 24
    assert summaries[0]["final_loss"] < math.log(2)


def test_swapped_labels_teach_the_opposite_and_are_counted(tmp_path, inputs):
    """All labels swapped is an annotator of the other side: the same loss on mirrored labels, opposite margins."""
    swaps = {"swapped_labels": {"share": 1.0, "seed": 0}}
    mirrored = [replace(pair, human_label="b" if pair.human_label == "a" else "a") for pair in PAIRS]
    plain = context(tmp_path / "plain", "annotator", inputs=inputs, config=TRAINING)
    data = {**inputs, "data": small_world.data_artifact(tmp_path / "mirrored", mirrored)}
    swapped = context(tmp_path / "swapped", "annotator", inputs=data, config={**TRAINING, **swaps})
    one, two = run_annotator(plain), run_annotator(swapped)
    assert two == {**one, "swapped_labels": 24}
    assert (plain.out / "model.safetensors").read_bytes() == (swapped.out / "model.safetensors").read_bytes()


def test_a_fixed_unlabeled_part_is_labeled_and_judged_by_the_labels_as_they_were(tmp_path, inputs):
    """30 of 60 pairs whatever is labeled; agreement is with the labels of the file, swapped ones or not."""
    fixed = {"unlabeled_fraction": 0.5}
    ctx, summary = labeled(tmp_path / "some", inputs, **fixed)
    swaps = {"swapped_labels": {"share": 1.0, "seed": 0}}
    other, same = labeled(tmp_path / "more", inputs, **fixed, **swaps, label_fraction=0.2)
    assert rows_of(ctx) == rows_of(other)
    assert summary["n"] == 30
    assert {row["pair_id"] for row in rows_of(ctx)} < {pair.pair_id for pair in UNLABELED}
    assert same["accuracy_human"] == summary["accuracy_human"]


def test_early_stopping_keeps_the_epoch_with_the_lowest_heldout_loss(tmp_path, inputs):
    """A learning rate that wrecks the model later: the stored model has the loss of the kept epoch, not of the last."""
    train = {**TRAIN, "batch_size": 8, "epochs": 6.0, "lr": 2e-2, "schedule": "constant"}
    settings = {**TRAINING, "early_stopping": True, "heldout_fraction": 0.3, "train": train}
    ctx = context(tmp_path / "run", "annotator", inputs=inputs, config=settings)
    summary = run_annotator(ctx)
    told = [values["heldout_nll"] for _, values in ctx.reporter.points if "heldout_nll" in values]
    assert len(told) == 6
    assert summary["heldout_nll"] == min(told)
    assert summary["best_epoch"] == 1 + told.index(min(told))
    assert summary["best_epoch"] < 6
    assert summary["pairs"] + summary["heldout_pairs"] == 24
    kept = annotator.load_annotator(
        annotator.ModelRef(artifact=ctx.out), store=ctx.store, device="cpu", seed=0, dropout=None
    )[0]
    heldout, _ = annotator.split_labeled(part_of(PAIRS, "labeled", 0.4, 0), 0.3, 0)
    rows = encode_pairs(heldout, small_world.word_tokenizer(), max_length=96).rows
    path = forward_path(kept, device="cpu", precision="fp32", log=print)
    labels = {pair.pair_id: 0 if pair.human_label == "a" else 1 for pair in heldout}
    assert annotator.heldout_nll(path, rows, labels, ctx, "bradley_terry") == pytest.approx(min(told), rel=1e-6)


@pytest.mark.parametrize(("asked", "done"), [(6, 5), (4, 4)], ids=["behind a step", "while held-out labels are scored"])
def test_a_killed_early_stopped_training_keeps_the_same_epoch(tmp_path, inputs, asked, done):
    settings = {**TRAINING, "early_stopping": True, "heldout_fraction": 0.3, "dropout": 0.1}
    whole = context(tmp_path / "whole", "annotator", inputs=inputs, config=settings)
    expected = run_annotator(whole)
    stops = iter([False] * asked + [True])
    options = {"inputs": inputs, "config": settings, "checkpoint_seconds": 1e9}
    with pytest.raises(Cancelled):
        run_annotator(context(tmp_path / "cut", "annotator", should_stop=lambda: next(stops), **options))
    again = context(tmp_path / "cut", "annotator", **options)
    assert run_annotator(again) == {**expected, "first_step": done}
    assert (again.out / "model.safetensors").read_bytes() == (whole.out / "model.safetensors").read_bytes()


def test_labels_cover_the_unlabeled_part_with_margin_and_confidence(tmp_path, inputs):
    ctx, summary = labeled(tmp_path / "run", inputs)
    rows = rows_of(ctx)
    assert [row["pair_id"] for row in rows] == [row.pair_id for row in sorted_as_written(UNLABELED)]
    for row in rows:
        assert row["margin"] == abs(row["score_a"] - row["score_b"])
        assert row["confidence"] == pytest.approx(math.tanh(row["margin"] / 2), abs=1e-15)
        assert row["label"] == ("a" if row["score_a"] >= row["score_b"] else "b")
    humans = {pair.pair_id: pair for pair in PAIRS}
    assert all(row["human_label"] == humans[row["pair_id"]].human_label for row in rows)
    assert summary["n"] == 36
    assert summary["accuracy_human"] == np.mean([row["label"] == row["human_label"] for row in rows])
    json.dumps(summary, allow_nan=False)


def sorted_as_written(pairs):
    return sorted(pairs, key=lambda pair: int(pair.pair_id, 16))


def test_scores_do_not_depend_on_human_labels(tmp_path, inputs):
    flipped = [replace(pair, human_label="a" if pair.human_label == "b" else "b") for pair in PAIRS]
    other = {**inputs, "data": small_world.data_artifact(tmp_path / "flipped", flipped)}
    said = [rows_of(labeled(tmp_path / name, given)[0]) for name, given in (("one", inputs), ("two", other))]
    for one, two in zip(*said, strict=True):
        assert (one["label"], one["score_a"], one["score_b"]) == (two["label"], two["score_a"], two["score_b"])


def test_ties_say_a_with_confidence_zero_and_do_not_leak_the_human_label():
    pairs = small_world.word_pairs(8)
    rows = encode_pairs(pairs, small_world.word_tokenizer(), max_length=96).rows
    table = annotations(pairs, rows, np.ones((8, 1, 2))).to_pylist()
    assert {(row["label"], row["margin"], row["confidence"]) for row in table} == {("a", 0.0, 0.0)}
    assert {pair.human_label for pair in pairs} == {"a", "b"}


def test_labeling_goes_on_from_the_last_finished_window(tmp_path, inputs, monkeypatch):
    """Windows of 10 rows, stopped before the fourth; the second attempt scores only the other three windows."""
    monkeypatch.setattr(labeling, "_WINDOW", 10)
    whole = labeled(tmp_path / "whole", inputs, label_dropout=0.3)[0]
    stops = iter([False] * 6 + [True])  # asked before each window and before its one batch
    options = {"inputs": inputs, "config": {**LABELING, "label_dropout": 0.3}, "tokens_per_batch": 50}
    with pytest.raises(Cancelled):
        run_labels(context(tmp_path / "cut", "labels", should_stop=lambda: next(stops), **options))
    scored = []
    real = labeling.score_pairs
    monkeypatch.setattr(labeling, "score_pairs", lambda *given, **more: scored.append(1) or real(*given, **more))
    again = context(tmp_path / "cut", "labels", **options)
    run_labels(again)
    assert len(scored) == 3
    assert rows_of(again) == rows_of(whole)


def test_label_dropout_is_one_seeded_pass(tmp_path, inputs):
    runs = [
        rows_of(labeled(tmp_path / str(index), inputs, label_dropout=dropout, seed=seed)[0])
        for index, (dropout, seed) in enumerate([(0.0, 0), (0.4, 0), (0.4, 0), (0.4, 1)])
    ]
    assert runs[1] == runs[2]
    assert runs[1] != runs[0]
    assert runs[1] != runs[3]


def test_passes_are_averaged_and_their_spread_is_kept(tmp_path, inputs):
    """Two passes: the mean of two seeded ones, of which the first is the single pass; spread = |d1 - d2| / sqrt 2."""
    one = rows_of(labeled(tmp_path / "one", inputs, label_dropout=0.4)[0])
    two = rows_of(labeled(tmp_path / "two", inputs, label_dropout=0.4, passes=2)[0])
    assert {row["spread"] for row in one} == {None}
    for single, mean in zip(one, two, strict=True):
        first = single["score_a"] - single["score_b"]
        second = 2 * (mean["score_a"] - mean["score_b"]) - first
        assert mean["spread"] == pytest.approx(abs(first - second) / math.sqrt(2))
        assert mean["margin"] == pytest.approx(abs(first + second) / 2)


def test_an_ensemble_averages_its_members(tmp_path, inputs):
    """The same annotator twice: the same margins, no spread. Another one beside it: the mean of both."""
    twin = {**inputs, "annotator_2": inputs["annotator"]}
    alone, both = rows_of(labeled(tmp_path / "1", inputs)[0]), rows_of(labeled(tmp_path / "2", twin)[0])
    assert [row["margin"] for row in both] == pytest.approx([row["margin"] for row in alone])
    assert {row["spread"] for row in both} == {0.0}
    other = {**inputs, "annotator": small_world.annotator_artifact(tmp_path / "other", architecture="qwen2")}
    pair = {**inputs, "annotator_2": other["annotator"]}
    second, mixed = rows_of(labeled(tmp_path / "3", other)[0]), rows_of(labeled(tmp_path / "4", pair)[0])
    for x, y, mean in zip(alone, second, mixed, strict=True):
        assert mean["score_a"] == pytest.approx((x["score_a"] + y["score_a"]) / 2)


def test_votes_are_the_share_of_members_that_choose_the_label(tmp_path, inputs):
    """Two members: 1 where both choose the same answer, 1/2 where the surer one decides; the rest as without votes."""
    other = small_world.annotator_artifact(tmp_path / "other", architecture="qwen2")
    two = {**inputs, "annotator_2": other}
    plain = rows_of(labeled(tmp_path / "plain", two)[0])
    counted = rows_of(labeled(tmp_path / "votes", two, votes=True)[0])
    members = [
        {row["pair_id"]: row["label"] for row in rows_of(labeled(tmp_path / name, {**inputs, "annotator": who})[0])}
        for name, who in (("one", inputs["annotator"]), ("two", other))
    ]
    for row, same in zip(counted, plain, strict=True):
        votes = [member[row["pair_id"]] == row["label"] for member in members]
        assert row.pop("agreement") == sum(votes) / 2
        assert row == same
    assert {len({member[row["pair_id"]] for member in members}) for row in plain} == {1, 2}


def test_a_member_without_an_opinion_votes_half_for_either_answer():
    """Differences 2, 0 and -1: mean 1/3, label a, votes 1, 1/2 and 0."""
    pairs = small_world.word_pairs(1)
    rows = encode_pairs(pairs, small_world.word_tokenizer(), max_length=96).rows
    scores = np.array([[[2.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    (row,) = annotations(pairs, rows, scores, votes=True).to_pylist()
    assert (row["label"], row["agreement"]) == ("a", pytest.approx(0.5))


def test_the_joint_loss_is_that_of_both_orders():
    """-[log sigma(f(x, y+, y-)) + log(1 - sigma(f(x, y-, y+)))] of each pair, from its two scores."""
    rows = tiny.pairs(5, seed=8)
    labels = {row.pair_id: index % 2 for index, row in enumerate(rows)}
    path = forward_path(tiny.scorer("opt", torch.float64), device="cpu", precision="fp32", log=print)
    (batch,) = pack(rows, 10_000)
    loss, _ = joint_loss(path, rows, labels, "cpu")(Micro(batch=batch, share=1 / 5))
    scores = response_scores(path, batch).view(-1, 2).tolist()
    by_hand = 0.0
    for index, (first, second) in zip(batch.indices.tolist(), scores, strict=True):
        right, wrong = (first, second) if index % 2 == 0 else (second, first)
        by_hand += math.log1p(math.exp(-right)) + math.log1p(math.exp(wrong))
    assert loss.item() == pytest.approx(by_hand / 5)


JOINT = {**TRAINING, "kind": "joint"}


def test_a_joint_annotator_reads_both_responses_and_the_order_says_nothing(tmp_path, inputs):
    """Swapping a and b of every pair turns every margin around, exactly; it learns its training labels."""
    ctx = context(tmp_path / "train", "annotator", inputs=inputs, config=JOINT)
    summary = run_annotator(ctx)
    losses = [values["loss"] for _, values in ctx.reporter.points if "loss" in values]
    assert losses[-1] < losses[0]
    assert summary["pairs"] == 24
    given = {**inputs, "annotator": ctx.out}
    turned = [replace(p, response_a=p.response_b, response_b=p.response_a) for p in PAIRS]
    swapped = {**given, "data": small_world.data_artifact(tmp_path / "swapped", turned)}
    one, two = (rows_of(labeled(tmp_path / n, i, kind="joint")[0]) for n, i in (("a", given), ("b", swapped)))
    for first, second in zip(one, two, strict=True):
        assert first["score_a"] - first["score_b"] == pytest.approx(second["score_b"] - second["score_a"], abs=1e-6)


def test_a_joint_annotator_says_which_prompts_it_cuts_and_keeps_their_first_token():
    """Twenty words behind a start token, two answers of ten words and an end: 11 of 21 ids fit into 33, all into 43."""
    prompt, answer = (" ".join(f"w{n}" for n in range(3, 3 + count)) for count in (20, 10))
    one = replace(PAIRS[0], prompt=prompt, response_a=answer, response_b=answer)
    tokenizer = small_world.word_tokenizer()
    for length, kept, cut in ((43, 21, 0), (33, 11, 1)):
        found = annotator.encode_candidates([one], tokenizer, length, "joint")
        assert (found.truncated, found.dropped, len(found.rows[0].prompt_ids)) == (cut, 0, kept)
        assert found.rows[0].prompt_ids[0] == tokenizer.bos_token_id
        assert found.rows[0].prompt_ids[-1] == 22
    assert annotator.encode_candidates([one], tokenizer, 22, "joint").dropped == 1


def test_the_implicit_reward_is_beta_times_the_log_ratio(tmp_path, inputs):
    """Against concatenated forward passes of the tuned and the start model."""
    tuned = small_world.policy_artifact(tmp_path / "tuned", seed=1)
    given = {"data": inputs["data"], "annotator": tuned, "annotator_start": inputs["base"]}
    settings = {"kind": "implicit", "model": "none", "revision": None, "beta": 0.2}
    row = rows_of(labeled(tmp_path / "run", given, **settings)[0])[0]
    pair = next(pair for pair in PAIRS if pair.pair_id == row["pair_id"])
    (encoded,) = encode_pairs([pair], small_world.word_tokenizer(), max_length=96).rows
    after, before = (tiny.concatenated_logps(tiny.policy("opt", seed=seed), encoded) for seed in (1, 0))
    assert [row["score_a"], row["score_b"]] == pytest.approx((0.2 * (after - before)).tolist(), rel=1e-4)


@pytest.mark.parametrize("kind", ["bradley_terry", "implicit"])
def test_labeling_stops_within_a_window(tmp_path, inputs, kind):
    """Asked before the window, then before each of its batches."""
    implicit = {"kind": "implicit", "model": "none", "revision": None, "beta": 0.2} if kind == "implicit" else {}
    models = {"annotator": inputs["base"], "annotator_start": inputs["base"]} if implicit else inputs
    stops = iter([False, False, True])
    ctx = context(
        tmp_path / "run", "labels", inputs={**models, "data": inputs["data"]}, config={**LABELING, **implicit},
        tokens_per_batch=200, should_stop=lambda: next(stops),
    )  # fmt: skip
    with pytest.raises(Cancelled, match="from the last finished window"):
        run_labels(ctx)


def test_a_temperature_is_fitted_on_labels_that_its_annotator_did_not_see(tmp_path, inputs):
    """15 % of 24 pairs, whole prompts of two: at least 4 held out, the others trained on; T never makes it worse."""
    settings = {**TRAINING, "heldout_fraction": 0.15}
    summary = run_calibration(context(tmp_path / "run", "calibration", inputs=inputs, config=settings))
    assert summary["n"] + summary["pairs"] == 24
    assert summary["n"] >= 4
    assert summary["temperature"] > 0
    assert summary["nll_scaled"] <= summary["nll_raw"] + 1e-9


def test_an_existing_annotator_is_read_from_the_store(tmp_path, inputs):
    wanted = rows_of(labeled(tmp_path / "own", inputs)[0])
    config = {**LABELING, "use": "a" * 64}
    ctx = context(tmp_path / "used", "labels", inputs={"data": inputs["data"]}, config=config, tokens_per_batch=200)
    with pytest.raises(ArtifactError, match="not in the store"):
        run_labels(ctx)
    trained = {**TRAINING, "model": "tiny"}
    with ctx.store.build("a" * 64, meta={"kind": "annotator", "config": trained}) as out:
        for file in inputs["annotator"].iterdir():
            (out / file.name).write_bytes(file.read_bytes())
    run_labels(ctx)
    assert rows_of(ctx) == wanted


def test_an_existing_annotator_is_of_the_kind_that_it_was_trained_as(tmp_path, inputs):
    """Whatever the configuration of the run that uses it says."""
    wanted = rows_of(labeled(tmp_path / "own", inputs, kind="joint")[0])
    config = {**LABELING, "use": "a" * 64, "kind": "bradley_terry"}
    ctx = context(tmp_path / "used", "labels", inputs={"data": inputs["data"]}, config=config, tokens_per_batch=200)
    trained = {**TRAINING, "model": "tiny", "kind": "joint"}
    with ctx.store.build("a" * 64, meta={"kind": "annotator", "config": trained}) as out:
        for file in inputs["annotator"].iterdir():
            (out / file.name).write_bytes(file.read_bytes())
    run_labels(ctx)
    assert rows_of(ctx) == wanted


def test_deciles_histogram_and_length_rule_by_hand(tmp_path):
    """20 pairs with C = 0, .05, …; the annotator says a, humans agree from C = .5 on; a is always longer.

    On the labeled part the shorter wins, so the length rule says b: right where the human says b, 10 of 20.
    """
    count = 20
    pairs = [
        replace(pair, human_label="a" if index >= 10 else "b", true_label=None, response_a="w3 w4", response_b="w3")
        for index, pair in enumerate(small_world.word_pairs(count))
    ]
    rows = encode_pairs(pairs, small_world.word_tokenizer(), max_length=96).rows
    confidence = np.arange(count) / count
    scores = np.column_stack([2 * np.arctanh(confidence), np.zeros(count)])
    table = annotations(pairs, rows, scores[:, None])
    pq.write_table(table, tmp_path / "annotations.parquet")
    shorter_wins = [[replace(pair, human_label="b") for pair in pairs[:3]]]
    seen = LabelAttributes(rival=None)
    seen.add(pairs, table)
    summary = label_summary.summarise(tmp_path / "annotations.parquet", shorter_wins, seen)
    assert summary["accuracy_human"] == 0.5
    assert summary["length_only_accuracy"] == 0.5
    assert summary["accuracy_truth"] is None
    assert summary["human_accuracy_truth"] is None
    assert summary["mean_confidence"] == pytest.approx(0.475)
    assert summary["effective_sample_size"] == pytest.approx(confidence.sum() ** 2 / (confidence**2).sum())
    assert sum(summary["histogram"]["counts"]) == 20
    assert sum(summary["histogram"]["agree_counts"]) == 10
    assert [decile["agree_human"] for decile in summary["deciles"]] == [0.0] * 5 + [1.0] * 5
    last = summary["deciles"][-1]
    assert (last["n"], last["ci_low"], last["ci_high"]) == (2, pytest.approx(0.3424, abs=1e-4), pytest.approx(1.0))
