"""The packed path of the device against the padded path in float64: log-probabilities, gradients and scores."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from benchmarks.gpu.rows import Row, Rows, Setting
from benchmarks.workload import Lengths, encoded
from cwpo.models.fused import compiled
from cwpo.models.logps import ForwardPath, forward_path, response_logps, response_scores
from cwpo.models.tokenization import Encoded, pack

VOCABULARY = 1024
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 2048, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
}  # fmt: skip
_GROUPED = _SIZES | {
    "num_key_value_heads": 2, "intermediate_size": 512, "head_dim": 64, "initializer_range": 0.08,
}  # fmt: skip
FAMILIES: dict[str, Callable[[], Any]] = {
    "opt": lambda: OPTConfig(
        **_SIZES, ffn_dim=512, word_embed_proj_dim=256, dropout=0.0, attention_dropout=0.0, init_std=0.08
    ),
    "qwen2": lambda: Qwen2Config(**_GROUPED),
    "llama": lambda: LlamaConfig(**_GROUPED),
    "qwen3": lambda: Qwen3Config(**_GROUPED),
    "mistral": lambda: MistralConfig(**_GROUPED, sliding_window=2048),
    "gemma": lambda: GemmaConfig(**_GROUPED),
    "gemma2": lambda: Gemma2Config(**_GROUPED, sliding_window=2048, attn_logit_softcapping=2.0),
    "gemma3_text": lambda: Gemma3TextConfig(**_GROUPED, sliding_window=2048),
    # Heads as wide as those of Llama 3, Qwen2.5-7B and OPT-13B, and as Gemma's
    "llama-128": lambda: LlamaConfig(**_GROUPED | {"head_dim": 128}),
    "gemma2-256": lambda: Gemma2Config(**_GROUPED | {"head_dim": 256}, sliding_window=2048, attn_logit_softcapping=2.0),
}
# Times the error of the padded path in the same precision, and what is no error however small that is.
TIMES, FLOOR = 3.0, {"fp32": 2e-6, "bf16": 1e-3}


def measure(rows: Rows, setting: Setting) -> None:
    """One row per family and precision."""
    for precision in setting.precisions:
        for family in setting.families or FAMILIES:
            rows.take(f"{family} {precision}", partial(_row, family, precision, setting))


def _row(family: str, precision: str, setting: Setting) -> Row:
    count = 4 if setting.tried else 24
    return compared(family, precision, device=setting.device, lengths=setting.lengths(count, batch=4))


def compared(family: str, precision: str, *, device: str, lengths: Lengths) -> Row:
    """Relative errors of the packed and the padded path in this precision, and whether the packed one is as exact."""
    pairs = encoded(lengths, VOCABULARY)
    before = compiled.variants()
    row: Row = {"pairs": len(pairs), "kind": "", "right": True}
    for what, make, function in (
        ("logps", AutoModelForCausalLM, response_logps),
        ("scores", AutoModelForSequenceClassification, response_scores),
    ):
        model = _model(make, FAMILIES[family]()).to(device)
        exact = _path(copy.deepcopy(model).double(), device, "fp64", packed=False)
        truth = _values(exact, pairs, function)
        for name, packed in (("padded", False), ("packed", True)):
            path = _path(copy.deepcopy(model), device, precision, packed=packed)
            row["kind"] = path.kind
            given = _values(path, pairs, function)
            row[f"{what} {name}"] = _apart(given, truth)
            row[f"{what} slopes {name}"] = _worst_slope(path.model, exact.model)
        for each in (what, f"{what} slopes"):
            row["right"] &= row[f"{each} packed"] <= max(TIMES * row[f"{each} padded"], FLOOR[precision])
    return row | {"compiled": compiled.variants() - before}


def _model(make: Any, config: Any) -> Any:
    config.num_labels = 1
    torch.manual_seed(0)
    return make.from_config(config).eval()


def _path(model: Any, device: str, precision: str, *, packed: bool) -> ForwardPath:
    path = forward_path(model, device=device, precision=precision, log=lambda line: None)
    if packed and not path.packed:
        raise RuntimeError("This family has no packed path.")
    return path if packed else replace(path, packed=False, fused=False)


def _values(path: ForwardPath, pairs: list[Encoded], function: Callable[..., Tensor]) -> Tensor:
    """(2 N,) float64, and the gradients of their weighted sum in the model."""
    device = next(path.model.parameters()).device
    values = torch.zeros(len(pairs), 2, dtype=torch.float64, device=device)
    for batch in pack(pairs, 2500):
        part = function(path, batch.to(str(device))).double().view(-1, 2)
        slopes = torch.linspace(-1.0, 1.3, part.numel(), dtype=torch.float64, device=device).view_as(part)
        (part * slopes).sum().backward()
        values[batch.indices.to(device)] = part.detach()
    return values.flatten()


def _apart(given: Tensor, truth: Tensor) -> float:
    return float(f"{float((given - truth).norm() / truth.norm()):.3g}")


def _worst_slope(model: Any, truth: Any) -> float:
    """Largest relative error of a parameter's gradient; gradients that are nearly zero by the largest norm."""
    pairs = [(p.grad.double(), q.grad) for p, q in zip(model.parameters(), truth.parameters(), strict=True)
             if p.grad is not None and q.grad is not None]  # fmt: skip
    floor = 1e-2 * max(float(wanted.norm()) for _, wanted in pairs)
    worst = max(float((given - wanted).norm()) / max(float(wanted.norm()), floor) for given, wanted in pairs)
    return float(f"{worst:.3g}")
