"""Packed, prompt-shared, fused log-probabilities and scores equal those of plain concatenated forward passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from cwpo.models import attention, logps
from cwpo.models.logps import forward_path, response_logps, response_logps_and_sharpness, response_scores
from cwpo.models.tokenization import pack
from tests.cwpo import random_models as tiny
from tests.cwpo.gradients import worst_gradient

PACKED = ("opt", "qwen2", "llama", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text")
ARCHITECTURES = (*PACKED, "gpt2")
OWN_ROUNDING = {"gemma2": 2e-6}  # its own attention takes the softmax in float32, whatever the weights are
ROWS = tiny.pairs(9)


def path_of(model, lines=None, precision="fp32"):
    return forward_path(model, device="cpu", precision=precision, log=(lines if lines is not None else []).append)


def all_logps(path, rows, budget):
    out = torch.zeros(len(rows), 2, dtype=torch.float64)
    for batch in pack(rows, budget):
        out = out.index_put((batch.indices,), response_logps(path, batch).view(-1, 2))
    return out


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs() / b.abs().clamp_min(1e-12)).max().detach())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "bound", "slope_bound"), [(torch.float32, 1e-6, 1e-5), (torch.float64, 1e-9, 1e-6)])
def test_packed_log_probabilities_and_gradients_equal_concatenated_ones(architecture, dtype, bound, slope_bound):
    plain, packed = tiny.policy(architecture, dtype), tiny.policy(architecture, dtype)
    lines: list[str] = []
    path = path_of(packed, lines)
    wanted = torch.stack([tiny.concatenated_logps(plain, row) for row in ROWS])
    given = all_logps(path, ROWS, 90)
    assert relative(given, wanted.double()) <= max(bound, OWN_ROUNDING.get(architecture, 0.0))
    slopes = torch.linspace(-1.0, 1.3, 18, dtype=torch.float64).view(9, 2)
    (wanted.double() * slopes).sum().backward()
    (given * slopes).sum().backward()
    assert worst_gradient(packed, plain) <= slope_bound
    assert any("no packed path" in line for line in lines) == (architecture == "gpt2")


@pytest.mark.parametrize("architecture", ["opt", "gpt2"])
def test_sharpness_is_the_mean_of_log_probability_less_log_sum_of_squares(architecture):
    """Against all logits of each text alone; it carries no gradient, the log-probabilities do."""
    model = tiny.policy(architecture, torch.float64)
    path = path_of(model)
    for batch in pack(ROWS, 90):
        logps_, sharp = response_logps_and_sharpness(path, batch)
        assert logps_.requires_grad
        assert not sharp.requires_grad
        assert torch.equal(logps_, response_logps(path, batch))
        for at, index in enumerate(batch.indices.tolist()):
            for side, response in enumerate(ROWS[index].responses):
                assert sharp.view(-1, 2)[at, side].item() == pytest.approx(sharpness(model, ROWS[index], response))


def sharpness(model, row, response) -> float:
    ids = torch.from_numpy(np.concatenate([row.prompt_ids, response]))[None]
    with torch.no_grad():
        every = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1].log_softmax(-1)
    picked = every.gather(1, torch.from_numpy(response)[:, None])[:, 0]
    return (picked - every.exp().square().sum(-1).log()).mean().item()


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_results_do_not_depend_on_the_packing(budget):
    path = path_of(tiny.policy("opt", torch.float64))
    with torch.no_grad():
        assert relative(all_logps(path, ROWS, budget), all_logps(path, ROWS, 130)) <= 1e-12


def test_attention_blocks_split_by_length_give_the_same_results(monkeypatch):
    """Short and long pairs land in different blocks once blocks may be small."""
    path = path_of(tiny.policy("qwen2", torch.float64))
    rows = tiny.pairs(6, seed=1, longest=4) + tiny.pairs(6, seed=2, longest=40)
    whole = all_logps(path, rows, 10_000)
    monkeypatch.setattr(attention, "_MIN_BLOCK_TOKENS", 20)
    batch = pack(rows, 10_000)[0]
    assert len(attention.lay_out_blocks(batch.spans, torch.device("cpu"), torch.float64)) > 2
    assert relative(all_logps(path, rows, 10_000), whole) <= 1e-12


@pytest.mark.parametrize("keep", [0, 1 << 22])
def test_tiles_of_the_head_give_the_gradients_of_autograd(monkeypatch, keep):
    """Kept and recomputed tiles, an uneven last tile, with a bias."""
    monkeypatch.setattr(logps, "_KEEP", keep)
    monkeypatch.setattr(logps, "_TILE_ROWS", (7, 7))
    monkeypatch.setattr(logps, "_CHUNK", 40)  # two rows at a time
    torch.manual_seed(0)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((30, 8), (19, 8), (19,))]
    targets = torch.randint(0, 19, (30,))
    assert torch.autograd.gradcheck(
        lambda hidden, weight, bias: logps._TiledLogProbs.apply(
            hidden, weight, bias, targets, torch.float64, True, False
        )[0],
        inputs,
    )


def test_tied_embeddings_get_both_gradients():
    """The gradient of a tied embedding differs from the head's share alone, and equals autograd's."""
    plain, packed = tiny.policy("opt", torch.float64), tiny.policy("opt", torch.float64)
    assert packed.lm_head.weight is packed.get_input_embeddings().weight
    all_logps(path_of(packed), ROWS, 90).sum().backward()
    torch.stack([tiny.concatenated_logps(plain, row) for row in ROWS]).sum().backward()
    given, wanted = packed.lm_head.weight.grad, plain.lm_head.weight.grad
    assert float((given - wanted).norm() / wanted.norm()) <= 1e-9


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["q_proj", "lm_head"]])
def test_adapters_train_through_the_packed_path(targets):
    """Also with an adapter on the output layer, where the head is computed unfused and the log says so."""

    def adapted():
        torch.manual_seed(3)
        model = get_peft_model(
            tiny.policy("llama", torch.float64), LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
        )
        return model.double().eval()

    plain, packed = adapted(), adapted()
    lines: list[str] = []
    path = path_of(packed, lines)
    assert path.packed
    assert path.fused == ("lm_head" not in targets)
    assert bool(lines) == (not path.fused)
    wanted = torch.stack([tiny.concatenated_logps(plain, row) for row in ROWS])
    given = all_logps(path, ROWS, 90)
    assert relative(given, wanted) <= 1e-9
    wanted.sum().backward()
    given.sum().backward()
    assert worst_gradient(packed, plain) <= 1e-6  # Llama normalises in float32


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_the_last_token_of_each_response(architecture):
    model = tiny.scorer(architecture, torch.float64)
    wanted = []
    for row in ROWS:
        for response in row.responses:
            ids = torch.tensor(np.concatenate([row.prompt_ids, response]))[None]
            hidden = model.base_model(input_ids=ids).last_hidden_state[0, -1]
            wanted.append(model.score(hidden).squeeze())
    wanted = torch.stack(wanted).view(-1, 2)
    path = path_of(model)
    for batch in pack(ROWS, 80):
        given = response_scores(path, batch).view(-1, 2)
        assert relative(given, wanted[batch.indices]) <= max(1e-9, OWN_ROUNDING.get(architecture, 0.0))


def test_bfloat16_stays_near_float32():
    model = tiny.policy("qwen2")
    full = all_logps(path_of(model), ROWS, 90)
    half = all_logps(path_of(model, precision="bf16"), ROWS, 90)
    half.sum().backward()
    assert not torch.equal(full, half)
    assert relative(half, full) <= 0.05
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def windowed(architecture, window):
    config = tiny.CONFIGS[architecture]()
    config.sliding_window = window
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()


@pytest.mark.parametrize("architecture", ["mistral", "gemma2", "gemma3_text"])
def test_texts_longer_than_a_sliding_window_take_the_padded_path(architecture, monkeypatch):
    """A window of the longest text hides nothing; one token less does, and the results are still the model's own."""
    batch = pack(ROWS, 10_000)[0]
    longest = int((batch.spans[:, 0] + batch.spans[:, 1:].max(axis=1)).max())
    packed: list[int] = []
    hidden = logps._packed_hidden
    monkeypatch.setattr(logps, "_packed_hidden", lambda *given: packed.append(1) or hidden(*given))
    for window in (longest, longest - 1, 5):
        model, lines = windowed(architecture, window), []
        wanted = torch.stack([tiny.concatenated_logps(model, row) for row in ROWS])
        packed.clear()
        given = all_logps(path_of(model, lines), ROWS, 10_000)
        assert relative(given, wanted) <= 1e-6
        assert len(packed) == (window == longest)
        assert f"see {window:,} tokens back" in lines[-1]


