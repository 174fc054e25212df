"""Peaks of memory of a full micro-batch against the estimate, with and without gradient checkpointing.

Shapes of 13 and 14 billion parameters with an adapter, which fill a card, beside those that are asked for.
"""

from functools import partial

import torch

from benchmarks import ours
from benchmarks.gpu.rows import Row, Rows, Setting, peak_gb
from benchmarks.gpu.step import estimated_gb, random_policy
from benchmarks.workload import PACKED, SHAPES, encoded

LARGE = ("opt-13b", "qwen2.5-14b")


def measure(rows: Rows, setting: Setting) -> None:
    """One row per shape, tuning and checkpointing: two steps of a micro-batch of as many tokens as are allowed."""
    large = [] if setting.tried else [(shape, "lora") for shape in LARGE]
    for shape, tuning in [*large, *((shape, tuning) for shape in setting.shapes for tuning in setting.tunings)]:
        for checkpointing in (True, False):
            name = f"{shape} {tuning} {'checkpointed' if checkpointing else 'kept'}"
            rows.take(name, partial(_row, shape, tuning, checkpointing, setting))


def _row(shape: str, tuning: str, checkpointing: bool, setting: Setting) -> Row:
    count = 4 if setting.tried else int(setting.tokens_per_batch / PACKED)
    vocabulary = SHAPES[shape].vocabulary
    warm = encoded(setting.lengths(count, batch=count, seed=1), vocabulary, seed=1)
    pairs = encoded(setting.lengths(count, batch=count), vocabulary, first=count)
    tokens = max(sum(row.tokens for row in part) for part in (warm, pairs))
    model = random_policy(shape, tuning, setting.device)
    estimate = estimated_gb(shape, tuning, tokens, checkpointing=checkpointing)
    try:
        ours.dpo(
            model, warm, pairs, batch=count, precision="bf16", device=setting.device, tokens_per_batch=tokens,
            checkpointing=checkpointing,
        )  # fmt: skip
    except torch.OutOfMemoryError:
        return {"tokens": tokens, "out of memory": True, "estimate_gb": estimate}
    peak = peak_gb(setting.device)
    return {
        "tokens": tokens,
        "peak_gb": peak,
        "estimate_gb": estimate,
        "estimate/peak": round(estimate / peak, 2) if peak and estimate else None,
    }
