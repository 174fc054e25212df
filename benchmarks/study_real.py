"""Real preferences, a real language model: what its annotator knows, and what the policy gains. Resumable.

    python -m benchmarks study_real --data FILE… [--parts annotators policies] [--kinds weak ws] [--methods human cw …]
        [--seeds 3] [--pairs 400] [--longest 768] [--prompts 80]
        [--precision fp32] [--report]

One JSON line a run in `benchmarks/results/study-real/NAME.jsonl`, written as soon as it is there; a run that has its
line is not computed again, and stages are shared under CWPO_HOME, where `cwpo fetch smollm2` keeps the model. Seed by
seed over all files, so that the tables are balanced wherever it is stopped.
`annotators` stops behind the labels of an annotator of each kind: `weak`, a Bradley–Terry head, and `ws`, the implicit
reward of the model after DPO. `policies` goes on to GRA for human, weak, cw, shuffled and top 30 %, with a gold reward
trained on all labels of the file, and tries it on held-out labels (its judge card). Pairs, split, test prompts and
hyperparameters (those of `make real`) are the same for all; a seed draws the annotator and the alignment. A line has
every outcome, by pair or by prompt, and which of these are related. Tables: `benchmarks/study_real_report.py`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.measure import RESULTS, machine
from cwpo.config.catalog_data import LAPTOP_DEFAULTS, SMOLLM2
from cwpo.config.environment import settings
from cwpo.config.run import RunConfig, digest, merged
from cwpo.errors import CwpoError, DataError

LINES = RESULTS / "study-real"
KINDS = ("weak", "ws")
METHODS = ("human", "weak", "cw", "shuffled", "top:30")
PARTS = ("annotators", "policies")
LABELED = 0.3  # share of the pairs whose labels the annotator learns from
SPLIT = 0  # its seed, the same for all
ANSWER = 48  # tokens at most: what people write is longer than what `make real` reads
EDITION = 2  # raised when a line holds other things
COMMON = ("normalized", "pairs")  # what files of several folders are called


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs of a table have in common; lines of other plans are of other tables."""

    model: str = SMOLLM2
    pairs: int = 400  # for training, of each file, at most
    longest: int = 768  # tokens of a pair, both answers with their prompts
    prompts: int = 80  # held out
    precision: str = "fp32"  # of every stage with a model


def name_of(file: Path) -> str:
    """What a file's lines are kept under: its folder where the file itself has a common name."""
    own = file.name.split(".")[0]
    return file.absolute().parent.name if own in COMMON else own


def config_of(file: Path, plan: Plan, method: str, seed: int) -> RunConfig:
    """A run as `make real` would do it with this file; the seed moves neither the pairs nor their split."""
    own = {
        "method": method,
        "seed": seed,
        "seeds": {"split": SPLIT},
        "data": {
            "dataset": str(file.absolute()),
            "max_pairs": plan.pairs,
            "test_prompts": plan.prompts,
            "length_rule": {"max_tokens": plan.longest, "counts": "pair"},
            "label_fraction": LABELED,
        },
        "model": {"annotator": plan.model, "policy": plan.model, "precision": plan.precision},
        "evaluation": {"card": True, "max_new_tokens": ANSWER},
    }
    return RunConfig.parse(merged(LAPTOP_DEFAULTS, own))


def key_of(config: RunConfig, part: str) -> str:
    """What a line is found by; `config` is resolved, so a file that changes is another one."""
    return digest([EDITION, part, config.hash()])[:16]


# Lines --------------------------------------------------------------------------------------------------------------


def read_lines(name: str) -> list[dict[str, Any]]:
    """The lines of a file of pairs, without what a kill left half written: such a run is computed again."""
    path = LINES / f"{name}.jsonl"
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def add_line(name: str, line: Mapping[str, Any]) -> None:
    """Behind all others in one write, on a line of its own whatever was left half written."""
    LINES.mkdir(parents=True, exist_ok=True)
    path = LINES / f"{name}.jsonl"
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    text = json.dumps(line, sort_keys=True, allow_nan=False)
    with path.open("ab", buffering=0) as file:
        file.write(f"{chr(10) * torn}{text}\n".encode())


# Runs ---------------------------------------------------------------------------------------------------------------