def test_a_window_that_no_layer_uses_is_no_window():
    assert attention.window_of(tiny.CONFIGS["qwen3"]()) is None
    assert attention.window_of(tiny.CONFIGS["llama"]()) is None
    assert attention.window_of(tiny.CONFIGS["mistral"]()) == 64


def test_capped_logits_have_the_slopes_of_autograd(monkeypatch):
    """Kept and recomputed; Gemma 2 caps its logits."""
    torch.manual_seed(0)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((30, 8), (19, 8))]
    targets = torch.randint(0, 19, (30,))
    for keep in (0, 1 << 22):
        monkeypatch.setattr(logps, "_KEEP", keep)
        monkeypatch.setattr(logps, "_TILE_ROWS", (7, 7))
        assert torch.autograd.gradcheck(
            lambda hidden, weight: logps._TiledLogProbs.apply(
                hidden, weight, None, targets, torch.float64, True, False, 1.5, False
            )[0],
            inputs,
        )


@pytest.mark.parametrize("keep", [0, 1 << 22])
def test_wide_logits_are_the_exact_products_of_rounded_inputs(monkeypatch, keep):
    """As on CUDA: against float64 products of the same bfloat16 inputs; rounded logits are 1,000 times farther off."""
    monkeypatch.setattr(logps, "_KEEP", keep)
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(50, 64), torch.randn(301, 64), torch.randn(301)
    targets = torch.randint(0, 301, (50,))
    rounded = [value.bfloat16().double() for value in (hidden, weight)]
    wanted = (rounded[0] @ rounded[1].T + bias.double()).log_softmax(-1).gather(1, targets[:, None])[:, 0]

    def error(wide):
        given = logps._TiledLogProbs.apply(hidden, weight, bias, targets, torch.bfloat16, True, False, None, wide)[0]
        assert given.dtype == torch.float32
        return float((given.double() - wanted).abs().max())

    assert error(True) < 2e-5
    assert error(False) > 1000 * error(True)


