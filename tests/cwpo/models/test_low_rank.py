"""LoRA in few kernels is what peft computes, rounded less; a zero adapter changes nothing to the bit."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from cwpo.models.adapters import add_adapter
from cwpo.models.fused import low_rank
from cwpo.models.logps import forward_path, response_logps
from cwpo.models.tokenization import pack
from cwpo.stages.settings import LoraSettings
from tests.cwpo import random_models as tiny
from tests.cwpo.gradients import worst_gradient

BATCH = pack(tiny.pairs(9), 10_000)[0]


def adapted(architecture="qwen2", dropout=0.0, init=False):
    torch.manual_seed(3)
    settings = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, target_modules="all-linear", init_lora_weights=init)
    return get_peft_model(tiny.policy(architecture), settings)


def logps(model, precision="bf16"):
    return response_logps(forward_path(model, device="cpu", precision=precision, log=lambda line: None), BATCH)


def fused(model):
    return any("forward" in vars(module) for module in model.modules())


def test_it_is_what_peft_computes_up_to_rounding(monkeypatch):
    """Log-probabilities of a model, and one product: against float64 of the same inputs it is nearer than peft's."""
    ours = logps(adapted()).detach()
    monkeypatch.setattr(low_rank, "fuse", lambda model: None)
    peft = logps(adapted()).detach()
    assert not torch.equal(ours, peft)
    assert (ours - peft).norm() <= 0.01 * peft.norm()
    torch.manual_seed(0)
    base, x = torch.randn(200, 64).bfloat16(), torch.randn(200, 32).bfloat16()
    down, up = (torch.randn(*shape).bfloat16().float() for shape in ((8, 32), (64, 8)))
    exact = base.double() + 1.7 * x.double() @ down.double().T @ up.double().T
    theirs = base + ((x @ down.bfloat16().T) @ up.bfloat16().T) * 1.7
    mine = low_rank._LowRank.apply(base, x, down, up, 1.7)
    assert (mine.double() - exact).norm() < (theirs.double() - exact).norm()


@pytest.mark.parametrize("architecture", ["opt", "qwen2"])
def test_gradients_are_those_of_float32_up_to_rounding(architecture):
    """Of every A and B; the frozen weights get none."""
    model, exact = adapted(architecture), adapted(architecture)
    logps(model).sum().backward()
    logps(exact, "fp32").sum().backward()
    assert fused(model)
    assert not fused(exact)
    assert worst_gradient(model, exact) <= 0.1
    assert all(("lora_" in name) == (value.grad is not None) for name, value in model.named_parameters())


def test_one_product_has_the_slopes_of_autograd():
    """Against the formula in float64 of the same bfloat16 inputs."""
    torch.manual_seed(0)
    base, x = torch.randn(2, 5, 6).bfloat16(), torch.randn(2, 5, 7).bfloat16()
    down, up = torch.randn(3, 7).bfloat16().float(), torch.randn(6, 3).bfloat16().float()
    slopes = torch.randn(2, 5, 6).bfloat16()
    given = [value.clone().requires_grad_() for value in (base, x, down, up)]
    wanted = [value.double().requires_grad_() for value in (base, x, down, up)]
    out = low_rank._LowRank.apply(*given, 1.5)
    truth = wanted[0] + 1.5 * wanted[1] @ wanted[2].T @ wanted[3].T
    out.backward(slopes)
    truth.backward(slopes.double())
    assert (out.double() - truth).norm() <= 0.01 * truth.norm()
    for mine, exact in zip(given, wanted, strict=True):
        assert mine.grad.dtype == mine.dtype
        assert (mine.grad.double() - exact.grad).norm() <= 0.01 * exact.grad.norm()


def test_a_zero_adapter_changes_nothing_to_the_bit():
    """Alone, and over another one."""
    whole = tiny.policy("llama")
    lora = LoraSettings(r=4, alpha=8, dropout=0.0, target_modules=None)
    assert torch.equal(logps(add_adapter(copy.deepcopy(whole), lora, seed=0)).detach(), logps(whole).detach())
    below = adapted("llama")
    above = copy.deepcopy(below)
    above.add_adapter("above", LoraConfig(r=2, target_modules="all-linear"))
    above.base_model.set_adapter(["default", "above"])
    assert torch.equal(logps(above).detach(), logps(below).detach())


def test_dropout_falls_on_the_adapter_alone_and_float32_is_pefts():
    """Evaluation has none, training has; a fused model in fp32 gives what one that was never fused gives."""
    model = adapted(dropout=0.5)
    assert torch.equal(logps(model.eval()), logps(model))
    assert not torch.equal(logps(model.train()), logps(model))
    assert torch.equal(logps(model.eval(), "fp32"), logps(adapted(dropout=0.5).eval(), "fp32"))
    with model.disable_adapter():
        assert torch.equal(logps(model), logps(tiny.policy("qwen2")))
