"""The sizes in config.json of every model of the catalog, so that a plan needs no download. No torch.

They are those of the published files; SteamSHP's are google/flan-t5's of the same size, on which it was trained. A test
counts the parameters of each by transformers' own classes.
"""

from collections.abc import Mapping
from typing import Any


def _opt(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "opt", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "ffn_dim": 4 * hidden, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": hidden,
        "do_layer_norm_before": True, "dropout": 0.1,
    }  # fmt: skip


def _gated(
    family: str, hidden: int, layers: int, heads: int, keys: int, inner: int, vocabulary: int, *, tied: bool
) -> dict[str, Any]:  # fmt: skip
    return {
        "model_type": family, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": keys, "intermediate_size": inner, "vocab_size": vocabulary, "tie_word_embeddings": tied,
    }  # fmt: skip


def _flan_t5(hidden: int, inner: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "t5", "d_model": hidden, "d_kv": 64, "d_ff": inner, "num_layers": 24, "num_decoder_layers": 24,
        "num_heads": heads, "vocab_size": 32128, "relative_attention_num_buckets": 32,
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
    }  # fmt: skip


CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "facebook/opt-125m": _opt(768, 12, 12),
    "facebook/opt-1.3b": _opt(2048, 24, 32),
    "facebook/opt-2.7b": _opt(2560, 32, 32),
    "facebook/opt-6.7b": _opt(4096, 32, 32),
    "facebook/opt-13b": _opt(5120, 40, 40),
    "Qwen/Qwen2.5-0.5B": _gated("qwen2", 896, 24, 14, 2, 4864, 151936, tied=True),
    "Qwen/Qwen2.5-1.5B": _gated("qwen2", 1536, 28, 12, 2, 8960, 151936, tied=True),
    "Qwen/Qwen2.5-3B": _gated("qwen2", 2048, 36, 16, 2, 11008, 151936, tied=True),
    "Qwen/Qwen2.5-7B": _gated("qwen2", 3584, 28, 28, 4, 18944, 152064, tied=False),
    "Qwen/Qwen2.5-14B": _gated("qwen2", 5120, 48, 40, 8, 13824, 152064, tied=False),
    "meta-llama/Llama-3.1-8B-Instruct": _gated("llama", 4096, 32, 32, 8, 14336, 128256, tied=False),
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B": _gated("llama", 4096, 32, 32, 8, 14336, 128256, tied=False),
    "Skywork/Skywork-Reward-V2-Qwen3-0.6B": {
        **_gated("qwen3", 1024, 28, 16, 8, 3072, 151936, tied=True),
        "head_dim": 128,
    },
    "OpenAssistant/reward-model-deberta-v3-large-v2": {
        "model_type": "deberta-v2", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "vocab_size": 128100, "position_buckets": 256,
    },
    "stanfordnlp/SteamSHP-flan-t5-large": _flan_t5(1024, 2816, 16),
    "stanfordnlp/SteamSHP-flan-t5-xl": _flan_t5(2048, 5120, 32),
}  # fmt: skip
