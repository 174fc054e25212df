"""Tiny models of the real architectures that read any text: each byte a token, T5 with a SentencePiece model.

Saved as their repositories on the hub hold them, for runs that begin with a download.
"""

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers.decoders import ByteLevel
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

Files = dict[str, bytes]
SPECIALS = ("<pad>", "</s>", "<s>", "[CLS]", "[SEP]")
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
SIZE = len(SPECIALS) + len(BYTES)
CONTEXT = 192
SENTINELS = 100  # <extra_id_0> … of T5, behind the words of its vocabulary


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """opt: `</s>` in front; llama: `<s>` in front; deberta: [CLS] prompt [SEP] answer [SEP] with segments."""
    inner = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate((*SPECIALS, *BYTES))}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = ByteLevel()
    first = {"opt": "</s>", "llama": "<s>", "deberta": "[CLS]"}[kind]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1" if kind == "deberta" else None
    ids = [(token, SPECIALS.index(token)) for token in (first, "[SEP]")]
    single = "[CLS] $A [SEP]" if kind == "deberta" else f"{first} $A"
    inner.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=first, eos_token="</s>", pad_token="<pad>")


def opt(folder: Path, seed: int) -> Files:
    config = OPTConfig(**_sizes("ffn_dim"), word_embed_proj_dim=16, bos_token_id=1, eos_token_id=1, pad_token_id=0)
    return _saved(OPTForCausalLM, config, tokenizer("opt"), folder, seed)


def llama(folder: Path, seed: int) -> Files:
    config = LlamaConfig(**_sizes("intermediate_size"), num_key_value_heads=1, bos_token_id=2, eos_token_id=1)
    return _saved(LlamaForCausalLM, config, tokenizer("llama"), folder, seed)


def deberta(folder: Path, seed: int) -> Files:
    """As OpenAssistant's judge: DeBERTa v3 (relative positions, shared keys, layer-normed embeddings), one output."""
    config = DebertaV2Config(
        **_sizes("intermediate_size"), num_labels=1, relative_attention=True, position_buckets=32,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        type_vocab_size=0, pad_token_id=0, pooler_hidden_act="gelu", initializer_range=0.3,
    )  # fmt: skip
    return _saved(DebertaV2ForSequenceClassification, config, tokenizer("deberta"), folder, seed)


def steamshp(folder: Path, seed: int) -> Files:
    """As SteamSHP: a gated T5 whose vocabulary is spiece.model alone, as its repository has it."""
    spiece = sentencepiece_model()
    config = T5Config(
        vocab_size=spiece_size(spiece) + SENTINELS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        n_positions=512, feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0,
        initializer_factor=1.0,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.2)
    model.save_pretrained(folder)
    (folder / "spiece.model").write_bytes(spiece)
    about = {
        "tokenizer_class": "T5Tokenizer",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "extra_ids": SENTINELS,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return files_of(folder)


def sentencepiece_model() -> bytes:
    """A unigram model of T5's special ids, trained on a page of text; A and B are words of it."""
    lines = ["POST: how do I bake bread?", "RESPONSE A: use flour .", "RESPONSE B: use water .", "A", "B", "A", "B"]
    lines += [
        "Which response is better? RESPONSE A",
        "Which response is better? RESPONSE B",
        "askbaking train 0 1 2 3 4",
    ]
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20), model_writer=stream, vocab_size=90, character_coverage=1.0, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, num_threads=1, minloglevel=2,
        user_defined_symbols=["\u2581A", "\u2581B"],
    )  # fmt: skip
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(stream.getvalue())
    for piece in model.pieces:  # kept by being named, they are words like all others in T5's vocabulary
        if piece.type == piece.USER_DEFINED:
            piece.type, piece.score = piece.NORMAL, -2.0
    return bytes(model.SerializeToString())


def spiece_size(spiece: bytes) -> int:
    """Tokens of a SentencePiece model."""
    return int(sentencepiece.SentencePieceProcessor(model_proto=spiece).get_piece_size())


def files_of(folder: Path) -> Files:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def as_bin(files: Files) -> Files:
    """A branch with .bin weights alone; nothing here may ever read them."""
    return {**{name: data for name, data in files.items() if "safetensors" not in name}, "pytorch_model.bin": b"never"}


def _sizes(ffn: str) -> dict[str, Any]:
    sizes = {"vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, ffn: 32}
    return {**sizes, "max_position_embeddings": CONTEXT}


def _saved(model: Any, config: Any, tokens: PreTrainedTokenizerFast, folder: Path, seed: int) -> Files:
    torch.manual_seed(seed)
    model(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return files_of(folder)
