"""From what a form or a file says to runs: every combination of its lists, or a sentence per field."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cwpo.config import catalog
from cwpo.config.run import RunConfig, check_count, list_fields, override, problems
from cwpo.errors import ConfigError

METHOD_MISSING = "choose at least one method; top, top_true, random and bottom also need a percentage."
MISSING = {"method": METHOD_MISSING, "objective": "choose at least one objective."}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The runs that are asked for, or why they cannot be had (dotted field -> sentence)."""

    configs: tuple[RunConfig, ...]
    problems: Mapping[str, str]
    lists: Mapping[str, int]  # fields with several values, and how many


def method_names(methods: Sequence[str], percents: Sequence[str]) -> list[str]:
    """A method that keeps a share of the pairs stands for one method per percentage."""
    names: list[str] = []
    for method in methods:
        takes = method in catalog.METHODS and catalog.METHODS[method].needs_percent
        names.extend(f"{method}:{percent}" for percent in percents) if takes else names.append(method)
    return names


def sweep(values: Mapping[str, Any], wrong: Mapping[str, str] | None = None) -> Sweep:
    """Every combination, checked one by one; the first sentence per field is kept. `wrong`: what is known already."""
    found = dict(wrong or {})
    try:
        axes = dict(list_fields(values))
    except ConfigError as error:
        found.setdefault(error.field, MISSING.get(error.field, str(error).removeprefix(f"{error.field}: ")))
        return Sweep(configs=(), problems=found, lists={})
    lists = {path: len(options) for path, options in axes.items() if len(options) > 1}
    try:
        check_count(axes)
    except ConfigError as error:
        found[error.field] = str(error).removeprefix(f"{error.field}: ")
        return Sweep(configs=(), problems=found, lists=lists)
    configs = []
    for combination in itertools.product(*axes.values()):
        one = dict(values)
        for path, value in zip(axes, combination, strict=True):
            one = override(one, path, value)
        sentences = problems(one)
        for field, sentence in sentences:
            found.setdefault(field, sentence)
        if not sentences:
            configs.append(RunConfig.parse(one))
    return Sweep(configs=() if found else tuple(configs), problems=found, lists=lists)


def laid_on(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with every dotted change in it."""
    values = dict(base)
    for path, value in changes.items():
        values = override(values, path, value)
    return values


def firsts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The first value of every list."""
    return laid_on(values, {path: options[0] for path, options in list_fields(values)})
