"""Labeling pairs a second and sampled tokens a second, by shape and precision."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from benchmarks.gpu.rows import Row, Rows, Setting, peak_gb
from benchmarks.gpu.step import random_policy
from benchmarks.measure import timed
from benchmarks.workload import SHAPES, config, encoded, lengths, lengths_of, word_tokenizer
from cwpo.annotation.labeling import score_pairs
from cwpo.errors import Cancelled
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import NativeEngine, native
from cwpo.models.frozen import halve
from cwpo.models.logps import forward_path
from cwpo.models.tokenization import Encoded
from cwpo.stages.context import Execution, WorkContext
from cwpo.stages.settings import DecodingSettings

LABELED = {"bf16": 2000, "fp32": 250}  # pairs
PROMPTS = {"bf16": 128, "fp32": 16}
NEW_TOKENS = 128
SPREAD = 4.5  # times the logits of random weights: about as spread out as those of a trained model
MOST_SECONDS = 60.0  # of sampling: a row may not take the time of the others


def labeling(rows: Rows, setting: Setting) -> None:
    """Both answers of every pair scored, after a first batch."""
    for shape in setting.shapes:
        for precision in setting.precisions:
            rows.take(f"{shape} {precision}", partial(_labels, shape, precision, setting))


def _labels(shape: str, precision: str, setting: Setting) -> Row:
    settings = config(SHAPES[shape])
    settings.num_labels = 1
    torch.manual_seed(0)
    with torch.device(setting.device):
        model: Any = AutoModelForSequenceClassification.from_config(settings).eval()
    path = forward_path(model, device=setting.device, precision=precision, log=lambda line: None)
    context = WorkContext(execution=Execution(device=setting.device, tokens_per_batch=setting.tokens_per_batch))
    vocabulary = SHAPES[shape].vocabulary
    score_pairs(path, encoded(setting.lengths(16, batch=16, seed=1), vocabulary, seed=1), context)
    pairs = encoded(setting.lengths(8, batch=8) if setting.tried else lengths()[: LABELED[precision]], vocabulary)
    with timed() as spent:
        score_pairs(path, pairs, context)
    tokens = int(lengths_of(pairs).sum())
    return {
        "pairs": len(pairs),
        "seconds": round(spent.wall, 3),
        "pairs/s": round(len(pairs) / spent.wall, 1),
        "tokens/s": round(tokens / spent.wall),
        "peak_gb": peak_gb(setting.device),
    }


def sampling(rows: Rows, setting: Setting) -> None:
    """Answers of the native sampler; random weights hardly ever end a text, so all are of full length."""
    for shape in setting.shapes:
        for precision in setting.precisions:
            rows.take(f"{shape} {precision}", partial(_samples, shape, "whole", precision, setting, rows))
        if "bf16" in setting.precisions and "lora" in setting.tunings:
            rows.take(f"{shape} bf16 adapter", partial(_samples, shape, "lora", "bf16", setting, rows))


def _samples(shape: str, tuning: str, precision: str, setting: Setting, rows: Rows) -> Row:
    """Seconds of the second of two rounds; cut at the row's limit."""
    model = random_policy(shape, tuning, setting.device).eval().requires_grad_(False)
    if precision == "bf16" and tuning == "whole":
        halve(model)
    model.get_output_embeddings().register_forward_hook(lambda module, given, logits: logits * SPREAD)
    count, new = (4, 8) if setting.tried else (PROMPTS[precision], NEW_TOKENS)
    pairs = encoded(setting.lengths(count, batch=4), SHAPES[shape].vocabulary)
    end = time.monotonic() + min(MOST_SECONDS, max(rows.left(), 1.0))
    decoding = DecodingSettings(temperature=1.0, top_p=1.0, max_new_tokens=new, samples=1)
    how: dict[str, Any] = {"device": setting.device, "precision": precision}
    how |= {"tokens_per_batch": setting.tokens_per_batch}
    answers = partial(_answer, native(model, word_tokenizer(SHAPES[shape].vocabulary), decoding, 0, **how), end)
    try:
        answers(pairs[:4])
        with timed() as spent:
            tokens = answers(pairs)
    except Cancelled:
        return {"prompts": count, "new_tokens": new, "error": f"not finished within {MOST_SECONDS:.0f} s"}
    return {
        "prompts": count,
        "new_tokens": new,
        "seconds": round(spent.wall, 3),
        "tokens/s": round(tokens / spent.wall, 1),
        "peak_gb": peak_gb(setting.device),
    }


def _answer(engine: NativeEngine, end: float, pairs: Sequence[Encoded]) -> int:
    """Tokens of one answer to each prompt; Cancelled after `end`."""
    asked = [Question(prompt_id=row.pair_id, sample=0, prompt_ids=row.prompt_ids.tolist()) for row in pairs]
    batches = engine.batches(asked, frozenset())
    made = (engine.answers(batch, lambda: time.monotonic() > end) for batch in batches)
    return sum(len(answer.ids) for batch in made for answer in batch)
