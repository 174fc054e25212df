"""What the rule of a comparison can do, before and after: coverage, family-wise error, power at the stated effect,
verdicts on a paper's number. By simulation, seeded.

    python -m benchmarks rule [--tables 60] [--small] [--only singles|tables|verdicts] [--processes 1]
        [--out FILE.json]

Without `--tables` every part has as many as the stored file: about two hours of one process. `--only` makes one part
of the file anew; the others stay. `python -m tools.rule_tables --write` brings docs/statistics.md up to date.

The world: a win has the chance that a probit of the method's mean, the prompt's difficulty (shared by all methods and
seeds) and the method's own luck with the prompt give; a seed shifts that mean by a normal draw of `seed_sd`, in points
of one method, so that a difference of two has √2 as much. Where a table has one difference its two methods move apart
by equal steps of log-odds; of several, one method moves. *Before*: crossed seeds × prompts intervals (Satterthwaite),
the larger one of the t and the Behrens–Fisher test, Holm; a bootstrap for one run with ties. *After*: the product.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray
from scipy import special, stats

from cwpo.files import write_whole
from cwpo.paper.verdict import Measured, verdict
from cwpo.statistics import intervals
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import Found, Gap, together

FloatArray = NDArray[np.float64]
SHARED, OWN = 0.4, 0.1  # parts of the probit's variance: difficulty of a prompt, a method's luck with it
CELLS = "seeds", "prompts", "seed_sd", "differences"
SPREADS = (0.0, 0.01, 0.03, 0.06)  # SD of a difference between seeds
SINGLE_SPREADS = (0.0, 0.015, 0.03, 0.06)
MEANS = (0.5, 0.7, 0.9, 0.97, 0.995)
GAIN = 0.08  # the fixed effect whose power is compared before and after
SEEDS = 1, 2, 3, 4, 5, 8
PAPER_PROMPTS = 700
VERDICT_MEANS = 0.65, 0.9
DOUBTED, MORE = 0.94, 10  # cells of a single interval that cover less are drawn with so many times as many tables
OF_ONE_SEED = 20_000  # tables of a cell of single intervals with one seed
DOUBTED_ERROR, MORE_TABLES = 0.065, 5  # the same of tables, where more than that many find what is not there
POWER = 2  # times as many tables for a power as for the error of a table


@dataclass(frozen=True, kw_only=True)
class World:
    """One cell of the grid of tables. `uneven`: spreads of settings are ½ to 2 times the stated one, in turn; `base`:
    mean of methods that are equal; `samples`: answers per prompt; `per_cluster`: related prompts that are as hard;
    `own`: a method's luck with a prompt."""

    seeds: int
    prompts: int
    seed_sd: float  # of a difference
    differences: int
    uneven: bool = False
    base: float = 0.6
    samples: int = 1
    per_cluster: int = 1
    own: float = OWN

    @property
    def unusual(self) -> dict[str, float]:
        """What sets a cell apart; none of the usual ones."""
        asked = {"base": self.base, "samples": self.samples, "per_cluster": self.per_cluster}
        own = {} if self.own == OWN else {"own": self.own}
        return {} if not own and asked == {"base": 0.6, "samples": 1, "per_cluster": 1} else asked | own

    @property
    def clusters(self) -> dict[int, int] | None:
        named = {place: place // self.per_cluster for place in range(self.prompts)}
        return named if self.per_cluster > 1 else None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Two differences are cw − weak and cw − human; more are all against one reference."""
        star = [(method, 0) for method in range(1, self.differences + 1)]
        return star if self.differences > 2 else [(0, 1), (0, 2)][: self.differences]

    def means(self, gain: float) -> FloatArray:
        """Of the methods: the first difference is `gain`, the others 0."""
        first, second = self.pairs[0]
        means = np.full(1 + max(max(pair) for pair in self.pairs), self.base)
        if self.differences == 1:
            means[:] = apart(self.base, gain)
        else:
            means[first or second] += gain if first else -gain
        return means

    def outcomes(self, rng: np.random.Generator, gain: float = 0.0) -> FloatArray:
        """Methods × seeds × prompts of outcomes."""
        means = self.means(gain)
        spread = np.full(len(means), self.seed_sd / 2**0.5)
        if self.uneven:
            spread *= np.where(np.arange(len(means)) % 2, 2.0, 0.5)
        shifts = rng.standard_normal((len(means), self.seeds)) * spread[:, None]
        chances = np.clip(means[:, None] + shifts, 0.001, 0.999)
        return wins(rng, chances, self.prompts, samples=self.samples, per_cluster=self.per_cluster, own=self.own)


def apart(base: float, gain: float) -> tuple[float, float]:
    """Two means that differ by `gain`, as far from `base` in log-odds: (e − 1/e)/2 = gain · ((e + 1/e)/2 + cosh)."""
    odds = base / (1 - base)
    middle = (odds + 1 / odds) / 2
    step = (gain * middle + (gain**2 * middle**2 + 1 - gain**2) ** 0.5) / (1 - gain)
    return odds * step / (1 + odds * step), odds / step / (1 + odds / step)


def wins(
    rng: np.random.Generator,
    means: FloatArray,
    prompts: int,
    *,
    samples: int = 1,
    per_cluster: int = 1,
    own: float = OWN,
) -> FloatArray:
    """Methods × seeds × prompts of mean wins whose chances over prompts are `means` (methods × seeds)."""
    groups = -(-prompts // per_cluster)
    easy = rng.standard_normal(groups) * SHARED**0.5 + rng.standard_normal((len(means), 1, groups)) * own**0.5
    easy = easy.repeat(per_cluster, axis=-1)[..., :prompts]
    least, found = -special.ndtri(means)[..., None], np.zeros((*means.shape, prompts))
    for _ in range(samples):
        noise = rng.standard_normal((*means.shape, prompts)) * (1 - SHARED - own) ** 0.5
        found += easy + noise > least
    return found / samples


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One difference under a rule."""

    real: bool
    covered: bool
    stated: float | None
    half: float


def after(world: World, table: FloatArray, truth: FloatArray, detect: bool) -> list[Judged]:
    related: Any = world.clusters
    cells = [pd.DataFrame(table[a] - table[b]) for a, b in world.pairs]
    pairs = zip(world.pairs, cells, strict=True)
    gaps = [Gap(first=str(a), second=str(b), cells=gap, clusters=related) for (a, b), gap in pairs]
    found = together(gaps, detect=detect)
    return [_judged(one, value) for one, value in zip(found, truth, strict=True)]


def _judged(one: Found, value: float) -> Judged:
    real = not one.low <= 0 <= one.high
    return Judged(real=real, covered=one.low <= value <= one.high, stated=one.detectable, half=(one.high - one.low) / 2)


def before(world: World, table: FloatArray, truth: FloatArray, detect: bool) -> list[Judged]:
    related = None if world.clusters is None else list(world.clusters.values())
    found = [intervals.paired_difference(table[a], table[b], related) for a, b in world.pairs]
    adjusted = intervals.holm([one.p for one in found])
    return [
        Judged(
            real=intervals.is_real(one.low, one.high, p),
            covered=one.low <= value <= one.high,
            stated=intervals.detectable_effect(one.se, one.df) if detect else None,
            half=(one.high - one.low) / 2,
        )
        for one, p, value in zip(found, adjusted, truth, strict=True)
    ]


RULES = {"before": before, "after": after}


def tables_of(world: World, count: int, gain: float, rule: str, seed: int) -> list[list[Judged]]:
    """The same tables for both rules; an effect is stated of those without a difference."""
    rng = np.random.default_rng([seed, world.seeds, world.prompts, int(1e4 * world.seed_sd), world.differences])
    truth = np.zeros(world.differences)
    truth[0] = gain
    return [RULES[rule](world, world.outcomes(rng, gain), truth, gain == 0) for _ in range(count)]


def table_row(
    world: World, count: int, *, rules: tuple[str, ...] = ("before", "after"), again: bool = False
) -> dict[str, Any]:
    """Family-wise error, power at a fixed effect, and at the mean of what tables of equal methods state, which is what
    a statement promises; None where fewer than half of them state any. `again`: of other draws."""
    row: dict[str, Any] = {name: getattr(world, name) for name in CELLS} | {"uneven": world.uneven} | world.unusual
    for rule in rules:
        null = tables_of(world, count, 0.0, rule, 11 if again else 1)
        stated = [table[0].stated for table in null if table[0].stated is not None]
        effect = float(np.mean(stated)) if 2 * len(stated) > count else None
        row[f"{rule}_family_wise"] = float(np.mean([any(one.real for one in table) for table in null]))
        row[f"{rule}_half_width"] = float(np.mean([table[0].half for table in null]))
        row[f"{rule}_stated"] = effect
        for name, gain in (("stated", effect), ("fixed", GAIN)):
            if gain is None or gain > 0.35 or (name == "fixed" and world.unusual):
                row[f"{rule}_power_{name}"] = None
                continue
            found = tables_of(world, POWER * count, gain, rule, 12 if again else 2)
            row[f"{rule}_power_{name}"] = float(np.mean([table[0].real for table in found]))
    return row


def checked_table_row(world: World, count: int) -> dict[str, Any]:
    """The row of a cell; where the rule of now seems to fail it is drawn again, with more tables, and these count."""
    row = table_row(world, count)
    power = row["after_power_stated"]
    if row["after_family_wise"] <= DOUBTED_ERROR and (power is None or 0.75 <= power <= 0.85):
        return row
    return row | table_row(world, MORE_TABLES * count, rules=("after",), again=True) | {"tables": MORE_TABLES * count}


def worlds(*, small: bool = False) -> Iterator[World]:
    """The grid of tables; one seed has no spread that it could tell. The small one has 400 prompts alone."""
    if small:
        for seeds, sd, differences in product((1, 2, 3, 5, 8), (0.0, 0.03, 0.06), (2, 6)):
            if seeds > 1 or sd == 0:
                yield World(seeds=seeds, prompts=400, seed_sd=sd, differences=differences)
        yield from edges()
        return
    for seeds, sd, differences in product((1, 2, 3, 5, 8), SPREADS, (1, 2, 6, 18)):
        if (seeds > 1 or sd == 0) and (differences < 18 or sd in (0.0, 0.03)):
            yield World(seeds=seeds, prompts=400, seed_sd=sd, differences=differences)
    for prompts, seeds, differences in product((100, 700), (1, 2, 3, 8), (2, 6)):
        yield World(seeds=seeds, prompts=prompts, seed_sd=0.0 if seeds == 1 else 0.03, differences=differences)
    for seeds, differences in product((2, 3, 5), (2, 6)):
        yield World(seeds=seeds, prompts=400, seed_sd=0.03, differences=differences, uneven=True)
    yield from edges()


def edges() -> Iterator[World]:
    """One difference from 50 to 99.5 %, of few prompts and of many, of several answers and of related prompts."""
    for base, prompts in product(MEANS, (100, 700)):
        yield World(seeds=1, prompts=prompts, seed_sd=0.0, differences=1, base=base)
    for base, samples, related in ((0.5, 1, 1), (0.9, 1, 1), (0.97, 1, 1), (0.7, 4, 1), (0.7, 1, 4)):
        one = World(seeds=3, prompts=100 * related, seed_sd=0.03, differences=1, base=base)
        yield replace(one, samples=samples, per_cluster=related)
    for seeds, differences in ((8, 1), (16, 1), (16, 6)):  # as in docs/study.md: little that lasts, seeds that agree
        alike = World(seeds=seeds, prompts=200, seed_sd=0.01, differences=differences, base=0.7, samples=2)
        yield replace(alike, own=0.01)


# --- one GRA ---


@dataclass(frozen=True, kw_only=True)
class Single:
    """One cell of the grid of single intervals; `seed_sd` is that of the GRA."""

    mean: float
    seeds: int
    prompts: int
    seed_sd: float
    samples: int = 1
    per_cluster: int = 1

    def chances(self, rng: np.random.Generator, seeds: int, prompts: int) -> FloatArray:
        groups = rng.standard_normal(-(-prompts // self.per_cluster)).repeat(self.per_cluster)[:prompts]
        shifts = np.clip(self.mean + rng.standard_normal((seeds, 1)) * self.seed_sd, 0.0005, 0.9995)
        inside = (special.ndtri(shifts) + SHARED**0.5 * groups) / (1 - SHARED) ** 0.5
        return np.asarray(special.ndtr(inside))

    def truth(self) -> float:
        """Mean of the clipped shifts."""
        nodes = special.ndtri((np.arange(20_000) + 0.5) / 20_000)
        return float(np.clip(self.mean + nodes * self.seed_sd, 0.0005, 0.9995).mean())

    def table(self, rng: np.random.Generator) -> FloatArray:
        chances = self.chances(rng, self.seeds, self.prompts)
        return np.asarray(rng.binomial(self.samples, chances) / self.samples, dtype=np.float64)

    @property
    def clusters(self) -> list[int] | None:
        return None if self.per_cluster == 1 else [place // self.per_cluster for place in range(self.prompts)]


def bootstrap(values: FloatArray, clusters: list[int] | None) -> tuple[float, float]:
    """Before: the expanded percentile interval (Hesterberg 2015) over prompts or clusters."""
    codes = np.arange(values.size) if clusters is None else np.asarray(clusters)
    sums, sizes = np.bincount(codes, weights=values), np.bincount(codes).astype(np.float64)
    count = sums.size
    if np.ptp(values) == 0:
        unseen = 1 - 0.025 ** (1 / count)
        return float(values[0] * (1 - unseen)), float(values[0] + unseen * (1 - values[0]))
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=1000)
    means = (drawn @ sums) / (drawn @ sizes)
    tail = stats.norm.sf(np.sqrt(count / (count - 1)) * stats.t.isf(0.025, count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def single_row(
    cell: Single, count: int, *, rules: tuple[str, ...] = ("before", "after"), again: bool = False
) -> dict[str, Any]:
    """Coverage of the true mean before and after; one seed is held against its own mean. `again`: of other draws."""
    drawn = [cell.seeds, cell.prompts, int(1e3 * cell.mean), int(1e3 * cell.seed_sd), cell.samples]
    rng = np.random.default_rng([*drawn, 1] if again else drawn)
    truth, hits, width = cell.truth(), dict.fromkeys(rules, 0), dict.fromkeys(rules, 0.0)
    for _ in range(count):
        table = cell.table(rng)
        for rule in rules:
            low, high = _span(table, cell, rule)
            hits[rule] += low <= truth <= high
            width[rule] += high - low
    row = {name: getattr(cell, name) for name in ("mean", "seeds", "prompts", "seed_sd", "samples", "per_cluster")}
    for rule in hits:
        row |= {f"{rule}_coverage": hits[rule] / count, f"{rule}_half_width": width[rule] / count / 2}
    return row


def checked_row(cell: Single, count: int) -> dict[str, Any]:
    """The row of a cell; one that seems to cover too little is drawn again, with more tables, and only these count.
    One seed is known more closely: coverage jumps from one number of wins to the next, and tables cost little, but for
    the bootstrap of before."""
    row = single_row(cell, count)
    if cell.seeds == 1:
        rules = ("before", "after") if cell.samples == cell.per_cluster == 1 else ("after",)
        return row | single_row(cell, OF_ONE_SEED, rules=rules, again=True) | {"tables": OF_ONE_SEED}
    if row["after_coverage"] >= DOUBTED:
        return row
    return single_row(cell, MORE * count, again=True) | {"tables": MORE * count}


def _span(table: FloatArray, cell: Single, rule: str) -> tuple[float, float]:
    if rule == "before" and cell.seeds > 1:
        then = intervals.crossed(table, cell.clusters)
        return then.low, then.high
    if rule == "before" and (cell.samples > 1 or cell.per_cluster > 1):
        return bootstrap(table[0], cell.clusters)
    now = share(table, cell.clusters, detect=False)
    return now.low, now.high


def singles(*, small: bool = False) -> Iterator[Single]:
    """The grid of single intervals; the small one has 100 prompts, alone."""
    for mean, seeds, sd in product(MEANS, SEEDS, SINGLE_SPREADS):
        for prompts, samples, per_cluster in ((100, 1, 1), (400, 1, 1), (700, 1, 1), (100, 4, 1), (400, 1, 4)):
            wanted = not small or (prompts == 100 and (samples == 1 or seeds == 1))
            if wanted and (seeds > 1 or sd == 0) and sd <= 2 * (1 - mean) + 1e-9:
                yield Single(
                    mean=mean, seeds=seeds, prompts=prompts, seed_sd=sd, samples=samples, per_cluster=per_cluster
                )


# --- verdicts on a paper's number ---


def verdict_row(seeds: int, seed_sd: float, count: int, mean: float = VERDICT_MEANS[0]) -> dict[str, Any]:
    """How often a published number that is right is called not consistent: its run has a seed of its own."""
    rng = np.random.default_rng([seeds, int(1e4 * seed_sd), int(1e3 * mean)])
    wrong = {"before": 0, "after": 0}
    for _ in range(count):
        ours = wins(rng, mean + rng.standard_normal((1, seeds)) * seed_sd, 400)[0]
        theirs = float(rng.binomial(PAPER_PROMPTS, np.clip(mean + rng.normal() * seed_sd, 0, 1)) / PAPER_PROMPTS)
        error = float(np.sqrt(theirs * (1 - theirs) / PAPER_PROMPTS))
        then, now = intervals.crossed(ours), share(ours, detect=False)
        wrong["before"] += seeds > 1 and abs(then.estimate - theirs) > np.hypot(
            (then.high - then.low) / 2, 1.96 * error
        )
        measured = Measured(estimate=now.estimate, low=now.low, high=now.high, n_prompts=400, n_seeds=seeds,
                            another=now.another)  # fmt: skip
        wrong["after"] += verdict(measured, theirs, error).name == "not consistent"
    found = {f"{rule}_false": hits / count for rule, hits in wrong.items()}
    return {"seeds": seeds, "seed_sd": seed_sd, "mean": mean} | found


# --- the parts, each with its own counts ---

# What `--tables` is where it is not given; a cell of singles or of verdicts has five times as many.
PARTS = {"singles": 60, "tables": 120, "verdicts": 200}
FILE = Path(__file__).parent / "results" / "rule.json"


def part(name: str, tables: int, *, small: bool, processes: int = 1) -> dict[str, Any]:
    """One of PARTS: its rows, and of how many simulated tables a cell each figure is. Each cell draws for itself, so
    that the number of processes changes nothing."""
    start = time.perf_counter()
    counts = {"tables": {"tables": tables, "power": POWER * tables}}.get(name, {name: 5 * tables})
    row: Callable[..., dict[str, Any]] = {"singles": checked_row, "tables": checked_table_row, "verdicts": verdict_row}[
        name
    ]
    if name == "singles":
        asked: list[tuple[Any, ...]] = [(cell, counts[name]) for cell in singles(small=small)]
    elif name == "tables":
        asked = [(world, tables) for world in worlds(small=small)]
    else:
        spreads = product(VERDICT_MEANS, SEEDS, (0.0, 0.015, 0.03, 0.04))
        asked = [(seeds, sd, counts[name], mean) for mean, seeds, sd in spreads]
    if processes == 1:
        rows = [row(*values) for values in asked]
    else:
        with ProcessPoolExecutor(processes) as pool:
            rows = list(pool.map(row, *zip(*asked, strict=True)))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
        "small": small and name != "verdicts",
        "tables_per_cell": counts,
        "seconds": round(time.perf_counter() - start, 1),
        "rows": rows,
    }


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """The parts of a file; none where there is none yet."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["parts"]) if path.exists() else {}


def keep(path: Path, name: str, made: dict[str, Any]) -> None:
    """Put one part into the file, beside the others that are there."""
    parts = {**stored(path), name: made}
    record = {
        "what": "coverage, family-wise error, power at the stated effect and false verdicts, before and after",
        "parts": {one: parts[one] for one in PARTS if one in parts},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def show(name: str, rows: list[dict[str, Any]]) -> None:
    """A table for people, shares in percent."""
    print(f"\n{name}\n" + "  ".join(rows[0]))
    for row in rows:
        print("  ".join(_text(key, value) for key, value in row.items()))


def _text(key: str, value: Any) -> str:
    if value is None:
        return "–"
    figure = key.startswith(("before", "after", "seed_sd", "mean"))
    return f"{100 * value:.1f}" if figure else str(value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    parser.add_argument("--tables", type=int, help=f"simulated tables per cell (usual: {PARTS})")
    parser.add_argument("--small", action="store_true", help="fewer cells: minutes instead of hours")
    parser.add_argument("--only", choices=("", *PARTS), default="", help="the other parts of the file stay")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    for name in (options.only,) if options.only else PARTS:
        made = part(name, options.tables or PARTS[name], small=options.small, processes=options.processes)
        keep(options.out, name, made)
        show(name, made["rows"])


if __name__ == "__main__":
    main()