def compute(options: argparse.Namespace, plan: Plan, home: Path) -> int:
    """Every missing run, seed by seed over all files. What cannot be computed of a file is said and left out of the
    other seeds too; returns how often that was."""
    failed: set[tuple[Path, str]] = set()
    for seed in range(options.seeds):
        for file in options.data:
            for part in options.parts:
                if (file, part) in failed:
                    continue
                try:
                    for method in options.kinds if part == "annotators" else options.methods:
                        take(file, plan, part, method, seed, home)
                except CwpoError as error:
                    failed.add((file, part))
                    print(f"{name_of(file)}, {part}: {error}", flush=True)
    return len(failed)


def take(file: Path, plan: Plan, part: str, method: str, seed: int, home: Path) -> None:
    """The line of one run, unless it is there."""
    from cwpo.stages.resolve import resolve

    name, config = name_of(file), resolve(config_of(file, plan, method, seed), bf16=False, home=home)
    key = key_of(config, part)
    if key in {line["key"] for line in read_lines(name)}:
        return
    began, busy = time.perf_counter(), os.times()
    figures = annotator(config, home) if part == "annotators" else policy(config, home)
    after = os.times()
    seconds = round(time.perf_counter() - began, 1)
    line = {
        "key": key, "part": part, "method": method, "seed": seed, "plan": asdict(plan),
        "revisions": [config.data.revision, config.model.policy_revision], **figures, "seconds": seconds,
        "cpu_seconds": round(after.user + after.system - busy.user - busy.system, 1),
        "load": round(os.getloadavg()[0], 1), "machine": machine(),
    }  # fmt: skip
    add_line(name, line)
    print(f"{name} {part} {method} seed {seed}: {seconds:.0f} s", flush=True)


def annotator(config: RunConfig, home: Path) -> dict[str, Any]:
    """The stages up to the labels, and what they say of the hidden human labels."""
    from benchmarks.annotators import needed
    from cwpo.artifacts import ArtifactStore
    from cwpo.stages.context import Execution
    from cwpo.stages.execute import execute
    from cwpo.stages.graph import build

    specs, store, done = build(config), ArtifactStore(home / "artifacts"), {}
    for slot in needed(specs):
        spec = specs[slot]
        done[slot] = execute(
            store=store, fingerprint=spec.fingerprint, settings=spec.settings, inputs=spec.input_fingerprints,
            execution=Execution.of(config.execution, "cpu"),
        )  # fmt: skip
    said = done["labels"].summary
    human = said["human"]
    if human is None:
        raise DataError("None of the hidden pairs has a human label: give pairs with a chosen and a rejected answer.")
    return {
        "data": kept(done["data"].summary),
        "hidden": said["n"],
        "judged": human["n"],
        "accuracy": human["accuracy"]["estimate"],
        **{name: human[name] for name in ("ece", "ece_null_high", "brier", "log_loss", "auroc")},
        "mean_confidence": human["mean_confidence"]["estimate"],
        "gap": human["gap"]["estimate"],
        "rivals": {one["name"]: ends(one["accuracy"]) for one in said["rivals"]},
        "leads": {one["name"]: ends(one["lead"]) for one in said["rivals"]},
        **by_pair(done["labels"].path, done["data"].path),
        **lengths(done["labels"].path),
    }


def kept(data: Mapping[str, Any]) -> dict[str, int]:
    """What the length rule and the other rules left of a file, in rows; of a data stage's summary."""
    return {
        "rows": data["rows"],
        "too_long": data["length_rule_dropped"],
        "unusable": sum(data["rejected"].values()) - data["length_rule_dropped"],
        "of_test_prompts": data["held_out_pairs"],
        "over": data["over_max_pairs"],
        "pairs": data["train_pairs"],
        "prompts": data["test_prompts"],
    }


def ends(mean: Mapping[str, float]) -> list[float]:
    """A mean and its interval."""
    return [mean[name] for name in ("estimate", "low", "high")]


def by_pair(labels: Path, data: Path) -> dict[str, Any]:
    """Of each hidden pair with a human label, in the order of ids: whether the weak label is right (one digit) and
    C in thousandths (three digits)."""
    import pyarrow.parquet as pq

    from cwpo.data.pairs import load_pairs
    from cwpo.training.preferences import ANNOTATIONS_FILE

    units = {pair.pair_id: pair.unit for pair in load_pairs(data)}
    columns = ["pair_id", "label", "human_label", "confidence"]
    rows = pq.read_table(labels / ANNOTATIONS_FILE, columns=columns).to_pylist()
    rows = sorted((row for row in rows if row["human_label"] is not None), key=lambda row: row["pair_id"])
    ids = [row["pair_id"] for row in rows]
    return {
        "right": "".join("01"[row["label"] == row["human_label"]] for row in rows),
        "sure": "".join(f"{min(round(1000 * row['confidence']), 999):03d}" for row in rows),
        **placed(ids, [units[name] for name in ids]),
    }


