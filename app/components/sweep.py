"""From what the form says to runs: all combinations of methods, objectives and seeds, or a sentence per field."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.url_state import expanded
from cwpo.config import RunConfig, override, problems

MOST_RUNS = 500


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The runs that a form asks for, or why it cannot have them (dotted field -> sentence)."""

    configs: tuple[RunConfig, ...]
    problems: Mapping[str, str]


def method_names(methods: Sequence[str], percents: Sequence[str]) -> list[str]:
    """`top` stands for one method per percentage."""
    names: list[str] = []
    for method in methods:
        names.extend(f"top:{percent}" for percent in percents) if method == "top" else names.append(method)
    return names


def seed_list(text: str) -> list[int]:
    """ "0-3, 7" -> [0, 1, 2, 3, 7]."""
    return list(expanded(text.replace(" ", "")))


def sweep(values: Mapping[str, Any], methods: Sequence[str], objectives: Sequence[str], seeds: Sequence[int]) -> Sweep:
    """Every combination, checked one by one; the first sentence per field is kept."""
    found: dict[str, str] = {}
    for field, chosen, sentence in (
        ("method", methods, "choose at least one method; top also needs at least one percentage."),
        ("objective", objectives, "choose at least one objective."),
        ("seed", seeds, "give at least one whole number, such as 0-3 or 0, 1, 2."),
    ):
        if not chosen:
            found[field] = sentence
    combinations = list(itertools.product(seeds, methods, objectives))
    if len(combinations) > MOST_RUNS:
        found["seed"] = f"these choices make {len(combinations):,} runs; queue at most {MOST_RUNS} at once."
        combinations = []
    configs = []
    for seed, method, objective in combinations:
        one = {**values, "method": method, "objective": objective, "seed": seed}
        wrong = problems(one)
        for field, sentence in wrong:
            found.setdefault(field, sentence)
        if not wrong:
            configs.append(RunConfig.parse(one))
    return Sweep(configs=() if found else tuple(configs), problems=found)


def laid_on(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with every dotted change in it."""
    values = dict(base)
    for path, value in changes.items():
        values = override(values, path, value)
    return values
