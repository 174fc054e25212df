"""What a run can be made of: objectives, weightings, methods, datasets, models, gold rewards. Names and rows only.

Free of torch, so that a form can list everything; the functions behind the rows live in `cwpo/training/objectives.py`,
`cwpo/training/weighting.py`, `cwpo/data/readers/` and `cwpo/evaluation/gold.py`, and a test compares the two.
"""

from collections.abc import Mapping
from typing import Any

from cwpo.config.catalog_data import (
    ABOVE_7B,
    DATASETS,
    GOLD_REWARDS,
    MODEL_PAIRS,
    MODEL_PINS,
    SANDBOX_MODELS,
    DatasetRow,
    GoldRewardRow,
    ModelPairRow,
    ModelPin,
    SandboxModelRow,
)
from cwpo.config.rows.methods import (
    METHODS,
    WEIGHTINGS,
    AnnotatorKind,
    LabelSource,
    MethodRow,
    Part,
    WeightingRow,
)
from cwpo.config.rows.objectives import OBJECTIVES, ObjectiveRow

__all__ = [
    "ABOVE_7B",
    "DATASETS",
    "GOLD_REWARDS",
    "METHODS",
    "MODEL_PAIRS",
    "MODEL_PINS",
    "OBJECTIVES",
    "ONLINE",
    "SANDBOX_MODELS",
    "WEIGHTINGS",
    "AnnotatorKind",
    "DatasetRow",
    "GoldRewardRow",
    "LabelSource",
    "MethodRow",
    "ModelPairRow",
    "ModelPin",
    "ObjectiveRow",
    "Part",
    "SandboxModelRow",
    "WeightingRow",
    "method_label",
    "weighting_label",
]

ONLINE = "online"  # behind the name of a method whose pairs are the policy's own answers


def method_label(method: str, top_percent: float | None, weighting: str = "") -> str:
    """What people read: "Top 30 %" for `top` at 30; `weighting` is named where it is not the method's own."""
    label = METHODS[method].label
    if top_percent is not None:
        label = label.replace("N %", f"{top_percent:g} %")
    return f"{label} · {weighting}" if weighting else label


def objective_label(name: str) -> str:
    """What people read; a name that the catalog does not know stays as it is."""
    row = OBJECTIVES.get(name)
    return row.label if row else name


def short_name(model: str | None) -> str:
    """The last piece of a hub id or a path."""
    return (model or "").rstrip("/").rpartition("/")[2]


def model_name(name: str) -> str:
    """A hub id as it is; of a folder the last piece alone, because a path is this machine's own."""
    pieces = name.rstrip("/").split("/")
    return name if len(pieces) <= 2 and pieces[0] not in ("", ".", "..", "~") else pieces[-1]


def weighting_label(name: str, values: Mapping[str, Any]) -> str:
    """A weighting with its parameters: "min(0.2Δ, 1)"."""
    words = {
        "clipped": lambda: f"min({'' if values['slope'] == 1 else format(values['slope'], 'g')}Δ, 1)",
        "power": lambda: f"C^{values['gamma']:g}",
        "threshold": lambda: f"C ≥ {values['threshold']:g}",
        "temperature": lambda: (
            "C at fitted T" if values["temperature"] is None else f"C at T = {values['temperature']:g}"
        ),
        "top": lambda: f"top {values['percent']:g} %",
        "bottom": lambda: f"lowest {values['percent']:g} %",
        "random": lambda: f"random {values['percent']:g} %",
        "top_true": lambda: f"top {values['percent']:g} % by true gap",
    }
    return words[name]() if name in words else WEIGHTINGS[name].label
