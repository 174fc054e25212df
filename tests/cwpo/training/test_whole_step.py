"""What an objective reads of a whole step: packing, dropout and stops do not move it; KTO's answers are foreign."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cwpo.errors import ArtifactError, Cancelled, DataError
from cwpo.models.logps import forward_path, response_logps
from cwpo.models.tokenization import RowIds
from cwpo.training.align import align_data, run_align, train_policy
from cwpo.training.reference import reference_table, run_reference
from cwpo.training.weighting import weigh
from cwpo.training.whole.mismatched import mismatch, of_pairs
from cwpo.training.whole.step import above_usual, mean_over
from tests.cwpo import random_models as tiny
from tests.cwpo import small_world
from tests.cwpo.stage import TRAIN, context, weighting

ROWS = tiny.pairs(10, seed=7)
LABELS = ["a", "b", "b", "a", "a", "b", "a", "b", "a", "b"]
MARGINS = np.linspace(0.0, 4.0, 10)
OBJECTIVES = {
    "bdpo": {"name": "bdpo", "beta": 0.5, "beta_dynamics": 0.6},
    "kto": {"name": "kto", "beta": 0.5},
}


def config(name: str, **train) -> dict:
    own = {**TRAIN, "lr": 1e-2, "epochs": 2.0, **train}
    return {"train": own, "precision": "fp32", "seed": 0, "objective": OBJECTIVES[name]}


def foreign() -> list:
    """Every row's prompt with the answers of the row behind it."""
    return [replace(row, responses=other.responses) for row, other in zip(ROWS, [*ROWS[1:], ROWS[0]], strict=True)]


def known(rows, ctx) -> dict[str, tuple[float, float]]:
    """What a policy of another seed thinks of the rows."""
    path = forward_path(tiny.policy("opt", torch.float64, seed=1), device="cpu", precision="fp32", log=print)
    return {row["pair_id"]: (row["logp_a"], row["logp_b"]) for row in reference_table(path, rows, ctx).to_pylist()}


def trained(folder, name: str, *, budget: int = 60, weights=None, should_stop=lambda: False, **train):
    """A policy that is not the reference, after alignment on batches of 4."""
    model = tiny.policy("opt", torch.float64)
    ctx = context(folder, config=config(name, **train), tokens_per_batch=budget, should_stop=should_stop)
    alone = replace(ctx, should_stop=lambda: False)
    weights = weights or weigh(weighting("confidence"), MARGINS)
    data = align_data(ROWS, LABELS, weights, known(ROWS, alone), margins=MARGINS)
    others = of_pairs(foreign(), known(foreign(), alone), [row.pair_id for row in ROWS])
    train_policy(model, replace(data, mismatched=others), ctx)
    return model, ctx


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_does_not_depend_on_the_packing(tmp_path, name):
    one, other = (trained(tmp_path / str(budget), name, budget=budget)[0] for budget in (1, 10_000))
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in pairs)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_first_loss_is_that_of_plain_forward_passes_over_the_whole_step(tmp_path, name):
    """h of all ten pairs, one response at a time: beta .5 (1 + .6 * .9 mean h), or z the mean over foreign answers."""
    _, ctx = trained(tmp_path, name, batch_size=10)
    policy, reference = (tiny.policy("opt", torch.float64, seed=seed) for seed in (0, 1))
    with torch.no_grad():
        own, other = (
            torch.stack(
                [tiny.concatenated_logps(policy, row) - tiny.concatenated_logps(reference, row) for row in rows]
            )
            for rows in (ROWS, foreign())
        )
    side = torch.tensor([[0, 1] if label == "a" else [1, 0] for label in LABELS])
    won, lost = own.gather(1, side).unbind(1)
    if name == "bdpo":
        beta = max(1e-3, 0.5 * (1 + 0.6 * 0.9 * (won - lost).mean().item()))
        losses = -torch.nn.functional.logsigmoid(beta * (won - lost))
    else:
        z = max(0.0, other.mean().item())
        losses = (1 - torch.sigmoid(0.5 * (won - z)) + 1 - torch.sigmoid(0.5 * (z - lost))) / 2
    wanted = (torch.from_numpy(np.tanh(MARGINS / 2)) * losses).mean().item()
    assert ctx.reporter.points[0][1]["loss"] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weight_zero_gives_zero_gradient(tmp_path, name):
    model, ctx = trained(tmp_path, name, weights=weigh(weighting("confidence"), np.zeros(10)))
    assert {values["grad_norm"] for _, values in ctx.reporter.points} == {0.0}
    start = tiny.policy("opt", torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True))


