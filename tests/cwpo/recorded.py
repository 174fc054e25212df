"""Every stage kind on one fixed tiny input, and the numbers it gave when its version was last raised.

`python -m tests.cwpo.recorded` writes them anew, after a version in `cwpo/stages/kinds.py` was raised.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig, merged
from cwpo.stages.execute import StageResult, execute
from cwpo.stages.from_config import WORLD_VERSION
from cwpo.stages.graph import build
from cwpo.stages.kinds import KINDS, stored_settings
from cwpo.stages.pipeline import RunResult, run
from tests.cwpo import tiny
from tests.cwpo.judge_models import judge_folder

FILE = Path(__file__).with_name("recorded_stages.json")
_FAMILIES = {"annotator": "qwen2", "policy": "opt"}
BASE = {"family": "opt", "hidden_size": 8, "layers": 1, "heads": 2, "ffn": 16, "epochs": 0.05, "lr": 3e-3}


def run_every_stage(folder: Path) -> dict[str, dict[str, float]]:
    """Stage kind -> the numbers of its summary."""
    result = run(config(folder), home=folder / "home")
    numbers = {
        spec.kind: dict(_numbers(result.stages[slot].summary))
        for slot, spec in result.specs.items()
        if not slot.startswith("baseline")
    }
    numbers["online"] = dict(_numbers(_online(result, folder).summary))
    base = {"model": "sandbox/recorded", "architecture": BASE, "world_version": WORLD_VERSION, "seed": 0}
    stage = execute(
        store=ArtifactStore(folder / "base"), fingerprint="0" * 64, settings=stored_settings("base", base), inputs={}
    )
    return {**numbers, "base": dict(_numbers(stage.summary))}


def _online(offline: RunResult, folder: Path) -> StageResult:
    """The alignment of the same run on fresh pairs, whose inputs are there already."""
    asked = {"align": {"online": {}}, "evaluation": {"along": None}}
    spec = build(RunConfig.parse(merged(offline.config.canonical(), asked)))["align"]
    return execute(
        store=ArtifactStore(folder / "home" / "artifacts"),
        fingerprint=spec.fingerprint,
        settings=spec.settings,
        inputs=spec.input_fingerprints,
    )


def recorded() -> dict[str, Any]:
    """Stage kind -> {version, numbers}."""
    stored: dict[str, Any] = json.loads(FILE.read_text())
    return stored


def config(folder: Path) -> RunConfig:
    rows = [
        {
            "prompt": f"w{index % 11} w{index % 7} w{index % 5}",
            "chosen": " ".join(f"w{(index * 7 + word) % 20 + 20}" for word in range(3 + index % 4)),
            "rejected": " ".join(f"w{(index * 5 + word) % 20}" for word in range(2 + index % 5)),
        }
        for index in range(120)
    ]
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {
        "annotator": str(tiny.save(folder / "annotator", "qwen2")),
        "policy": str(tiny.save(folder / "policy", "opt")),
    }
    train = {"epochs": 1, "lr": 1e-3, "batch_size": 16, "warmup_steps": 0}
    judge = str(judge_folder(folder / "judge"))
    return RunConfig.parse(
        {
            "method": "cw",
            "rules": 1,
            "data": {"dataset": str(file), "label_fraction": 0.4, "test_prompts": 20},
            "model": {**names, "lora": {"r": 2}, "precision": "fp32"},
            "annotator": {**train, "dropout": 0.0, "calibrate": True},
            "sft": train,
            "align": train,
            "evaluation": {
                "gold_reward": "trained",
                "gold_train": train,
                "max_new_tokens": 8,
                "samples": 2,
                "judge": {"kind": "local", "model": judge, "verdicts": "logits", "human_labels": True},
                "along": {"checkpoints": 2, "prompts": 10, "best_of": 4},
            },
        }
    )


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{name}[{index}]")
    elif isinstance(value, int | float):
        yield name, float(value)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        numbers = run_every_stage(Path(folder))
    stored = {name: {"version": kind.version, "numbers": numbers[name]} for name, kind in KINDS.items()}
    FILE.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
