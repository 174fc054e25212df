"""Base models of the sandbox: tiny OPT- and Qwen2-shaped causal LMs, pretrained here on the behaviour policy's texts.

The artifact is an ordinary transformers folder with its tokenizer, so everything behind it loads it like any other.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from cwpo.full_disk import when_room
from cwpo.models import sandbox_tokenizer as words
from cwpo.models.load import ModelRef, load_tokenizer
from cwpo.models.tokenization import Encoded, encode_rows
from cwpo.records import Prompt
from cwpo.sandbox.world import make_corpus
from cwpo.stages.context import StageContext
from cwpo.stages.settings import ArchitectureSettings, BaseSettings, TrainSettings
from cwpo.training.finishing import save_trained
from cwpo.training.sft import train_on_answers

CORPUS_TEXTS = 4000
BATCH_TEXTS = 16  # small batches: for a tiny model the number of steps is what counts
WARMUP_STEPS = 20
INIT_STD = 0.06  # transformers' 0.02 learns slowly at a width of 64


def run_base(ctx: StageContext[BaseSettings]) -> dict[str, Any]:
    """Build a model of the architecture asked for from nothing, pretrain it, write it as a whole model."""
    settings, shape = ctx.settings, ctx.settings.architecture
    if ctx.execution.ranks.is_first():
        when_room(lambda: words.save(shape.family, ctx.out))
    ctx.execution.ranks.barrier()
    tokenizer = load_tokenizer(ModelRef(artifact=ctx.out), store=ctx.store)
    model: torch.nn.Module = build_model(shape, seed=settings.seed)
    model.to(ctx.device)
    training = TrainSettings(
        epochs=shape.epochs,
        lr=shape.lr,
        batch_size=BATCH_TEXTS,
        warmup_steps=WARMUP_STEPS,
        schedule="cosine",
        weight_decay=0.0,
        max_grad_norm=1.0,
    )
    corpus = _corpus(tokenizer, settings.seed)
    result = train_on_answers(model, corpus, ctx, training, precision="fp32", seed=settings.seed)
    model.eval()
    save_trained(model, tokenizer, ctx, form="full", parent=None, also=result.history.write)
    return {
        "model": settings.model,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": len(words.vocabulary(shape.family)),
        "texts": CORPUS_TEXTS,
        "steps": result.steps,
        "final_loss": result.final_loss,
    }


def build_model(architecture: ArchitectureSettings, *, seed: int) -> PreTrainedModel:
    """A new model of that shape, its weights drawn from `seed`, dropout off."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILDERS[architecture.family](architecture)


def _opt(shape: ArchitectureSettings) -> PreTrainedModel:
    size = shape.hidden_size
    return OPTForCausalLM(
        OPTConfig(
            **_shared(shape),
            word_embed_proj_dim=size,
            ffn_dim=shape.ffn,
            dropout=0.0,
            attention_dropout=0.0,
            init_std=INIT_STD,
        )
    )


def _qwen2(shape: ArchitectureSettings) -> PreTrainedModel:
    return Qwen2ForCausalLM(
        Qwen2Config(
            **_shared(shape),
            intermediate_size=shape.ffn,
            num_key_value_heads=shape.heads,
            initializer_range=INIT_STD,
            tie_word_embeddings=True,
        )
    )


def _shared(shape: ArchitectureSettings) -> dict[str, Any]:
    """What both families call by the same name."""
    vocabulary = words.vocabulary(shape.family)
    end = vocabulary[words.END[shape.family]]
    return {
        "vocab_size": len(vocabulary),
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": words.MAX_LENGTH,
        "pad_token_id": vocabulary[words.PAD],
        "bos_token_id": end if shape.family == "opt" else None,
        "eos_token_id": end,
    }


_BUILDERS: Mapping[str, Callable[[ArchitectureSettings], PreTrainedModel]] = {"opt": _opt, "qwen2": _qwen2}


def _corpus(tokenizer: Any, seed: int) -> list[Encoded]:
    texts = enumerate(make_corpus(CORPUS_TEXTS, seed))
    rows = [
        (Prompt(prompt_id=str(number), prompt=prompt), str(number), (response,)) for number, (prompt, response) in texts
    ]
    return encode_rows(rows, tokenizer, words.MAX_LENGTH).rows