def test_the_running_mean_survives_a_stop(tmp_path):
    """Stopped behind the second step and gone on with: the same weights as undisturbed."""
    asked = iter(range(1, 100))
    whole, _ = trained(tmp_path / "whole", "bdpo")
    with pytest.raises(Cancelled):
        trained(tmp_path / "cut", "bdpo", should_stop=lambda: next(asked) == 2)
    resumed, ctx = trained(tmp_path / "cut", "bdpo")
    assert ctx.reporter.points[0][0] == 3
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_usual_is_a_tenth_of_this_step_and_nine_tenths_of_what_it_was():
    """Means 2 and 3: usual .2, then .48; above it 1.8 and 2.52."""
    kept: dict = {}
    found = [above_usual(torch.tensor(value), kept).item() for value in (2.0, 3.0)]
    assert found == pytest.approx([1.8, 2.52])


def test_reading_the_step_draws_no_random_number_and_leaves_dropout_on(tmp_path):
    model = tiny.policy("opt", torch.float64)
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.5
    model.train()
    path = forward_path(model, device="cpu", precision="fp32", log=print)
    ctx = context(tmp_path, config=config("kto"))

    def total(batch) -> torch.Tensor:
        return response_logps(path, batch).view(-1, 2).sum(dim=1)

    before = torch.get_rng_state()
    found = mean_over(ROWS, np.arange(10), total, model, ctx, lambda work: work())
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    model.eval()
    with torch.no_grad():
        wanted = torch.stack([tiny.concatenated_logps(model, row).sum() for row in ROWS]).mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert not found.requires_grad


IDS = [RowIds(f"{number}", [number // 2], ([number, 1], [number, 2]), False) for number in range(8)]


def test_every_prompt_gets_both_answers_of_a_pair_with_another_prompt_whatever_the_order():
    found = {row.row_id: row for row in mismatch(IDS)}
    assert set(found) == {row.row_id for row in IDS}
    for row in IDS:
        other = found[row.row_id]
        assert other.prompt == row.prompt
        (source,) = {ids[0] for ids in other.responses}
        assert IDS[source].responses == other.responses
        assert IDS[source].prompt != row.prompt
    assert {row.row_id: row for row in mismatch(IDS[::-1])} == found
    with pytest.raises(DataError, match="at least two prompts"):
        list(mismatch(IDS[:2]))


def test_kto_goes_from_a_reference_of_foreign_answers_to_a_policy(tmp_path):
    """The policy starts as the reference: z is 0 and every loss 1/2; the reference knows all 24 prompts twice."""
    data = small_world.data_artifact(tmp_path / "data", small_world.word_pairs(40))
    start, part = small_world.policy_artifact(tmp_path / "start"), {**small_world.PART, "part": "unlabeled"}
    own, given = {**small_world.MODEL, **part}, {"data": data, "start": start}
    first = context(tmp_path / "reference", "reference", inputs=given, config={**own, "mismatched": True})
    run_reference(first)
    tables = [pq.read_table(first.out / f"{name}.parquet") for name in ("reference", "mismatched")]
    assert tables[0]["pair_id"].to_pylist() != []
    assert set(tables[0]["pair_id"].to_pylist()) == set(tables[1]["pair_id"].to_pylist())
    assert not set(tables[0]["logp_a"].to_pylist()) & set(tables[1]["logp_a"].to_pylist())
    settings = {
        **own, "lora": None, "label_source": "human", "weighting": {"name": "uniform"},
        "objective": OBJECTIVES["kto"], "seed": 0, "train": {**TRAIN, "batch_size": 8, "epochs": 2.0},
    }  # fmt: skip
    ctx = context(tmp_path / "align", inputs={**given, "reference": first.out}, config=settings)
    summary = run_align(ctx)
    assert ctx.reporter.points[0][1]["loss"] == pytest.approx(0.5, rel=1e-5)
    assert math.isfinite(summary["final_loss"])
    assert ctx.reporter.points[-1][1]["rewards/margins"] > 0.001
    pq.write_table(tables[1].slice(0, 3), first.out / "mismatched.parquet")
    with pytest.raises(ArtifactError, match="says nothing of 21 pairs"):
        run_align(context(tmp_path / "again", inputs={**given, "reference": first.out}, config=settings))
