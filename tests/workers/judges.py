"""A gold reward model in a folder, with random weights."""

from pathlib import Path

import torch
from transformers import OPTConfig, OPTForSequenceClassification

from tests.cwpo import tiny

TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"


def judge(folder: Path) -> str:
    """A random reward model in a folder."""
    torch.manual_seed(3)
    size = len(tiny.SPECIALS) + len(tiny.WORDS)
    config = OPTConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32,
        max_position_embeddings=64, num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=1, init_std=0.3,
    )  # fmt: skip
    OPTForSequenceClassification(config).save_pretrained(folder)
    words = tiny.tokenizer("opt")
    words.chat_template = TEMPLATE
    words.save_pretrained(folder)
    return str(folder)
