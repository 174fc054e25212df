"""A run's configuration: frozen, validated on construction, with one canonical JSON form. Free of torch.

Defaults are the paper's (Tables 7 to 9) for models from a hub or a folder; a run on the sandbox starts from
`SANDBOX_DEFAULTS` instead. Both are only defaults: whatever the user sets wins.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cwpo import catalog
from cwpo.config_checks import contradictions, problems_of
from cwpo.errors import ConfigError


class Part(BaseModel):
    """Base of all parts: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LengthRule(Part):
    """Pairs longer than this are dropped once, before any model reads them."""

    max_tokens: int = Field(gt=0, description="longest text that is kept, in tokens")
    counts: Literal["each", "pair"] = Field(
        "each", description="what is counted: each prompt + response alone, or both with their prompts added up"
    )
    tokenizer: str | None = Field(None, description="model whose tokenizer counts; default: the policy's")
    tokenizer_revision: str | None = Field(None, description="commit of that model; found at submission")


class SandboxWorld(Part):
    """The offline world that a sandbox run draws its pairs from."""

    pairs: int = Field(3000, ge=0, le=1_000_000, description="number of preference pairs to draw")
    noise: float = Field(1.5, ge=0, description="temperature τ of the human labels: P(label) = σ(ΔU/τ); 0 = no noise")
    near_ties: float = Field(0.0, ge=0, le=1, description="share of pairs forced to be close in utility")


class DataConfig(Part):
    """Which pairs, how they are filtered and how many human labels are used."""

    dataset: str = Field("sandbox", description="a dataset of the catalog, a hub id owner/name, or a local file")
    revision: str | None = Field(None, description="commit of the hub dataset or content hash of the file")
    subset: str | None = Field(None, description="data_dir or configuration of a hub dataset")
    max_pairs: int | None = Field(None, gt=0, description="keep at most this many pairs")
    length_rule: LengthRule | None = Field(None, description="drop pairs that are too long; none keeps all")
    label_fraction: float = Field(0.3, gt=0, le=1, description="share of the pairs whose human labels are used")
    unlabeled_fraction: float | None = Field(
        None, gt=0, lt=1, description="share of all pairs in the unlabeled part; default: all that are not labeled"
    )
    swapped_labels: float = Field(0.0, ge=0, le=1, description="share of the human labels swapped before any learning")
    mix: dict[str, float] | None = Field(
        None, description="shares of sources among the labeled pairs: harmless 0.8 and helpful 0.2"
    )
    test_prompts: int = Field(700, gt=0, description="prompts held out for evaluation, before any split")
    sandbox: SandboxWorld | None = Field(None, description="the sandbox world; only with dataset: sandbox")

    @field_validator("mix")
    @classmethod
    def _mix_is_shares(cls, mix: dict[str, float] | None) -> dict[str, float] | None:
        if mix is None:
            return None
        if any(not 0 <= share <= 1 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-9:
            raise ValueError(f"must be shares from 0 to 1 that add up to 1, not {sum(mix.values()):g}")
        return mix


class LoraConfig(Part):
    """Low-rank adapters on the policy (paper: r 8, α 16, dropout 0.05)."""

    r: int = Field(8, gt=0, description="rank")
    alpha: int = Field(16, gt=0, description="scale")
    dropout: float = Field(0.05, ge=0, lt=1, description="dropout on the adapter's input")
    target_modules: tuple[str, ...] | None = Field(None, description="layers to adapt; default: by model family")


class ModelConfig(Part):
    """The weak annotator's backbone and the policy."""

    annotator: str = Field("facebook/opt-125m", description="backbone of the annotator: sandbox/…, hub id or folder")
    annotator_revision: str | None = Field(None, description="commit, or content hash of a folder")
    policy: str = Field("facebook/opt-1.3b", description="model to align: sandbox/…, hub id or folder")
    policy_revision: str | None = Field(None, description="commit, or content hash of a folder")
    lora: LoraConfig | None = Field(
        default_factory=LoraConfig, description="adapters on the policy; null tunes it whole"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="arithmetic of all model stages; auto: bf16 where a GPU worker is there, else fp32"
    )
    max_length: int | None = Field(None, gt=0, description="context to use, in tokens; default: the model's own")


class TrainConfig(Part):
    """How one model is trained; AdamW throughout."""

    epochs: float = Field(5, gt=0, description="passes over the data")
    lr: float = Field(1e-5, gt=0, description="peak learning rate")
    batch_size: int = Field(64, gt=0, description="pairs (or texts) per optimizer step")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up, at most a tenth of all steps")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="learning rate after warm-up")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")


