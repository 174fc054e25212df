"""What is measured: model shapes with random weights, and pairs of random tokens with the lengths of real ones.

`lengths.json` holds the token lengths (prompt, chosen, rejected; end-of-text included) of the 2,312 pairs of
Anthropic's HH-RLHF harmless-base test split under a BPE of 16,384 trained on that text. Packed they are 212 tokens a
pair, concatenated 332, in random batches of eight padded to the longest 827; 92 of them are answers.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from cwpo.artifacts import ArtifactStore
from cwpo.models.tokenization import Encoded
from cwpo.stages.context import Execution, StageContext
from cwpo.stages.settings import Settings, SftSettings, TrainSettings

Lengths = NDArray[np.int64]
LENGTHS = Path(__file__).with_name("lengths.json")
PACKED, CONCATENATED, PADDED_8, RESPONSE = 211.9, 332.3, 827.0, 91.5
TOKENS_PER_BATCH = 2048
_FIRST_WORD = 3  # ids below are pad, end and start
TRAIN = TrainSettings(
    epochs=1.0, lr=1e-6, batch_size=8, warmup_steps=0, schedule="constant", weight_decay=0.0, max_grad_norm=1.0
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model family's dimensions."""

    family: str
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    inner: int
    kv_heads: int = 0
    tied: bool = True


SHAPES: dict[str, Shape] = {
    "opt-125m": Shape(family="opt", hidden=768, layers=12, heads=12, vocabulary=50272, inner=3072),
    "opt-h512": Shape(family="opt", hidden=512, layers=8, heads=8, vocabulary=50272, inner=2048),
    "opt-h256": Shape(family="opt", hidden=256, layers=4, heads=4, vocabulary=50272, inner=1024),
    "opt-nano": Shape(family="opt", hidden=32, layers=2, heads=2, vocabulary=256, inner=64),
    "opt-tiny": Shape(family="opt", hidden=128, layers=4, heads=4, vocabulary=4096, inner=512),
    "qwen2-0.5b": Shape(
        family="qwen2", hidden=896, layers=24, heads=14, vocabulary=151936, inner=4864, kv_heads=2
    ),
    "qwen2-tiny": Shape(family="qwen2", hidden=128, layers=2, heads=4, vocabulary=4096, inner=512, kv_heads=2),
    "opt-13b": Shape(family="opt", hidden=5120, layers=40, heads=40, vocabulary=50272, inner=20480),
    "qwen2.5-14b": Shape(
        family="qwen2", hidden=5120, layers=48, heads=40, vocabulary=152064, inner=13824, kv_heads=8, tied=False
    ),
    "opt-1.3b": Shape(family="opt", hidden=2048, layers=24, heads=32, vocabulary=50272, inner=8192),
    "qwen2.5-1.5b": Shape(
        family="qwen2", hidden=1536, layers=28, heads=12, vocabulary=151936, inner=8960, kv_heads=2
    ),
}  # fmt: skip


def config(shape: Shape) -> Any:
    """The transformers configuration; no dropout, as preference trainers have it."""
    common: dict[str, Any] = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.hidden, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "max_position_embeddings": 2048, "pad_token_id": 0, "eos_token_id": 1,
        "bos_token_id": 2,
    }  # fmt: skip
    if shape.family == "opt":
        return OPTConfig(
            **common, ffn_dim=shape.inner, word_embed_proj_dim=shape.hidden, dropout=0.0, attention_dropout=0.0
        )
    return Qwen2Config(
        **common, intermediate_size=shape.inner, num_key_value_heads=shape.kv_heads, tie_word_embeddings=shape.tied
    )


def policy(name: str, *, seed: int = 0, device: str = "cpu") -> Any:
    """A causal LM with random weights."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config(SHAPES[name])).to(device)


def scorer(name: str, *, seed: int = 0) -> Any:
    """The same backbone with a scalar head."""
    torch.manual_seed(seed)
    settings = config(SHAPES[name])
    settings.num_labels = 1
    return AutoModelForSequenceClassification.from_config(settings)


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Word w<n> is token n; w0 fills, w1 ends a text."""
    inner = Tokenizer(models.WordLevel({f"w{token}": token for token in range(vocabulary)}, unk_token="w0"))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="w0", eos_token="w1")  # noqa: S106


def lengths() -> Lengths:
    """(N, 3) prompt, chosen, rejected."""
    return np.array(json.loads(LENGTHS.read_text()), dtype=np.int64)


