"""A step of DPO: this program against TRL's DPOTrainer, by model shape; `plain` has the plain loop.

    python -m benchmarks dpo [--shapes opt-125m opt-h512 opt-tiny qwen2-0.5b] [--rounds 3] [--anew]

Every round runs all variants, one after the other, on the same batch of pairs, whose packed, padded and answer lengths
are those of the whole data set; the first round also settles which precision is the better one of each side, and the
other is left out of the later rounds. Ratios are of medians. The goals hold with the allocator as it comes, each side
at its better precision; equal precision and tuned allocators are printed beside. bf16 is left out on a processor that
has no instructions for it.
"""

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import ours, peers
from benchmarks.measure import DTYPES, Results, Sample, fast_precisions, peaks, table
from benchmarks.workload import (
    SHAPES,
    TOKENS_PER_BATCH,
    WARM,
    encoded,
    grouped,
    lengths_of,
    padded_mean,
    policy,
    typical,
    useful_flops,
)
from workers.machine.processes import allocator_environment

PRECISIONS = tuple(DTYPES)
GROUPED_BATCHES = 3
TUNED_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured of one shape."""

    batch: int
    rounds: int
    grouped: bool = True
    tuned: bool = True
    goals: tuple[tuple[str, float], ...] = ()


PLANS: dict[str, Plan] = {
    "opt-tiny": Plan(batch=8, rounds=3, goals=(("trl default", 8.0),)),
    "opt-125m": Plan(
        batch=8,
        rounds=3,
        goals=(
            ("trl default", 6.0),
            ("trl best", 5.0),
        ),
    ),
    "opt-h512": Plan(
        batch=8,
        rounds=3,
        goals=(("trl default", 12.0),),
    ),
    "qwen2-0.5b": Plan(
        batch=4,
        rounds=1,
        grouped=False,
        tuned=False,
        goals=(("trl default", 4.0),),
    ),
    "qwen2-tiny": Plan(batch=4, rounds=1),
}
UTILISATION_GOALS = {"fp32": 0.70, "bf16": 0.45}  # of the measured peak, at opt-125m


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    for name in options.shapes:
        results = Results(f"dpo-{name}", anew=options.anew and not options.tuned_only)
        plan = PLANS[name]
        print(f"DPO step, {name}, {plan.batch} pairs", flush=True)
        if options.tuned_only:
            _measure_tuned(name, plan, results)
            continue
        _measure(name, plan, results, options.rounds or plan.rounds)
        if plan.tuned:
            command = [sys.executable, "-m", "benchmarks.dpo", "--shapes", name, "--tuned-only"]
            subprocess.run(command, check=True, env={**os.environ, **allocator_environment()})
            results = Results(f"dpo-{name}")
        results.summary = summarise(name, plan, results)
        results.save()
        report(results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A step of DPO against TRL.")
    parser.add_argument("--shapes", nargs="+", choices=list(PLANS), default=[s for s in PLANS if s != "qwen2-tiny"])
    parser.add_argument("--rounds", type=int, help="default: 3, one for qwen2-0.5b")
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    parser.add_argument("--tuned-only", action="store_true", help=argparse.SUPPRESS)
    return parser


def _measure(name: str, plan: Plan, results: Results, rounds: int) -> None:
    for number in range(rounds):
        results.take("matmul peak", number, lambda: Sample(more={"gflops": peaks()}))
        for precision in fast_precisions():
            results.take(
                f"ours {precision}", number, partial(measure_ours, name, plan, precision, tuple(batch_of(plan)))
            )
        for kind in ("default", "best"):
            for precision in fast_precisions():
                if number and precision != better(results, f"trl {kind}"):
                    continue
                results.take(f"trl {kind} {precision}", number, partial(_trl, name, plan, kind, precision))
        if number == 0 and plan.grouped:
            _measure_grouped(name, plan, results)


def _measure_grouped(name: str, plan: Plan, results: Results) -> None:
    """TRL's best with length-grouped batches, on three batches; ours on the same pairs in random batches."""
    rows = typical(GROUPED_BATCHES * plan.batch, batch=plan.batch)
    precision = better(results, "trl best")
    own = better(results, "ours")
    results.take(
        f"ours {own} three batches", 0, partial(measure_ours, name, plan, own, tuple(map(tuple, rows.tolist())))
    )
    results.take(f"trl best grouped {precision}", 0, partial(_trl_grouped, name, plan, precision))


def _measure_tuned(name: str, plan: Plan, results: Results) -> None:
    """In a process whose allocator keeps freed memory, for both sides.

    Each runs once untimed before: memory that is to be kept must be there first.
    """
    own = better(results, "ours")
    cells = {f"ours {own} tuned": partial(measure_ours, name, plan, own, tuple(batch_of(plan)))}
    for kind in ("default", "best"):
        precision = better(results, f"trl {kind}")
        cells[f"trl {kind} {precision} tuned"] = partial(_trl, name, plan, kind, precision)
    for number in range(TUNED_ROUNDS):
        for cell, measure in cells.items():
            if not results.cells.get(cell):
                measure()
            results.take(cell, number, measure)


