"""What decides the result of each kind of stage, as one frozen dataclass per kind. Free of torch.

Every field enters the stage's fingerprint, and nothing else does. A field that comes later is declared `usual(value)`:
at that value it is left out, so that what was computed before stays valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cwpo.config.catalog import AnnotatorKind, LabelSource, Part
from cwpo.stages.plain import inlined, others, usual

Option = float | int | str | bool | None
Parents = Literal["merged", "apart"]
Quantization = Literal["none", "nf4"]
Whole = Literal["prompts", "clusters"]  # what stays whole when pairs are divided


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all stages' settings."""


# ---- parts that several kinds share ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The model that a stage starts from where no input brings one, and how it computes.

    parents: adapters below the model's own are merged into the weights, or stay apart where merging would round them.
    quantization: of weights that do not train.
    """

    model: str
    revision: str | None
    precision: str
    max_length: int | None
    parents: Parents = usual("merged")
    quantization: Quantization = usual("none")


@dataclass(frozen=True, kw_only=True)
class SwapSettings:
    """Which human labels are swapped, for stages that learn from them."""

    share: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class SplitSettings(Settings):
    """Which prompts are labeled, which unlabeled; the whole depends on no split."""

    label_fraction: float | None
    split_seed: int | None
    unlabeled_fraction: float | None = usual(None)
    mix: Mapping[str, float] | None = usual(None)
    swapped_labels: SwapSettings | None = usual(None)
    labeled_sources: tuple[str, ...] | None = usual(None)
    unlabeled_sources: tuple[str, ...] | None = usual(None)
    relabels: str | None = usual(None)  # the artifact of labels that people gave later


@dataclass(frozen=True, kw_only=True)
class PartSettings(SplitSettings):
    """The part of the pairs that a stage reads."""

    part: Part


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How one model is trained; AdamW throughout."""

    epochs: float
    lr: float
    batch_size: int
    warmup_steps: int
    schedule: Literal["cosine", "linear", "constant"]
    weight_decay: float
    max_grad_norm: float


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """A low-rank adapter; target_modules None: by model family."""

    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class ScorerSettings(ModelSettings):
    """Training of a scalar head and its backbone on human labels. dropout None: the backbone's own."""

    seed: int
    train: TrainSettings
    dropout: float | None
    kind: AnnotatorKind = usual("bradley_terry")


@dataclass(frozen=True, kw_only=True)
class PreferenceSettings(ModelSettings, PartSettings):
    """Training of a policy on labeled pairs."""

    lora: LoraSettings | None
    label_source: LabelSource
    seed: int
    train: TrainSettings


# ---- data and base models -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LengthRuleSettings:
    """Pairs longer than this are dropped."""

    max_tokens: int
    counts: Literal["each", "pair"]
    tokenizer: str | None
    tokenizer_revision: str | None


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """The pairs that are drawn from the sandbox."""

    pairs: int
    noise: float
    near_ties: float
    pool_seed: int
    version: int


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """Which pairs and prompts. `parts`: subsets that are joined; `sources`: pairs say where they are from.

    control_tokens: what is computed from data in which one may be written; they were obeyed before they were text.
    columns: what each column holds, where rows are not read by the names of their columns.
    split: what stays whole when pairs are divided; topics: a sandbox pair's source is the kind of its task.
    """

    dataset: str
    revision: str | None
    subset: str | None
    max_pairs: int | None
    length_rule: LengthRuleSettings | None
    test_prompts: int
    evaluation_seed: int
    sandbox: WorldSettings | None
    parts: Mapping[str, str] | None = usual(None)
    sources: bool = usual(False)
    control_tokens: Literal["obeyed", "text"] = usual("obeyed")
    columns: Mapping[str, str] | None = usual(None)
    split: Whole = usual("prompts")
    topics: bool = usual(False)


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings:
    """Shape and pretraining of a sandbox model."""

    family: str
    hidden_size: int
    layers: int
    heads: int
    ffn: int
    epochs: int | float  # as the catalog has it: 20 and 20.0 are two fingerprints
    lr: float


@dataclass(frozen=True, kw_only=True)
class BaseSettings(Settings):
    """A sandbox model before any training on pairs."""

    model: str
    architecture: ArchitectureSettings
    world_version: int
    seed: int


# ---- who labels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AnnotatorSettings(ScorerSettings, SplitSettings):
    """An annotator, or one member of an ensemble; with early stopping a share of its labels chooses the epoch."""

    early_stopping: bool
    heldout_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(AnnotatorSettings):
    """The annotator's twin, trained without a share of the labels, on which its temperature is fitted."""

    heldout_fraction: float


@dataclass(frozen=True, kw_only=True)
class ImplicitSettings:
    """The implicit reward: β times the log-ratio of the DPO-trained weak model to the model it started from."""

    model: str
    revision: str | None
    beta: float


