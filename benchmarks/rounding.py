"""How far bfloat16 logits blur βh, the margin that DPO's loss sees, and what float32 logits leave of it.

    python -m benchmarks rounding [--pairs 48] [--anew]

On CUDA the head's products are accumulated and kept in float32; on a CPU that is reproduced by float32 products of the
inputs rounded to bfloat16. The policy is the reference with its weights moved a little. Weights are random, so the size
of the logits is set: their standard deviation over the vocabulary is about 2 to 4 in language models, and a common
offset, which a softmax does not see and rounding does, is 0 to 30 and more.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Results, Sample, table, timed
from benchmarks.workload import SHAPES, encoded, policy, typical
from cwpo.models.logps import ForwardPath, forward_path, response_logps
from cwpo.models.tokenization import Encoded, pack

SHAPE, BETA = "opt-h256", 0.1
MOVED = 0.02  # of each matrix's own standard deviation
CASES = ((2.0, 0.0), (4.0, 0.0), (2.0, 30.0))  # standard deviation of the logits, offset


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="βh under bfloat16 and float32 logits.")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    results = Results("rounding", anew=options.anew)
    for spread, offset in CASES:
        results.take(f"spread {spread:g}, offset {offset:g}", 0, partial(measure, spread, offset, options.pairs))
    results.summary = {"rows": [{"logits": cell, **_kept(samples[0])} for cell, samples in results.cells.items()]}
    results.save()
    print(table(results.summary["rows"]))


def _kept(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sample.items() if name.startswith("sd ")}


def measure(spread: float, offset: float, count: int) -> Sample:
    """Standard deviations over pairs, in nats times β: of βh itself, and of what rounding adds to it."""
    rows = encoded(typical(count, tries=200), SHAPES[SHAPE].vocabulary)
    reference = sized(policy(SHAPE).eval(), spread, offset)
    moved = copy.deepcopy(reference)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in moved.model.decoder.layers.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn_like(parameter) * parameter.std() * MOVED)
    with timed() as sample, torch.inference_mode():
        margins = {name: _margins(moved, rows, name) - _margins(reference, rows, name) for name in PATHS}
    exact = margins["fp32"]
    sample.more |= {"pairs": count, "sd βh": _sd(exact)} | {
        f"sd {name} - {other}": _sd(margins[name] - margins[other])
        for name, other in (("rounded", "float32 logits"), ("rounded", "fp32"), ("float32 logits", "fp32"))
    }
    return sample


def sized(model: Any, spread: float, offset: float) -> Any:
    """The same model with logits of that standard deviation over the vocabulary, and of that mean."""
    norm, head = model.model.decoder.final_layer_norm, model.lm_head
    with torch.no_grad():
        head.weight = torch.nn.Parameter(head.weight.clone())  # no longer the embedding's
        norm.weight.mul_(spread / float(norm.weight.norm() * head.weight.std()))
        if offset:
            head.bias = torch.nn.Parameter(torch.full((len(head.weight),), offset))
    return model


PATHS = {"fp32": ("fp32", False), "rounded": ("bf16", False), "float32 logits": ("bf16", True)}


def _margins(model: Any, rows: list[Encoded], name: str) -> Tensor:
    """β (log π(chosen) - log π(rejected)) of every pair."""
    precision, wide = PATHS[name]
    path: ForwardPath = forward_path(model, device="cpu", precision=precision, log=lambda line: None)
    path = replace(path, wide=wide)
    found = torch.zeros(len(rows), dtype=torch.float64)
    for batch in pack(rows, 2048):
        logps = response_logps(path, batch).view(-1, 2)
        found[batch.indices] = BETA * (logps[:, 0] - logps[:, 1])
    return found


def _sd(values: Tensor) -> float:
    return float(np.round(values.std().item(), 4))


if __name__ == "__main__":
    main()
