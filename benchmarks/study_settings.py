"""Settings of the sandbox study and their differences, out of its lines: seeds × prompts, related prompts as one.

Every run answers the same held-out prompts, `world.make_test_prompts(400, 0)`, and a line has its outcomes in the order
of their ids. Prompts of one task are one cluster in every interval, as everywhere in the program.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cwpo.data.relabels import prompt_id_of
from cwpo.data.related.clusters import task_of
from cwpo.sandbox import world
from cwpo.statistics.frontier import Matched, SeedFrontier, at_kl, matched_difference
from cwpo.statistics.intervals import Estimate, crossed
from cwpo.statistics.simultaneous import Gap

PROMPTS, EVALUATION_SEED = 400, 0  # of every run of the study
FEWEST = 2  # seeds of a difference at the KL of one side
Lines = Sequence[Mapping[str, Any]]
Table = NDArray[np.float64]
FIGURES = (
    "kl", "mean_tokens", "ungrammatical", "accuracy_truth", "accuracy_human", "mean_confidence", "pairs", "steps",
    "align_seconds", "kept", "ess",
)  # fmt: skip


@cache
def tasks() -> Mapping[str, str]:
    """Id of each held-out prompt -> the task that it asks for, in the order of the outcomes of a line."""
    texts = {prompt_id_of(prompt): prompt for prompt in world.make_test_prompts(PROMPTS, EVALUATION_SEED)}
    return {name: task_of(texts[name]) for name in sorted(texts)}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting over its seeds: outcomes (seeds, prompts) in [0, 1], and the mean of each figure by seed."""

    key: str  # by which differences know that they share it
    seeds: tuple[int, ...]
    outcomes: Table
    figures: Mapping[str, tuple[float, ...]]

    def mean(self, name: str) -> float | None:
        values = [value for value in self.figures[name] if value is not None]
        return float(np.mean(values)) if values else None

    def on(self, seeds: Iterable[int]) -> Table:
        return self.outcomes[[self.seeds.index(seed) for seed in seeds]]

    def frontier(self, seed: int) -> tuple[float, Table]:
        place = self.seeds.index(seed)
        return self.figures["kl"][place], self.outcomes[place]


def setting(lines: Lines, **wanted: Any) -> Setting | None:
    """The runs whose labels are `wanted`, by seed; None when there is none. ValueError where a line has not one outcome
    for each of the study's prompts."""
    mine = {
        line["seed"]: line for line in lines if all(line["label"].get(name) == value for name, value in wanted.items())
    }
    if not mine:
        return None
    seeds = tuple(sorted(mine))
    short = [seed for seed in seeds if len(mine[seed]["outcomes"]) != PROMPTS]
    if short:
        raise ValueError(f"the line of seed {short[0]} and {wanted} has not one outcome for each of {PROMPTS} prompts.")
    outcomes = np.array([[int(mark) / 4 for mark in mine[seed]["outcomes"]] for seed in seeds])
    figures = {name: tuple(mine[seed].get(name) for seed in seeds) for name in FIGURES}
    return Setting(key=repr(sorted(wanted.items())), seeds=seeds, outcomes=outcomes, figures=figures)


def gap_of(first: str, second: str, cells: Table, seeds: Sequence[int]) -> Gap:
    """`cells`: first − second, seeds × prompts in the order of a line."""
    named = pd.DataFrame(cells, index=list(seeds), columns=list(tasks()))
    return Gap(first=first, second=second, cells=named, clusters=tasks())


def difference(first: Setting | None, second: Setting | None) -> Gap | None:
    """first − second over the seeds that both have; differences with one setting know that they share it."""
    if first is None or second is None:
        return None
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    return gap_of(first.key, second.key, first.on(seeds) - second.on(seeds), seeds) if seeds else None


def curves(lines: Lines, who: Mapping[str, Any], betas: Sequence[float]) -> dict[int, SeedFrontier]:
    """By seed, the curve of a method over its β; a seed that lacks one has none."""
    knots: dict[int, list[tuple[float, Table]]] = {}
    for beta in betas:
        found = setting(lines, **who, beta=beta)
        for seed in found.seeds if found else ():
            knots.setdefault(seed, []).append(found.frontier(seed))  # type: ignore[union-attr]
    return {seed: _curve(points) for seed, points in knots.items() if len(points) == len(betas)}


def _curve(points: Sequence[tuple[float, Table]]) -> SeedFrontier:
    return SeedFrontier(kl=np.array([kl for kl, _ in points]), outcomes=np.array([won for _, won in points]))


def matched(
    lines: Lines, first: Mapping[str, Any], second: Mapping[str, Any], betas: Sequence[float]
) -> tuple[Matched, list[int]] | None:
    """first − second at the same KL, each a curve over β, and the seeds of both; None where they do not meet."""
    one, other = (curves(lines, who, betas) for who in (first, second))
    seeds = sorted(set(one) & set(other))
    found = matched_difference([one[s] for s in seeds], [other[s] for s in seeds]) if seeds else None
    return None if found is None else (found, seeds)


@dataclass(frozen=True, kw_only=True)
class Met:
    """A setting minus a curve, at the setting's own KL, over the seeds in which the curve reaches it."""

    gap: Gap
    kl: float  # nats, mean over these seeds

    @property
    def turned(self) -> Gap:
        """Curve − setting."""
        return Gap(first=self.gap.second, second=self.gap.first, cells=-self.gap.cells, clusters=self.gap.clusters)


def at_its_kl(moved: Setting | None, knots: Sequence[Setting | None]) -> Met | None:
    """`moved` minus the curve through `knots` at the KL of `moved`; None where fewer than two seeds meet."""
    known = [knot for knot in knots if knot is not None]
    if moved is None or len(known) < len(knots):
        return None
    gaps: dict[int, Table] = {}
    kls = []
    for place, seed in enumerate(moved.seeds):
        points = [knot.frontier(seed) for knot in known if seed in knot.seeds]
        kl = moved.figures["kl"][place]
        if len(points) == len(knots) and min(k for k, _ in points) <= kl <= max(k for k, _ in points):
            gaps[seed] = moved.outcomes[place] - at_kl(_curve(points), np.array([kl]))[0]
            kls.append(kl)
    if len(gaps) < FEWEST:
        return None
    curve_of = f"curve through {' '.join(knot.key for knot in known)}"
    return Met(gap=gap_of(moved.key, curve_of, np.array(list(gaps.values())), list(gaps)), kl=float(np.mean(kls)))


def labels_right(first: Setting | None, second: Setting | None) -> Estimate | None:
    """By how much more of its labels one annotator gets right, over the seeds that both have; a paired t interval."""
    if first is None or second is None:
        return None
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    right = [[one.figures["accuracy_truth"][one.seeds.index(seed)] for seed in seeds] for one in (first, second)]
    return crossed(np.subtract(*right)[None, :], bounds=(-1.0, 1.0)) if seeds else None
