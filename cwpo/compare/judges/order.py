"""The same ranking under every judge at hand, with the probability that it is stable. Pure.

The estimator. Settings are ordered by their mean outcome over the seeds and prompts that all of them have. Prompts
(whole clusters) and seeds are drawn with replacement, as many as there are, the same draw for every setting and for
both of the judges that are held against each other, so that what methods, seeds and prompts share stays shared. The
probability that the order is stable is the share of draws in which the settings come in the observed order, each tie of
two neighbours counting half. Where there are few ways to draw, all of them are gone through, else there are `DRAWS` of
a fixed seed. With few seeds a bootstrap over seeds sees (n − 1)/n of their variance, with one none of it.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cwpo.compare.configured_run import ComparedRun, Configs, by_setting, in_order
from cwpo.compare.setting_names import setting_labels
from cwpo.data.related.outcomes import clusters_in

FloatArray = NDArray[np.float64]
DRAWS = 4_000
EVERY_WAY = 4_000  # ways to draw, up to which all of them are gone through


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """One judge's order of the settings, the best first. Probabilities in [0, 1]; None for the first judge.

    stable: the order comes again. best: the first one is best again. same: both judges give one order in a draw.
    """

    judge: str
    order: tuple[str, ...]
    stable: float
    best: float
    same: float | None
    tau: float | None  # Kendall's τ between both judges' orders: 1 the same, −1 turned around
    n_prompts: int
    n_seeds: int

    @property
    def said(self) -> str:
        return " > ".join(self.order)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Outcomes of M settings under S seeds, summed over each of C clusters; `counts`: prompts of each cluster."""

    settings: tuple[str, ...]
    sums: FloatArray  # (M, S, C)
    counts: FloatArray  # (C,)

    @property
    def means(self) -> FloatArray:
        found: FloatArray = self.sums.sum(axis=(1, 2)) / (self.sums.shape[1] * self.counts.sum())
        return found


def order_rows(
    runs: Sequence[ComparedRun], judged: Mapping[str, pd.DataFrame], *, configs: Configs | None = None
) -> list[OrderRow]:
    """One row per judge, each but the first held against the first on what both judged; `judged`: outcomes by judge, as
    queries give them. Judges that know fewer than two of the settings are left out."""
    labels = setting_labels(by_setting(in_order(runs)), configs or {})
    names = list(judged)
    found: list[OrderRow] = []
    for name in names:
        both = [judged[name]] if name == names[0] else [judged[name], judged[names[0]]]
        tables = _cells(runs, both)
        if tables is None:
            continue
        found.append(_row(name, tables, labels))
    return found


def _row(name: str, tables: Sequence[Cells], labels: Mapping[str, str]) -> OrderRow:
    own, weights = tables[0], draws(tables[0].sums.shape[1], len(tables[0].counts))
    drawn = [_drawn(table, *weights) for table in tables]
    orders = [np.argsort(-table.means, kind="stable") for table in tables]
    same = None
    if len(tables) > 1:
        same = float(
            np.mean((np.argsort(-drawn[0], kind="stable") == np.argsort(-drawn[1], kind="stable")).all(axis=1))
        )
    return OrderRow(
        judge=name,
        order=tuple(labels[own.settings[at]] for at in orders[0]),
        stable=in_this_order(drawn[0], orders[0]),
        best=_first(drawn[0], int(orders[0][0])),
        same=same,
        tau=_tau(tables[0].means, tables[1].means) if len(tables) > 1 else None,
        n_prompts=round(float(own.counts.sum())),
        n_seeds=own.sums.shape[1],
    )


def in_this_order(drawn: FloatArray, order: NDArray[np.intp]) -> float:
    """Share of draws (B, M) whose means fall along the order; a tie of neighbours counts half."""
    gaps = -np.diff(drawn[:, order], axis=1)
    return float(np.mean(np.where(np.abs(gaps) < 1e-12, 0.5, (gaps > 0).astype(float)).prod(axis=1)))


def draws(seeds: int, clusters: int) -> tuple[FloatArray, FloatArray]:
    """How often each seed (B, S) and each cluster (B, C) is drawn."""
    if seeds**seeds * clusters**clusters <= EVERY_WAY:
        pairs = itertools.product(
            itertools.product(range(seeds), repeat=seeds), itertools.product(range(clusters), repeat=clusters)
        )
        both = [(np.bincount(one, minlength=seeds), np.bincount(other, minlength=clusters)) for one, other in pairs]
        return np.array([one for one, _ in both], dtype=float), np.array([other for _, other in both], dtype=float)
    rng = np.random.default_rng(0)
    return (
        rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS).astype(float),
        rng.multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS).astype(float),
    )


def _drawn(table: Cells, seeds: FloatArray, clusters: FloatArray) -> FloatArray:
    """Means of the settings in each draw, (B, M)."""
    settings, of_seeds, of_clusters = table.sums.shape
    by_cell = clusters @ table.sums.reshape(settings * of_seeds, of_clusters).T
    summed = (by_cell.reshape(len(clusters), settings, of_seeds) * seeds[:, None, :]).sum(axis=2)
    found: FloatArray = summed / (of_seeds * (clusters @ table.counts))[:, None]
    return found


def _first(drawn: FloatArray, best: int) -> float:
    """Share of draws in which this setting is best, shared with those that tie with it."""
    top = np.abs(drawn - drawn.max(axis=1, keepdims=True)) < 1e-12
    return float(np.mean(top[:, best] / top.sum(axis=1)))


def _tau(one: FloatArray, other: FloatArray) -> float:
    """Pairs that both order alike minus those that they order the other way, over all pairs."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    signs = [float(np.sign(one[a] - one[b]) * np.sign(other[a] - other[b])) for a, b in pairs]
    return sum(signs) / len(pairs)


def _cells(runs: Sequence[ComparedRun], judged: Sequence[pd.DataFrame]) -> list[Cells] | None:
    """The same settings, seeds and prompts of each of the judges; None where they share fewer than two settings."""
    wides = [rows.pivot_table(index="run_id", columns="prompt_id", values="outcome") for rows in judged]
    known = set.intersection(*(set(wide.index) for wide in wides))
    groups = by_setting(in_order([run for run in runs if run.id in known]))
    if len(groups) < 2:
        return None
    seeds = sorted(set.intersection(*({run.seed for run in group} for group in groups.values())))
    if not seeds:
        return None
    chosen = {key: [[run.id for run in group if run.seed == seed] for seed in seeds] for key, group in groups.items()}
    ids = [one for by_seed in chosen.values() for of_seed in by_seed for one in of_seed]
    shared = [set(wide.loc[ids].dropna(axis="columns").columns) for wide in wides]
    prompts = sorted(set.intersection(*shared))
    if not prompts:
        return None
    related = clusters_in(judged[0]) or clusters_in(judged[-1])
    names, places = np.unique([related.get(name, name) for name in prompts], return_inverse=True)
    member = np.zeros((len(prompts), len(names)))
    member[np.arange(len(prompts)), places] = 1.0
    return [
        Cells(
            settings=tuple(chosen),
            sums=np.array(
                [[wide.loc[of_seed, prompts].to_numpy(dtype=np.float64).mean(axis=0) @ member for of_seed in by_seed]
                 for by_seed in chosen.values()]
            ),
            counts=member.sum(axis=0),
        )
        for wide in wides
    ]  # fmt: skip