def test_gradients_under_wide_logits_stay_near_float32():
    """Slopes are bfloat16 in the products of the backward pass; weights get float32 gradients."""
    plain, wide = tiny.policy("qwen2"), tiny.policy("qwen2")
    all_logps(path_of(plain), ROWS, 90).sum().backward()
    all_logps(replace(path_of(wide, precision="bf16"), wide=True), ROWS, 90).sum().backward()
    assert worst_gradient(wide, plain) <= 0.1
    assert all(parameter.grad.dtype == torch.float32 for parameter in wide.parameters())


def test_float32_is_the_same_to_the_bit_with_and_without_wide_logits():
    path = path_of(tiny.policy("opt"))
    assert torch.equal(all_logps(path, ROWS, 90), all_logps(replace(path, wide=True), ROWS, 90))


def cached(path, batch):
    """bfloat16 as torch has it unless told otherwise: each weight is rounded once, and the copy is kept."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rounding_weights_where_they_are_used_changes_no_value(architecture, again, monkeypatch):
    """To the bit: losses and gradients, with tied embeddings (Qwen2) and untied ones, packed and padded."""
    found = []
    for autocast in (cached, logps._autocast):
        monkeypatch.setattr(logps, "_autocast", autocast)
        model = tiny.policy(architecture).train()
        if again:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        given = all_logps(path_of(model, precision="bf16"), ROWS, 90)
        (given * torch.linspace(-1.0, 1.3, 18, dtype=torch.float64).view(9, 2)).sum().backward()
        found.append([given.detach(), *(weight.grad for weight in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert found[0][1].abs().sum() > 0


class Rounded(TorchDispatchMode):
    """Follows what is made of float32 in bfloat16, as long as anybody holds it."""

    def __init__(self, shapes: set[torch.Size]) -> None:
        super().__init__()
        self._shapes, self._copies = shapes, []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        if function is torch.ops.aten._to_copy.default and made.dtype == torch.bfloat16 and made.shape in self._shapes:
            self._copies.append(StorageWeakRef(made.untyped_storage()))
        return made

    def alive(self) -> int:
        return sum(not copy.expired() for copy in self._copies)


@contextmanager
def looking(layer, seen: list[int], copies: Rounded) -> Iterator[None]:
    """How many copies there are whenever the layer has been computed."""
    hook = layer.register_forward_hook(lambda *_: seen.append(copies.alive()))
    with copies:
        yield
    hook.remove()


@pytest.mark.parametrize("architecture", ["opt", "qwen2", "gpt2"])
def test_no_layer_leaves_rounded_weights_behind_where_it_is_made_again(architecture):
    """After the last of two layers there are no more copies than one layer has matrices."""
    model = tiny.policy(architecture).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    (layers,) = (one for one in model.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == 2)
    matrices = [weight.shape for weight in layers[0].parameters() if weight.ndim == 2]
    copies, seen = Rounded({*matrices, *(shape[::-1] for shape in map(tuple, matrices))}), []
    path = path_of(model, precision="bf16")
    with looking(layers[-1], seen, copies):
        response_logps(path, pack(ROWS, 90)[0])
    assert copies._copies
    assert seen[0] <= len(matrices)
