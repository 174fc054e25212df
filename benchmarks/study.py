"""The sandbox study: every comparison of the paper where the truth is known, over eight seeds. Resumable.

    python -m benchmarks study [--groups methods beta … again] [--seeds 8] [--processes 2] [--report]

Every run is one line of `benchmarks/results/study/seed-N.jsonl`, written as soon as it is evaluated; a run that has its
line is not computed again. Runs of one seed share stages through the artifact store under `var/study`. The seed moves
everything: base models, pool, split, annotator, alignment. The hyperparameters are the sandbox's defaults for all
methods; they were chosen before any of these comparisons. What was only noticed in the tables is repeated on seeds that
no table had seen (group `again`). `--report` writes the tables of docs/study.md from the lines.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from cwpo.config.run import RunConfig, digest, merged

HOME = Path("var/study")
LINES = RESULTS / "study"
SEEDS = 8
FRESH = range(8, 16)  # seeds of the group `again`, in no other table
EDITION = 1
RULES = 1  # the lines of docs/study.md were computed before the second ones
METHODS = (
    "human", "human_100", "human_labeled", "oracle", "ws", "weak", "cw", "top:30", "random:30", "bottom:50",
    "shuffled", "normalised", "soft",
)  # fmt: skip
OBJECTIVES = ("dpo", "ipo", "rdpo")
NOISES = (1.5, 3.0)
SHARES = (10, 20, 30, 50, 75, 100)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
BETAS = (0.1, 0.25, 0.5, 1.0)
DROPOUTS = (0.0, 0.1, 0.2, 0.4)
MATCHING = (0.35, 0.25)  # smaller β at which uniform weak labels move as far as CW and further
PASSES, MEMBERS = 8, 4
ANNOTATORS: Mapping[str, Mapping[str, Any]] = {
    "steady": {},
    "unsteady": {"epochs": 3, "early_stopping": True},
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting of the study, still without a seed."""

    group: str
    label: Mapping[str, Any]  # what the tables of its group are laid out by
    settings: Mapping[str, Any] = field(default_factory=dict)  # laid on the sandbox's defaults
    fresh: bool = False  # computed on FRESH seeds, and on no other

    def config(self, seed: int) -> RunConfig:
        values = merged(self.settings, {"seed": seed, "seeds": {"base": seed}})
        return RunConfig.parse({"rules": RULES, **values})


def cells() -> list[Cell]:
    """All settings, the ones that say most first."""
    groups = (_methods(1.5, ("dpo",)), _sampling(), _beta(), _shares(), _noise(), _fractions(), _methods(3.0, ("dpo",)),
              _methods(1.5, OBJECTIVES[1:]), _methods(3.0, OBJECTIVES[1:]), _again())  # fmt: skip
    return [cell for group in groups for cell in group]


def _methods(noise: float, objectives: Sequence[str]) -> Iterator[Cell]:
    """(a) all methods; `top` and `random` also with as many steps as the whole pool takes."""
    for objective in objectives:
        for method in METHODS:
            label = {"noise": noise, "objective": objective, "method": method, "steps": "kept"}
            settings = {"method": method, "objective": objective, "data": {"sandbox": {"noise": noise}}}
            yield Cell(group="methods", label=label, settings=settings)
            if method in ("top:30", "random:30") and objective == "dpo":
                more = merged(settings, {"align": {"steps": "pool"}})
                yield Cell(group="methods", label={**label, "steps": "pool"}, settings=more)


def _sampling() -> Iterator[Cell]:
    """Confidence-proportional pair sampling against computing every pair."""
    for how in ("all", "proportional"):
        yield Cell(group="sampling", label={"how": how}, settings={"method": "cw", "align": {"pair_sampling": how}})


def _beta() -> Iterator[Cell]:
    """(d) how far each method moves for its GRA."""
    for method in ("human", "weak", "cw", "top:30"):
        for beta in BETAS:
            yield Cell(
                group="beta",
                label={"method": method, "beta": beta},
                settings={"method": method, "align": {"beta": beta}},
            )


def _shares() -> Iterator[Cell]:
    """(b) the N % most confident labels against N % by chance."""
    for method in ("top", "random"):
        for share in SHARES:
            yield Cell(
                group="shares", label={"method": method, "percent": share}, settings={"method": f"{method}:{share}"}
            )


def _fractions() -> Iterator[Cell]:
    """(c) how many human labels are needed."""
    for method in ("human_labeled", "weak", "cw"):
        for fraction in FRACTIONS:
            yield Cell(
                group="fractions",
                label={"method": method, "fraction": fraction},
                settings={"method": method, "data": {"label_fraction": fraction}},
            )


def _noise() -> Iterator[Cell]:
    """(e) an annotator with more and more noise of its own per pair, and what averaging that noise away gives."""
    for name, annotator in ANNOTATORS.items():
        for dropout in DROPOUTS:
            noisy = {"annotator": {**annotator, "label_dropout": dropout}}
            label = {"annotator": name, "dropout": dropout}
            for method in ("weak", "cw", "shuffled"):
                yield Cell(group="noise", label={**label, "what": method}, settings=merged(noisy, {"method": method}))
            for beta in MATCHING:
                settings = merged(noisy, {"method": "weak", "align": {"beta": beta}})
                yield Cell(group="noise", label={**label, "what": f"weak, β {beta:g}"}, settings=settings)
            if dropout:
                settings = merged(noisy, {"method": "weak", "annotator": {"passes": PASSES}})
                yield Cell(group="noise", label={**label, "what": f"weak, {PASSES} passes"}, settings=settings)
        ensemble = {"annotator": {**annotator, "members": MEMBERS}, "method": "weak"}
        label = {"annotator": name, "dropout": 0.0, "what": f"weak, {MEMBERS} annotators"}
        yield Cell(group="noise", label=label, settings=ensemble)


