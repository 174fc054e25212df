"""A run as `workers.comparison` reads it, made from its configuration where no database knows it."""

from dataclasses import dataclass

from cwpo.config import RunConfig
from cwpo.stages.graph import build


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run, numbered by whoever compares it."""

    id: int
    group_key: str
    method: str
    method_label: str
    objective: str
    seed: int
    baseline: str | None
    judge: str | None


def compared(number: int, config: RunConfig, group: str) -> Compared:
    """The run of a configuration; its opponent is known by what made its answers, its judge by what scored them."""
    stages = build(config)
    return Compared(
        id=number,
        group_key=group,
        method=config.method,
        method_label=config.method_label,
        objective=config.objective,
        seed=config.seed,
        baseline=stages["baseline_samples"].fingerprint,
        judge=stages["baseline_scores"].fingerprint,
    )
