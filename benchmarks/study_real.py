"""Real preferences, a real language model: what its annotator knows, and what the policy gains. Resumable.

    python -m benchmarks study_real --data FILE… [--parts annotators policies] [--seeds 3] [--pairs 600] [--report]

One JSON line a run in `benchmarks/results/study-real/NAME.jsonl`, written as soon as it is there; a run that has its
line is not computed again, and stages are shared under CWPO_HOME, where `cwpo fetch smollm2` keeps the model.
`annotators` stops behind the labels; `policies` goes on to GRA for human, weak, cw, shuffled and top 30 %, with a gold
reward trained on all labels of the file. A seed draws its own split; pairs, test prompts and hyperparameters (those of
`make real`) are the same for all. Intervals are 95 % t intervals over seeds, so that they hold what the split moves;
GRA's are over seeds and prompts.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.measure import RESULTS, machine, table
from cwpo.config.catalog_data import LAPTOP_DEFAULTS, SMOLLM2
from cwpo.config.environment import settings
from cwpo.config.run import RunConfig, digest, merged

LINES = RESULTS / "study-real"
METHODS = ("human", "weak", "cw", "shuffled", "top:30")
PARTS = ("annotators", "policies")
LONGEST = 320  # tokens of a pair, both answers with their prompts
EDITION = 1


def name_of(file: Path) -> str:
    """What a file's lines are kept under: its folder where the file itself has a common name."""
    return file.parent.name if file.name.startswith(("normalized", "pairs")) else file.name.split(".")[0]


def config_of(file: Path, model: str, pairs: int, method: str, seed: int) -> RunConfig:
    """A run as `make real` would do it with this file."""
    rule = {"max_tokens": LONGEST, "counts": "pair"}
    data = {"dataset": str(file.absolute()), "max_pairs": pairs, "length_rule": rule, "label_fraction": 0.3}
    models = {"annotator": model, "policy": model}
    return RunConfig.parse(merged(LAPTOP_DEFAULTS, {"method": method, "seed": seed, "data": data, "model": models}))


def key_of(config: RunConfig, part: str) -> str:
    """What a line is found by; `config` is resolved, so a file that changes is another one."""
    return digest([EDITION, part, config.hash()])[:16]


def read_lines(name: str) -> list[dict[str, Any]]:
    path = LINES / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def compute(file: Path, options: argparse.Namespace, home: Path) -> None:
    """Every missing run of a file: the annotators of all seeds, then the methods seed by seed."""
    from cwpo.stages.resolve import resolve

    name = name_of(file)
    known = {line["key"] for line in read_lines(name)}
    for part in options.parts:
        for seed in range(options.seeds):
            for method in ("weak",) if part == "annotators" else METHODS:
                config = config_of(file, options.model, options.pairs, method, seed)
                resolved = resolve(config, bf16=False, home=home)
                if key_of(resolved, part) not in known:
                    _add_line(name, part, resolved, home)


def _add_line(name: str, part: str, config: RunConfig, home: Path) -> None:
    began, busy = time.perf_counter(), os.times()
    figures = annotator(config, home) if part == "annotators" else policy(config, home)
    after = os.times()
    line = {
        "key": key_of(config, part), "part": part, "method": config.method, "seed": config.seed, **figures,
        "seconds": round(time.perf_counter() - began, 1), "load": round(os.getloadavg()[0], 1),
        "cpu_seconds": round(after.user + after.system - busy.user - busy.system, 1), "machine": machine(),
    }  # fmt: skip
    LINES.mkdir(parents=True, exist_ok=True)
    with (LINES / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
    print(f"{name} {part} {config.method} seed {config.seed}: {line['seconds']:.0f} s", flush=True)


def annotator(config: RunConfig, home: Path) -> dict[str, Any]:
    """The stages up to the labels, and what they say of the hidden human labels."""
    from benchmarks.annotators import needed
    from cwpo.artifacts import ArtifactStore
    from cwpo.stages.context import Execution
    from cwpo.stages.execute import execute
    from cwpo.stages.graph import build

    specs, store = build(config), ArtifactStore(home / "artifacts")
    for slot in needed(specs):
        spec = specs[slot]
        done = execute(
            store=store, fingerprint=spec.fingerprint, settings=spec.settings, inputs=spec.input_fingerprints,
            execution=Execution.of(config.execution, "cpu"),
        )  # fmt: skip
    said = done.summary
    human = said["human"]
    return {
        "judged": human["n"],
        "accuracy": human["accuracy"]["estimate"],
        **{name: human[name] for name in ("ece", "ece_null_high", "brier", "auroc")},
        "mean_confidence": human["mean_confidence"]["estimate"],
        "gap": human["gap"]["estimate"],
        "rivals": {one["name"]: one["accuracy"]["estimate"] for one in said["rivals"]},
        "leads": {one["name"]: one["lead"]["estimate"] for one in said["rivals"]},
        "deciles": [[one["mean_confidence"], one["agree_human"], one["n"]] for one in said["deciles"]],
        **lengths(done.path),
    }


def lengths(folder: Path) -> dict[str, float]:
    """C against the difference in characters (rank correlation), and how often the longer answer is preferred."""
    import pyarrow.parquet as pq

    from cwpo.training.preferences import ANNOTATIONS_FILE

    rows = pq.read_table(folder / ANNOTATIONS_FILE).to_pydict()
    longer = np.array(rows["chars_a"]) - np.array(rows["chars_b"])
    told = longer != 0
    correlation = stats.spearmanr(np.array(rows["confidence"]), np.abs(longer)).statistic
    picks = {
        who: float(np.mean((longer[told] > 0) == (np.array(rows[column])[told] == "a")))
        for who, column in (("annotator_longer", "label"), ("human_longer", "human_label"))
    }
    return {"confidence_length": float(correlation), **picks}


def policy(config: RunConfig, home: Path) -> dict[str, Any]:
    """The whole run: GRA, its outcomes by prompt, distance and length, and how the gold reward agrees with labels."""
    import pandas as pd

    from cwpo.evaluation.gra import OUTCOMES_FILE
    from cwpo.stages.pipeline import run

    result = run(config, home=home)
    said = result.evaluation
    outcomes = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE).sort_values("prompt_id")
    return {
        **{name: said[name] for name in ("gra", "kl", "mean_tokens", "baseline_mean_tokens")},
        "outcomes": [round(float(value), 3) for value in outcomes["outcome"]],
        "pairs": result.stages["align"].summary["pairs"],
        "steps": result.stages["align"].summary["steps"],
    }


