"""Runs at several β whose outcomes lie on one curve."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from cwpo.config.run import RunConfig, merged
from tests.cwpo.compare.compared_runs import PROMPTS, Run, runs_of

BETAS = (1.0, 0.5, 0.25)


FURTHER = 1.4  # CW moves this much further at equal β


def swept(
    *methods: str, seeds: int = 3, objective: str = "dpo", first_id: int = 1
) -> tuple[list[Run], dict[int, RunConfig]]:
    """Each method at three β; a run's group key carries its β."""
    runs, configs = [], {}
    for place, beta in enumerate(BETAS):
        for run in runs_of(*methods, seeds=seeds, objective=objective, first_id=first_id + 100 * place):
            runs.append(replace(run, group_key=f"{run.group_key}-{beta}"))
            configs[run.id] = _configured(run, beta)
    return runs, configs


def _configured(run: Run, beta: float) -> RunConfig:
    share = {"top_percent": 30} if run.method == "top" else {}
    values = {"method": run.method, "objective": run.objective, "seed": run.seed, "align": {"beta": beta, "lr": 1e-3}}
    return RunConfig.parse({**values, **share})


def with_align(config: RunConfig, **changes: object) -> RunConfig:
    """The same run with other settings of alignment."""
    return RunConfig.parse(merged(config.canonical(), {"align": changes}))


def moved(run: Run, configs: Mapping[int, RunConfig]) -> float:
    return (FURTHER if run.method == "cw" else 1.0) / configs[run.id].align.beta


def outcomes_on_one_curve(runs: list[Run], configs: Mapping[int, RunConfig], *, gain: float = 0.0) -> pd.DataFrame:
    """Every prompt's outcome is ½ + .05 √KL, CW's higher by `gain`: no noise but a prompt's own easiness."""
    easiness = np.random.default_rng(0).uniform(-0.1, 0.1, len(PROMPTS))
    frames = []
    for run in runs:
        kl = moved(run, configs)
        own = gain if run.method == "cw" else 0.0
        columns = {"run_id": run.id, "prompt_id": PROMPTS, "outcome": 0.5 + 0.05 * kl**0.5 + easiness + own}
        frames.append(pd.DataFrame(columns | {"logratio": kl, "tokens": 20.0, "baseline_tokens": 20.0}))
    return pd.concat(frames, ignore_index=True)
