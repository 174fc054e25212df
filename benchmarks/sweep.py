"""How much does a sweep save by sharing stages? 4 methods × 3 objectives × 3 seeds on a small sandbox.

    python -m benchmarks sweep [--anew] [--smallest]

The sweep is executed once over one artifact store. A run done alone would execute each of its stages itself, so its
cost is the sum of the seconds that those stages took; the sweep's cost is the sum over the stages it executed.
"""

import argparse
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Results, Sample, table
from cwpo.config import RunConfig, expand, merged

HOME = Path("var/benchmarks/sweep")
GOAL = 3.0
SWEEP: dict[str, Any] = {
    "method": ["human", "weak", "cw", "top:30"],
    "objective": ["dpo", "ipo", "rdpo"],
    "seed": [0, 1, 2],
    "data": {"dataset": "sandbox", "sandbox": {"pairs": 1000}, "test_prompts": 100},
    "evaluation": {"samples": 1},
    "salt": "benchmark",
}
SMALLEST: dict[str, Any] = {
    "method": ["weak", "cw"], "objective": ["dpo"], "seed": [0],
    "data": {"sandbox": {"pairs": 200}, "test_prompts": 20},
    "annotator": {"epochs": 1}, "align": {"epochs": 1},
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A sweep against its runs done alone.")
    parser.add_argument("--anew", action="store_true", help="forget what is stored, artifacts too")
    parser.add_argument("--smallest", action="store_true", help="two small runs: tries the code, keeps no file")
    options = parser.parse_args(arguments)
    from cwpo.stages.pipeline import run

    torch.set_num_threads(1)
    home = HOME.with_name("sweep-smallest") if options.smallest else HOME
    if options.anew or options.smallest:
        shutil.rmtree(home, ignore_errors=True)
    results = Results("sweep-smallest" if options.smallest else "sweep", anew=options.anew)
    for config in expand(merged(SWEEP, SMALLEST) if options.smallest else SWEEP):
        results.take(_name(config), 0, lambda config=config: _sample(run(config, home=home)))  # type: ignore[misc]
    results.summary = summarise(results)
    results.save()
    print(table([results.summary["compute"]]))
    print(table(results.summary["stages"]), flush=True)
    if options.smallest:
        results.path.unlink()


def _name(config: RunConfig) -> str:
    return f"{config.method_label}, {config.objective}, seed {config.seed}"


def _sample(result: Any) -> Sample:
    stages = [
        {
            "slot": slot,
            "kind": result.specs[slot].kind,
            "fingerprint": stage.fingerprint[:12],
            "seconds": round(stage.seconds, 3),
            "computed": stage.computed,
        }
        for slot, stage in result.stages.items()
    ]
    return Sample(wall=sum(stage["seconds"] for stage in stages if stage["computed"]), more={"stages": stages})


def summarise(results: Results) -> dict[str, Any]:
    """Seconds of the runs alone and of the sweep, by stage kind, with how often each executed stage was used."""
    used = [stage for samples in results.cells.values() for stage in samples[0]["stages"]]
    seconds = {stage["fingerprint"]: stage["seconds"] for stage in used}
    kinds = {stage["fingerprint"]: stage["kind"] for stage in used}
    alone, once = sum(stage["seconds"] for stage in used), sum(seconds.values())
    without = [stage for stage in used if stage["kind"] != "base"]
    rest = {stage["fingerprint"]: stage["seconds"] for stage in without}
    uses = Counter(stage["fingerprint"] for stage in used)
    rows = [
        {
            "kind": kind,
            "executed": len(mine := [f for f in seconds if kinds[f] == kind]),
            "used": sum(uses[f] for f in mine),
            "seconds": round(sum(seconds[f] for f in mine), 1),
            "seconds alone": round(sum(seconds[f] * uses[f] for f in mine), 1),
        }
        for kind in dict.fromkeys(kinds.values())
    ]
    compute = {
        "runs": len(results.cells),
        "seconds alone": round(alone, 1),
        "seconds": round(once, 1),
        "ratio": round(alone / once, 2),
        "without pretraining": round(sum(s["seconds"] for s in without) / sum(rest.values()), 2),
        "at least": GOAL,
        "met": alone / once >= GOAL,
    }
    return {"compute": compute, "stages": rows}


if __name__ == "__main__":
    main()
