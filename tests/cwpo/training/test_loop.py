"""The loop: same order for all, same result for any micro-batch, resumed bit for bit, stopped when it diverges."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from cwpo.errors import Cancelled, DivergedError
from cwpo.training.checkpoints import whole_checkpoints
from cwpo.training.loop import Batches, data_order, has_dropout, learning_rate, train
from tests.cwpo import random_models as tiny
from tests.cwpo.stage import TRAIN, context, fine_tuned, training

ROWS = tiny.pairs(11, seed=6, responses=1)
IDS = [row.pair_id for row in ROWS]


def config(**changes):
    return {"train": {**TRAIN, "epochs": 3.0, **changes}, "precision": "fp32", "seed": 0}


def weights_of(model) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def dropping(seed=0):
    """A model with dropout on, so that a resume must also restore the random state."""
    model = tiny.policy("opt", seed=seed)
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.1
    return model


def test_the_order_of_data_depends_on_seed_and_epoch_alone_and_subsets_keep_it():
    whole = [IDS[index] for index in data_order(IDS, seed=1, epoch=2)]
    assert whole == [IDS[index] for index in data_order(IDS, seed=1, epoch=2)]
    assert whole != [IDS[index] for index in data_order(IDS, seed=1, epoch=3)]
    assert whole != [IDS[index] for index in data_order(IDS, seed=2, epoch=2)]
    subset = IDS[2:9]
    assert [subset[index] for index in data_order(subset, seed=1, epoch=2)] == [i for i in whole if i in subset]
    positions = np.array([list(data_order(IDS, seed=seed, epoch=0)).index(0) for seed in range(400)])
    assert abs(positions.mean() - 5) < 0.5  # row 0 lands anywhere: mean 5, SD 3.2, so 0.16 for 400 seeds


def test_every_epoch_sees_every_row_once():
    batches = Batches(ids=IDS, batch_size=4, seed=0)
    assert batches.per_epoch == 3
    assert [batches.steps(epochs) for epochs in (2.0, 0.1, 0.5)] == [6, 1, 2]
    for epoch in range(3):
        seen = np.concatenate([batches.rows(epoch * 3 + step) for step in range(3)])
        assert sorted(seen.tolist()) == list(range(11))


@pytest.mark.parametrize(
    ("schedule", "make"), [("cosine", get_cosine_schedule_with_warmup), ("linear", get_linear_schedule_with_warmup)]
)
def test_learning_rates_are_those_of_transformers(schedule, make):
    settings = training(warmup_steps=5, schedule=schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    scheduler = make(optimizer, 5, 60)
    for step in range(60):
        assert learning_rate(settings, step, 60) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        scheduler.step()
    assert learning_rate(replace(settings, schedule="constant"), 30, 60) == settings.lr
    assert learning_rate(settings, 2, 20) == settings.lr  # warm-up is at most a tenth: 2 of 20 steps


def test_micro_batches_do_not_change_the_result(tmp_path):
    """Effective batches of 4 whole, and pair by pair."""
    results = []
    for budget in (10_000, 1):
        model = tiny.policy("opt", torch.float64)
        ctx = context(tmp_path / str(budget), "sft", config=config(), tokens_per_batch=budget)
        fine_tuned(model, ROWS, ctx)
        results.append(weights_of(model))
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(*results, strict=True))


def test_with_dropout_the_token_budget_does_not_change_the_result(tmp_path):
    """Bit for bit: the packing is fixed while anything is dropped."""
    results = []
    for budget in (10_000, 30):
        model = dropping()
        fine_tuned(model, ROWS, context(tmp_path / str(budget), "sft", config=config(), tokens_per_batch=budget))
        results.append(weights_of(model))
    assert has_dropout(model)
    assert not has_dropout(tiny.policy("opt"))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_step_without_pairs_moves_nothing_and_has_loss_zero(tmp_path):
    weight = torch.nn.Parameter(torch.ones(1))
    ctx = context(tmp_path, config=config())
    result = train(
        torch.nn.ParameterList([weight]),
        lambda step: [],
        lambda item: (weight.sum(), {}),
        steps=2,
        config=training(),
        ctx=ctx,
    )
    assert result.final_loss == 0.0
    assert weight.item() == 1.0


@pytest.mark.parametrize("killed_at", [1, 5, 8])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, killed_at):
    """Killed without warning after step `killed_at` (a checkpoint each step), then run again to the end."""
    undisturbed, resumed = dropping(), dropping()
    whole = context(tmp_path / "whole", "sft", config=config(weight_decay=0.1))
    expected = fine_tuned(undisturbed, ROWS, whole)

    class Killed(BaseException):
        pass

    def kill():
        calls.append(1)
        if len(calls) > killed_at:
            raise Killed

    calls: list[int] = []
    options = {"config": config(weight_decay=0.1), "checkpoint_seconds": 0.0}
    with pytest.raises(Killed):
        fine_tuned(resumed, ROWS, context(tmp_path / "cut", "sft", should_stop=kill, **options))
    again = dropping(seed=9)  # the new process loads the start model; the checkpoint must replace all of it
    ctx = context(tmp_path / "cut", "sft", **options)
    result = fine_tuned(again, ROWS, ctx)
    assert result.first_step == killed_at
    assert ctx.reporter.progresses[0] == (killed_at, 9, "steps")
    assert all(torch.equal(a, b) for a, b in zip(weights_of(again), weights_of(undisturbed), strict=True))
    assert sorted(result.history.points) == sorted(expected.history.points)


def test_a_stopped_training_leaves_a_checkpoint_and_a_sentence(tmp_path):
    ctx = context(tmp_path, "sft", config=config(), should_stop=lambda: True)
    with pytest.raises(Cancelled, match="after step 1 of 9"):
        fine_tuned(tiny.policy("opt"), ROWS, ctx)
    assert [folder.name for folder in ctx.checkpoints.iterdir()] == ["step-000000001"]


def test_a_loss_that_is_not_finite_names_its_step(tmp_path):
    weight = torch.nn.Parameter(torch.ones(1))
    model = torch.nn.ParameterList([weight])
    ctx = context(tmp_path, config=config())
    with pytest.raises(DivergedError, match="nan at step 3"):
        train(
            model,
            lambda step: [step],
            lambda step: ((weight * (float("nan") if step == 2 else 1.0)).sum(), {}),
            steps=6,
            config=training(),
            ctx=ctx,
        )
    assert [step for step, _ in ctx.reporter.points] == [1, 2]


def test_metrics_are_written_and_reported_alike(tmp_path):
    ctx = context(tmp_path, "sft", config=config())
    result = fine_tuned(tiny.policy("qwen2"), ROWS, ctx)
    result.history.write(ctx.out)
    rows = pq.read_table(ctx.out / "metrics.parquet").to_pylist()
    told = {(step, name): value for step, values in ctx.reporter.points for name, value in values.items()}
    assert {(row["step"], row["name"]): row["value"] for row in rows} == told
    assert {row["name"] for row in rows} == {"loss", "lr", "grad_norm"}
    assert [row["step"] for row in rows if row["name"] == "loss"] == list(range(1, 10))
    assert rows[0]["value"] > result.final_loss


def unsteady(at: int, weight: torch.nn.Parameter):
    """A loss that is always finite, and whose gradient is infinite in 0-based step `at` (a root at zero)."""
    return lambda step: ((weight - weight.detach()).abs().pow(0.5 if step == at else 1.0).sum() + weight.sum(), {})


@pytest.mark.parametrize("at", [0, 5], ids=["in the first step", "in the last step"])
def test_a_gradient_that_is_not_finite_names_its_step(tmp_path, at):
    weight = torch.nn.Parameter(torch.ones(1))
    model, ctx = torch.nn.ParameterList([weight]), context(tmp_path, config=config(), checkpoint_seconds=0.0)
    with pytest.raises(DivergedError, match=rf"The norm of the gradient is (inf|nan) at step {at + 1}: lower the"):
        train(model, lambda step: [step], unsteady(at, weight), steps=6, config=training(), ctx=ctx)
    assert not whole_checkpoints(ctx.checkpoints) or at
    if at:
        again = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(1))])
        train(again, lambda step: [step], unsteady(9, again[0]), steps=6, config=training(), ctx=ctx)
        assert torch.isfinite(again[0]).all()  # the checkpoint before that step was fine


def test_weights_that_the_last_step_made_infinite_are_never_stored(tmp_path):
    """One step with a rate beyond float32: its loss and its gradient are finite, what it leaves is not."""
    ctx = context(tmp_path, "sft", config=config(lr=1e39, epochs=0.1))
    with pytest.raises(DivergedError, match=r"The trained weights are not finite \(.*more\): lower the learning rate"):
        fine_tuned(tiny.policy("opt"), ROWS, ctx)
    assert list(ctx.out.iterdir()) == []
