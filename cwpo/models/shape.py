"""The dimensions of models from their config.json, and what they count in parameters. No torch.

OPT, Qwen2, Qwen3, Llama, Mistral and the texts of Gemma 1 to 3; DeBERTa and T5 of Flan's form, which judge only, as
far as they have the same parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwpo import places
from cwpo.config import catalog
from cwpo.errors import ModelError
from cwpo.models import hub
from cwpo.models.fetched.names import folder_of
from cwpo.models.given.folder import config_of
from cwpo.models.sizes.configurations import CONFIGURATIONS
from cwpo.sandbox import lexicon
from cwpo.stages.settings import LoraSettings

FOUR_NORMS = ("gemma2", "gemma3_text")  # before and behind attention and the feed-forward part
GEMMA = ("gemma", *FOUR_NORMS)
GATED = ("qwen2", "qwen3", "llama", "mistral", "t5", *GEMMA)  # three matrices feed forward, no learned positions
_DEFAULT_VOCABULARY = {
    "opt": 50272, "qwen2": 151936, "qwen3": 151936, "llama": 32000, "mistral": 32000, "deberta-v2": 128100,
    "gemma": 256000, "gemma2": 256000, "gemma3_text": 262208,
}  # fmt: skip
_DEFAULT_KEYS = {"gemma2": 4, "gemma3_text": 4}  # heads; the others have as many as queries
_DEFAULT_HEAD = dict.fromkeys(GEMMA, 256)  # the size of one; the others' is the width divided by their heads
_TIED = ("opt", "deberta-v2", *GEMMA)  # where a file does not say


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The dimensions that decide a causal LM's size. Biases: of q, k and v; of o; of the feed-forward part."""

    family: str
    hidden: int
    layers: int
    ffn: int
    vocabulary: int
    query: int  # heads times head size
    keys: int  # key-value heads times head size
    embedded: int  # width of the token embedding; OPT 350M's is narrower than its layers
    positions: int  # learned ones
    tied: bool
    final_norm: bool
    biases: tuple[bool, bool, bool]
    dropout: float  # the backbone's own, which an annotator trains with unless told otherwise
    others: int = 0  # parameters that only this family has: norms of queries and keys, a pooler

    @property
    def linears(self) -> Mapping[str, tuple[int, int]]:
        """(inputs, outputs) of the matrices of one layer, by module name."""
        h, q, k, f = self.hidden, self.query, self.keys, self.ffn
        attention = {"q_proj": (h, q), "k_proj": (h, k), "v_proj": (h, k)}
        if self.family in GATED:
            return {**attention, "o_proj": (q, h), "gate_proj": (h, f), "up_proj": (h, f), "down_proj": (f, h)}
        return {**attention, "out_proj": (q, h), "fc1": (h, f), "fc2": (f, h)}

    @property
    def layer_weights(self) -> int:
        """Entries of the matrices of one layer."""
        return sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding(self) -> int:
        """Entries of the token embedding, and of the head where it is one of its own."""
        return self.vocabulary * self.embedded

    @property
    def matrices(self) -> int:
        """Entries of all matrices of linear layers but the head's."""
        projections = 0 if self.embedded == self.hidden else 2 * self.embedded * self.hidden
        return self.layers * self.layer_weights + projections

    @property
    def linear_biases(self) -> int:
        """Biases of the linear layers."""
        of_qkv, of_o, of_ffn = self.biases
        of_layer = of_qkv * (self.query + 2 * self.keys) + of_o * self.hidden
        of_layer += of_ffn * (self.ffn * (2 if self.family in GATED else 1) + self.hidden)
        return self.layers * of_layer

    @property
    def backbone(self) -> int:
        """Parameters without an untied head: layers, norms, embeddings."""
        norms = (2 * self.layers + self.final_norm) * (self.hidden if self.family in GATED else 2 * self.hidden)
        embeddings = self.embedding + self.positions * self.hidden
        return self.matrices + self.linear_biases + norms + embeddings + self.others

    @property
    def causal(self) -> int:
        """Parameters of the causal LM."""
        return self.backbone + (0 if self.tied else self.embedding)

    @property
    def scorer(self) -> int:
        """Parameters of the backbone with a scalar head; T5 judges by the words that it writes."""
        return self.causal if self.family == "t5" else self.backbone + self.embedded

    def adapter(self, lora: LoraSettings) -> int:
        """Parameters of a LoRA adapter on every layer."""
        return self.layers * lora.r * sum(sum(self.linears[name]) for name in self.adapted(lora))

    def adapted(self, lora: LoraSettings) -> list[str]:
        """The matrices that carry the adapter: those that are named, else all of a layer."""
        wanted = lora.target_modules or self.linears
        return [name for name in self.linears if name in wanted]


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The shape that a config.json describes; None for another family or a file without sizes that can be."""
    try:
        return _shape_of(config)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _shape_of(config: Mapping[str, Any]) -> Shape | None:
    family = config.get("model_type")
    if family == "t5":
        return _t5(config)
    inner = "ffn_dim" if family == "opt" else "intermediate_size"
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", inner)
    if family not in _DEFAULT_VOCABULARY or any(not isinstance(config.get(name), int) for name in names):
        return None
    hidden, layers, heads, ffn = (int(config[name]) for name in names)
    size = int(config.get("head_dim") or _DEFAULT_HEAD.get(family, hidden // heads))
    common: dict[str, Any] = {
        "family": family,
        "hidden": hidden,
        "layers": layers,
        "ffn": ffn,
        "vocabulary": int(config.get("vocab_size", _DEFAULT_VOCABULARY[family])),
        "query": heads * size,
        "tied": bool(config.get("tie_word_embeddings", family in _TIED)),
    }
    if family == "opt":
        bias, before = config.get("enable_bias", True), config.get("do_layer_norm_before", True)
        return Shape(
            **common,
            keys=hidden,
            embedded=int(config.get("word_embed_proj_dim") or hidden),
            positions=int(config.get("max_position_embeddings", 2048)) + 2,
            final_norm=bool(before and not config.get("_remove_final_layer_norm", False)),
            biases=(bias, bias, bias),
            dropout=float(config.get("dropout", 0.1)),
        )
    if family == "deberta-v2":
        return Shape(**common, **_deberta(hidden, int(config.get("position_buckets", 256))))
    of_attention, of_mlp = bool(config.get("attention_bias", False)), bool(config.get("mlp_bias", False))
    return Shape(
        **common,
        keys=int(config.get("num_key_value_heads") or _DEFAULT_KEYS.get(family, heads)) * size,
        embedded=hidden,
        positions=0,
        final_norm=True,
        biases=(True, False, False) if family == "qwen2" else (of_attention, of_attention, of_mlp),
        dropout=float(config.get("attention_dropout", 0.0)),
        others=2 * layers * (size * (family in ("qwen3", "gemma3_text")) + hidden * (family in FOUR_NORMS)),
    )


def _deberta(hidden: int, buckets: int) -> dict[str, Any]:
    """A norm behind the embedding counts as the last one; a pooler, the norm of relative positions, the head's bias."""
    return {
        "keys": hidden, "embedded": hidden, "positions": 2 * buckets, "final_norm": True, "biases": (True, True, True),
        "dropout": 0.1, "others": hidden * hidden + 3 * hidden + 1,
    }  # fmt: skip