@dataclass(frozen=True, kw_only=True)
class LabelSettings(SplitSettings):
    """The weak labels, besides the annotator's weights. `use`: an annotator that another run trained; `judged`: on all
    pairs, or on those of prompts (in the sandbox of tasks) that it was not trained on; `votes`: how many of several
    annotators agree."""

    precision: str
    max_length: int | None
    label_dropout: float
    seed: int
    kind: AnnotatorKind = usual("bradley_terry")
    passes: int = usual(1)
    use: str | None = usual(None)
    judged: Literal["all", "unseen", "unseen_tasks"] = usual("all")
    votes: bool = usual(False)
    implicit: ImplicitSettings | None = inlined()


# ---- the policy -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SftSettings(PreferenceSettings):
    """Fine-tuning on the winners of a label source."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings(ModelSettings, PartSettings):
    """Log-probabilities of the pairs that alignment reads. mismatched: and of answers under another pair's prompt; with
    the β of an aligned policy its blind spots too."""

    mismatched: bool = usual(False)
    beta: float | None = usual(None)


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """A row of the catalog's objectives with its own hyperparameters."""

    name: str
    options: Mapping[str, Option] = others()

    @property
    def beta(self) -> float:
        """Strength of the objective, by which rewards are scaled; 1 for one without."""
        return float(self.options.get("beta", 1.0) or 0)


@dataclass(frozen=True, kw_only=True)
class WeightingSettings:
    """A row of the catalog's weightings with its own parameters; a seed where it draws by chance."""

    name: str
    options: Mapping[str, Option] = others()
    seed: int | None = usual(None)


@dataclass(frozen=True, kw_only=True)
class AlignSettings(PreferenceSettings):
    """Weighted preference optimization."""

    weighting: WeightingSettings
    objective: ObjectiveSettings
    pair_sampling: Literal["all", "proportional"] = usual("all")
    steps: Literal["kept", "pool"] = usual("kept")
    kept: int = usual(0)  # models along the training, the final one among them; 0: that one alone


# ---- answers and their judge ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """How answers are sampled."""

    temperature: float
    top_p: float
    max_new_tokens: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Which answers are sampled together, where that is part of the result. cache_gb None: by the model's size."""

    rule: int
    cache_gb: float | None


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """An engine that is not ours, as exactly as its answers depend on it."""

    name: str
    version: str
    batch_invariant: bool
    rule: int = usual(1)  # of its batches, where answers depend on them; 1: 512 answers at once


@dataclass(frozen=True, kw_only=True)
class SampleSettings(ModelSettings):
    """Answers to the held-out prompts. Without an engine our own sampler writes them."""

    decoding: DecodingSettings
    evaluation_seed: int
    with_reference: bool
    batches: BatchSettings | None = usual(None)
    engine: EngineSettings | None = usual(None)


@dataclass(frozen=True, kw_only=True)
class GoldSettings(ScorerSettings):
    """A gold reward trained here on all human labels. heldout: but for those of this share of the prompts, by `by`."""

    heldout: float | None = usual(None)
    by: Whole = usual("prompts")


@dataclass(frozen=True, kw_only=True)
class GoldRewardSettings:
    """Who scores: the sandbox's oracle, the reward trained here, or a reward model with its input form."""

    kind: str
    name: str
    revision: str | None
    input_form: str
    max_length: int
    rule: int = usual(1)  # by which a reward model scores: SCORE_RULE of fingerprint, or 1 where it changed nothing


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(Settings):
    """Scores of answers."""

    gold_reward: GoldRewardSettings
    precision: str


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(Settings):
    """Wins, ties and losses; scores at most tie_epsilon apart are a tie, and so are equal texts, or as they score."""

    tie_epsilon: float
    equal_texts: Literal["scored", "tie"] = usual("scored")


@dataclass(frozen=True, kw_only=True)
class JudgeModelSettings:
    """A judge model and how it is asked. Where its server is, and what opens it, is nobody's business here."""

    kind: Literal["endpoint", "local", "simulated"]
    model: str  # as its server calls it, or of a hub or a folder; "" of a simulated one
    revision: str | None
    precision: str
    question_version: int
    role: Literal["chat", "summary"]
    verdicts: Literal["written", "logits"]
    repeats: int
    temperature: float | None
    max_new_tokens: int
    seed: int  # of what is drawn
    noise: float = usual(1.0)
    first_bias: float = usual(0.0)
    rule: int = usual(1)  # by which a local one replies: SCORE_RULE of fingerprint, or 1 where it changed nothing


@dataclass(frozen=True, kw_only=True)
class JudgeSettings(Settings):
    """Wins, ties and losses by a judge model, on the first `prompts` held-out prompts; None: on all."""

    judge: JudgeModelSettings
    prompts: int | None


@dataclass(frozen=True, kw_only=True)
class CardSettings(Settings):
    """A judge on pairs with human labels that it never learned from. heldout: as of the twin of a trained one."""

    gold_reward: GoldRewardSettings | None
    judge: JudgeModelSettings | None
    precision: str
    pairs: int
    seed: int
    heldout: float | None
    by: Whole = usual("prompts")
