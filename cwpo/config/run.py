"""A run's configuration: frozen, validated on construction, with one canonical JSON form. Free of torch.

Defaults are the paper's (Tables 7 to 9, appendix E) for models and datasets of a hub or a folder; a run on the sandbox
starts from `SANDBOX_DEFAULTS` instead. Both are only defaults: whatever the user sets wins.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator, model_validator

from cwpo.config import catalog
from cwpo.config.checks import contradictions, problems_of
from cwpo.config.dotted import PLAIN, value_at, without
from cwpo.config.fields import RunFields
from cwpo.config.parts import known
from cwpo.errors import ConfigError

STORED = "stored"  # how `RunConfig.stored` tells the checks whose values they see
FIRST_RULES: Mapping[str, Any] = {"rules": 1}  # of what was stored before there were others
# Fields that came later and their usual values, at which a run is the same setting as those stored before.
LATER: Mapping[str, Any] = {"align.beta_dynamics": 0.6, "align.orpo_lambda": 0.1}
MOST_RUNS = 1_000  # of one sweep, whoever submits it
_DEEPEST = 20  # parts of a dotted name

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


class RunConfig(RunFields):
    """Everything that decides a run. Two equal configurations are the same run."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any, info: ValidationInfo) -> Any:
        """Spell out `top:30` and the defaults of the sandbox, and of datasets and models of the catalog."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        if info.context == STORED:
            filled = {**FIRST_RULES, **filled}
        _split_percent(filled)
        dataset = value_at(filled, "data.dataset") or "sandbox"
        if dataset == "sandbox":
            filled = merged(SANDBOX_DEFAULTS, filled)
        else:
            filled = merged(_paper_defaults(filled, str(dataset)), filled) if info.context != STORED else filled
            if value_at(filled, "evaluation.gold_reward") is None:
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
    def _fits_together(self, info: ValidationInfo) -> "RunConfig":
        if info.context == STORED:
            return self
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

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> "RunConfig":
        """As it was stored with its run. What an earlier version did not write has its default, and whether the fields
        fit together was asked at submission; what this version does not know is one plain sentence (ConfigError)."""
        try:
            return cls.model_validate(dict(values), context=STORED)
        except ValidationError as error:
            field, sentence = problems_of(error)[0]
            raise ConfigError(field, sentence) from error

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Same for equal runs: everything but the name and how it is executed."""
        return digest(self._telling("name", "execution"))

    def group_key(self) -> str:
        """Same for runs that differ only in their seed."""
        return digest(self._telling("name", "execution", "seed"))

    def _telling(self, *apart: str) -> dict[str, Any]:
        """All fields but those named, and those that came later where they have their usual value."""
        return without(self.canonical(), {*apart, *(name for name in LATER if value_at(self, name) == LATER[name])})


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
        if type(value) in PLAIN:
            result[key] = value
            continue
        below = result.get(key)
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def override(values: Mapping[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy of `values` with `a.b` set; the way `--set a.b=c` works."""
    if dotted.count(".") > _DEEPEST:
        raise ConfigError(dotted[:80], "is no field: it has more parts than any.")
    head, _, rest = dotted.partition(".")
    below = values.get(head)
    inner = override(below if isinstance(below, Mapping) else {}, rest, value) if rest else value
    return {**values, head: inner}


def expand(values: Mapping[str, Any]) -> list[RunConfig]:
    """Every combination of the list-valued fields, in the order of the fields (LoRA target modules stay lists)."""
    axes = dict(list_fields(values))
    check_count(axes)
    runs = []
    for combination in itertools.product(*axes.values()):
        one: dict[str, Any] = dict(values)
        for dotted, value in zip(axes, combination, strict=True):
            one = override(one, dotted, value)
        runs.append(RunConfig.parse(one))
    return runs


def check_count(axes: Mapping[str, Sequence[Any]]) -> None:
    """Counted before any combination is made; ConfigError on the longest list where there are too many."""
    runs = math.prod(len(options) for options in axes.values())
    if runs > MOST_RUNS:
        said = f"{runs:,}" if runs < 10**12 else "more than a trillion"
        widest = max(axes, key=lambda path: len(axes[path]))
        raise ConfigError(widest, f"these choices make {said} runs; queue at most {MOST_RUNS:,} at once.")


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


def _paper_defaults(values: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """What the paper sets by dataset and by policy: the longest pair (section 4.1, appendix E), and the texts of a step
    of SFT above 7B (Table 9: 4 per device × 4 accumulation steps); in front of them what a dataset has of its own."""
    row = catalog.DATASETS.get(dataset)
    longest = row.max_tokens if row else None
    large = value_at(values, "model.policy") in catalog.ABOVE_7B
    of_paper = {
        **({"data": {"length_rule": {"max_tokens": longest, "counts": "pair"}}} if longest else {}),
        **({"sft": {"batch_size": 16}} if large else {}),
    }
    return merged(row.defaults if row else {}, of_paper)


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
