"""Made-up runs with per-prompt outcomes, for tests of comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LABELS = {"cw": "CW", "weak": "Weak labels", "human": "Human", "human_cw": "Human, C", "top": "Top 30 %"}


PROMPTS = [f"p{i:03d}" for i in range(120)]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the comparison reads off a run."""

    id: int
    group_key: str
    method: str
    method_label: str
    objective: str
    seed: int
    baseline: str | None
    judge: str | None = "oracle"


def runs_of(*methods: str, seeds: int = 4, objective: str = "dpo", first_id: int = 1) -> list[Run]:
    return [
        Run(id=first_id + len(methods) * seed + place, group_key=f"{method}-{objective}", method=method,
            method_label=LABELS[method], objective=objective, seed=seed, baseline="common")
        for seed in range(seeds)
        for place, method in enumerate(methods)
    ]  # fmt: skip


def outcomes_of(
    runs: Sequence[Run], *, chance: Mapping[str, float], kl: Mapping[str, float] | None = None, prompts: int = 120
) -> pd.DataFrame:
    """Outcomes drawn from one easiness per prompt, so that methods and seeds share it."""
    easiness = np.random.default_rng(0).uniform(-0.3, 0.3, prompts)
    frames = []
    for run in runs:
        rng = np.random.default_rng([run.id, 1])
        won = rng.random(prompts) < np.clip(chance[run.method] + easiness, 0, 1)
        drift = (kl or {}).get(run.method, 1.0)
        frames.append(
            pd.DataFrame(
                {
                    "run_id": run.id,
                    "prompt_id": PROMPTS[:prompts],
                    "outcome": won.astype(float),
                    "tokens": 20.0 + run.seed,
                    "baseline_tokens": 18.0,
                    "logratio": drift + rng.normal(0, 0.1, prompts),
                    "ungrammatical": 0.25,
                    "baseline_ungrammatical": np.nan,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


ALIKE = {"cw": 0.6, "weak": 0.6, "human": 0.6, "top": 0.6}