class AnnotatorConfig(TrainConfig):
    """The weak annotator: pretrained backbone, scalar head, Bradley–Terry loss (paper Table 7)."""

    kind: Literal["bradley_terry", "joint"] = Field(
        "bradley_terry", description="a score per response (paper), or one score for both read together (PairRM)"
    )
    batch_size: int = Field(32, gt=0, description="pairs per optimizer step")
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout in training; default: the model's own")
    early_stopping: bool = Field(False, description="keep the epoch with the best held-out negative log-likelihood")
    heldout_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of the labels held out for early stopping")
    label_dropout: float = Field(0.0, ge=0, lt=1, description="label with this dropout on: an unsteady annotator")
    members: int = Field(1, ge=1, le=16, description="annotators from as many seeds; margins are averaged")
    passes: int = Field(1, ge=1, le=64, description="labeling passes with label_dropout on; margins are averaged")
    calibrate: bool = Field(False, description="fit a temperature on held-out labeled pairs, for a second annotator")
    implicit_beta: float = Field(0.1, gt=0, description="β of the DPO-trained weak model of method ws")
    use: str | None = Field(None, description="label with an existing annotator: NAME, NAME@VERSION or fingerprint")


class WeightingConfig(Part):
    """How margins become weights, where it is not the method's own way."""

    name: str | None = Field(None, description="a weighting of the catalog; default: the method's own")
    slope: float = Field(1.0, gt=0, description="a of clipped: min(aΔ, 1)")
    gamma: float = Field(2.0, gt=0, description="γ of power: C^γ")
    temperature: float | None = Field(None, gt=0, description="T of temperature; default: fitted on held-out labels")
    threshold: float = Field(0.5, ge=0, lt=1, description="lowest C that threshold keeps")

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str | None) -> str | None:
        return name if name is None else _known(catalog.WEIGHTINGS, name, "weighting")


class SftConfig(TrainConfig):
    """Supervised fine-tuning before alignment (paper Table 8)."""

    data: Literal["pool", "labeled", "none"] = Field(
        "pool",
        description="prompt + chosen of the method's own part and labels (paper), of the labeled part, or no SFT",
    )
    epochs: float = Field(3, gt=0, description="passes over the data")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up, at most a tenth of all steps")
    weight_decay: float = Field(0.05, ge=0, description="decoupled weight decay")


class AlignConfig(TrainConfig):
    """Preference optimization from the SFT model, which is also the frozen reference (paper Table 9)."""

    lr: float = Field(5e-6, gt=0, description="peak learning rate")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up, at most a tenth of all steps")
    weight_decay: float = Field(0.05, ge=0, description="decoupled weight decay")
    beta: float = Field(0.5, description="strength β of DPO and rDPO; τ of IPO")
    label_noise: float = Field(0.1, ge=0, lt=0.5, description="ε of rDPO and cDPO: assumed share of flipped labels")
    ipo_reduction: Literal["mean", "sum"] = Field("mean", description="IPO on per-token means (as TRL) or on sums")
    odpo_alpha: float = Field(1.0, gt=0, description="α of ODPO: how much of log Δ is asked for")
    simpo_gamma: float = Field(0.5, ge=0, description="γ of SimPO: margin between the mean log-probabilities times β")
    steps: Literal["kept", "pool"] = Field(
        "kept", description="epochs over the pairs that the weighting keeps, or as many steps as the whole pool takes"
    )
    pair_sampling: Literal["all", "proportional"] = Field(
        "all", description="proportional: steps skip pairs by weight and cost; same expected gradient, less compute"
    )

    @field_validator("beta")
    @classmethod
    def _beta_is_positive(cls, beta: float) -> float:
        if not beta > 0:
            raise ValueError(f"must be greater than 0, not {beta:g}; 0.5 is the paper's value")
        return beta


class EvaluationConfig(Part):
    """Held-out answers of the aligned and the baseline model, judged by a gold reward."""

    seed: int = Field(0, ge=0, description="held-out prompts and sampling noise; never moved by `seed`")
    samples: int = Field(1, gt=0, le=64, description="answers per prompt")
    temperature: float = Field(0.95, gt=0, description="sampling temperature")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus")
    max_new_tokens: int = Field(512, gt=0, description="longest answer")
    gold_reward: str | None = Field(None, description="row of the catalog, hub id or folder; default: the dataset's")
    gold_revision: str | None = Field(None, description="commit of the gold reward model")
    gold_model: str | None = Field(None, description="backbone of gold_reward: trained; default: the annotator's")
    gold_train: TrainConfig = Field(
        default_factory=lambda: TrainConfig(batch_size=32), description="training of gold_reward: trained"
    )
    baseline: Literal["own", "common"] = Field(
        "own", description="opponent: each method's own SFT model (paper), or one SFT model for all"
    )


