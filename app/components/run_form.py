"""The form of New run: what the catalog offers, methods, objectives and seeds as lists, every other field below."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.annotator_use import PATH as USE
from app.components.annotator_use import choose_existing
from app.components.config_fields import Fields, spec_of
from app.components.sweep import Sweep, laid_on, method_names, seed_list, sweep
from app.url_state import compact
from cwpo import catalog
from cwpo.config import LoraConfig, RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.sandbox.presets import PRESETS, SandboxPreset

OTHER = "other models"
PERCENTS, FIRST_PERCENT = ("10", "30", "50", "75"), "30"
DRAWN = "more_drawn"
FIRST_METHODS = ("weak", "cw")
# What the lists of the form set; a base configuration never brings them along.
LISTED = ("name", "method", "top_percent", "objective", "seed")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Pairs and split": ("data", "data.length_rule"),
    "Annotator": ("annotator",),
    "SFT": ("sft",),
    "Alignment": ("align",),
    "Evaluation": ("evaluation", "evaluation.gold_train"),
    "Models and adapters": ("model", "model.lora"),
    "Seeds and execution": ("seeds", "execution"),
}
# Parts that may be absent: the words of their switch, and what they start from when it is turned on.
SWITCHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "data.length_rule": ("Drop pairs that are too long", {"max_tokens": 512, "counts": "each"}),
    "model.lora": ("Low-rank adapters on the policy", LoraConfig().model_dump(mode="json")),
}
ELSEWHERE = (
    "data.dataset",
    "data.label_fraction",
    "align.beta",
    "evaluation.gold_reward",
    "model.annotator",
    "model.policy",
)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What the form says, checked."""

    name: str
    sweep: Sweep
    homeless: tuple[str, ...]  # sentences whose field is not on the form


def show_form(source: Mapping[str, Any] | None, key: str = "") -> Filled:
    """Draw the form over a run's configuration, or over the defaults of the chosen dataset."""
    name = st.text_input("Name", value=(source or {}).get("name", ""), max_chars=200, key="name", bind="query-params",
                         placeholder="what this comparison is called")  # fmt: skip
    dataset = _dataset(source)
    preset = _preset() if dataset == "sandbox" and source is None else None
    base = merged(_base(dataset, source), preset.settings if preset else {})
    defaults = _defaults(base)
    key = f"{key}{'s' if dataset == 'sandbox' else 'h'}.{f'{preset.name}.' if preset and preset.settings else ''}"
    fields = Fields(defaults, key)
    fields.problem_line("data.dataset")
    pair_changes = _models(fields, dataset, source)
    methods, percents = _methods(fields, dataset, source, preset)
    objectives, seeds = _objectives_and_seeds(fields, source, preset)
    _headline_fields(fields)
    _more(fields, dataset, key)
    values = laid_on(base, {**pair_changes, **fields.changes})
    found = sweep(values, method_names(methods, percents), objectives, seeds)
    return Filled(name=name or "", sweep=found, homeless=tuple(fields.show_problems(found.problems)))


def _dataset(source: Mapping[str, Any] | None) -> str:
    given = (source or {}).get("data", {}).get("dataset", "sandbox")
    options = list(dict.fromkeys([*catalog.DATASETS, given]))
    chosen = st.selectbox(
        "Dataset",
        options,
        index=options.index(given),
        format_func=lambda name: catalog.DATASETS[name].label if name in catalog.DATASETS else name,
        accept_new_options=True,
        key="dataset",
        bind="query-params",
        help="A dataset of the catalog; or type a hub id (owner/name) or the path of a JSONL, Parquet or CSV file.",
    )
    return str(chosen or given)


def _preset() -> SandboxPreset | None:
    """A ready-made comparison to start from; its settings, methods and seeds can be changed below."""
    chosen = st.selectbox(
        "Start from",
        list(PRESETS),
        index=None,
        placeholder="the sandbox's defaults",
        format_func=lambda name: PRESETS[name].label,
        key="preset",
        bind="query-params",
        on_change=_take_lists,
        help="A ready-made comparison of the sandbox.",
    )
    preset = PRESETS.get(chosen or "")
    if preset is not None:
        st.caption(preset.shows)
    return preset


def _take_lists() -> None:
    """Another preset brings its methods, percentages and seeds along; without one, those of an empty form."""
    preset = PRESETS.get(st.session_state["preset"] or "")
    st.session_state["methods"], st.session_state["percents"] = _first_lists(None, preset)
    st.session_state["seeds"] = _first_seeds(None, preset)


def _first_lists(source: Mapping[str, Any] | None, preset: SandboxPreset | None) -> tuple[list[str], list[str]]:
    """Methods, and the percentages of `top`, before anything is changed."""
    if source is not None:
        return [source["method"]], [f"{source['top_percent']:g}" if source.get("top_percent") else FIRST_PERCENT]
    if preset is None:
        return list(FIRST_METHODS), [FIRST_PERCENT]
    percents = [name.removeprefix("top:") for name in preset.methods if name.startswith("top:")]
    return list(dict.fromkeys(name.split(":")[0] for name in preset.methods)), percents or [FIRST_PERCENT]


def _first_seeds(source: Mapping[str, Any] | None, preset: SandboxPreset | None) -> str:
    if source is not None:
        return str(source["seed"])
    return compact(preset.seeds) if preset else "0-3"


