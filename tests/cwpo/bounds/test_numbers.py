"""No number of a configuration is beyond what every place that reads it can hold."""

import math
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
import torch
from pydantic import BaseModel

from cwpo.bounds import most
from cwpo.config.dotted import value_at
from cwpo.config.run import RunConfig, override, problems
from cwpo.config.sweep import sweep

HUGE: dict[str, Any] = {
    "10^30": 10**30,
    "2^64": 2**64,
    "1e300": 1e300,
    "-10^30": -(10**30),
    "not a number": math.nan,
    "endless": math.inf,
    "endless below": -math.inf,
    "5,001 digits": int("9" * 4_000) ** 2,
}
SMALL: dict[str, Any] = {"0": 0, "-1": -1}


def fields(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all numeric fields."""
    for name, field in kind.model_fields.items():
        inner = [one for one in _kinds(field.annotation) if isinstance(one, type)]
        parts = [one for one in inner if issubclass(one, BaseModel)]
        if parts:
            yield from fields(parts[0], f"{prefix}{name}.")
        elif any(issubclass(one, int | float) and one is not bool for one in inner):
            yield f"{prefix}{name}"


def _kinds(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for one in get_args(annotation) for kind in _kinds(one)]
    return [annotation]


NUMBERS = list(dict.fromkeys(fields(RunConfig)))


def test_there_are_many_numbers() -> None:
    assert len(NUMBERS) >= 60
    assert {"seed", "align.epochs", "model.lora.r", "seeds.split", "evaluation.along.prompts"} <= set(NUMBERS)


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_beyond_all_is_a_sentence_about_its_field(field: str) -> None:
    for word, value in HUGE.items():
        found = problems(override(_base(field), field, value))
        assert found, f"{field}: {word} was taken"
        assert any(name.startswith(field) for name, _ in found), (field, word, found)
        assert all(len(sentence) < 600 for _, sentence in found), (field, word)


@pytest.mark.parametrize("field", NUMBERS)
def test_small_numbers_are_taken_or_refused_in_a_sentence(field: str) -> None:
    for value in SMALL.values():
        found = sweep(override(_base(field), field, value))
        assert found.configs or found.problems


@pytest.mark.parametrize("field", [name for name in NUMBERS if "seed" in name])
def test_the_largest_seed_is_one_for_torch_too(field: str) -> None:
    largest = most.RUN_SEED if field == "seed" else most.SEED
    config = RunConfig.parse(override({}, field, largest))
    assert value_at(config, field) == largest
    torch.Generator().manual_seed(largest + 16)  # members of an ensemble count on from it


def _base(field: str) -> dict[str, Any]:
    """A configuration in which the part of that field is there."""
    values: dict[str, Any] = {}
    if field.startswith("data.length_rule"):
        values = override(values, "data.length_rule.max_tokens", 100)
    if field.startswith("evaluation.judge"):
        values = override(values, "evaluation.judge.kind", "simulated")
    return values