class Seeds(Part):
    """Fixes single seeds; what is not set follows `seed`."""

    split: int | None = Field(None, ge=0, description="labeled/unlabeled split (sandbox: also the pool of pairs)")
    annotator: int | None = Field(None, ge=0, description="annotator initialisation, data order, label dropout")
    sft: int | None = Field(None, ge=0, description="SFT data order and adapter initialisation")
    align: int | None = Field(None, ge=0, description="alignment data order and adapter initialisation")
    base: int = Field(0, ge=0, description="pretraining of sandbox base models; does not follow `seed`")


DROPOUT_TOKENS = 2048  # tokens of a packed batch while dropout is on, whatever tokens_per_batch says


class ExecutionConfig(Part):
    """How a run is executed. Nothing here changes a result, so nothing here enters a fingerprint."""

    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto: GPU workers when there are any")
    tokens_per_batch: int = Field(4096, gt=0, description="tokens in one forward pass")
    gradient_checkpointing: bool | None = Field(
        None, description="recompute activations to save memory; default: when the estimate says that memory needs it"
    )
    checkpoint_seconds: float = Field(60, gt=0, description="longest work lost by a kill")


SANDBOX_DEFAULTS: dict[str, Any] = {
    "model": {"annotator": "sandbox/opt-48", "policy": "sandbox/opt-64", "lora": None, "precision": "fp32"},
    "data": {"sandbox": {}, "test_prompts": 400},
    "annotator": {"epochs": 5, "lr": 1e-3, "batch_size": 16, "weight_decay": 0.05, "dropout": 0.1},
    "sft": {"data": "none", "epochs": 2, "lr": 1e-3, "batch_size": 16, "warmup_steps": 0, "weight_decay": 0.0},
    "align": {"epochs": 2, "lr": 3e-4, "batch_size": 32, "warmup_steps": 0, "weight_decay": 0.0},
    "evaluation": {
        "samples": 2,
        "temperature": 1.0,
        "max_new_tokens": 48,
        "gold_reward": "oracle",
        "baseline": "common",
        "gold_train": {"epochs": 3, "lr": 1e-3, "batch_size": 16},
    },
    "execution": {"tokens_per_batch": 2048},
}


