"""Tiny random models and encoded pairs for the training tests."""

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from cwpo.models.tokenization import Encoded

VOCABULARY = 61
PAD, EOS = 0, 2

_GROUPED = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "max_position_embeddings": 96,
    "initializer_range": 0.2, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": EOS,
}  # fmt: skip
_LAYERS = ["sliding_attention", "full_attention"]

CONFIGS = {
    "opt": lambda: OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        max_position_embeddings=96, word_embed_proj_dim=32, dropout=0.0, attention_dropout=0.0, init_std=0.2,
        pad_token_id=PAD, bos_token_id=EOS, eos_token_id=EOS,
    ),
    "qwen2": lambda: Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=96, tie_word_embeddings=True, initializer_range=0.2,
        pad_token_id=PAD, bos_token_id=EOS, eos_token_id=EOS,
    ),
    "llama": lambda: LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=96, initializer_range=0.2,
        pad_token_id=PAD, bos_token_id=1, eos_token_id=EOS,
    ),
    "qwen3": lambda: Qwen3Config(**_GROUPED),
    "mistral": lambda: MistralConfig(**_GROUPED, sliding_window=64),
    "gemma": lambda: GemmaConfig(**_GROUPED, hidden_activation="gelu_pytorch_tanh"),
    "gemma2": lambda: Gemma2Config(
        **_GROUPED, sliding_window=64, layer_types=_LAYERS, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
        query_pre_attn_scalar=24,
    ),
    "gemma3_text": lambda: Gemma3TextConfig(**_GROUPED, sliding_window=64, layer_types=_LAYERS),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=96, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, initializer_range=0.2, pad_token_id=PAD, bos_token_id=EOS, eos_token_id=EOS,
    ),
}  # fmt: skip


def policy(architecture: str, dtype: torch.dtype = torch.float32, seed: int = 0):
    """A random causal language model."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(CONFIGS[architecture](), dtype=dtype).eval()


def scorer(architecture: str, dtype: torch.dtype = torch.float32, seed: int = 0):
    """A random sequence classifier with one output."""
    torch.manual_seed(seed)
    config = CONFIGS[architecture]()
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config, dtype=dtype).eval()


def pairs(count: int = 7, seed: int = 0, responses: int = 2, longest: int = 14) -> list[Encoded]:
    """Encoded rows with prompts and responses of different lengths."""
    rng = np.random.default_rng(seed)

    def ids(length: int) -> np.ndarray:
        return rng.integers(3, VOCABULARY, length)

    return [
        Encoded(
            pair_id=f"{seed:08x}{row:08x}",
            prompt_ids=ids(int(rng.integers(1, 12))),
            responses=tuple(np.append(ids(int(rng.integers(1, longest))), EOS) for _ in range(responses)),
        )
        for row in range(count)
    ]


def concatenated_logps(model, row: Encoded) -> torch.Tensor:
    """Each response of a row by a plain forward pass and log_softmax over all logits: (responses,)."""
    sums = []
    for response in row.responses:
        ids = torch.tensor(np.concatenate([row.prompt_ids, response]))[None]
        logps = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        at = torch.arange(len(row.prompt_ids) - 1, ids.shape[1] - 1)
        sums.append(logps[at, ids[0, at + 1]].sum())
    return torch.stack(sums)
