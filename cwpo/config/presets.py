"""Ready-made comparisons on the sandbox. Free of torch; a preset is nothing but settings of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cwpo.config.run import merged

METHODS = ("human", "weak", "cw", "top:10", "top:30", "top:50", "oracle")
# What weighting by confidence has to be told apart from, beside weights of 1 and the weights themselves.
CONTROLS = ("weak", "cw", "top:50", "random:50", "bottom:50", "shuffled", "normalised")
TOPICS = ["facts+ask", "math+sum", "harm+mood"]
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
        SandboxPreset(
            name="labels_weights",
            label="Labels × weights",
            shows=(
                "Human and weak labels of the same pairs, each weighted alike and by C, the same weight for a pair "
                "whoever labels it. Where C finds easy pairs it adds as much to human labels; where it finds right "
                "labels, more to weak ones: the difference of the two is a row of the table."
            ),
            methods=("human", "human_cw", "weak", "cw"),
            seeds=(0, 1, 2, 3, 4, 5, 6, 7),
        ),
        SandboxPreset(
            name="shifted",
            label="Labels of other topics",
            shows=(
                "Two annotators label the same pairs of facts and questions: one learned from labels of these topics, "
                "the other from nearly as many of sums, events and moods. Is its confidence lower where it has learned "
                "nothing, and does weighting by it help there?"
            ),
            settings={"data": {"labeled_sources": ["facts+ask", "math+sum+mood"], "unlabeled_sources": "facts+ask"}},
            methods=("human", "weak", "cw"),
        ),
        SandboxPreset(
            name="transfer",
            label="Transfer between topics",
            shows=(
                "Annotators of three groups of topics label the same pairs of each group: how right they are where "
                "they learned and elsewhere, and whether their confidence says so: a matrix, on Compare under "
                "Annotators."
            ),
            settings={
                "data": {"labeled_sources": TOPICS, "unlabeled_sources": TOPICS, "unlabeled_fraction": 0.5},
            },
            methods=("weak",),
        ),
        SandboxPreset(
            name="annotators",
            label="Annotators of different quality",
            shows=(
                "Six annotators, by the share of labels and the epochs that they learn, each under weights of 1 and of "
                "C on the same pairs: does C gain more where it is calibrated, or where it sorts? Compare has CW − "
                "weak beside ECE and AUROC of C, under Annotators. Four seeds do not tell a gain of a few points from "
                "none."
            ),
            settings={
                "data": {"label_fraction": [0.05, 0.3], "unlabeled_fraction": 0.5},
                "annotator": {"epochs": [1, 5, 10]},
            },
            methods=("weak", "cw"),
        ),
        SandboxPreset(
            name="blind_spots",
            label="Blind spots",
            shows=(
                "Where the aligned policy is confident and wrong, by how sure its annotator was: one more pass over "
                "its pairs, on the page of each run under its result."
            ),
            settings={"evaluation": {"blind_spots": True}},
            methods=("weak", "cw"),
        ),
        SandboxPreset(
            name="tuned",
            label="β tuned for each method",
            shows=(
                "Every method at the same four β: a third of the held-out prompts chooses the β of each, the others "
                "say who is better at its own. A method that only liked the usual β better loses what it had of it."
            ),
            settings={"align": {"beta": [0.1, 0.25, 0.5, 1.0]}},
            methods=("human", "weak", "cw"),
        ),
        SandboxPreset(
            name="bounds",
            label="What weights could reach",
            shows=(
                "Confidence beside one who knows: the weak labels that are right alone, the 30 % of pairs with the "
                "largest true gap beside the 30 % with the largest margin, and true labels on all pairs. What CW lacks "
                "of the right labels is the most that a better confidence could add."
            ),
            methods=("weak", "cw", "top:30", "top_true:30", "correct", "oracle"),
        ),
    )
}


def comparison(preset: SandboxPreset) -> dict[str, Any]:
    """The preset as a configuration with lists, one run per method and seed (`cwpo.config.run.expand`)."""
    return merged({"method": list(preset.methods), "seed": list(preset.seeds)}, preset.settings)
