"""A run's configuration: frozen, validated on construction, with one canonical JSON form. Free of torch.

Defaults are the paper's (Tables 7 to 9) for models from a hub or a folder; a run on the sandbox starts from
`SANDBOX_DEFAULTS` instead. Both are only defaults: whatever the user sets wins.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from cwpo import catalog
from cwpo.config_checks import contradictions, problems_of
from cwpo.config_parts import (
    AlignConfig,
    AnnotatorConfig,
    DataConfig,
    EvaluationConfig,
    ExecutionConfig,
    ModelConfig,
    Part,
    Seeds,
    SftConfig,
    WeightingConfig,
    known,
)
from cwpo.errors import ConfigError

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
    def _method_isknown(cls, method: str) -> str:
        return known(catalog.METHODS, method, "method")

    @field_validator("objective")
    @classmethod
    def _objective_isknown(cls, objective: str) -> str:
        return known(catalog.OBJECTIVES, objective, "objective")

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
    def annotator_kind(self) -> catalog.AnnotatorKind:
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