def over_seeds(values: Sequence[float], scale: float = 100.0) -> str:
    """Mean and 95 % t interval over seeds."""
    mean = scale * float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.1f}"
    half = scale * stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean:.1f} ± {half:.1f}"


def annotator_rows(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """One row per file: accuracy beside that of length and words alone, calibration, C against length; in %."""
    for name, mine in lines.items():
        yield {
            "pairs of": name, "seeds": len(mine), "judged": round(float(np.mean([one["judged"] for one in mine]))),
            "accuracy": over_seeds([one["accuracy"] for one in mine]),
            **{who: over_seeds([one["rivals"][who] for one in mine]) for who in mine[0]["rivals"]},
            "mean C": over_seeds([one["mean_confidence"] for one in mine]),
            "C − (2 acc − 1)": over_seeds([one["gap"] for one in mine]),
            "ECE": over_seeds([one["ece"] for one in mine]),
            "AUROC": over_seeds([one["auroc"] for one in mine]),
            "C ~ length": over_seeds([one["confidence_length"] for one in mine]),
            "picks longer": over_seeds([one["annotator_longer"] for one in mine]),
            "people pick longer": over_seeds([one["human_longer"] for one in mine]),
        }  # fmt: skip


def decile_rows(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Accuracy in each tenth by C, the least confident first; in %."""
    for name, mine in lines.items():
        tenths = range(min(len(one["deciles"]) for one in mine))
        yield {"pairs of": name, **{str(at + 1): over_seeds([one["deciles"][at][1] for one in mine]) for at in tenths}}


def policy_rows(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """GRA over seeds and prompts, distance and length."""
    from cwpo.statistics.intervals import crossed

    for name, mine in lines.items():
        for method in METHODS:
            runs = [one for one in mine if one["method"] == method.split(":")[0]]
            if runs:
                found = crossed(np.array([one["outcomes"] for one in runs]))
                tokens = (
                    np.mean([one["mean_tokens"] for one in runs]),
                    np.mean([one["baseline_mean_tokens"] for one in runs]),
                )
                yield {
                    "pairs of": name, "method": method, "seeds": len(runs),
                    "GRA, %": f"{100 * found.estimate:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]",
                    "KL, nats": over_seeds([one["kl"] for one in runs], 1.0),
                    "tokens, before": f"{tokens[0]:.0f}, {tokens[1]:.0f}",
                }  # fmt: skip


def report(names: Sequence[str]) -> None:
    """The tables of docs/study-real.md, from the lines that are there."""
    every = {name: read_lines(name) for name in names}
    for part, makers in (("annotators", (annotator_rows, decile_rows)), ("policies", (policy_rows,))):
        mine = {name: [one for one in lines if one["part"] == part] for name, lines in every.items()}
        mine = {name: lines for name, lines in mine.items() if lines}
        for make in makers if mine else ():
            print(table(list(make(mine))), end="\n\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Real pairs and a real language model.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="files of pairs: prompt, chosen, rejected")
    parser.add_argument("--model", default=SMOLLM2, help=f"a model folder or hub id (default {SMOLLM2})")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=600, help="at most so many pairs of each file")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", action="store_true", help="only print the tables")
    options = parser.parse_args(arguments)
    if not options.report:
        import torch

        torch.set_num_threads(options.threads)
        for file in options.data:
            compute(file, options, settings.home)
    report([name_of(file) for file in options.data])


if __name__ == "__main__":
    main()