def _t5(config: Mapping[str, Any]) -> Shape | None:
    """Encoder and decoder as one stack, what the decoder's layers have on top of it as others: attention to the prompt
    with its norm. Both stacks have a last norm and a table of relative positions. None for an ungated T5."""
    names = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads")
    gated = str(config.get("feed_forward_proj", "relu")).startswith("gated-")
    if not gated or any(not isinstance(config.get(name), int) for name in names):
        return None
    hidden, size, ffn, encoder, heads = (int(config[name]) for name in names)
    decoder = int(config.get("num_decoder_layers") or encoder)
    query, tables = heads * size, 2 * heads * int(config.get("relative_attention_num_buckets", 32))
    return Shape(
        family="t5", hidden=hidden, layers=encoder + decoder, ffn=ffn, vocabulary=int(config.get("vocab_size", 32128)),
        query=query, keys=query, embedded=hidden, positions=0, tied=bool(config.get("tie_word_embeddings", True)),
        final_norm=True, biases=(False, False, False), dropout=float(config.get("dropout_rate", 0.1)),
        others=decoder * (4 * hidden * query + hidden) + hidden + tables,
    )  # fmt: skip


def known_config(name: str, revision: str | None, home: Path) -> Mapping[str, Any] | None:
    """A model's configuration: a row of the sandbox, a folder, an earlier download, else the catalog's sizes."""
    if name in catalog.SANDBOX_MODELS:
        return sandbox_config(catalog.SANDBOX_MODELS[name].architecture)
    folder = folder_of(name, home) if hub.is_local(name) else hub.kept_folder(name, revision, home=home)
    if folder is not None and not places.may_use(folder):
        return None
    try:
        found = CONFIGURATIONS.get(name) if folder is None else config_of(folder, name)
    except ModelError:
        return None
    return found if isinstance(found, Mapping) else None


def sandbox_config(architecture: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json will say of a base model of the sandbox once it is built."""
    return {
        "model_type": architecture["family"],
        "hidden_size": architecture["hidden_size"],
        "num_hidden_layers": architecture["layers"],
        "num_attention_heads": architecture["heads"],
        "ffn_dim": architecture["ffn"],
        "intermediate_size": architecture["ffn"],
        "vocab_size": lexicon.SPECIAL_TOKENS + len(lexicon.words()),
        "max_position_embeddings": lexicon.MAX_LENGTH,
        "tie_word_embeddings": True,
        "dropout": 0.0,
    }
