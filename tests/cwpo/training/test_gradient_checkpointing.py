"""Gradient checkpointing is used when memory needs it, said in the log, and changes no result."""

from dataclasses import dataclass, replace

import pytest
import torch

from cwpo.models.adapters import add_adapter
from cwpo.models.memory_estimate import SAFE, Need
from cwpo.parallel.ranks import Ranks
from cwpo.stages.plain import to_plain
from cwpo.training import gradient_checkpointing as checkpointing
from tests.cwpo import random_models as tiny
from tests.cwpo.stage import TRAIN, context, fine_tuned
from tests.cwpo.stage import lora as adapter

ROWS = tiny.pairs(11, seed=6, responses=1)
LORA = adapter(r=2, alpha=4, dropout=0.1)
NEED = Need(weights=10**9, gradients=10**8, optimizer=2 * 10**8, activations=5 * 10**8, checkpointed=5 * 10**7)


def trained(folder, asked, *, lora=None, family="opt"):
    """A model after nine steps, the history, and what the log said."""
    model = tiny.policy(family)
    model = add_adapter(model, lora, seed=0) if lora else model
    settings = {
        "train": {**TRAIN, "epochs": 3.0},
        "precision": "fp32",
        "seed": 0,
        "lora": to_plain(lora) if lora else None,
    }
    ctx = context(folder, "sft", config=settings, gradient_checkpointing=asked)
    return model, fine_tuned(model, ROWS, ctx).history.points, " ".join(ctx.reporter.lines)


@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "adapter with dropout"])
@pytest.mark.parametrize("family", ["opt", "qwen2"])
def test_the_loss_curve_is_the_same_with_and_without(tmp_path, family, lora):
    """Bit for bit, weights too."""
    plain, curve, _ = trained(tmp_path / "plain", False, family=family, lora=lora)
    again, same, _ = trained(tmp_path / "again", True, family=family, lora=lora)
    assert (plain.is_gradient_checkpointing, again.is_gradient_checkpointing) == (False, True)
    assert len(curve) > 9
    assert same == curve
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "adapter"])
def test_where_nobody_asked_the_free_memory_decides(tmp_path, monkeypatch, lora):
    monkeypatch.setattr(checkpointing, "free_memory", lambda device: 10**12)
    roomy, _, said = trained(tmp_path / "roomy", None, lora=lora)
    assert not roomy.is_gradient_checkpointing
    assert "1,000.0 GB are free: activations are kept" in said
    monkeypatch.setattr(checkpointing, "free_memory", lambda device: 1000)
    tight, _, said = trained(tmp_path / "tight", None, lora=lora)
    assert tight.is_gradient_checkpointing
    assert "activations are made again (gradient checkpointing)" in said
    assert "may still be too much" in said


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_asked_for_is_not_overruled(tmp_path, monkeypatch, asked):
    monkeypatch.setattr(checkpointing, "free_memory", lambda device: 1000 if not asked else 10**12)
    model, _, said = trained(tmp_path, asked)
    assert model.is_gradient_checkpointing is asked
    assert "gradient checkpointing" not in said


@dataclass(frozen=True, kw_only=True)
class Others(Ranks):
    """Four ranks, of which another one has less memory free."""

    least: int

    def gather(self, value):
        return [value, min(value, self.least)]


@pytest.mark.parametrize(
    ("shard", "free", "least", "again"),
    [
        (True, 1.0, 1.0, False), (None, 1.0, 1.0, True), (True, 1.0, 0.5, True), (False, 1.0, 1.0, True),
    ],
    ids=["split", "not said to be", "another rank is full", "repeated"],
)  # fmt: skip
def test_a_model_that_is_split_is_reckoned_with_its_cards_and_by_the_fullest(
    tmp_path, monkeypatch, shard, free, least, again
):
    """What is free is just what a quarter of the weights, gradients and moments takes with all activations."""
    model = tiny.policy("opt")
    ctx = context(tmp_path, "sft", config={"train": TRAIN, "precision": "fp32", "seed": 0, "lora": None})
    room = int(checkpointing.need_of(model, within(ctx, Others(size=4, least=0), True)).total / SAFE) + 1
    monkeypatch.setattr(checkpointing, "free_memory", lambda device: int(free * room))
    ranked = within(ctx, Others(size=4, least=int(least * room)), shard)
    assert checkpointing.uses_gradient_checkpointing(model, ranked) is again
    assert ("on each card" in " ".join(ctx.reporter.lines)) == bool(shard)


def within(ctx, ranks, shard):
    return replace(ctx, execution=replace(ctx.execution, ranks=ranks, shard=shard))


def test_an_unknown_family_is_said_and_left_alone(tmp_path):
    model, _, said = trained(tmp_path, None, family="gpt2")
    assert not model.is_gradient_checkpointing
    assert "How much memory gpt2 needs is not known here" in said


@pytest.mark.parametrize(
    ("free", "words"),
    [
        (1_000_000_000, "about 800 MB beside the weights, 1.0 GB are free: activations are kept"),
        (990_000_000, "activations are made again (gradient checkpointing), which leaves about 350 MB."),
        (430_000_000, "leaves about 350 MB; that may still be too much"),
    ],
)
def test_an_estimate_may_fill_four_fifths_of_what_is_free(free, words):
    """Beside the weights 100 + 200 + 500 = 800 MB, or 350 MB with checkpointing; 0.8 · 990 = 792, 0.8 · 430 = 344."""
    assert words in checkpointing.reason(NEED, free)
    assert checkpointing.exceeds(NEED, free) == (free < 10**9)
