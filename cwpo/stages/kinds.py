"""The kinds of stages, declared once: version, settings, inputs, names for people and function. Free of torch.

Raise a version when the same input gives another output; a test on recorded output reminds by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cwpo.errors import SettingsError
from cwpo.stages import settings as of
from cwpo.stages.along.settings import AlongSettings, BestOfSettings
from cwpo.stages.online import OnlineSettings
from cwpo.stages.plain import from_plain


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of stage."""

    name: str
    version: int
    settings: type[of.Settings]
    inputs: tuple[str, ...]  # names of what it may read; * for a number
    label: str  # what people read in a table
    title: str = ""  # and on a page of one run, where it differs
    function: str  # dotted, so that this table imports neither torch nor a stage that is not run
    light: bool = False  # only shuffles rows: any worker can do it, GPU or not
    shared: bool = False  # several processes, one per card, can compute it together
    trains: bool = False  # a model
    scalar: bool = False  # what it trains has a scalar head instead of the language model's

    def reads(self, name: str) -> bool:
        """Whether an input of that name is declared."""
        return any(fnmatchcase(name, declared) for declared in self.inputs)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="data", version=1, settings=of.DataSettings, inputs=(), light=True,
            label="Pairs", function="cwpo.data.stage:run_data",
        ),
        Kind(
            name="base", version=1, settings=of.BaseSettings, inputs=(), trains=True,
            label="Base", title="Base model", function="cwpo.training.sandbox_base:run_base",
        ),
        Kind(
            name="annotator", version=1, settings=of.AnnotatorSettings, inputs=("data", "base"), shared=True,
            trains=True, scalar=True, label="Annotator", title="Weak annotator",
            function="cwpo.annotation.annotator:run_annotator",
        ),
        Kind(
            name="calibration", version=1, settings=of.CalibrationSettings, inputs=("data", "base"), shared=True,
            trains=True, scalar=True, label="Calibration", function="cwpo.annotation.annotator:run_calibration",
        ),
        Kind(
            name="labels", version=5, settings=of.LabelSettings, inputs=("data", "annotator", "annotator_*"),
            shared=True, label="Labels", title="Weak labels", function="cwpo.annotation.labeling:run_labels",
        ),
        Kind(
            name="sft", version=1, settings=of.SftSettings, shared=True, inputs=("data", "labels", "base"), trains=True,
            label="SFT", function="cwpo.training.sft:run_sft",
        ),
        Kind(
            name="reference", version=1, settings=of.ReferenceSettings, shared=True,
            inputs=("data", "start", "labels", "reference"), label="Reference", title="Reference log-probs",
            function="cwpo.training.reference:run_reference",
        ),
        Kind(
            name="align", version=2, settings=of.AlignSettings, shared=True, trains=True,
            inputs=("data", "labels", "calibration", "reference", "start"),
            label="Alignment", function="cwpo.training.align:run_align",
        ),
        Kind(
            name="online", version=1, settings=OnlineSettings, trains=True,
            inputs=("data", "annotator", "annotator_*", "calibration", "start"),
            label="Online alignment", function="cwpo.online.stage:run_online",
        ),
        Kind(
            name="samples", version=1, settings=of.SampleSettings, inputs=("prompts", "model", "reference_model"),
            shared=True, label="Answers", function="cwpo.evaluation.generation:run_samples",
        ),
        Kind(
            name="gold", version=1, settings=of.GoldSettings, inputs=("data", "base"), shared=True, trains=True,
            scalar=True, label="Gold reward", function="cwpo.evaluation.gold:run_gold",
        ),
        Kind(
            name="scores", version=1, settings=of.ScoreSettings, shared=True, inputs=("samples", "prompts", "gold"),
            label="Scores", function="cwpo.evaluation.gold:run_scores",
        ),
        Kind(
            name="evaluation", version=2, settings=of.EvaluationSettings, light=True,
            inputs=("samples", "baseline_samples", "scores", "baseline_scores"),
            label="Evaluation", function="cwpo.evaluation.gra:run_evaluation",
        ),
        Kind(
            name="judge", version=1, settings=of.JudgeSettings, inputs=("prompts", "samples", "baseline_samples"),
            label="Judge model", function="cwpo.evaluation.judges.stage:run_judge",
        ),
        Kind(
            name="card", version=1, settings=of.CardSettings, inputs=("data", "gold"),
            label="Judge card", function="cwpo.evaluation.card:run_card",
        ),
        Kind(
            name="along", version=1, settings=AlongSettings,
            inputs=("prompts", "model", "reference_model", "samples", "baseline_samples", "scores", "baseline_scores",
                    "gold"),
            label="Along training", function="cwpo.evaluation.along.training:run_along",
        ),
        Kind(
            name="best_of", version=1, settings=BestOfSettings,
            inputs=("prompts", "model", "baseline_samples", "baseline_scores", "gold"),
            label="Best of n", title="Best of n, baseline", function="cwpo.evaluation.along.best_of:run_best_of",
        ),
    )
}  # fmt: skip
_BY_SETTINGS: Mapping[type[of.Settings], Kind] = {kind.settings: kind for kind in KINDS.values()}


def kind_named(name: str) -> Kind:
    """The kind of that name; an unknown name lists the valid ones."""
    if name not in KINDS:
        raise KeyError(f"unknown stage kind {name!r}; choose one of {', '.join(KINDS)}")
    return KINDS[name]


def kind_of(settings: of.Settings) -> Kind:
    """The kind that has these settings."""
    return _BY_SETTINGS[type(settings)]


def label_of(name: str) -> str:
    """What people read; a kind of another version of the program keeps its name."""
    kind = KINDS.get(name)
    return kind.label if kind else name.replace("_", " ").capitalize()


def stored_settings(kind: str, values: Mapping[str, Any]) -> of.Settings:
    """Settings as a database or manifest keeps them, read back; what does not fit is a sentence."""
    try:
        return from_plain(kind_named(kind).settings, values)
    except SettingsError as error:
        raise SettingsError(
            f"The stored settings of a stage of kind {kind} cannot be read, because {error}: "
            "another version of the program wrote them; submit the run again with this one."
        ) from error
