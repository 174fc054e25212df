"""Each method, and each objective of a method, at its own best β: chosen on a part of the held-out prompts, compared
on the others. Pure.

Of the held-out prompts a third, whole clusters by a hash of their names, is for the choice and never for the
comparison; all that stand beside each other have the same values of β to choose from. Pages and files can ask it of any
sweep over β.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo import seeded
from cwpo.compare.configured_run import NO_COMMON_PROMPT, NO_COMMON_SEED, ONE_SEED, why_unpaired
from cwpo.compare.gra import setting_key
from cwpo.compare.matched_kl import Frontier, frontier_labels, frontier_pairs
from cwpo.config import catalog
from cwpo.statistics.intervals import is_real
from cwpo.statistics.simultaneous import Gap, together, told

VALIDATION = 1 / 3  # of the held-out prompts
NO_COMMON_BETA = "fewer than two β in common to choose from"


@dataclass(frozen=True, kw_only=True)
class TunedRow:
    """first − second on the prompts that chose no β, each at the β that its validation prompts chose."""

    label: str
    first_label: str
    second_label: str
    first_method: str
    second_method: str
    objective: str
    second_objective: str
    tried: tuple[float, ...] = ()  # values of β that both could choose from
    first_beta: float | None = None
    second_beta: float | None = None
    validation_prompts: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    comparisons: int = 0
    detectable: float | None = None
    n_prompts: int = 0
    n_seeds: int = 0
    note: str = ""
    reason: str | None = None

    @property
    def is_real(self) -> bool:
        """The interval, which holds for all of the table at once, leaves out 0."""
        return is_real(self.low, self.high, self.p_corrected)

    @property
    def told(self) -> str:
        """Different, smaller than what matters, both, or neither."""
        return told(self.low, self.high)


def tuned_differences(found: Sequence[Frontier], *, reference: str = "") -> list[TunedRow]:
    """The pairs that are compared at matched KL, each method at its own β, and within one method each objective against
    DPO or against that of the reference, with intervals that hold at once."""
    labels = frontier_labels(found)
    rows: list[dict[str, Any]] = []
    methods = [(*pair, _place) for pair in frontier_pairs(found, reference=reference)]
    objectives = [(*pair, _method_place) for pair in objective_pairs(found, reference=reference)]
    for first, second, place in (*methods, *objectives):
        one, other = labels[first.key], labels[second.key]
        about = {
            "label": f"{one} − {other}", "first_label": one, "second_label": other,
            "first_method": first.first.method, "second_method": second.first.method,
            "objective": first.first.objective, "second_objective": second.first.objective,
        }  # fmt: skip
        beside = [frontier for frontier in found if place(frontier) == place(first)]
        rows.append(about | _figures(first, second, beside))
    tested = [row for row in rows if "gap" in row]
    for row, figures in zip(tested, together([row.pop("gap") for row in tested]), strict=True):
        row.update(figures.figures)
    return [TunedRow(**row) for row in rows]


def objective_pairs(found: Sequence[Frontier], *, reference: str) -> list[tuple[Frontier, Frontier]]:
    """Within one method and setting the other objectives − DPO, or the first of the catalog that is there; with a
    pinned `reference` the others − its own. Where an objective has several frontiers there, no pair is guessed."""
    places: dict[str, list[Frontier]] = {}
    for one in found:
        places.setdefault(_method_place(one), []).append(one)
    is_pinned = bool(reference) and any(one.has(reference) for one in found)
    pairs: list[tuple[Frontier, Frontier]] = []
    for place in places.values():
        named = [one.config.objective for one in place]
        alone = [one for one in place if named.count(one.config.objective) == 1]
        alone.sort(key=lambda one: list(catalog.OBJECTIVES).index(one.config.objective))
        against = next((one for one in alone if one.has(reference) or not is_pinned), None)
        pairs += [(one, against) for one in alone if against is not None and one is not against]
    return pairs


def _place(one: Frontier) -> str:
    """The same for methods that are compared."""
    return one.place


def _method_place(one: Frontier) -> str:
    """The same for objectives of one method that are compared."""
    config = one.config
    return repr((config.method, config.top_percent, setting_key(config, "align.beta", "objective")))


def is_validation(prompt: str, related: dict[str, str] | None = None) -> bool:
    """Whether a held-out prompt is one of those that choose; decided by the name of its cluster alone."""
    return seeded.share(f"validation:{(related or {}).get(prompt, prompt)}") < VALIDATION


def _figures(first: Frontier, second: Frontier, beside: Sequence[Frontier]) -> dict[str, Any]:
    """What the difference is computed from, or the reason why there is none. beside: all methods, or all objectives, of
    the place, which have one budget."""
    seeds = sorted(set(first.runs) & set(second.runs))
    if not seeds:
        return {"reason": NO_COMMON_SEED}
    reason = why_unpaired(*([run for seed in seeds for run in side.runs[seed]] for side in (first, second)))
    if reason:
        return {"reason": reason}
    tried = sorted(set.intersection(*(_betas(one, seed) for one in beside for seed in one.runs)))
    if len(tried) < 2:
        return {"reason": NO_COMMON_BETA}
    prompts = first.outcomes.columns.intersection(second.outcomes.columns)
    related = dict(first.related)
    chooses = np.array([is_validation(prompt, related) for prompt in prompts], dtype=bool)
    if chooses.all() or not chooses.any():
        return {"reason": NO_COMMON_PROMPT}
    tables = [{beta: _cells(one, seeds, beta)[prompts] for beta in tried} for one in (first, second)]
    betas = [_best({beta: cells.loc[:, chooses] for beta, cells in table.items()}) for table in tables]
    one, other = (table[beta].loc[:, ~chooses] for table, beta in zip(tables, betas, strict=True))
    return {
        "gap": Gap(first=first.key, second=second.key, cells=one - other, clusters=related),
        "tried": tuple(tried),
        "first_beta": betas[0],
        "second_beta": betas[1],
        "validation_prompts": int(chooses.sum()),
        "note": ONE_SEED if len(seeds) == 1 else "",
    }


def _betas(one: Frontier, seed: int) -> set[float]:
    return {one.betas[run.id] for run in one.runs[seed]}


def _cells(one: Frontier, seeds: Sequence[int], beta: float) -> pd.DataFrame:
    """Seeds × prompts at one β; two runs of one seed are averaged."""
    rows = {
        seed: one.outcomes.loc[[run.id for run in one.runs[seed] if one.betas[run.id] == beta]].mean() for seed in seeds
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _best(by_beta: dict[float, pd.DataFrame]) -> float:
    """The β with the highest GRA; of equal ones the largest, which moves least."""
    return max(by_beta, key=lambda beta: (round(float(by_beta[beta].to_numpy().mean()), 12), beta))
