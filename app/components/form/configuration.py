"""From a configuration with lists to what the widgets of New run hold, and back to what they change of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.components.form.declared import MODELS, OTHER, OTHER_MODELS, SET_ON_TOP, SWITCHED, pairs_of
from app.components.form.field_values import as_text, in_widget, of_widget
from app.components.form.fields import Field, all_parts, fields_of_part, fields_of_run
from cwpo.bounds import yaml_text
from cwpo.config import catalog
from cwpo.config.dotted import value_at
from cwpo.config.run import RunConfig, merged
from cwpo.config.sweep import firsts
from cwpo.errors import ConfigError

FIRST_PERCENT = "30"
HALF = "50"  # the least confident pairs alone: the other half than the one that confidence would keep
FIRST_METHODS = ("weak", "cw")
FIRST_SEEDS = [0, 1, 2, 3]


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
        "seeds": as_text(many(values.get("seed", 0))),
    }


def first_percent(methods: Sequence[str]) -> str:
    """N where none is said."""
    return HALF if "bottom" in methods else FIRST_PERCENT


def many(value: Any) -> list[Any]:
    """The values of a field, one or several."""
    return list(value) if isinstance(value, list | tuple) else [value]


def first_pair(dataset: str, values: Mapping[str, Any] | None) -> str:
    """The pair that a configuration names, `OTHER_MODELS` when the catalog has none like it, else the first."""
    rows = pairs_of(dataset)
    named = tuple(value_at(values or {}, path) for path in MODELS)
    if named == (None, None):
        return next(iter(rows))
    return next((name for name, row in rows.items() if named == (row.annotator, row.policy)), OTHER_MODELS)


def datasets_of(values: Mapping[str, Any] | None) -> list[str]:
    """The datasets that a configuration is about."""
    return many(value_at(values or {}, "data.dataset") or "sandbox")


def base_of(dataset: str, start: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the form starts from where that is about this dataset, else the dataset; one's own is judged by a gold
    reward trained on it until another is chosen."""
    data = {"data": {"dataset": dataset}}
    if start is not None and dataset in many(start.get("data", {}).get("dataset", dataset)):
        return merged(data, {name: value for name, value in start.items() if name not in SET_ON_TOP})
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


def fields_of(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The state of every field and switch for these values; a part that runs over several choices has none."""
    state: dict[str, Any] = {}
    for part in all_parts():
        given = value_at(defaults, part)
        if part in SWITCHED:
            state[part] = given is not None
            given = SWITCHED[part] if given is None else given
        if isinstance(given, Mapping):
            for field in fields_of_part(part):
                state[field.name] = in_widget(field, _given(field, given))
    return state


def changes_of(state: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What these widgets say differently from the defaults, and a sentence for each that cannot be read."""
    changes: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for part in all_parts():
        given = value_at(defaults, part)
        if part in SWITCHED:
            if not state[part]:
                changes |= {} if given is None else {part: None}
                continue
            changes |= {part: dict(SWITCHED[part])} if given is None else {}
            given = SWITCHED[part] if given is None else given
        if isinstance(given, Mapping):
            for field in fields_of_part(part):
                values, sentence = of_widget(field, state[field.name])
                if sentence:
                    wrong[field.name] = sentence
                elif values != _given(field, given):
                    changes[field.name] = values if len(values) > 1 else values[0]
    return changes, wrong


def _given(field: Field, given: Mapping[str, Any]) -> list[Any]:
    """The value or values of a field; a flag that is not said where it is off is off."""
    value = given.get(field.last_name)
    return many(False if value is None and field.kind == "flag" and not field.optional else value)


def filled_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """The state of every widget for these values; what they do not say is the default of their dataset."""
    datasets = datasets_of(values)
    defaults = {key: value for key, value in defaults_of(base_of(datasets[0], None)).items() if key not in SET_ON_TOP}
    given = {key: value for key, value in values.items() if key not in SET_ON_TOP}
    state: dict[str, Any] = {"name": values.get("name", ""), "dataset": datasets[0], "preset": None, **lists_of(values)}
    state |= {"models": first_pair(datasets[0], values), **fields_of(defaults)}
    others: dict[str, Any] = {"data.dataset": datasets} if len(datasets) > 1 else {}
    for path, value in _leaves(given, ""):
        field = fields_of_run().get(path)
        if path in SWITCHED and not isinstance(value, list):
            state[path] = value is not None
        elif field is not None:
            state[path] = in_widget(field, many(value))
        elif path not in SET_ON_TOP and value_at(defaults, path) != value:
            others[path] = value
    for path in SWITCHED:
        if isinstance(value_at(given, path), Mapping):
            state[path] = True
    return {**state, OTHER: as_lines(others)}


def as_lines(values: Mapping[str, Any]) -> str:
    """Fields without a widget, one per line."""
    return yaml_text.written(values) if values else ""


def leaves_without_widget(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names and values of a configuration's fields that no widget holds."""
    given = {key: value for key, value in values.items() if key not in SET_ON_TOP}
    return {
        path: value
        for path, value in _leaves(given, "")
        if (path not in SWITCHED or isinstance(value, list)) and path not in (*SET_ON_TOP, *fields_of_run())
    }


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and their values; what is a mapping without being a part of the configuration stays whole."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path in all_parts():
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value
