"""Run by test_hub.py in a process of its own: the hub's clients read HF_ENDPOINT when they are imported.

Reads a list of questions from stdin and writes one answer each: {"value": …} or {"error": type, "sentence": text}.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import CwpoError


def policy(home: Path, name: str, revision: str | None) -> Any:
    import torch

    from cwpo.models.load import ModelRef, load_policy

    settings: dict[str, Any] = {"device": "cpu", "precision": "fp32", "trainable": False, "lora": None, "seed": 0}
    loaded = load_policy(ModelRef(name=name, revision=revision), store=ArtifactStore(home / "artifacts"), **settings)
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([[1, 5, 9]])).logits
    return {"sum": float(logits.double().abs().sum()), "ids": loaded.tokenizer("w3 w4").input_ids}


def data(home: Path, **config: Any) -> Any:
    from cwpo.data.pairs import load_pairs, load_prompts
    from cwpo.data.stage import run_data
    from cwpo.stages.context import StageContext
    from cwpo.stages.kinds import stored_settings

    out = home / f"data{len(list(home.glob('data*')))}"
    out.mkdir(parents=True)
    usual = {"max_pairs": None, "length_rule": None, "evaluation_seed": 0, "sandbox": None}
    settings: Any = stored_settings("data", {"revision": None, "subset": None, **usual, **config})
    store = ArtifactStore(home / "artifacts")
    ctx = StageContext(kind="data", settings=settings, inputs={}, out=out, checkpoints=out, store=store)
    summary = run_data(ctx)
    prompts = [prompt.prompt for prompt in load_prompts(out)]
    return {"summary": summary, "first": load_pairs(out)[0].prompt, "prompts": prompts}


def revision(home: Path, kind: Any, name: str, wanted: str | None) -> str:
    from cwpo.models.hub import resolve_revision

    return resolve_revision(kind, name, wanted, field="the.field")


def check(home: Path, name: str, wanted: str | None) -> str:
    from cwpo.models.hub import check_model

    return check_model(name, wanted, home=home, field="the.field")


def converted(home: Path, name: str) -> Any:
    from cwpo.models.convert import convert

    folder = convert(name, home=home)
    return {"files": sorted(file.name for file in folder.iterdir()), "about": (folder / "converted.json").read_text()}


def heavy(home: Path) -> list[str]:
    return [name for name in ("torch", "transformers", "datasets") if name in sys.modules]


ACTIONS: dict[str, Callable[..., Any]] = {
    "policy": policy,
    "data": data,
    "revision": revision,
    "check": check,
    "convert": converted,
    "heavy": heavy,
}


def main() -> None:
    home = Path(sys.argv[1])
    answers: list[dict[str, Any]] = []
    for action, arguments in json.load(sys.stdin):
        try:
            call = ACTIONS[action]
            value = call(home, **arguments) if isinstance(arguments, dict) else call(home, *arguments)
            answers.append({"value": value})
        except CwpoError as error:
            answers.append({"error": type(error).__name__, "sentence": str(error)})
    sys.stdout.write("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
