"""What the runs of a scene read: a random model of two layers and word salad; every stage takes well under a second."""

import json
import random
from pathlib import Path
from typing import Any

from tests.cwpo import tiny

PAIRS, PROMPTS = 120, 12


def materials(folder: Path) -> dict[str, Any]:
    """A configuration over them."""
    folder.mkdir(parents=True, exist_ok=True)
    model, dice = str(tiny.save(folder / "model", "opt")), random.Random(0)

    def words(count: int) -> str:
        return " ".join(dice.choice(tiny.WORDS) for _ in range(count))

    pairs = [{"prompt": words(5), "chosen": words(6), "rejected": words(4)} for _ in range(PAIRS)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    train = {"epochs": 1, "lr": 1e-3, "batch_size": 16}
    return {
        "method": "cw",
        "data": {"dataset": str(folder / "pairs.jsonl"), "test_prompts": PROMPTS},
        "model": {"annotator": model, "policy": model, "lora": None, "precision": "fp32"},
        "annotator": train,
        "sft": {"data": "none"},
        "align": train,
        "evaluation": {"max_new_tokens": 6, "gold_reward": "trained", "gold_train": train},
        "execution": {"device": "cpu"},
    }