def _again() -> Iterator[Cell]:
    """What the other groups showed unasked, on fresh seeds: `ws`, `soft`, proportional sampling; and cw − weak."""
    for objective in ("dpo", "ipo"):
        for method in ("weak", "cw", "ws", "soft"):
            label = {"objective": objective, "method": method, "how": "all"}
            yield Cell(group="again", label=label, settings={"method": method, "objective": objective}, fresh=True)
    label = {"objective": "dpo", "method": "cw", "how": "proportional"}
    settings = {"method": "cw", "objective": "dpo", "align": {"pair_sampling": "proportional"}}
    yield Cell(group="again", label=label, settings=settings, fresh=True)


def key_of(cell: Cell, seed: int) -> str:
    """What a line is found by: its setting and seed. Raise EDITION when the program gives other results for them."""
    return digest([EDITION, cell.group, dict(cell.label), dict(cell.settings), seed])[:16]


def read_lines(seed: int) -> list[dict[str, Any]]:
    path = LINES / f"seed-{seed}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def current_lines(seed: int) -> list[dict[str, Any]]:
    """The lines of a seed that belong to a setting of today, each once."""
    wanted = {key_of(cell, seed) for cell in cells() if cell.fresh == (seed in FRESH)}
    return list({line["key"]: line for line in read_lines(seed) if line["key"] in wanted}.values())


def compute(seeds: Sequence[int], groups: Sequence[str]) -> None:
    """Every missing run of these seeds, setting by setting, so that what is there is balanced at any time."""
    import torch

    torch.set_num_threads(1)
    LINES.mkdir(parents=True, exist_ok=True)
    known = {line["key"] for seed in seeds for line in read_lines(seed)}
    for cell in cells():
        for seed in seeds:
            mine = cell.group in groups and cell.fresh == (seed in FRESH)
            if mine and key_of(cell, seed) not in known:
                _compute_one(cell, seed)


def _compute_one(cell: Cell, seed: int) -> None:
    from cwpo.stages.pipeline import run

    began = time.perf_counter()
    result = run(cell.config(seed), home=HOME)
    line = {"key": key_of(cell, seed), "group": cell.group, "label": dict(cell.label), "seed": seed, **_figures(result)}
    with (LINES / f"seed-{seed}.jsonl").open("a") as file:
        file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
    took = time.perf_counter() - began
    print(f"seed {seed} {cell.group} {dict(cell.label)}: GRA {line['gra']:.3f} ({took:.1f} s)", flush=True)


def _figures(result: Any) -> dict[str, Any]:
    """What the tables need of a run: its GRA row, its outcomes by prompt, its annotator, its compute."""
    import pandas as pd

    from cwpo.evaluation.gra import OUTCOMES_FILE

    said = result.evaluation
    outcomes = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE).sort_values("prompt_id")
    align = result.stages["align"]
    labels = result.stages["labels"].summary if "labels" in result.stages else {}
    names = ("gra", "kl", "mean_tokens", "baseline_mean_tokens", "ungrammatical", "mean_score", "baseline_mean_score")
    return {
        **{name: _short(said[name]) for name in names},
        "outcomes": "".join(str(round(4 * value)) for value in outcomes["outcome"]),  # quarters: two answers a prompt
        "scores": [round(float(value), 3) for value in outcomes["score"] - outcomes["baseline_score"]],
        "pairs": align.summary["pairs"],
        "steps": align.summary["steps"],
        "ess": _short(align.summary["effective_sample_size"]),
        "kept": _short(align.summary.get("mean_kept")),
        "align_seconds": round(align.seconds, 2),
        **{name: _short(labels.get(name)) for name in ("accuracy_human", "accuracy_truth", "mean_confidence")},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def main(arguments: list[str] | None = None) -> None:
    every = list(dict.fromkeys(cell.group for cell in cells()))
    parser = argparse.ArgumentParser(description="The sandbox study.")
    parser.add_argument("--groups", nargs="+", choices=every, default=every)
    parser.add_argument(
        "--seeds",
        type=int,
        choices=range(1, SEEDS + 1),
        default=SEEDS,
        metavar="N",
        help=f"of the tables, from 0 (default {SEEDS})",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", action="store_true", help="only write the tables of docs/study.md")
    options = parser.parse_args(arguments)
    if not options.report:
        every_seed = (*range(options.seeds), *FRESH)
        tasks = [(every_seed[first :: options.processes], options.groups) for first in range(options.processes)]
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            pool.starmap(compute, tasks, chunksize=1)
    from benchmarks.study_report import write

    write(line for seed in (*range(options.seeds), *FRESH) for line in current_lines(seed))


if __name__ == "__main__":
    main()
