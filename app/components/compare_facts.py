"""The caption of Compare: what all the runs shown have in common, and how GRA is counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.components.formats import counted, dataset_name, models, objective_name, share
from db.records import RunRow
from workers.report import GraRow

OPPONENTS: Mapping[str, str] = {
    "none": "against the policy before alignment",
    "own": "against each method's own SFT model",
    "common": "against one SFT model for all",
}
SEVERAL = "several opponents"


def facts(rows: Sequence[RunRow], table: Sequence[GraRow], configs: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """settings · models · data · labels · objective · seeds · prompts · opponent · tie rule."""
    words = [counted(len({row.group_key for row in rows}), "setting")]
    words.append(_same({models(row.annotator, row.policy) for row in rows if row.annotator}, "several model pairs")
                 or _same({models(None, row.policy) for row in rows}, "several policies"))  # fmt: skip
    words.append(_same({dataset_name(row.dataset) for row in rows}, "several datasets"))
    words.append(_same({f"{share(row.label_fraction)} labels" for row in rows}, "several label fractions"))
    words.append(_same({objective_name(row.objective) for row in rows}, "several objectives"))
    words.append(counted(len({row.seed for row in rows}), "seed"))
    if table:
        words.append(_same({counted(row.n_prompts, "prompt") for row in table}, "several prompt sets"))
        words.append(opponent([row for row in rows if row.id in configs], configs))
        words.append("ties count half")
    return [word for word in words if word]


def opponent(rows: Sequence[RunRow], configs: Mapping[int, Mapping[str, Any]]) -> str:
    """Whose answers decide GRA. What is called one for all is one under every seed; else it is several."""
    kinds = {_opponent(configs[row.id]) for row in rows}
    known = {(row.seed, row.baseline) for row in rows if row.baseline}
    if len(kinds) > 1 or ("own" not in kinds and len(known) > len({seed for seed, _ in known})):
        return SEVERAL
    return OPPONENTS[kinds.pop()] if kinds else ""


def _opponent(config: Mapping[str, Any]) -> str:
    """The labeled part is the same for every method, and so is the SFT model that learned from it."""
    data = config["sft"]["data"]
    if data == "none":
        return "none"
    return "common" if data == "labeled" else str(config["evaluation"]["baseline"])


def _same(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else (otherwise if values else "")
