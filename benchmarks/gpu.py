"""A step of DPO on a GPU: OPT-1.3B and Qwen2.5-1.5B shapes, LoRA and whole, bf16, against TRL default and best.

    python -m benchmarks gpu [--anew]
    python -m benchmarks gpu --device cpu --shapes opt-tiny qwen2-tiny     tries the same code without a GPU

Weights are random, shapes from configuration. Each side trains on the same batches of pairs after a first step of the
same size. Tokens per second count packed tokens on both sides, so they compare.
"""

import argparse
import gc
from functools import partial
from typing import Any

import torch

from benchmarks import ours, peers
from benchmarks.measure import Results, Sample, peaks, table
from benchmarks.workload import SHAPES, encoded, grouped, lengths_of, policy, typical, useful_flops
from cwpo.models.adapters import add_adapter
from cwpo.stages.settings import LoraSettings

LORA = LoraSettings(r=8, alpha=16, dropout=0.0, target_modules=None)
GOALS = {"trl default": 2.5, "trl best": 1.4}
BATCH, STEPS, TOKENS_PER_BATCH = 16, 3, 16384


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A step of DPO on a GPU, against TRL.")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["opt-1.3b", "qwen2.5-1.5b"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here: --device cpu --shapes opt-tiny qwen2-tiny tries the same code.")
    for name in options.shapes:
        results = Results(f"gpu-{name}" if options.device != "cpu" else f"gpu-tried-on-cpu-{name}", anew=options.anew)
        print(f"DPO step on {options.device}, {name}, {options.batch} pairs", flush=True)
        for number in range(options.rounds):
            results.take("matmul peak", number, lambda: Sample(more={"gflops": peaks(options.device)}))
            for tuning in ("lora", "whole"):
                run = partial(_measure, name, options.device, options.batch, tuning)
                results.take(f"{tuning} ours", number, partial(run, "ours"))
                results.take(f"{tuning} trl default", number, partial(run, "default"))
                results.take(f"{tuning} trl best", number, partial(run, "best"))
                results.take(f"{tuning} trl best grouped", number, partial(run, "grouped"))
        results.summary = summarise(results)
        results.save()
        print(table(results.summary["variants"]))
        print(table(results.summary["goals"]), flush=True)


def _measure(name: str, device: str, batch: int, tuning: str, side: str) -> Sample:
    """Steps over the same pairs; length-grouped batches are the same pairs sorted by length."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    vocabulary = SHAPES[name].vocabulary
    lengths = typical(batch * STEPS, batch=batch)
    warm = encoded(typical(batch, batch=batch, seed=1), vocabulary, seed=1)
    rows = encoded(grouped(lengths) if side == "grouped" else lengths, vocabulary, first=batch)
    model = policy(name, device=device)
    if side == "ours":
        model = add_adapter(model, LORA, seed=0) if tuning == "lora" else model
        sample = ours.dpo(
            model, warm, rows, batch=batch, precision="bf16", device=device, tokens_per_batch=TOKENS_PER_BATCH
        )
    else:
        sample = peers.trl_dpo(
            model, warm, rows, batch=batch, bf16=True, best=side != "default",
            lora=_peft(model) if tuning == "lora" else None,
        )  # fmt: skip
    counted = lengths_of(rows)
    share = 4 / 6 if tuning == "lora" else 1.0  # frozen weights need no gradient of their own
    sample.more |= {
        "pairs": len(rows),
        "tokens": int(counted.sum()),
        "useful_gflop": round(share * useful_flops(name, counted) / 1e9, 2),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.startswith("cuda") else None,
    }
    return sample


def _peft(model: Any) -> Any:
    from peft import LoraConfig

    from cwpo.models.load import LORA_TARGETS

    return LoraConfig(
        r=LORA.r, lora_alpha=LORA.alpha, lora_dropout=LORA.dropout,
        target_modules=list(LORA_TARGETS[model.config.model_type]), task_type="CAUSAL_LM",
    )  # fmt: skip


def summarise(results: Results) -> dict[str, Any]:
    """Seconds per pair, tokens per second, utilisation of the bf16 peak and ratios."""
    peak = max(sample["gflops"]["bf16"] for sample in results.cells["matmul peak"])
    variants = []
    for cell in (cell for cell in results.cells if cell != "matmul peak"):
        first, seconds = results.cells[cell][0], results.median(cell) or 0.0
        variants.append(
            {
                "variant": cell,
                "s/pair": round(seconds / first["pairs"], 5),
                "tokens/s": round(first["tokens"] / seconds),
                "utilisation": round(first["useful_gflop"] / seconds / peak, 3),
                "peak_gb": first["peak_gb"],
                "times ours": results.ratio(cell, f"{cell.split()[0]} ours"),
            }
        )
    goals = []
    for tuning in ("lora", "whole"):
        best = min(("trl best", "trl best grouped"), key=lambda side: results.median(f"{tuning} {side}") or 0.0)
        for name, side in (("trl default", "trl default"), ("trl best", best)):
            ratio = results.ratio(f"{tuning} {side}", f"{tuning} ours")
            met = ratio is not None and ratio >= GOALS[name]
            goals.append({"goal": f"{tuning}: {side}", "at least": GOALS[name], "measured": ratio, "met": met})
    return {"variants": variants, "goals": goals, "bf16_peak_tflops": round(peak / 1000, 1)}


if __name__ == "__main__":
    main()
