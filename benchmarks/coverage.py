"""Does a nominal 95 % interval cover 95 %, and do corrected comparisons cry wolf? By simulation, seeded.

    python -m benchmarks.coverage [--tables 2000] [--out benchmarks/results/coverage.json]

The world: a prompt cluster c, a prompt i in it and a seed s give the chance p = .55 + a_s + b_c + d_i of a win, with
a ~ N(0, seed SD) and b, d uniform; a tenth of the prompts ties. One seed is judged against its own mean (prompt
uncertainty only), several seeds against the mean over all seeds and prompts. The null table compares one method with
six others that are equally good, each with seed effects of its own, and is corrected by Holm.
"""

import argparse
import json
import platform
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from cwpo.statistics.intervals import crossed, holm, paired_difference, single_run_interval

MEAN, TIES, COMPARISONS = 0.55, 0.1, 6
PROMPTS, CLUSTERS, SEED_SDS, SEEDS = (200, 500, 1000), (1, 4), (0.005, 0.015, 0.03), (2, 3, 5, 8)


def prompt_effects(rng: np.random.Generator, prompts: int, per_cluster: int) -> np.ndarray:
    """(prompts,) deviations of the chance to win; prompts of a cluster share two thirds of theirs."""
    if per_cluster == 1:
        return rng.uniform(-0.25, 0.25, prompts)
    return np.repeat(rng.uniform(-0.2, 0.2, prompts // per_cluster), per_cluster) + rng.uniform(-0.1, 0.1, prompts)


def outcomes(rng: np.random.Generator, chances: np.ndarray, ties: float) -> np.ndarray:
    """Wins, ties and losses (1, .5, 0) whose mean is the chance, clipped so that ties fit."""
    clipped = np.clip(chances, ties / 2, 1 - ties / 2)
    draw = rng.random(chances.shape)
    return np.where(draw < clipped - ties / 2, 1.0, np.where(draw < clipped + ties / 2, 0.5, 0.0))


def groups(prompts: int, per_cluster: int) -> list[int] | None:
    """The cluster of each prompt; None where every prompt stands alone."""
    return None if per_cluster == 1 else [i // per_cluster for i in range(prompts)]


def single_run_coverage(*, prompts: int, per_cluster: int, ties: float, tables: int, seed: int = 0) -> float:
    """Share of tables of one run whose interval holds the run's own mean."""
    rng = np.random.default_rng([seed, prompts, per_cluster, int(100 * ties)])
    hits = 0
    for _ in range(tables):
        run_mean = MEAN + rng.normal(0, 0.03)
        values = outcomes(rng, run_mean + prompt_effects(rng, prompts, per_cluster), ties)
        interval = single_run_interval(values, groups(prompts, per_cluster))
        hits += interval.low <= run_mean <= interval.high
    return hits / tables


def crossed_coverage(
    *, prompts: int, per_cluster: int, seeds: int, seed_sd: float, tables: int, seed: int = 0
) -> dict[str, float]:
    """Share of seeds × prompts tables whose interval holds the mean over all seeds and prompts, and its mean width."""
    rng = np.random.default_rng([seed, prompts, per_cluster, seeds, int(1000 * seed_sd)])
    hits, width = 0, 0.0
    for _ in range(tables):
        chances = MEAN + rng.normal(0, seed_sd, (seeds, 1)) + prompt_effects(rng, prompts, per_cluster)
        found = crossed(outcomes(rng, chances, TIES), groups(prompts, per_cluster))
        hits += found.low <= MEAN <= found.high
        width += found.high - found.low
    return {"coverage": hits / tables, "half_width_points": 50 * width / tables}


def null_table(
    rng: np.random.Generator, *, prompts: int, per_cluster: int, seeds: int, seed_sd: float
) -> tuple[list[float], int]:
    """Holm-adjusted p-values of equally good methods against one of them, and how many intervals hold 0."""
    shared = prompt_effects(rng, prompts, per_cluster)
    tables = [
        outcomes(rng, MEAN + rng.normal(0, seed_sd, (seeds, 1)) + shared + 0.5 * rng.permutation(shared), TIES)
        for _ in range(COMPARISONS + 1)
    ]
    found = [paired_difference(tables[0], other, groups(prompts, per_cluster)) for other in tables[1:]]
    return holm([one.p for one in found]), sum(one.covers_zero for one in found)


def false_positives(
    *, prompts: int, per_cluster: int, seeds: int, seed_sd: float, tables: int, seed: int = 0
) -> dict[str, float]:
    """Share of null tables with any corrected p below .05, and the coverage of the uncorrected intervals."""
    rng = np.random.default_rng([seed, prompts, per_cluster, seeds, int(1000 * seed_sd), 7])
    wolf = covered = 0
    for _ in range(tables):
        adjusted, held = null_table(rng, prompts=prompts, per_cluster=per_cluster, seeds=seeds, seed_sd=seed_sd)
        wolf += min(adjusted) < 0.05
        covered += held
    return {"false_positives": wolf / tables, "coverage": covered / (COMPARISONS * tables)}


def study(tables: int) -> dict[str, list[dict[str, Any]]]:
    """Every setting of the grid; each row names its setting and figures."""
    single = [
        {"prompts": n, "per_cluster": c, "ties": t}
        | {"coverage": single_run_coverage(prompts=n, per_cluster=c, ties=t, tables=tables)}
        for n, c, t in product(PROMPTS, CLUSTERS, (0.0, TIES))
    ]
    several = [
        {"prompts": n, "per_cluster": c, "seeds": k, "seed_sd": sd}
        | crossed_coverage(prompts=n, per_cluster=c, seeds=k, seed_sd=sd, tables=tables)
        for k, n, c, sd in product(SEEDS, PROMPTS, CLUSTERS, SEED_SDS)
    ]
    null = [
        {"prompts": n, "per_cluster": c, "seeds": k, "seed_sd": sd}
        | false_positives(prompts=n, per_cluster=c, seeds=k, seed_sd=sd, tables=tables)
        for (k, sd), n, c in product(((1, 0.0), (3, 0.03), (5, 0.015), (5, 0.03)), PROMPTS, CLUSTERS)
    ]
    return {"one_seed": single, "several_seeds": several, "null_tables": null}


def ranges(result: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The lowest and highest figure of each kind, as they are quoted."""

    def span(rows: list[dict[str, Any]], name: str) -> str:
        values = [row[name] for row in rows]
        return f"{100 * min(values):.1f} to {100 * max(values):.1f} %"

    several = result["several_seeds"]
    by_seeds = {f"coverage, {k} seeds": span([r for r in several if r["seeds"] == k], "coverage") for k in SEEDS}
    return (
        {"coverage, 1 seed": span(result["one_seed"], "coverage")}
        | by_seeds
        | {"false positives after correction": span(result["null_tables"], "false_positives")}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    parser.add_argument("--tables", type=int, default=2000, help="simulated tables per setting")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "coverage.json")
    options = parser.parse_args()
    start = time.perf_counter()
    result = study(options.tables)
    summary = ranges(result)
    record = {
        "what": "coverage of nominal 95 % intervals and false positives after Holm correction",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
        "tables_per_setting": options.tables,
        "seconds": round(time.perf_counter() - start, 1),
        "summary": summary,
        **result,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    for name, text in summary.items():
        print(f"{name}: {text}")


if __name__ == "__main__":
    main()
