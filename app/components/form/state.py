"""What the widgets of New run hold for a configuration with lists; a preset, a run or a pasted file fills the form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from app.components.form.config_fields import NAMED, state_of
from app.components.form.field_specs import FieldSpec, part_of, specs
from app.components.form.values import shown
from cwpo.config import catalog
from cwpo.config.dotted import value_at
from cwpo.config.run import RunConfig, merged
from cwpo.config.sweep import firsts
from cwpo.errors import ConfigError

OTHER = "other models"
FIRST_PERCENT = "30"
HALF = "50"  # the least confident pairs alone: the other half than the one that confidence would keep
FIRST_METHODS = ("weak", "cw")
FIRST_SEEDS = [0, 1, 2, 3]
# What the lists on top of the form set; a base configuration never brings them along.
LISTED = ("name", "method", "top_percent", "objective", "seed")
OTHERS = "other"  # key of the text with the fields that have no widget
SWITCHES = ("data.length_rule", "model.lora")


def lists_of(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Methods, percentages, objectives and seeds as their widgets hold them; without values, those of an empty form."""
    if values is None:
        values = {"method": list(FIRST_METHODS), "seed": FIRST_SEEDS}
    named = [name.partition(":") for name in many(values.get("method", "cw"))]
    percents = [percent.strip().rstrip("%") for _, _, percent in named if percent]
    percents += [f"{percent:g}" for percent in many(values.get("top_percent")) if percent is not None]
    methods = list(dict.fromkeys(name.strip() for name, _, _ in named))
    return {
        "methods": methods,
        "percents": list(dict.fromkeys(percents)) or [first_percent(methods)],
        "objectives": many(values.get("objective", "dpo")),
        "seeds": shown(many(values.get("seed", 0))),
    }


def first_percent(methods: Sequence[str]) -> str:
    """N where none is said."""
    return HALF if "bottom" in methods else FIRST_PERCENT


def many(value: Any) -> list[Any]:
    """The values of a field, one or several."""
    return list(value) if isinstance(value, list | tuple) else [value]


def pairs_of(dataset: str) -> dict[str, catalog.ModelPairRow]:
    """The model pairs of the catalog that read this dataset; sandbox models stay with the sandbox."""
    sandbox = dataset == "sandbox"
    return {name: row for name, row in catalog.MODEL_PAIRS.items() if (row.family == "sandbox") == sandbox}


def first_pair(dataset: str, values: Mapping[str, Any] | None) -> str:
    """The pair that a configuration names, `OTHER` when the catalog has none like it, else the first."""
    rows = pairs_of(dataset)
    named = (value_at(values or {}, "model.annotator"), value_at(values or {}, "model.policy"))
    if named == (None, None):
        return next(iter(rows))
    return next((name for name, row in rows.items() if named == (row.annotator, row.policy)), OTHER)


def pair_key(dataset: str) -> str:
    return "pair_s" if dataset == "sandbox" else "pair_h"


def prefix_of(dataset: str) -> str:
    """What stands before a field's name in the address; the sandbox and the rest have different defaults."""
    return "s." if dataset == "sandbox" else "h."


def base_of(dataset: str, start: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the form starts from where that is about this dataset, else the dataset; one's own is judged by a gold
    reward trained on it until another is chosen."""
    data = {"data": {"dataset": dataset}}
    if start is not None and dataset in many(start.get("data", {}).get("dataset", dataset)):
        return merged(data, {name: value for name, value in start.items() if name not in LISTED})
    if dataset in catalog.DATASETS:
        return data
    return {**data, "evaluation": {"gold_reward": "trained"}}


def defaults_of(base: Mapping[str, Any]) -> dict[str, Any]:
    """Every field's value or values if nothing is changed; also for a dataset that nobody knows."""
    for method in ("human", "human_100", "cw"):  # of which one can be had with any weighting and label fraction
        try:
            return merged(RunConfig.parse({**firsts(base), "method": method}).canonical(), base)
        except ConfigError:
            continue
    unknown = {"evaluation": {"gold_reward": "trained"}, "data": {"dataset": "owner/name"}}
    return RunConfig.parse(unknown).canonical()


def filled_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """The state of every widget for these values; what they do not say is the default of their dataset."""
    datasets = many(value_at(values, "data.dataset") or "sandbox")
    prefix = prefix_of(datasets[0])
    state: dict[str, Any] = {"name": values.get("name", ""), "dataset": datasets[0], "preset": None, **lists_of(values)}
    state[pair_key(datasets[0])] = first_pair(datasets[0], values)
    defaults = {key: value for key, value in defaults_of(base_of(datasets[0], None)).items() if key not in LISTED}
    given = {key: value for key, value in values.items() if key not in LISTED}
    others: dict[str, Any] = {"data.dataset": datasets} if len(datasets) > 1 else {}
    for path, value in (*_leaves(defaults, ""), *_leaves(given, "")):
        spec = _spec(path)
        if spec is not None:
            state[f"{prefix}{path}"] = state_of(spec, many(value))
        elif path not in SWITCHES and value_at(defaults, path) != value:
            others[path] = value
    for path in SWITCHES:
        part = value_at(given, path) if _says(given, path) else value_at(defaults, path)
        state[f"{prefix}{path}"] = part is not None
    lines = yaml.safe_dump(others, sort_keys=False, allow_unicode=True, default_flow_style=None) if others else ""
    return {**state, f"{prefix}{OTHERS}": lines}


def in_address(key: str, state: Any) -> str | list[str]:
    """What the address says when a widget holds this: a list is what it shows of each value."""
    if isinstance(state, bool):
        return "true" if state else "false"
    if not isinstance(state, list):
        return str(state)
    rows = NAMED.get(key.partition(".")[2], {})
    return [rows[value].label if value in rows else str(value) for value in state]


def _says(values: Mapping[str, Any], path: str) -> bool:
    """Whether the values name this field, be it as nothing."""
    part, _, name = path.rpartition(".")
    below = value_at(values, part)
    return isinstance(below, Mapping) and name in below


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and their values; what is a mapping without being a part of the configuration stays whole."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and _part_specs(path):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _part_specs(path: str) -> Sequence[FieldSpec]:
    """The plain fields of a part of the configuration; none when this is no part."""
    try:
        return specs(part_of(path), f"{path}.")
    except (KeyError, StopIteration):
        return ()


def _spec(path: str) -> FieldSpec | None:
    part, dot, _ = path.rpartition(".")
    return next((spec for spec in _part_specs(part) if spec.path == path), None) if dot else None
