"""What training and labeling need beyond weights, gradients and optimizer: peaks over three sizes of each.

    python -m benchmarks memory [--anew] [--smallest]

Every size runs in a process of its own. `growth_mb` is the highest resident size while the step or the labeling ran,
less the resident size just before it, behind a first step that has made the optimizer's state. Gradients are freed
after each step, so they are in it: twice vocabulary times width at the head while the tied embedding's is added.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import stage_memory
from benchmarks.measure import Results, Sample, Stopwatch, table
from cwpo.records import CandidatePair

SIZES: dict[str, tuple[dict[str, Any], ...]] = {
    "token budget": tuple({"budget": budget, "vocabulary": 50272, "pairs": 32} for budget in (1024, 2048, 4096)),
    "vocabulary": tuple({"budget": 2048, "vocabulary": v, "pairs": 32} for v in (4096, 50272, 151936)),
    "pairs in a batch": tuple({"budget": 2048, "vocabulary": 50272, "pairs": pairs} for pairs in (16, 64, 256)),
    "pairs to label": tuple({"label": pairs} for pairs in (10_000, 100_000, 1_000_000)),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Peaks of memory over three sizes of each.")
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    parser.add_argument("--smallest", action="store_true", help="only the smallest size of each: tries the code")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        size = json.loads(options.one)
        print(json.dumps((_labeling if "label" in size else _training)(size).as_json()))
        return
    results = Results("memory", anew=options.anew)
    print("Peaks of memory", flush=True)
    for what, sizes in SIZES.items():
        for size in sizes[:1] if options.smallest else sizes:
            results.take(f"{what}: {json.dumps(size)}", 0, lambda size=size: _in_a_process(size))  # type: ignore[misc]
    results.summary = {what: _rows(results, what) for what in SIZES}
    results.save()
    for what, rows in results.summary.items():
        print(f"{what}\n{table(rows)}", flush=True)
    stage_memory.take(anew=options.anew, smallest=options.smallest)


def _rows(results: Results, what: str) -> list[dict[str, Any]]:
    cells = ((cell, samples[0]) for cell, samples in results.cells.items() if cell.startswith(f"{what}: ") and samples)
    names = ("budget", "vocabulary", "pairs", "label")
    return [
        {**json.loads(cell.removeprefix(f"{what}: ")), **{k: v for k, v in sample.items() if k not in names}}
        for cell, sample in cells
    ]


def _in_a_process(size: dict[str, Any]) -> Sample:
    command = [sys.executable, "-m", "benchmarks.memory", "--one", json.dumps(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return Sample(wall=said.pop("wall"), cpu=said.pop("cpu"), faults=said.pop("faults"), more=said)


def _training(size: dict[str, Any]) -> Sample:
    """One step of alignment on a narrow model, so that activations and logits stand out from the weights."""
    from transformers import AutoModelForCausalLM

    from benchmarks import ours, workload

    shape = workload.Shape(family="opt", hidden=128, layers=4, heads=4, vocabulary=size["vocabulary"], inner=512)
    model = AutoModelForCausalLM.from_config(workload.config(shape))
    rows = workload.encoded(workload.typical(size["pairs"], tries=50), size["vocabulary"], first=8)
    warm = workload.encoded(workload.WARM, size["vocabulary"], seed=1)
    peak = _Peak()
    watch = ours.dpo(
        model, warm, rows, batch=size["pairs"], precision="fp32", tokens_per_batch=size["budget"], around=peak
    )
    tokens = sum(row.tokens for row in rows)
    padded = workload.padded_mean(workload.lengths_of(rows), len(rows)) * len(rows)
    watch.more |= {
        "growth_mb": peak.growth_mb,
        "tokens": tokens,
        "all_logits_padded_mb": round(padded * size["vocabulary"] * 4 / 2**20),
    }
    return watch


def _labeling(size: dict[str, Any]) -> Sample:
    """The labels stage on short pairs of a small model, from parquet to parquet."""
    from benchmarks import workload
    from cwpo.annotation.labeling import run_labels
    from cwpo.models.load import save_model
    from cwpo.stages.settings import LabelSettings

    settings = LabelSettings(
        label_fraction=0.0, split_seed=0, precision="fp32", max_length=None, label_dropout=0.0, seed=0
    )
    with tempfile.TemporaryDirectory(prefix="cwpo-bench-") as name:
        folder = Path(name)
        model, words = workload.scorer("opt-nano"), workload.word_tokenizer(256)
        save_model(model, words, folder / "annotator", form="annotator", parent=None)
        inputs = {"annotator": folder / "annotator", "data": _write_pairs(folder / "warm", 64)}
        run_labels(replace(workload.context(settings), inputs=inputs))
        inputs["data"] = _write_pairs(folder / "data", size["label"])
        peak, watch = _Peak(), Stopwatch()
        ctx = replace(workload.context(settings), inputs=inputs)
        with peak:
            watch.start()
            summary = run_labels(ctx)
            watch.stop()
    watch.sample.more |= {"growth_mb": peak.growth_mb, "labeled": summary["n"]}
    return watch.sample


def _write_pairs(folder: Path, count: int) -> Path:
    """A data artifact of pairs of a few random words; written window by window, so that writing leaves no memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cwpo.data.pairs import PAIRS_FILE, write_pairs

    folder.mkdir()
    rng = np.random.default_rng(0)
    write_pairs([_pair(0, rng.integers(3, 256, 12).tolist())], folder)
    schema = pq.read_schema(folder / PAIRS_FILE)
    with pq.ParquetWriter(folder / PAIRS_FILE, schema) as writer:
        for begin in range(0, count, 4096):
            words = rng.integers(3, 256, (min(4096, count - begin), 12)).tolist()
            rows = [asdict(_pair(begin + index, row)) for index, row in enumerate(words)]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return folder


def _pair(number: int, words: list[int]) -> CandidatePair:
    return CandidatePair(
        pair_id=f"{number:016x}",
        prompt_id=f"{number:016x}",
        prompt=_text(words[:6]),
        response_a=_text(words[6:9]),
        response_b=_text(words[9:]),
        human_label="a",
    )


def _text(words: list[int]) -> str:
    return " ".join(f"w{word}" for word in words)


class _Peak:
    """The highest resident size inside a with-block, by a thread that looks every 2 ms."""

    def __init__(self) -> None:
        self._highest = self._before = 0
        self._over = threading.Event()

    def __enter__(self) -> "_Peak":
        self._before = self._highest = _resident()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def growth_mb(self) -> int:
        return round((self._highest - self._before) / 2**20)

    def _look(self) -> None:
        while not self._over.is_set():
            self._highest = max(self._highest, _resident())
            time.sleep(0.002)


def _resident() -> int:
    """Bytes of this process in memory."""
    import psutil

    size: int = psutil.Process().memory_info().rss
    return size


if __name__ == "__main__":
    main()
