"""Ready-made comparisons on the sandbox. Free of torch; a preset is nothing but settings of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cwpo.config.run import merged

METHODS = ("human", "weak", "cw", "top:10", "top:30", "top:50", "oracle")
# What weighting by confidence has to be told apart from, beside weights of 1 and the weights themselves.
CONTROLS = ("weak", "cw", "top:50", "random:50", "bottom:50", "shuffled", "normalised")
CONTROLS_SHOW = (
    "Whether weighting by confidence does more than its controls: half of the pairs by chance, or the least confident "
    "half alone; the same weights shuffled over the pairs, or divided by their mean."
)


@dataclass(frozen=True, kw_only=True)
class SandboxPreset:
    """Settings that all runs of the comparison share, and the methods and seeds that it runs over."""

    name: str
    label: str
    shows: str  # what can be seen in it, in one honest sentence
    settings: Mapping[str, Any] = field(default_factory=dict)  # laid on the sandbox's defaults
    methods: tuple[str, ...] = METHODS
    seeds: tuple[int, ...] = (0, 1, 2, 3)


PRESETS: Mapping[str, SandboxPreset] = {
    preset.name: preset
    for preset in (
        SandboxPreset(
            name="steady",
            label="Steady annotator",
            shows=(
                "Confidence sorts the weak labels by accuracy, and 30 % of the human labels go a long way; "
                "weighting by confidence is about equal to uniform weights, because a steady annotator's "
                "unsure labels still teach something."
            ),
        ),
        SandboxPreset(
            name="unsteady",
            label="Unsteady annotator",
            shows=(
                "Labels are drawn with dropout on, so an unsure label is close to a coin toss: here confidence "
                "weighting tends to beat uniform weights at equal settings, and labeling with dropout off beats both."
            ),
            settings={"annotator": {"epochs": 3, "early_stopping": True, "label_dropout": 0.4}},
            seeds=(0, 1, 2, 3, 4, 5, 6, 7),
        ),
        SandboxPreset(name="controls", label="Controls", shows=CONTROLS_SHOW, methods=CONTROLS),
        SandboxPreset(
            name="along",
            label="Over-optimisation along training",
            shows=(
                "What a reward model that was trained here says of models along the alignment, beside the truth and "
                "the best of n answers of the opponent, at a small β, where models move far."
            ),
            settings={"align": {"beta": 0.1}, "evaluation": {"gold_reward": "trained", "along": {}, "card": True}},
            methods=("human", "weak", "cw"),
        ),
    )
}


def comparison(preset: SandboxPreset) -> dict[str, Any]:
    """The preset as a configuration with lists, one run per method and seed (`cwpo.config.run.expand`)."""
    return merged({"method": list(preset.methods), "seed": list(preset.seeds)}, preset.settings)
