"""What the widgets of New run hold for a configuration with lists: one value for each, whether it is drawn or not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from app.components.form.field_specs import FieldSpec, all_parts, part_of, specs
from app.components.form.values import parse, shown
from cwpo.config import catalog
from cwpo.config.dotted import value_at
from cwpo.config.parts import LoraConfig
from cwpo.config.run import RunConfig, merged
from cwpo.config.sweep import firsts
from cwpo.errors import ConfigError

OTHER = "other models"
FIRST_PERCENT = "30"
HALF = "50"  # the least confident pairs alone: the other half than the one that confidence would keep
FIRST_METHODS = ("weak", "cw")
FIRST_SEEDS = [0, 1, 2, 3]
DATASET = "data.dataset"
MODELS = ("model.annotator", "model.policy")
# What the lists on top of the form set; a base configuration never brings them along.
LISTED = ("name", "method", "top_percent", "objective", "seed")
OTHERS = "other"  # the text with the fields that have no widget
# Parts that may be absent, and what they start from when they are turned on.
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "data.length_rule": {"max_tokens": 512, "counts": "each"},
    "model.lora": LoraConfig().model_dump(mode="json"),
}
FLAGS: Mapping[str, bool | None] = {"auto": None, "off": False, "on": True}
CHOOSE = "choose at least one."
# Fields that name a row of the catalog, or a hub id or folder.
NAMED: Mapping[str, Mapping[str, Any]] = {
    "evaluation.gold_reward": catalog.GOLD_REWARDS,
    "weighting.name": catalog.WEIGHTINGS,
}


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


def methods_of(dataset: str) -> dict[str, catalog.MethodRow]:
    """The methods that can be had on this dataset."""
    return {name: row for name, row in catalog.METHODS.items() if dataset == "sandbox" or not row.sandbox_only}


def first_pair(dataset: str, values: Mapping[str, Any] | None) -> str:
    """The pair that a configuration names, `OTHER` when the catalog has none like it, else the first."""
    rows = pairs_of(dataset)
    named = tuple(value_at(values or {}, path) for path in MODELS)
    if named == (None, None):
        return next(iter(rows))
    return next((name for name, row in rows.items() if named == (row.annotator, row.policy)), OTHER)


def datasets_of(values: Mapping[str, Any] | None) -> list[str]:
    """The datasets that a configuration is about."""
    return many(value_at(values or {}, DATASET) or "sandbox")


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


def fields_of(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The state of every field and switch for these values; a part that runs over several choices has none."""
    state: dict[str, Any] = {}
    for part in all_parts():
        given = value_at(defaults, part)
        if part in SWITCHES:
            state[part] = given is not None
            given = SWITCHES[part] if given is None else given
        if isinstance(given, Mapping):
            for spec in plain(part):
                state[spec.path] = state_of(spec, many(given.get(name_of(spec))))
    return state


def changes_of(state: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What these widgets say differently from the defaults, and a sentence for each that cannot be read."""
    changes: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for part in all_parts():
        given = value_at(defaults, part)
        if part in SWITCHES:
            if not state[part]:
                changes |= {} if given is None else {part: None}
                continue
            changes |= {part: dict(SWITCHES[part])} if given is None else {}
            given = SWITCHES[part] if given is None else given
        if isinstance(given, Mapping):
            for spec in plain(part):
                values, sentence = read(spec, state[spec.path])
                if sentence:
                    wrong[spec.path] = sentence
                elif values != many(given.get(name_of(spec))):
                    changes[spec.path] = values if len(values) > 1 else values[0]
    return changes, wrong


def filled_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """The state of every widget for these values; what they do not say is the default of their dataset."""
    datasets = datasets_of(values)
    defaults = {key: value for key, value in defaults_of(base_of(datasets[0], None)).items() if key not in LISTED}
    given = {key: value for key, value in values.items() if key not in LISTED}
    state: dict[str, Any] = {"name": values.get("name", ""), "dataset": datasets[0], "preset": None, **lists_of(values)}
    state |= {"models": first_pair(datasets[0], values), **fields_of(defaults)}
    others: dict[str, Any] = {DATASET: datasets} if len(datasets) > 1 else {}
    for path, value in _leaves(given, ""):
        spec = _spec(path)
        if path in SWITCHES:
            state[path] = value is not None
        elif spec is not None:
            state[path] = state_of(spec, many(value))
        elif path != DATASET and value_at(defaults, path) != value:
            others[path] = value
    for path in SWITCHES:
        if isinstance(value_at(given, path), Mapping):
            state[path] = True
    return {**state, OTHERS: as_lines(others)}


def as_lines(values: Mapping[str, Any]) -> str:
    """Fields without a widget, one per line."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None) if values else ""


def state_of(spec: FieldSpec, values: Sequence[Any]) -> Any:
    """What the widget of a field holds when the field has these values."""
    if spec.kind == "flag":
        return [word for word, value in flags(spec).items() if value in values]
    if spec.kind == "choice" or spec.path in NAMED:
        return [value for value in values if value is not None]
    return shown(values)


def read(spec: FieldSpec, state: Any) -> tuple[list[Any], str]:
    """The other way: the values of a field, and a sentence when they cannot be read."""
    if spec.kind == "flag":
        return [FLAGS[word] for word in flags(spec) if word in state], "" if state else CHOOSE
    if spec.kind == "choice" or spec.path in NAMED:
        return ([str(name) for name in state], "") if state else ([None], "" if spec.optional else CHOOSE)
    return parse(spec, state)


def flags(spec: FieldSpec) -> Mapping[str, bool | None]:
    """What a switch can be; auto is there where the field may be left to the program."""
    return {word: value for word, value in FLAGS.items() if value is not None or spec.optional}


def plain(part: str) -> list[FieldSpec]:
    """The fields of a part that have widgets of their own; the dataset stands on top of the form."""
    return [spec for spec in specs(part_of(part), f"{part}.") if spec.path != DATASET]


def name_of(spec: FieldSpec) -> str:
    return spec.path.rsplit(".", 1)[-1]


def leaves_without_widget(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names and values of a configuration's fields that no widget holds."""
    given = {key: value for key, value in values.items() if key not in LISTED}
    return {
        path: value
        for path, value in _leaves(given, "")
        if path not in SWITCHES and path != DATASET and _spec(path) is None
    }


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and their values; what is a mapping without being a part of the configuration stays whole."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path in all_parts():
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _spec(path: str) -> FieldSpec | None:
    part = path.rpartition(".")[0]
    return next((spec for spec in plain(part) if spec.path == path), None) if part in all_parts() else None
