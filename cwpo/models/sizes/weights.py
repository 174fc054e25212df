"""Bytes of a model's weights, as `cwpo/models/load.py` keeps them. No torch.

What trains is float32. What does not train is float32 too where the arithmetic is, and small elsewhere: linear layers
in bf16, and a copy of an embedding that is the output layer too; or the matrices of layers in 4 bits. Embeddings and
norms stay float32.
"""

from typing import Literal

from cwpo.models.shape import Shape

Kept = Literal["fp32", "bf16", "nf4", "all bf16"]  # the last: reward models, norms and embeddings included

FLOAT, HALF = 4, 2
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # one byte of scale a block of 64, and these scales' own: double quantisation


def frozen_bytes(shape: Shape, kept: Kept, *, scalar: bool) -> int:
    """A model that does not train: the causal LM, or the backbone with a scalar head."""
    if kept in ("fp32", "all bf16"):
        return (FLOAT if kept == "fp32" else HALF) * (shape.scorer if scalar else shape.causal)
    matrices = shape.matrices * (NF4 if kept == "nf4" else HALF)
    rest = shape.backbone - shape.matrices - shape.linear_biases
    head = FLOAT * shape.embedded if scalar else HALF * shape.embedding
    return round(matrices + HALF * shape.linear_biases + FLOAT * rest + head)


def kept_in(precision: str, quantization: str, *, frozen: bool, before: bool = False) -> Kept:
    """How the weights of a stage are kept. `before`: as they were before small frozen weights."""
    if before or not frozen:
        return "fp32"
    if quantization == "nf4":
        return "nf4"
    return "bf16" if precision == "bf16" else "fp32"
