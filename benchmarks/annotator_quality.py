"""Does weighting by C gain more where the annotator's confidence is calibrated, or where it sorts?

    python -m benchmarks annotator_quality [--seeds 4] [--smallest] [--report]

The annotators of configs/sandbox-annotators.yaml (share of labels, swapped labels, epochs), one that labels with
dropout on, and C at temperatures that change its calibration and neither its order nor a label, on a smaller sandbox.
Each runs under uniform weights and under C; the table has CW − weak beside ECE and AUROC of C against the human labels
of the pool. Runs are kept one by one: a sweep that is started again goes on behind the last.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.measure import Results, Sample, table
from benchmarks.study_real import placed
from benchmarks.study_real_report import clusters_of
from cwpo.bounds import yaml_text
from cwpo.compare.configured_run import ConfiguredRun, configured_run
from cwpo.compare.questions.gains import GainRow, Quality, gains, rank_correlation
from cwpo.config.run import RunConfig, expand, merged
from cwpo.data.related.outcomes import CLUSTER
from cwpo.statistics import calibration

HOME = Path("var/benchmarks/annotator-quality")
SWEEP = Path(__file__).parents[1] / "configs" / "sandbox-annotators.yaml"
TEMPERATURES = (0.5, 2.0, 4.0)  # of C; the annotator that they are applied to is the best one
BEST: dict[str, Any] = {"data": {"label_fraction": 0.3, "swapped_labels": 0.0}, "annotator": {"epochs": 5}}
SMALLER: dict[str, Any] = {
    "data": {"sandbox": {"pairs": 1000}, "test_prompts": 200}, "evaluation": {"samples": 1}, "salt": "quality",
}  # fmt: skip
SMALLEST: dict[str, Any] = {
    "data": {"sandbox": {"pairs": 200}, "test_prompts": 20, "label_fraction": 0.3, "swapped_labels": [0.0, 0.4]},
    "annotator": {"epochs": 1}, "align": {"epochs": 1},
}  # fmt: skip
QUALITIES = ("ece", "auroc", "accuracy")


def configs(seeds: int, *, smallest: bool = False) -> Iterator[RunConfig]:
    """Setting by setting over its seeds, so that what is there is balanced at any time."""
    sweep = merged(yaml_text.read_file(SWEEP), {**SMALLER, "seed": list(range(seeds))})
    if smallest:
        yield from expand(merged(sweep, SMALLEST))
        return
    yield from expand(sweep)
    best = merged(sweep, BEST)
    yield from expand(merged(best, {"annotator": {"label_dropout": 0.4}}))
    for value in TEMPERATURES:
        yield from expand(merged(best, {"method": "cw", "weighting": {"name": "temperature", "temperature": value}}))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What C gains, beside how calibrated it is.")
    parser.add_argument("--seeds", type=int, default=4, help="of every setting, from 0")
    parser.add_argument("--smallest", action="store_true", help="two small annotators: tries the code, keeps no file")
    parser.add_argument("--report", action="store_true", help="only the table of what is there")
    parser.add_argument("--home", type=Path, default=HOME, help="where artifacts are kept")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    name = "annotator_quality-smallest" if options.smallest else "annotator_quality"
    results = Results(name, anew=options.smallest)
    wanted = list(configs(options.seeds, smallest=options.smallest))
    for config in () if options.report else wanted:
        results.take(config.hash()[:16], 0, lambda config=config: sample(config, options.home))  # type: ignore[misc]
    found = gain_rows([config for config in wanted if config.hash()[:16] in results.cells], results.cells)
    results.summary = summary(found)
    results.save()
    print(table(results.summary["annotators"]))
    print(table([results.summary["rank correlation with the gain"]]), flush=True)
    if options.smallest:
        results.path.unlink()


def sample(config: RunConfig, home: Path) -> Sample:
    """One run: outcomes by prompt, and how its C is calibrated."""
    from cwpo.evaluation.gra import OUTCOMES_FILE
    from cwpo.stages.pipeline import run
    from cwpo.training.preferences import ANNOTATIONS_FILE

    result = run(config, home=home)
    rows = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE).sort_values("prompt_id")
    clusters = result.stages["prompts"].summary.get("test_groups") or []
    known = {prompt: group[0] for group in clusters for prompt in group}
    prompts = rows["prompt_id"].tolist()
    labels = pd.read_parquet(result.stages["labels"].path / ANNOTATIONS_FILE)
    more = {
        **compact(prompts, [known.get(prompt, prompt) for prompt in prompts], rows["outcome"].tolist()),
        "quality": asdict(quality_of(labels, config.weighting_values.get("temperature") or 1.0)),
    }
    return Sample(wall=sum(stage.seconds for stage in result.stages.values() if stage.computed), more=more)


def compact(prompts: Sequence[str], units: Sequence[str], outcomes: Sequence[float]) -> dict[str, Any]:
    """Outcomes by prompt in few letters, and which prompts they are of; prompts of one unit belong together."""
    return {**placed(prompts, units), "outcomes": " ".join(f"{outcome:g}" for outcome in outcomes)}


def outcomes_of(cell: Mapping[str, Any]) -> pd.DataFrame:
    """What `compact` kept, under names that are the same for the same prompts."""
    outcomes = [float(outcome) for outcome in cell["outcomes"].split()]
    return pd.DataFrame({
        "prompt_id": [f"{cell['of']}-{place}" for place in range(len(outcomes))],
        CLUSTER: [f"{cell['of']}-{place}" for place in clusters_of(len(outcomes), cell["together"])],
        "outcome": outcomes,
    })  # fmt: skip


def quality_of(labels: pd.DataFrame, temperature: float = 1.0) -> Quality:
    """Of C = tanh(Δ / 2T) against the human labels; the order of C does not depend on T."""
    known = labels[labels["human_label"].notna()]
    sure = calibration.confidence(known["margin"].to_numpy() / temperature)
    right = (known["label"] == known["human_label"]).to_numpy()
    return Quality(
        accuracy=float(right.mean()),
        ece=calibration.ece(sure, right),
        auroc=calibration.auroc(sure, right),
        mean_confidence=float(sure.mean()),
    )


def gain_rows(configs: list[RunConfig], cells: Mapping[str, list[dict[str, Any]]]) -> list[GainRow]:
    """CW − weak of every annotator, C at a temperature against the weak labels of the annotator that it is of."""
    runs, by_run, frames, quality = [], {}, [], {}
    for number, config in enumerate(configs, start=1):
        cell = cells[config.hash()[:16]][0]
        runs.append(configured_run(number, config, config.group_key()))
        by_run[number], quality[number] = config, Quality(**cell["quality"])
        frames.append(outcomes_of(cell).assign(run_id=number, logratio=np.nan))
    outcomes = pd.concat(frames, ignore_index=True)
    return gains(runs, outcomes, by_run, quality, pairs=list(dict.fromkeys(_pairs(runs, by_run))))


def _pairs(runs: list[ConfiguredRun], configs: Mapping[int, RunConfig]) -> Iterator[tuple[str, str]]:
    """Settings with the same labels, whatever C is divided by."""
    alike = {_labels(configs[run.id]): run.group_key for run in runs if run.method == "weak"}
    for run in runs:
        other = alike.get(_labels(configs[run.id]))
        if run.method == "cw" and other is not None:
            yield run.group_key, other


def _labels(config: RunConfig) -> str:
    return f"{config.data.model_dump_json()} {config.annotator.model_dump_json()} {config.objective}"


def summary(rows: list[GainRow]) -> dict[str, Any]:
    """The table in points, and Spearman's ρ of the gain with each quality."""
    lines = [
        {
            "annotator": row.label, "accuracy": _rounded(row.accuracy), "ECE": _rounded(row.ece),
            "AUROC": _rounded(row.auroc), "mean C": _rounded(row.mean_confidence), "CW − weak": _points(row.estimate),
            "from": _points(row.low), "to": _points(row.high), "verdict": row.told or row.reason,
            "seeds": row.n_seeds, "prompts": row.n_prompts,
        }
        for row in rows
    ]  # fmt: skip
    correlations = {name: _rounded(rank_correlation(rows, name), 2) for name in QUALITIES}
    return {"annotators": lines, "rank correlation with the gain": correlations}


def _points(value: float | None) -> float | None:
    return _rounded(None if value is None else 100 * value, 1)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


if __name__ == "__main__":
    main()