def placed(ids: Sequence[str], units: Sequence[str]) -> dict[str, Any]:
    """Which pairs or prompts outcomes are of, as a digest, and the places of those that belong together, from 0."""
    places: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        places.setdefault(unit, []).append(place)
    return {"of": digest(list(ids))[:16], "together": [one for one in places.values() if len(one) > 1]}


def lengths(folder: Path) -> dict[str, float | None]:
    """C against the difference in characters (rank correlation), and how often the longer answer is preferred."""
    import pyarrow.parquet as pq

    from cwpo.training.preferences import ANNOTATIONS_FILE

    rows = pq.read_table(folder / ANNOTATIONS_FILE).to_pydict()
    longer = np.array(rows["chars_a"]) - np.array(rows["chars_b"])
    told = longer != 0
    correlation = None
    if np.ptp(np.abs(longer)) > 0 and np.ptp(rows["confidence"]) > 0:
        correlation = float(stats.spearmanr(np.array(rows["confidence"]), np.abs(longer)).statistic)
    picks = {
        who: float(np.mean((longer[told] > 0) == (np.array(rows[column])[told] == "a"))) if told.any() else None
        for who, column in (("annotator_longer", "label"), ("human_longer", "human_label"))
    }
    return {"confidence_length": correlation, **picks}


def policy(config: RunConfig, home: Path) -> dict[str, Any]:
    """The whole run: outcome, distance and length by prompt in the order of ids, and how often the gold reward chooses
    what people chose, on pairs that it did not learn from."""
    import pandas as pd

    from cwpo.data.related.clusters import from_groups
    from cwpo.evaluation.gra import OUTCOMES_FILE
    from cwpo.stages.pipeline import run

    result = run(config, home=home)
    data, align = result.stages["data"].summary, result.stages["align"].summary
    rows = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE).sort_values("prompt_id")
    related, ids = from_groups(data.get("test_groups") or ()), rows["prompt_id"].tolist()
    card = next(stage.summary for slot, stage in result.stages.items() if slot.startswith("card@"))
    asked = ("judge", "pairs", "q", "q_low", "q_high", "ties", "chose_longer", "people_longer", "held_out")
    return {
        "data": kept(data),
        **{name: result.evaluation[name] for name in ("gra", "kl", "mean_tokens", "baseline_mean_tokens")},
        **{name: list(rounded(rows[name])) for name in ("outcome", "logratio", "tokens", "baseline_tokens")},
        **placed(ids, [related.get(name, name) for name in ids]),
        "card": {name: card[name] for name in asked},
        "baseline": result.specs["baseline_samples"].fingerprint,
        "judge": result.specs["baseline_scores"].fingerprint,
        "pairs": align["pairs"],
        "steps": align["steps"],
    }


def rounded(values: Sequence[float]) -> Iterator[float | None]:
    """To a thousandth, whole numbers without a point; None for what is not known."""
    for value in values:
        short = round(float(value), 3)
        yield None if math.isnan(short) else int(short) if short.is_integer() else short


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Real pairs and a real language model.")
    usual = Plan()
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="files of pairs: prompt, chosen, rejected")
    parser.add_argument("--model", default=usual.model, help=f"a model folder or hub id (default {usual.model})")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of annotators")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="of policies")
    parser.add_argument("--seeds", type=int, default=3, help="from 0")
    parser.add_argument("--pairs", type=int, default=usual.pairs, help="at most so many training pairs of each file")
    parser.add_argument("--longest", type=int, default=usual.longest, help="tokens of a pair, both with their prompts")
    parser.add_argument("--prompts", type=int, default=usual.prompts, help="held out of each file")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=usual.precision, help="of all stages")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", action="store_true", help="only print the tables")
    options = parser.parse_args(arguments)
    names = [name_of(file) for file in options.data]
    if len(set(names)) < len(names):
        parser.error(f"two files would share the name {max(names, key=names.count)}: rename one, or its folder.")
    plan = Plan(
        model=options.model, pairs=options.pairs, longest=options.longest, prompts=options.prompts,
        precision=options.precision,
    )  # fmt: skip
    failed = 0
    if not options.report:
        import torch

        torch.set_num_threads(options.threads)
        failed = compute(options, plan, settings.home)
    from benchmarks.study_real_report import report

    print(report(names, plan))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
