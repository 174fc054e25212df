"""Two kinds of annotator on real pairs: a Bradley–Terry head, and the implicit reward of the model after SFT and DPO.

    python -m benchmarks annotators --data FILE --model FOLDER [--seeds 5] [--rates 3e-4 1e-3] [--anew]

Through the stages of a run, up to the labels. All seeds label the same hidden pairs, so accuracies are a seeds × pairs
table, clustered by prompt. With several rates, a kind gets the one with the highest accuracy on another split, with
another seed. Seconds are CPU seconds of all stages that a kind needs beside the data.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from benchmarks.measure import Results, Sample, Stopwatch, table
from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.data.pairs import load_pairs
from cwpo.stages.execute import execute
from cwpo.stages.graph import StageSpec, build
from cwpo.statistics.intervals import crossed, paired_difference
from cwpo.training.preferences import ANNOTATIONS_FILE

METHODS = {"Bradley–Terry": "weak", "implicit reward": "ws"}
TUNING_SEED, TUNING_SPLIT, SPLIT = 100, 1, 0
LAST = "labels"
CALIBRATION = ("ece", "ece_null_high", "brier", "log_loss", "auroc")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Kinds of annotator on real pairs.")
    parser.add_argument("--data", type=Path, required=True, help="a file of pairs: prompt, chosen, rejected")
    parser.add_argument("--model", type=Path, required=True, help="a folder with a causal model")
    parser.add_argument("--fraction", type=float, default=0.3, help="share of the labels that the annotator sees")
    parser.add_argument("--pairs", type=int, default=None, help="at most so many pairs of the file; default: all")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3], help="learning rates to choose from")
    parser.add_argument("--epochs", type=float, default=3, help="passes over the labeled pairs, in every training")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    results = Results("annotators", anew=options.anew)
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        rates = {kind: _tuned(results, store, options, kind) for kind in METHODS}
        for seed in range(options.seeds):
            for kind, rate in rates.items():
                results.take(kind, seed, partial(label, store, config_of(options, kind, rate, seed, SPLIT)))
    settings = {"data": options.data.name, "model": options.model.name, "label_fraction": options.fraction,
                "epochs": options.epochs, "rates": rates}  # fmt: skip
    results.summary = {
        "settings": settings,
        **summarise({kind: results.cells[kind][: options.seeds] for kind in METHODS}),
    }
    results.save()
    print(table(results.summary["kinds"]))
    print(table(results.summary["differences"]))


def config_of(options: argparse.Namespace, kind: str, rate: float, seed: int, split: int) -> RunConfig:
    """A run whose stages up to the labels are what is measured."""
    model, train = str(options.model), {"epochs": options.epochs, "lr": rate, "batch_size": 32}
    return RunConfig.parse(
        {
            "method": METHODS[kind],
            "seed": seed,
            "seeds": {"split": split},
            "data": {
                "dataset": str(options.data),
                "label_fraction": options.fraction,
                "max_pairs": options.pairs,
                "test_prompts": 20,
            },
            "model": {"annotator": model, "policy": model, "lora": None, "precision": "fp32"},
            "annotator": train,
            "sft": {**train, "data": "labeled"},
            "evaluation": {"gold_reward": "trained"},
        }
    )


def needed(specs: Mapping[str, StageSpec], last: str = LAST) -> list[str]:
    """The slots that a slot reads, directly or not, and itself, in order."""
    wanted = {last}
    for slot in reversed(list(specs)):
        if slot in wanted:
            wanted |= set(specs[slot].inputs.values())
    return [slot for slot in specs if slot in wanted]


def label(store: ArtifactStore, config: RunConfig) -> Sample:
    """Run the stages; a row of the table, in the order of the pairs' ids, and the figures of the summary."""
    specs, watch, prompts = build(config), Stopwatch(), dict[str, str]()
    for slot in needed(specs):
        spec = specs[slot]
        watch.start()
        done = execute(
            store=store,
            fingerprint=spec.fingerprint,
            settings=spec.settings,
            inputs=spec.input_fingerprints,
        )
        if slot == "data":
            prompts = {pair.pair_id: pair.prompt_id for pair in load_pairs(done.path)}
        else:
            watch.stop()
    rows = pq.read_table(done.path / ANNOTATIONS_FILE, columns=["pair_id", "label", "human_label"]).to_pylist()
    rows = sorted((row for row in rows if row["human_label"] is not None), key=lambda row: row["pair_id"])
    judged = done.summary["human"]
    clusters = np.unique([prompts[row["pair_id"]] for row in rows], return_inverse=True)[1]
    watch.sample.more = {
        "right": "".join("01"[row["label"] == row["human_label"]] for row in rows),
        "prompts": " ".join(map(str, clusters)),
        **{name: judged[name] for name in CALIBRATION},
        **{name: judged[name]["estimate"] for name in ("mean_confidence", "gap")},
        "rivals": {rival["name"]: rival["accuracy"] for rival in done.summary["rivals"]},
    }
    return watch.sample


def summarise(cells: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One row per kind, the paired difference in accuracy, and what length and words alone reach."""
    tables = {kind: outcomes(cells[kind]) for kind in METHODS}
    first, second = METHODS
    prompts = [int(number) for number in cells[first][0]["prompts"].split()]
    found = paired_difference(tables[second], tables[first], prompts)
    difference = {"difference": f"{second} − {first}, points", **_points(found.estimate, found.low, found.high)}
    rivals = [{"rival": name, **_points(*(mean[part] for part in ("estimate", "low", "high")))}
              for name, mean in cells[first][0]["rivals"].items()]  # fmt: skip
    return {
        "kinds": [_row(kind, cells[kind], tables[kind], prompts) for kind in METHODS],
        "differences": [difference],
        "rivals": rivals,
        "pairs": tables[first].shape[1],
    }


def outcomes(samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(seeds, pairs) of 1 for a right label."""
    return np.array([[float(digit) for digit in sample["right"]] for sample in samples])


def over_seeds(values: Sequence[float]) -> str:
    """Mean and half width of the t interval over seeds."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def _tuned(results: Results, store: ArtifactStore, options: argparse.Namespace, kind: str) -> float:
    """The rate with the highest accuracy on the other split."""
    if len(options.rates) == 1:
        return float(options.rates[0])
    scores = {}
    for rate in options.rates:
        cell = f"{kind}, rate {rate:g}, other split"
        config = config_of(options, kind, rate, TUNING_SEED, TUNING_SPLIT)
        results.take(cell, 0, partial(label, store, config))
        scores[rate] = outcomes(results.cells[cell]).mean()
    return max(scores, key=lambda rate: float(scores[rate]))


def _row(kind: str, samples: Sequence[Mapping[str, Any]], found: np.ndarray, prompts: Sequence[int]) -> dict[str, Any]:
    accuracy = crossed(found, prompts)
    return {
        "kind": kind,
        "seeds": len(samples),
        **_points(accuracy.estimate, accuracy.low, accuracy.high),
        **{name: over_seeds([sample[name] for sample in samples]) for name in (*CALIBRATION, "mean_confidence", "gap")},
        "CPU seconds": over_seeds([sample["cpu"] for sample in samples]),
    }


def _points(estimate: float, low: float, high: float) -> dict[str, float]:
    return {"accuracy, %": round(100 * estimate, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}


if __name__ == "__main__":
    main()