def typical(count: int, *, batch: int = 8, tries: int = 3000, seed: int = 0) -> Lengths:
    """`count` pairs whose packed, padded and answer lengths are nearest to the means of all pairs."""
    every, rng = lengths(), np.random.default_rng(seed)
    goal = np.array([PACKED, padded_mean(every, batch), RESPONSE])

    def miss(rows: Lengths) -> float:
        own = np.array([rows.sum(axis=1).mean(), padded_mean(rows, batch), rows[:, 1:].sum(axis=1).mean()])
        return float(np.abs(own / goal - 1).max())

    draws = (every[rng.choice(len(every), count, replace=False)] for _ in range(tries))
    return min(draws, key=miss)


def padded_mean(rows: Lengths, batch: int, *, seed: int = 0) -> float:
    """Tokens a pair costs when both concatenated texts are padded to the longest of a random batch."""
    order = np.random.default_rng(seed).permutation(len(rows))
    whole = (rows[:, :1] + rows[:, 1:]).max(axis=1)[order][: len(rows) // batch * batch]
    return float(2 * whole.reshape(-1, batch).max(axis=1).mean())


def grouped(rows: Lengths) -> Lengths:
    """Rows as length grouping hands them out: longest text first."""
    return rows[np.argsort(-(rows[:, :1] + rows[:, 1:]).max(axis=1), kind="stable")]


def encoded(rows: Lengths, vocabulary: int, *, seed: int = 0, first: int = 0) -> list[Encoded]:
    """Pairs of random tokens with these lengths; every answer ends with end-of-text."""
    rng = np.random.default_rng(seed)

    def words(count: int, *, end: bool) -> NDArray[np.int64]:
        ids = rng.integers(_FIRST_WORD, vocabulary, count)
        if end:
            ids[-1] = 1
        return ids

    return [
        Encoded(
            pair_id=f"{first + index:016x}",
            prompt_ids=words(prompt, end=False),
            responses=(words(chosen, end=True), words(rejected, end=True)),
        )
        for index, (prompt, chosen, rejected) in enumerate(rows.tolist())
    ]


WARM = np.tile(np.array([[4, 3, 3]]), (8, 1))  # a batch that costs next to nothing


def useful_flops(name: str, rows: Lengths) -> float:
    """Forward and backward of what cannot be left out: shared prompts, logits of answers, visible attention."""
    shape = SHAPES[name]
    prompt, chosen, rejected = rows.T.astype(float)
    seen = prompt**2 / 2 + chosen * (prompt + chosen / 2) + rejected * (prompt + rejected / 2)
    attention = 12 * shape.layers * shape.hidden * seen.sum()
    head = 6 * shape.hidden * shape.vocabulary * rows[:, 1:].sum()
    return float(6 * layer_weights(shape) * rows.sum() + head + attention)


def layer_weights(shape: Shape) -> int:
    """Weights of all layers that multiply a token."""
    if shape.family == "opt":
        return shape.layers * (4 * shape.hidden**2 + 2 * shape.hidden * shape.inner)
    keys = shape.hidden * (shape.hidden // shape.heads) * shape.kv_heads
    return shape.layers * (2 * shape.hidden**2 + 2 * keys + 3 * shape.hidden * shape.inner)


def settings(precision: str, batch: int) -> SftSettings:
    """A stage that trains a whole model on batches of that many pairs."""
    return SftSettings(
        model="none", revision=None, precision=precision, max_length=None, part="all", label_fraction=None,
        split_seed=None, lora=None, label_source="human", seed=0, train=replace(TRAIN, batch_size=batch),
    )  # fmt: skip


def context(
    stage: Settings,
    *,
    device: str = "cpu",
    tokens_per_batch: int = TOKENS_PER_BATCH,
    checkpointing: bool | None = None,
) -> StageContext[Any]:
    """A stage's context in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cwpo-bench-"))
    for name in ("out", "checkpoints"):
        (folder / name).mkdir()
    return StageContext(
        kind="align", settings=stage, inputs={}, out=folder / "out", checkpoints=folder / "checkpoints",
        store=ArtifactStore(folder / "artifacts"),
        execution=Execution(
            device=device, tokens_per_batch=tokens_per_batch, checkpoint_seconds=1e9,
            gradient_checkpointing=checkpointing,
        ),
    )  # fmt: skip


def lengths_of(rows: Sequence[Encoded]) -> Lengths:
    """The lengths of encoded pairs."""
    return np.array([[len(row.prompt_ids), *(len(ids) for ids in row.responses)] for row in rows])
