"""A step of DPO: this program against a plain loop, padded, all logits, the reference computed beside it.

    python -m benchmarks plain [--shapes opt-125m opt-h512] [--rounds 2] [--anew]

Both sides in fp32 and bf16, one after the other on the same batch of pairs; the goals hold at the better precision of
each side, equal precision is printed beside. Unlike a ratio to another library, this one says what our own tricks gain.
"""

import argparse
from functools import partial
from typing import Any

from benchmarks import ours
from benchmarks.dpo import PLANS, PRECISIONS, batch_of, better, goal_row, measure_ours, per_pair, rows_of
from benchmarks.measure import Results, Sample, fast_precisions, peaks, table
from benchmarks.workload import policy

GOALS = {"opt-125m": 6.0, "opt-h512": 9.0, "opt-tiny": None, "qwen2-tiny": None}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A step of DPO against a plain loop.")
    parser.add_argument("--shapes", nargs="+", choices=list(GOALS), default=["opt-125m", "opt-h512"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    for name in options.shapes:
        results = Results(f"plain-{name}", anew=options.anew)
        print(f"DPO step against a plain loop, {name}", flush=True)
        for number in range(options.rounds):
            results.take("matmul peak", number, lambda: Sample(more={"gflops": peaks()}))
            for precision in fast_precisions():
                own = partial(measure_ours, name, PLANS[name], precision, tuple(batch_of(PLANS[name])))
                results.take(f"ours {precision}", number, own)
                results.take(f"plain {precision}", number, partial(_plain, name, precision))
        results.summary = summarise(name, results)
        results.save()
        print(table([{"variant": k, "s/pair": v} for k, v in results.summary["seconds_per_pair"].items()]))
        print(table([{"ratio": k, "x": v} for k, v in results.summary["ratios"].items()]))
        print(table(results.summary["goals"]), flush=True)


def _plain(name: str, precision: str) -> Sample:
    plan = PLANS[name]
    warm, rows = rows_of(name, plan, batch_of(plan))
    sample = ours.plain_dpo(policy(name), warm, rows, batch=plan.batch, precision=precision)
    sample.more["pairs"] = len(rows)
    return sample


def summarise(name: str, results: Results) -> dict[str, Any]:
    """Seconds per pair and how many times ours the plain loop takes."""
    own, theirs = better(results, "ours"), better(results, "plain")
    ratios = {f"plain {theirs}, ours {own}": results.ratio(f"plain {theirs}", f"ours {own}")}
    ratios |= {f"both {p}": results.ratio(f"plain {p}", f"ours {p}") for p in PRECISIONS}
    wanted = GOALS[name]
    return {
        "seconds_per_pair": {cell: per_pair(results, cell) for cell in results.cells if cell != "matmul peak"},
        "ratios": ratios,
        "goals": [] if wanted is None else [goal_row("plain", wanted, next(iter(ratios.values())))],
    }


if __name__ == "__main__":
    main()