class RunConfig(Part):
    """Everything that decides a run. Two equal configurations are the same run."""

    name: str = Field("", max_length=200, description="what the run is called; does not change it")
    method: str = Field("cw", description=f"{', '.join(catalog.METHODS)}; N is written top:30")
    top_percent: float | None = Field(None, gt=0, le=100, description="N of top, random and bottom, in percent")
    objective: str = Field("dpo", description=", ".join(catalog.OBJECTIVES))
    seed: int = Field(0, ge=0, description="drives split, annotator, SFT and alignment")
    data: DataConfig = Field(default_factory=DataConfig, description="pairs, filter, label fraction")
    model: ModelConfig = Field(default_factory=ModelConfig, description="annotator and policy")
    annotator: AnnotatorConfig = Field(default_factory=AnnotatorConfig, description="annotator training")
    weighting: WeightingConfig = Field(default_factory=WeightingConfig, description="margins to weights")
    sft: SftConfig = Field(default_factory=SftConfig, description="supervised fine-tuning")
    align: AlignConfig = Field(default_factory=AlignConfig, description="preference optimization")
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig, description="answers and gold reward")
    seeds: Seeds = Field(default_factory=Seeds, description="fixes single seeds")
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="how it is run; never changes it")
    salt: str = Field("", max_length=100, description="any text: forces a fresh execution of every stage")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Spell out `top:30` and the defaults of the sandbox and of catalog datasets."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        _split_percent(filled)
        dataset = _get(filled, "data", "dataset") or "sandbox"
        if dataset == "sandbox":
            filled = merged(SANDBOX_DEFAULTS, filled)
        elif _get(filled, "evaluation", "gold_reward") is None:
            row = catalog.DATASETS.get(str(dataset))
            filled = merged({"evaluation": {"gold_reward": row.gold_reward if row else None}}, filled)
        return filled

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        return _known(catalog.METHODS, method, "method")

    @field_validator("objective")
    @classmethod
    def _objective_is_known(cls, objective: str) -> str:
        return _known(catalog.OBJECTIVES, objective, "objective")

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        for field, sentence in contradictions(self):
            raise ConfigError(field, sentence)
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Like the constructor, but the first problem is raised as one plain sentence (ConfigError)."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            field, sentence = problems_of(error)[0]
            raise ConfigError(field, sentence) from error

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Same for equal runs: everything but the name and how it is executed."""
        return digest({k: v for k, v in self.canonical().items() if k not in ("name", "execution")})

    def group_key(self) -> str:
        """Same for runs that differ only in their seed."""
        return digest({k: v for k, v in self.canonical().items() if k not in ("name", "execution", "seed")})

    @property
    def is_sandbox(self) -> bool:
        return self.data.dataset == "sandbox"

    @property
    def weighting_name(self) -> str:
        """The weighting in force: the method's own unless another is chosen."""
        return self.weighting.name or catalog.METHODS[self.method].weighting

    @property
    def weighting_values(self) -> dict[str, Any]:
        """The parameters that the weighting in force reads."""
        given = {**self.weighting.model_dump(), "percent": self.top_percent}
        return {name: given[name] for name in catalog.WEIGHTINGS[self.weighting_name].fields}

    @property
    def annotator_kind(self) -> str:
        """The method's own kind of annotator, else the configured one."""
        return catalog.METHODS[self.method].annotator or self.annotator.kind

    @property
    def trains_annotator(self) -> bool:
        """Whether the run trains its annotator: its method has one, and no existing one is named."""
        return catalog.METHODS[self.method].needs_annotator and self.annotator.use is None

    @property
    def fits_temperature(self) -> bool:
        """Whether a second annotator is held against held-out labeled pairs."""
        asked = self.annotator.calibrate or self.weighting_values.get("temperature", 0) is None
        return asked and catalog.METHODS[self.method].needs_annotator

    @property
    def method_label(self) -> str:
        own = self.weighting_name == catalog.METHODS[self.method].weighting
        words = "" if own else catalog.weighting_label(self.weighting_name, self.weighting_values)
        percent = self.top_percent if catalog.METHODS[self.method].needs_percent else None
        return catalog.method_label(self.method, percent, words)

    def seed_of(self, part: Literal["split", "annotator", "sft", "align"]) -> int:
        """The seed of one part: its own if fixed, else the run's."""
        own = getattr(self.seeds, part)
        return self.seed if own is None else int(own)


def problems(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All problems of a configuration as (field, sentence), for a form; empty when it is fine."""
    try:
        RunConfig.model_validate(dict(values))
    except ConfigError as error:
        return [(error.field, str(error).removeprefix(f"{error.field}: "))]
    except ValidationError as error:
        return problems_of(error)
    return []


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def override(values: Mapping[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy of `values` with `a.b` set; the way `--set a.b=c` works."""
    head, _, rest = dotted.partition(".")
    below = values.get(head)
    inner = override(below if isinstance(below, Mapping) else {}, rest, value) if rest else value
    return {**values, head: inner}


def expand(values: Mapping[str, Any]) -> list[RunConfig]:
    """Every combination of the list-valued fields, in the order of the fields (LoRA target modules stay lists)."""
    axes = list(list_fields(values))
    runs = []
    for combination in itertools.product(*(options for _, options in axes)):
        one: dict[str, Any] = dict(values)
        for (dotted, _), value in zip(axes, combination, strict=True):
            one = override(one, dotted, value)
        runs.append(RunConfig.parse(one))
    return runs


def list_fields(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every list-valued field with its dotted name; an empty list is an error."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from list_fields(value, f"{prefix}{key}.")
        elif isinstance(value, list) and key != "target_modules":
            if not value:
                raise ConfigError(f"{prefix}{key}", "is an empty list; give at least one value.")
            yield f"{prefix}{key}", value


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of plain values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _split_percent(values: dict[str, Any]) -> None:
    method = values.get("method")
    if not isinstance(method, str) or ":" not in method:
        return
    name, _, percent = method.partition(":")
    values["method"] = name.strip()
    try:
        values["top_percent"] = float(percent.strip().rstrip("%"))
    except ValueError as error:
        raise ConfigError("method", f"{method!r} is not a method; write top:30 for the top 30 %.") from error


def _get(values: Mapping[str, Any], part: str, field: str) -> Any:
    below = values.get(part)
    if isinstance(below, Mapping):
        return below.get(field)
    return getattr(below, field, None)


def _known(rows: Mapping[str, Any], name: str, kind: str) -> str:
    if name not in rows:
        raise ValueError(f"{name!r} is not known; choose one of {', '.join(rows)}")
    return name
