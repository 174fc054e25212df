"""Tiny random models and a word tokenizer for tests; built from configuration, nothing is downloaded."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WORDS = [f"w{number}" for number in range(40)]
SPECIALS = ["<pad>", "</s>", "<s>"]


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Words split at spaces. OPT: `</s>` in front of every text; Llama: a BOS of its own and no pad; Qwen2: no BOS."""
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if family == "opt":
        inner.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    special: dict[str, Any] = {"eos_token": "</s>"}
    special |= {} if family == "llama" else {"pad_token": "<pad>"}
    special |= {"opt": {"bos_token": "</s>"}, "llama": {"bos_token": "<s>"}, "qwen2": {}}[family]
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def causal_lm(family: str, *, seed: int = 0, width: int = 32, context: int = 64) -> Any:
    """A random causal LM of two layers, spread out enough that its choices are not uniform."""
    size = len(SPECIALS) + len(WORDS)
    shared: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
        "eos_token_id": 1,
        "bos_token_id": {"opt": 1, "llama": 2, "qwen2": None}[family],
        "pad_token_id": None if family == "llama" else 0,
    }
    torch.manual_seed(seed)
    if family == "opt":
        return OPTForCausalLM(OPTConfig(**shared, ffn_dim=64, word_embed_proj_dim=width, init_std=0.3, dropout=0.1))
    wide = {**shared, "intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.3}
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**wide, tie_word_embeddings=False))
    return Qwen2ForCausalLM(Qwen2Config(**wide, tie_word_embeddings=True))


def save(folder: Path, family: str, **options: Any) -> Path:
    """A model folder with safetensors weights, configuration and tokenizer."""
    causal_lm(family, **options).save_pretrained(folder)
    tokenizer(family).save_pretrained(folder)
    return folder
