"""Sampling: our sampler as it was and as it is, and transformers' continuous batching, side by side.

    python -m benchmarks sampling [--shape opt-h256] [--answers 32] [--rounds 3] [--device cpu] [--anew]

Random weights, prompts of the lengths of real ones, at a temperature at which a token has some 2.5 nats, as answers of
trained models have. fp32 are float32 weights, bf16 are weights in bf16. Continuous batching takes one seed for
everything that it samples, so what it draws for a prompt depends on what else is asked.
"""

import argparse
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from benchmarks.concatenated import Concatenated
from benchmarks.measure import Results, Sample, table, timed
from benchmarks.workload import SHAPES, encoded, policy, typical, word_tokenizer
from cwpo.evaluation.engines.contract import Question, Written
from cwpo.evaluation.engines.native import native
from cwpo.stages.settings import DecodingSettings

NEW_TOKENS, NATS, PRECISIONS = 64, 2.5, ("fp32", "bf16")
TOKENS_PER_BATCH = 4096


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Sampling: before, now, and continuous batching.")
    parser.add_argument("--shape", choices=list(SHAPES), default="opt-h256")
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    results = Results(f"sampling-{options.shape}{'' if options.device == 'cpu' else '-cuda'}", anew=options.anew)
    print(f"Sampling {options.answers} answers, {options.shape}", flush=True)
    for number in range(options.rounds):
        for precision in PRECISIONS:
            for name, way in WAYS.items():
                measure = partial(_measured, way, options.shape, precision, options.answers, options.device)
                results.take(f"{name} {precision}", number, measure)
    results.summary = summarise(results)
    results.save()
    print(table(results.summary["rows"]))
    print(table([results.summary["same_answers"]]), flush=True)


def summarise(results: Results) -> dict[str, Any]:
    """Tokens per second and passes per token of every way, how many times ours now in CPU time, and equal answers."""
    rows = [
        {
            "sampler": name, "precision": precision, "tokens/s": _median(results, name, precision, "rate"),
            "tokens/CPU s": _median(results, name, precision, "cpu_rate"),
            "passes/token": results.median(f"{name} {precision}", "passes"),
            "nats": results.median(f"{name} {precision}", "nats"),
            "× now": _times(results, name, precision),
        }
        for precision in PRECISIONS
        for name in WAYS
    ]  # fmt: skip
    first = {
        precision: {name: results.cells[f"{name} {precision}"][0]["ids"] for name in WAYS} for precision in PRECISIONS
    }
    return {
        "rows": rows,
        "same_answers": {f"before = now {one}": first[one]["before"] == first[one]["now"] for one in PRECISIONS},
    }


def _median(results: Results, name: str, precision: str, key: str) -> float | None:
    found = results.median(f"{name} {precision}", key)
    return None if found is None else round(found)


def _times(results: Results, name: str, precision: str) -> float | None:
    mine, ours = (results.median(f"{one} {precision}", "cpu_rate") for one in (name, "now"))
    return None if not mine or not ours else round(mine / ours, 2)


def questions(shape: str, count: int) -> list[Question]:
    """Prompts with the lengths of real ones."""
    rows = encoded(typical(count), SHAPES[shape].vocabulary)
    return [
        Question(prompt_id=row.pair_id, sample=0, prompt_ids=[int(token) for token in row.prompt_ids]) for row in rows
    ]


def _measured(way: Callable[..., Any], shape: str, precision: str, count: int, device: str) -> Sample:
    """Seconds, tokens, passes per token, and a digest of what was answered."""
    model = policy(shape, device=device).eval().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    asked = questions(shape, count)
    temperature, nats = temperature_of(model, asked)
    decoding = DecodingSettings(temperature=temperature, top_p=1.0, max_new_tokens=NEW_TOKENS, samples=1)
    way(model, shape, precision, decoding, asked[:2])  # warm
    passes = 0

    def count_one(*_: Any) -> None:
        nonlocal passes
        passes += 1

    handle = model.register_forward_pre_hook(count_one)
    with timed() as sample:
        answers = way(model, shape, precision, decoding, asked)
    handle.remove()
    tokens = sum(len(ids) for ids in answers)
    longest = max(len(ids) for ids in answers)
    sample.more |= {
        "tokens": tokens, "rate": round(tokens / sample.wall, 1), "cpu_rate": round(tokens / sample.cpu, 1),
        "passes": round(passes / longest, 2),
        "nats": round(nats, 2), "ids": hash(tuple(map(tuple, answers))) & 0xFFFFFFFF,
    }  # fmt: skip
    return sample


def temperature_of(model: Any, asked: list[Question]) -> tuple[float, float]:
    """(temperature, mean nats) at which the tokens behind these prompts have NATS nats, by bisection."""
    with torch.inference_mode():
        logits = torch.stack(
            [model(torch.tensor([item.prompt_ids], device=model.device)).logits[0, -1].double() for item in asked[:8]]
        )

    def entropy(temperature: float) -> float:
        logs = (logits / temperature).log_softmax(-1)
        return float(-(logs.exp() * logs).sum(-1).mean())

    low, high = 1e-4, 10.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if entropy(middle) < NATS else (low, middle)
    return low, entropy(low)


def _before(model: Any, shape: str, precision: str, decoding: DecodingSettings, asked: list[Question]) -> Any:
    engine = Concatenated(model, decoding, 0, stops=[1], precision=precision, device=model.device.type)
    return _ids(asked, engine.answers(sorted(asked, key=lambda item: len(item.prompt_ids))))


def _now(model: Any, shape: str, precision: str, decoding: DecodingSettings, asked: list[Question]) -> Any:
    tokenizer = word_tokenizer(SHAPES[shape].vocabulary)
    engine = native(
        model, tokenizer, decoding, 0, device=model.device.type, precision=precision, tokens_per_batch=TOKENS_PER_BATCH
    )
    found = [engine.answers(batch, lambda: False) for batch in engine.batches(asked, frozenset())]
    return _ids(asked, [answer for batch in found for answer in batch])


def _continuous(model: Any, shape: str, precision: str, decoding: DecodingSettings, asked: list[Question]) -> Any:
    how = GenerationConfig(
        do_sample=True, temperature=decoding.temperature, top_k=0, top_p=1.0, max_new_tokens=decoding.max_new_tokens,
        eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    memory = ContinuousBatchingConfig(
        seed=0, num_blocks=128 if model.device.type == "cpu" else None, max_batch_tokens=TOKENS_PER_BATCH
    )
    found = model.generate_batch(
        [item.prompt_ids for item in asked], generation_config=how, continuous_batching_config=memory
    )
    return [list(output.generated_tokens) for output in found.values()]


def _ids(asked: list[Question], answers: list[Written]) -> list[list[int]]:
    by_key = {answer.key: answer.ids for answer in answers}
    return [by_key[item.key] for item in asked]


WAYS: dict[str, Callable[..., Any]] = {"before": _before, "now": _now, "continuous batching": _continuous}

if __name__ == "__main__":
    main()
