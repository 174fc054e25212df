"""How often the interval of a corrected GRA holds the truth, where the judge's errors are independent and where not.

    python -m benchmarks judge_error [--worlds 4000]

Each world draws prompts with a truly better answer, a judge that is right with probability q on pairs with human
labels, and its verdicts on the two models' answers. `favour` moves its errors: the judge prefers the aligned model's
answer more often by so much, whether it is truly worse or better, as a judge does that a model was tuned to please. The
pairs with human labels are from elsewhere and do not show it.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cwpo.statistics.judge_error import corrected


@dataclass(frozen=True, kw_only=True)
class World:
    """true: share of prompts on which the aligned model is truly better. pairs: with human labels."""

    true: float
    q: float
    prompts: int
    pairs: int
    favour: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shares of worlds: whose interval holds the truth, that are called impossible, that say nothing; mean error of the
    estimate, and how often the interval of the GRA itself would hold the truth."""

    covered: float
    impossible: float
    silent: float
    bias: float
    width: float
    uncorrected: float


def coverage(world: World, *, worlds: int, seed: int) -> Coverage:
    """Over so many worlds; the same seed draws the same ones."""
    draws = np.random.default_rng(seed)
    right = draws.binomial(world.pairs, world.q, worlds) / world.pairs
    better = draws.binomial(world.prompts, world.true, worlds)
    won = np.clip(world.q + world.favour, 0, 1), np.clip(1 - world.q + world.favour, 0, 1)
    seen = (draws.binomial(better, won[0]) + draws.binomial(world.prompts - better, won[1])) / world.prompts
    errors = [np.sqrt(np.maximum(share * (1 - share), 1e-12) / n) for share, n in
              ((seen, world.prompts), (right, world.pairs))]  # fmt: skip
    found = [corrected(*map(float, row)) for row in zip(seen, errors[0], right, errors[1], strict=True)]
    holds = [one.low <= world.true <= one.high and not one.impossible for one in found]
    return Coverage(
        covered=float(np.mean(holds)),
        impossible=float(np.mean([one.impossible for one in found])),
        silent=float(np.mean([one.silent for one in found])),
        bias=float(np.mean([one.estimate for one in found])) - world.true,
        width=float(np.mean([one.high - one.low for one in found])),
        uncorrected=float(np.mean(np.abs(seen - world.true) <= 1.96 * errors[0])),
    )


FILE = Path(__file__).parent / "results" / "judge_error.json"
WORLDS = [
    World(true=true, q=q, prompts=prompts, pairs=1000, favour=favour)
    for favour in (0.0, 0.05, 0.15)
    for prompts in (100, 700)
    for q in (0.55, 0.65, 0.75, 0.9)
    for true in (0.5, 0.65, 0.9)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=4000)
    options = parser.parse_args()
    rows = [{**asdict(world), **asdict(coverage(world, worlds=options.worlds, seed=0))} for world in WORLDS]
    FILE.write_text(json.dumps({"worlds": options.worlds, "cells": rows}, indent=1) + "\n")
    for row in rows:
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