def batch_of(plan: Plan) -> list[tuple[int, int, int]]:
    return [tuple(row) for row in typical(plan.batch, batch=plan.batch).tolist()]


def rows_of(name: str, plan: Plan, rows: Any) -> tuple[list[Any], list[Any]]:
    vocabulary = SHAPES[name].vocabulary
    warm = encoded(WARM[: plan.batch], vocabulary, seed=1)
    return warm, encoded(np.array(rows), vocabulary, first=len(warm))


def measure_ours(name: str, plan: Plan, precision: str, lengths: tuple[tuple[int, int, int], ...]) -> Sample:
    warm, rows = rows_of(name, plan, lengths)
    sample = ours.dpo(policy(name), warm, rows, batch=plan.batch, precision=precision)
    counted = lengths_of(rows)
    sample.more |= {
        "pairs": len(rows),
        "tokens": int(counted.sum()),
        "useful_gflop": round(useful_flops(name, counted) / 1e9, 2),
    }
    return sample


def _trl(name: str, plan: Plan, kind: str, precision: str) -> Sample:
    warm, rows = rows_of(name, plan, batch_of(plan))
    sample = peers.trl_dpo(policy(name), warm, rows, batch=plan.batch, bf16=precision == "bf16", best=kind == "best")
    sample.more |= {"pairs": len(rows), "padded_tokens": round(padded_mean(lengths_of(rows), plan.batch) * len(rows))}
    return sample


def _trl_grouped(name: str, plan: Plan, precision: str) -> Sample:
    warm, rows = rows_of(name, plan, grouped(typical(GROUPED_BATCHES * plan.batch, batch=plan.batch)))
    sample = peers.trl_dpo(policy(name), warm, rows, batch=plan.batch, bf16=precision == "bf16", best=True)
    tried = peers.groups_by_length(policy("opt-tiny"), rows_of("opt-tiny", plan, WARM)[0])
    sample.more |= {"pairs": len(rows), "group_by_length": tried}
    return sample


def better(results: Results, side: str) -> str:
    """The precision whose first sample took fewer processor seconds, which a busy machine disturbs less."""
    known = [p for p in PRECISIONS if results.cells.get(f"{side} {p}")]
    return min(known, key=lambda p: results.cells[f"{side} {p}"][0]["cpu"]) if known else fast_precisions()[0]


def summarise(name: str, plan: Plan, results: Results) -> dict[str, Any]:
    """Seconds per pair, ratios with their goals, utilisation of the measured peak."""
    own = better(results, "ours")
    ratios: dict[str, float | None] = {"ours at": own}  # type: ignore[dict-item]
    for kind in ("trl default", "trl best"):
        theirs = better(results, kind)
        ratios[kind] = results.ratio(f"{kind} {theirs}", f"ours {own}")
        ratios[f"{kind} (cpu seconds)"] = results.ratio(f"{kind} {theirs}", f"ours {own}", "cpu")
        ratios[f"{kind} tuned"] = results.ratio(f"{kind} {theirs} tuned", f"ours {own} tuned")
        for precision in PRECISIONS:
            ratios[f"{kind} both {precision}"] = results.ratio(f"{kind} {precision}", f"ours {precision}")
    theirs = better(results, "trl best")
    ratios["trl best grouped"] = results.ratio(f"trl best grouped {theirs}", f"ours {own} three batches")
    return {
        "tokens_per_batch": TOKENS_PER_BATCH,
        "seconds_per_pair": {cell: per_pair(results, cell) for cell in results.cells if cell != "matmul peak"},
        "ratios": ratios,
        "utilisation": {precision: _utilisation(results, precision) for precision in PRECISIONS},
        "goals": [goal_row(name_, goal, ratios.get(name_)) for name_, goal in plan.goals]
        + (
            [
                goal_row(f"utilisation {p}", goal, _utilisation(results, p))
                for p, goal in UTILISATION_GOALS.items()
                if results.cells.get(f"ours {p}")
            ]
            if name == "opt-125m"
            else []
        ),
    }


def goal_row(name: str, goal: float, measured: float | None) -> dict[str, Any]:
    return {"goal": name, "at least": goal, "measured": measured, "met": measured is not None and measured >= goal}


def per_pair(results: Results, cell: str) -> float | None:
    seconds, pairs = results.median(cell), results.median(cell, "pairs")
    return round(seconds / pairs, 4) if seconds and pairs else None


def _utilisation(results: Results, precision: str) -> float | None:
    """Useful FLOP/s over the matmul peak of the same round, threads and dtype; median over the rounds."""
    both = zip(results.cells.get(f"ours {precision}", []), results.cells.get("matmul peak", []), strict=False)
    shares = [own["useful_gflop"] / own["wall"] / peak["gflops"][precision] for own, peak in both]
    return round(statistics.median(shares), 3) if shares else None


def report(results: Results) -> None:
    """The summary as text."""
    summary = results.summary
    print(table([{"variant": k, "s/pair": v} for k, v in summary["seconds_per_pair"].items()]))
    print(table([{"ratio": k, "x": v} for k, v in summary["ratios"].items() if v is not None]))
    print(f"utilisation of the matmul peak: {summary['utilisation']}")
    print(table(summary["goals"]), flush=True)


if __name__ == "__main__":
    main()
