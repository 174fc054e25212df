"""Base models of the sandbox: tiny OPT- and Qwen2-shaped causal LMs, pretrained here on what the behaviour policy writes.

The artifact is an ordinary transformers folder with its tokenizer, so everything behind it loads it like any other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from cwpo.catalog import SANDBOX_MODELS, lookup
from cwpo.config import TrainConfig
from cwpo.errors import ModelError
from cwpo.execute import StageContext
from cwpo.logps import forward_path, response_logps
from cwpo.models import ModelRef, load_tokenizer, save_model
from cwpo.records import Prompt
from cwpo.sandbox import tokenizer as words
from cwpo.sandbox.world import make_corpus
from cwpo.tokenization import Encoded, PackedBatch, encode_rows, pack
from cwpo.training import Batches, train

CORPUS_TEXTS = 4000
BATCH_TEXTS = 16  # small batches: for a tiny model the number of steps is what counts
WARMUP_STEPS = 20
INIT_STD = 0.06  # transformers' 0.02 learns slowly at a width of 64


@dataclass(frozen=True, kw_only=True)
class Micro:
    """A packed part of an effective batch of `total` response tokens."""

    batch: PackedBatch
    total: int


def run_base(ctx: StageContext) -> dict[str, Any]:
    """Build the model named in the config from nothing, pretrain it, write it as a whole model."""
    row = lookup(SANDBOX_MODELS, ctx.config["model"], "sandbox model")
    if row.architecture != ctx.config["architecture"]:
        raise ModelError(f"{row.name} is built differently here than when this run was submitted; submit it again.")
    words.save(row.family, ctx.out)
    tokenizer = load_tokenizer(ModelRef(artifact=ctx.out), store=ctx.store)
    model = build_model(row.architecture, seed=ctx.config["seed"]).to(ctx.device)
    rows = _corpus(tokenizer, ctx.config["seed"])
    batches = Batches(ids=[row.pair_id for row in rows], batch_size=BATCH_TEXTS, seed=ctx.config["seed"])
    config = TrainConfig(epochs=row.epochs, lr=row.lr, batch_size=BATCH_TEXTS, warmup_steps=WARMUP_STEPS)
    path = forward_path(model, device=ctx.device, precision="fp32", log=ctx.reporter.log)
    result = train(
        model.train(),
        lambda step: _micros(rows, batches.rows(step), ctx),
        partial(_loss, partial(response_logps, path)),
        steps=batches.steps(row.epochs),
        config=config,
        ctx=ctx,
    )
    result.history.write(ctx.out)
    model.eval()
    save_model(model, tokenizer, ctx.out, form="full", parent=None)
    return {
        "model": row.name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": len(words.vocabulary(row.family)),
        "texts": CORPUS_TEXTS,
        "steps": result.steps,
        "final_loss": result.final_loss,
    }


def build_model(architecture: Mapping[str, Any], *, seed: int) -> PreTrainedModel:
    """A new model of that shape, its weights drawn from `seed`, dropout off."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILDERS[architecture["family"]](architecture)


def _opt(shape: Mapping[str, Any]) -> PreTrainedModel:
    size = shape["hidden_size"]
    return OPTForCausalLM(
        OPTConfig(
            **_shared(shape),
            word_embed_proj_dim=size,
            ffn_dim=shape["ffn"],
            dropout=0.0,
            attention_dropout=0.0,
            init_std=INIT_STD,
        )
    )


def _qwen2(shape: Mapping[str, Any]) -> PreTrainedModel:
    return Qwen2ForCausalLM(
        Qwen2Config(
            **_shared(shape),
            intermediate_size=shape["ffn"],
            num_key_value_heads=shape["heads"],
            initializer_range=INIT_STD,
            tie_word_embeddings=True,
        )
    )


def _shared(shape: Mapping[str, Any]) -> dict[str, Any]:
    """What both families call by the same name."""
    vocabulary = words.vocabulary(shape["family"])
    end = vocabulary[words.END[shape["family"]]]
    return {
        "vocab_size": len(vocabulary),
        "hidden_size": shape["hidden_size"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "max_position_embeddings": words.MAX_LENGTH,
        "pad_token_id": vocabulary[words.PAD],
        "bos_token_id": end if shape["family"] == "opt" else None,
        "eos_token_id": end,
    }


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], PreTrainedModel]] = {"opt": _opt, "qwen2": _qwen2}


def _corpus(tokenizer: Any, seed: int) -> list[Encoded]:
    texts = enumerate(make_corpus(CORPUS_TEXTS, seed))
    rows = [
        (Prompt(prompt_id=str(number), prompt=prompt), str(number), (response,))
        for number, (prompt, response) in texts
    ]
    return encode_rows(rows, tokenizer, words.MAX_LENGTH).rows


def _micros(rows: list[Encoded], chosen: Sequence[int], ctx: StageContext) -> list[Micro]:
    total = sum(len(rows[index].responses[0]) for index in chosen)
    return [Micro(batch=batch.to(ctx.device), total=total) for batch in pack(rows, ctx.tokens_per_batch, chosen)]


def _loss(logps_of: Callable[[PackedBatch], Tensor], micro: Micro) -> tuple[Tensor, dict[str, Tensor]]:
    """This part's share of the mean negative log-likelihood per response token, in nats."""
    return -logps_of(micro.batch).sum() / micro.total, {}
