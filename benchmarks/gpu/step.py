"""DPO steps of real shapes, LoRA and whole, in bf16, against TRL's default and best settings on the same pairs.

Rates are of the median step: both sides compile kernels when they first meet a size, and a step or two of the first row
may take seconds for it. Each step of both sides ends with the device at rest.
"""

import statistics
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks import ours
from benchmarks.gpu.rows import Row, Rows, Setting, peak_gb
from benchmarks.measure import peaks
from benchmarks.workload import SHAPES, config, encoded, grouped, lengths_of, useful_flops
from cwpo.models import memory_estimate
from cwpo.models.adapters import LORA_TARGETS, add_adapter
from cwpo.models.frozen import untie
from cwpo.models.fused import compiled
from cwpo.models.shape import shape_of
from cwpo.stages.settings import LoraSettings

LORA = LoraSettings(r=8, alpha=16, dropout=0.0, target_modules=None)
TUNINGS = ("lora", "whole")
SIDES = ("ours", "default", "best", "grouped")  # the last three are TRL's
GOALS = {"default": 2.5, "best": 1.4}
FROZEN_SHARE = 4 / 6  # of the operations: frozen weights need no gradient of their own


def measure(rows: Rows, setting: Setting) -> None:
    """Ours first, for all shapes, then TRL's: an early end leaves whole comparisons of as many as possible."""
    rows.take("matmul peak", lambda: {"gflops": peaks(setting.device)})
    for shape in setting.shapes:
        for tuning in setting.tunings:
            for side in setting.sides:
                rows.take(f"{shape} {tuning} {side}", partial(_row, shape, tuning, side, setting, _peak(rows)))


def _peak(rows: Rows) -> float | None:
    return rows.parts["step"]["matmul peak"].get("gflops", {}).get("bf16")


def _row(shape: str, tuning: str, side: str, setting: Setting, peak: float | None) -> Row:
    if side != "ours" and find_spec("trl") is None:
        return {"not installed": "trl"}
    lengths = setting.lengths(setting.batch * setting.steps, batch=setting.batch)
    vocabulary = SHAPES[shape].vocabulary
    warm = encoded(setting.lengths(setting.batch, batch=setting.batch, seed=1), vocabulary, seed=1)
    pairs = encoded(grouped(lengths) if side == "grouped" else lengths, vocabulary, first=setting.batch)
    counted = lengths_of(pairs)
    measured = _ours if side == "ours" else partial(_trl, side)
    row = measured(shape, tuning, setting, warm, pairs)
    flops = useful_flops(shape, counted) * (FROZEN_SHARE if tuning == "lora" else 1.0)
    seconds = statistics.median(row["step_seconds"]) * setting.steps
    return row | {
        "pairs": len(pairs),
        "s/pair": round(seconds / len(pairs), 5),
        "tokens/s": round(int(counted.sum()) / seconds),
        "utilisation": round(flops / 1e9 / seconds / peak, 3) if peak else None,
        "peak_gb": peak_gb(setting.device),
    }


def _ours(shape: str, tuning: str, setting: Setting, warm: Any, pairs: Any) -> Row:
    """After a first step of the same size, in which attention is compiled."""
    model = random_policy(shape, tuning, setting.device)
    before = compiled.variants()
    sample = ours.dpo(
        model, warm, pairs, batch=setting.batch, precision="bf16", device=setting.device,
        tokens_per_batch=setting.tokens_per_batch,
    )  # fmt: skip
    return {
        "step_seconds": sample.more["step_seconds"],
        "reference_seconds": sample.more["reference_seconds"],
        "compiled": compiled.variants() - before,
        "estimate_gb": estimated_gb(shape, tuning, min(setting.tokens_per_batch, sum(row.tokens for row in warm))),
    }


def _trl(side: str, shape: str, tuning: str, setting: Setting, warm: Any, pairs: Any) -> Row:
    """Their best settings have frozen weights in bfloat16, as ours have; the default leaves all in float32."""
    from benchmarks import peers

    model = random_policy(shape, "whole", setting.device)
    if tuning == "lora" and side != "default":
        model.to(torch.bfloat16)
    sample = peers.trl_dpo(
        model, warm, pairs, batch=setting.batch, bf16=True, best=side != "default",
        lora=_peft(model) if tuning == "lora" else None,
    )  # fmt: skip
    return {"step_seconds": sample.more["step_seconds"]}


def _peft(model: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=LORA.r, lora_alpha=LORA.alpha, lora_dropout=LORA.dropout,
        target_modules=list(LORA_TARGETS[model.config.model_type]), task_type="CAUSAL_LM",
    )  # fmt: skip


def random_policy(shape: str, tuning: str, device: str) -> Any:
    """A causal LM made on the device; under an adapter its matrices are in bfloat16 and all else in float32."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    halved = tuning == "lora"
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(
            config(SHAPES[shape]), dtype=torch.bfloat16 if halved else torch.float32
        )
    if not halved:
        return model
    embedding = model.get_input_embeddings().weight
    for parameter in model.parameters():
        if parameter.ndim != 2 or parameter is embedding:
            parameter.data = parameter.data.float()
    untie(model)
    return add_adapter(model, LORA, seed=0)


def estimated_gb(shape: str, tuning: str, tokens: int, *, checkpointing: bool = False) -> float | None:
    """What the memory estimate says of such a step."""
    found = shape_of(config(SHAPES[shape]).to_dict())
    if found is None:
        return None
    need = memory_estimate.training(
        found, tokens=tokens, precision="bf16", lora=LORA if tuning == "lora" else None, scalar=False
    )
    return round((need.total_checkpointed if checkpointing else need.total) / 1e9, 2)


def add_goals(rows: Rows) -> None:
    """How many times TRL's seconds a pair are ours, at its better of random and grouped batches, with the goals."""
    step: Mapping[str, Row] = rows.parts.get("step", {})
    names = [name.removesuffix(" ours") for name, row in step.items() if name.endswith(" ours") and "s/pair" in row]
    rows.goals = []
    for name in names:
        own = step[f"{name} ours"]["s/pair"]
        for side, sides in (("default", ("default",)), ("best", ("best", "grouped"))):
            theirs = [step.get(f"{name} {one}", {}).get("s/pair") for one in sides]
            known = [value for value in theirs if value is not None]
            if known:
                ratio = round(min(known) / own, 2)
                rows.goals.append(
                    {
                        "goal": f"{name}: trl {side}",
                        "at least": GOALS[side],
                        "measured": ratio,
                        "met": ratio >= GOALS[side],
                    }
                )