def _base(dataset: str, source: Mapping[str, Any] | None) -> dict[str, Any]:
    """The source's configuration where it is about this dataset, else the dataset; one's own is judged by a gold
    reward trained on it until another is chosen."""
    if source is not None and source.get("data", {}).get("dataset") == dataset:
        return {name: value for name, value in source.items() if name not in LISTED}
    if dataset in catalog.DATASETS:
        return {"data": {"dataset": dataset}}
    return {"data": {"dataset": dataset}, "evaluation": {"gold_reward": "trained"}}


def _defaults(base: Mapping[str, Any]) -> dict[str, Any]:
    """Every field's value if nothing is changed; also for a dataset that nobody knows."""
    try:
        return RunConfig.parse({**base, "method": "human"}).canonical()
    except ConfigError:
        return RunConfig.parse(
            {"evaluation": {"gold_reward": "trained"}, "data": {"dataset": "owner/name"}}
        ).canonical()


def _models(fields: Fields, dataset: str, source: Mapping[str, Any] | None) -> dict[str, Any]:
    """A pair of the catalog, or two names; sandbox models stay with the sandbox."""
    sandbox = dataset == "sandbox"
    rows = {name: row for name, row in catalog.MODEL_PAIRS.items() if (row.family == "sandbox") == sandbox}
    names = [*rows, OTHER]
    start = next(
        (name for name, row in rows.items() if source and _same_models(row, source)), OTHER if source else names[0]
    )
    chosen = st.selectbox(
        "Models: annotator → policy",
        names,
        index=names.index(start),
        format_func=lambda name: rows[name].label if name in rows else name,
        key="pair_s" if sandbox else "pair_h",
        bind="query-params",
    )
    if chosen != OTHER and chosen in rows:
        return {"model.annotator": rows[chosen].annotator, "model.policy": rows[chosen].policy}
    for column, path in zip(st.columns(2), ("model.annotator", "model.policy"), strict=True):
        with column:
            fields.field(spec_of(path))
    return {}


def _same_models(row: catalog.ModelPairRow, source: Mapping[str, Any]) -> bool:
    model = source.get("model", {})
    return (row.annotator, row.policy) == (model.get("annotator"), model.get("policy"))


def _methods(
    fields: Fields, dataset: str, source: Mapping[str, Any] | None, preset: SandboxPreset | None
) -> tuple[list[str], list[str]]:
    rows = {name: row for name, row in catalog.METHODS.items() if dataset == "sandbox" or not row.sandbox_only}
    start, shares = _first_lists(source, preset)
    left, right = st.columns([3, 2])
    with left:
        methods = st.multiselect(
            "Methods",
            list(rows),
            default=[name for name in start if name in rows],
            format_func=lambda name: rows[name].label,
            key="methods",
            bind="query-params",
        )
        fields.problem_line("method")
    with right:
        percents = st.multiselect(
            "N of Top N %",
            list(dict.fromkeys([*PERCENTS, *shares])),
            default=shares,
            accept_new_options=True,
            disabled="top" not in methods,
            key="percents",
            bind="query-params",
            help="One run for each percentage of pairs with the largest margin.",
        )
        fields.problem_line("top_percent")
    return list(methods), [str(percent) for percent in percents]


def _objectives_and_seeds(
    fields: Fields, source: Mapping[str, Any] | None, preset: SandboxPreset | None
) -> tuple[list[str], list[int]]:
    left, right = st.columns([3, 2])
    with left:
        objectives = st.multiselect(
            "Objectives",
            list(catalog.OBJECTIVES),
            default=[source["objective"]] if source else ["dpo"],
            format_func=lambda name: catalog.OBJECTIVES[name].label,
            key="objectives",
            bind="query-params",
        )
        fields.problem_line("objective")
    with right:
        seeds = st.text_input(
            "Seeds",
            value=_first_seeds(source, preset),
            key="seeds",
            bind="query-params",
            help="Whole numbers and spans: 0-3 or 0, 1, 2. A seed moves the split, the annotator, SFT and alignment.",
        )
        fields.problem_line("seed")
    return list(objectives), seed_list(seeds or "")


def _headline_fields(fields: Fields) -> None:
    """The three figures that change most often."""
    paths = ("data.label_fraction", "align.beta", "evaluation.gold_reward")
    for column, path in zip(st.columns(3), paths, strict=True):
        with column:
            fields.field(spec_of(path))


def _more(fields: Fields, dataset: str, key: str) -> None:
    """Everything else, folded away by part of the configuration; drawn once opened, or where the address sets some."""
    folded = st.expander("All other settings", key="more", on_change="rerun")
    given = {name.removeprefix(key) for name in st.query_params if name.startswith(key)} - set(ELSEWHERE)
    if not (folded.open or given or st.session_state.get(DRAWN)):
        return
    st.session_state[DRAWN] = True  # a widget that is not drawn would forget its value
    with folded:
        for tab, sections in zip(st.tabs(list(SECTIONS)), SECTIONS.values(), strict=True):
            with tab:
                for section in _with_sandbox(sections, dataset):
                    if section == "annotator":
                        choose_existing(fields, key, dataset, fields.default(USE))
                    if section in SWITCHED:
                        fields.switched(section, *SWITCHED[section])
                    else:
                        fields.section(section, without=(*ELSEWHERE, USE))


def _with_sandbox(sections: tuple[str, ...], dataset: str) -> tuple[str, ...]:
    return (*sections, "data.sandbox") if "data" in sections and dataset == "sandbox" else sections
