"""The form of New run: what the catalog offers on top, every other field below; any field takes several values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
import yaml

from app.components.form.annotator_use import PATH as USE
from app.components.form.annotator_use import choose_existing
from app.components.form.config_fields import Fields
from app.components.form.field_specs import FieldSpec, plain_parts, spec_of
from app.components.form.presets import Preset, presets_for
from app.components.form.state import (
    FIRST_PERCENT,
    HALF,
    OTHER,
    OTHERS,
    base_of,
    defaults_of,
    first_pair,
    first_percent,
    lists_of,
    pair_key,
    pairs_of,
    prefix_of,
)
from app.components.form.values import parse
from cwpo.config import catalog
from cwpo.config.parts import LoraConfig
from cwpo.config.sweep import Sweep, laid_on, method_names, sweep

PERCENTS = ("10", "30", "50", "75")
DRAWN = "more_drawn"
TAKING = "taking"  # the methods that took N before the last change
SEED = FieldSpec(path="seed", kind="int", optional=False, options=(), help="")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Pairs": ("data", "data.length_rule"),
    "Annotator": ("annotator",),
    "SFT": ("sft",),
    "Alignment": ("align",),
    "Weighting": ("weighting",),
    "Evaluation": ("evaluation", "evaluation.gold_train"),
    "Models": ("model", "model.lora"),
    "Execution": ("seeds", "execution"),
}
# Parts that may be absent: the words of their switch, and what they start from when it is turned on.
SWITCHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "data.length_rule": ("Drop pairs that are too long", {"max_tokens": 512, "counts": "each"}),
    "model.lora": ("Low-rank adapters on the policy", LoraConfig().model_dump(mode="json")),
}
ELSEWHERE = (
    "data.dataset",
    "data.label_fraction",
    "data.test_prompts",
    "align.beta",
    "evaluation.gold_reward",
    "model.annotator",
    "model.policy",
)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What the form says, checked."""

    name: str
    values: Mapping[str, Any]  # with lists, as a YAML file would say it
    sweep: Sweep
    homeless: tuple[str, ...]  # sentences whose field is not on the form


def show_form(source: Mapping[str, Any] | None, key: str = "") -> Filled:
    """Draw the form over a run's configuration, or over the defaults of the chosen dataset."""
    name = st.text_input("Name", value=(source or {}).get("name", ""), max_chars=200, key="name", bind="query-params",
                         placeholder="what this comparison is called")  # fmt: skip
    dataset = _dataset(source)
    preset = _preset(dataset) if source is None else None
    start = source if preset is None else preset.values
    base = base_of(dataset, start)
    key = f"{key}{prefix_of(dataset)}{f'{preset.name}.' if preset else ''}"
    fields = Fields(defaults_of(base), key)
    fields.problem_line("data.dataset")
    pair_changes = _models(fields, dataset, start)
    chosen = _methods(fields, dataset, start) | _objectives_and_seeds(fields, start)
    _headline_fields(fields)
    others = _more(fields, dataset, key)
    values = laid_on({**chosen, **base}, {**pair_changes, **fields.changes, **others})
    values = {"name": name or "", **values}
    found = sweep(values, fields.wrong)
    return Filled(name=name or "", values=values, sweep=found, homeless=tuple(fields.show_problems(found.problems)))


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


def _preset(dataset: str) -> Preset | None:
    """A ready-made comparison to start from; everything that it sets can be changed below."""
    rows = presets_for(dataset)
    if not rows:
        return None
    chosen = st.selectbox(
        "Start from",
        list(rows),
        index=None,
        placeholder="the defaults of the dataset",
        format_func=lambda name: rows[name].label,
        key="preset",
        bind="query-params",
        on_change=_take_lists,
        args=(dataset,),
        help="A ready-made comparison.",
    )
    preset = rows.get(chosen or "")
    if preset is not None:
        st.caption(preset.shows)
    return preset


def _take_lists(dataset: str) -> None:
    """Another preset brings its lists and models along; without one, those of an empty form."""
    preset = presets_for(dataset).get(st.session_state["preset"] or "")
    values = preset.values if preset else None
    st.session_state.update(lists_of(values))
    st.session_state[pair_key(dataset)] = first_pair(dataset, values)


def _models(fields: Fields, dataset: str, start: Mapping[str, Any] | None) -> dict[str, Any]:
    """A pair of the catalog, or any names; and the judge of their answers."""
    rows = pairs_of(dataset)
    names = [*rows, OTHER]
    left, right = st.columns([3, 2])
    with left:
        chosen = st.selectbox(
            "Models: annotator → policy",
            names,
            index=names.index(first_pair(dataset, start)),
            format_func=lambda name: rows[name].label if name in rows else name,
            key=pair_key(dataset),
            bind="query-params",
        )
    with right:
        fields.field(spec_of("evaluation.gold_reward"))
    if chosen in rows:
        return {"model.annotator": rows[chosen].annotator, "model.policy": rows[chosen].policy}
    for column, path in zip(st.columns(2), ("model.annotator", "model.policy"), strict=True):
        with column:
            fields.field(spec_of(path))
    return {}


def _methods(fields: Fields, dataset: str, start: Mapping[str, Any] | None) -> dict[str, Any]:
    rows = {name: row for name, row in catalog.METHODS.items() if dataset == "sandbox" or not row.sandbox_only}
    first = lists_of(start)
    left, right = st.columns([3, 2])
    with left:
        methods = st.multiselect(
            "Methods",
            list(rows),
            default=[name for name in first["methods"] if name in rows],
            format_func=lambda name: rows[name].label,
            key="methods",
            bind="query-params",
            on_change=_take_percent,
        )
        fields.problem_line("method")
    takes = st.session_state[TAKING] = _taking(methods)
    with right:
        percents = st.multiselect(
            "N %",
            list(dict.fromkeys([*PERCENTS, *first["percents"]])),
            default=first["percents"],
            accept_new_options=True,
            disabled=not takes,
            key="percents",
            bind="query-params",
            help="The share of the pairs that top, random and bottom keep; one run for each.",
        )
        fields.problem_line("top_percent")
    return {"method": method_names(methods, [str(percent) for percent in percents])}


def _taking(methods: Sequence[str]) -> list[str]:
    """Those of these methods that keep N % of the pairs."""
    return [name for name in methods if catalog.METHODS[name].needs_percent]


def _take_percent() -> None:
    """The first method that takes N brings its own along; a choice of N is never changed."""
    now = _taking(st.session_state["methods"])
    untouched = st.session_state.get("percents") in ([FIRST_PERCENT], [HALF])
    if now and untouched and not st.session_state.get(TAKING):
        st.session_state["percents"] = [first_percent(now)]


def _objectives_and_seeds(fields: Fields, start: Mapping[str, Any] | None) -> dict[str, Any]:
    first = lists_of(start)
    left, right = st.columns([3, 2])
    with left:
        objectives = st.multiselect(
            "Objectives",
            list(catalog.OBJECTIVES),
            default=first["objectives"],
            format_func=lambda name: catalog.OBJECTIVES[name].label,
            key="objectives",
            bind="query-params",
        )
        fields.problem_line("objective")
    with right:
        given = st.text_input(
            "Seeds",
            value=first["seeds"],
            key="seeds",
            bind="query-params",
            help="Whole numbers and spans: 0-3 or 0, 1, 2. A seed moves the split, the annotator, SFT and alignment.",
        )
        fields.problem_line("seed")
    seeds, sentence = parse(SEED, given or "")
    if sentence:
        fields.wrong["seed"] = sentence
    return {"objective": list(objectives), "seed": seeds or [0]}


def _headline_fields(fields: Fields) -> None:
    """The three figures that change most often."""
    paths = ("data.label_fraction", "align.beta", "data.test_prompts")
    for column, path in zip(st.columns(3), paths, strict=True):
        with column:
            fields.field(spec_of(path))


def _more(fields: Fields, dataset: str, key: str) -> dict[str, Any]:
    """Everything else, folded away by part of the configuration; drawn once opened, or where the address sets some."""
    folded = st.expander("All other settings", key="more", on_change="rerun")
    given = {name.removeprefix(key) for name in st.query_params if name.startswith(key)} - set(ELSEWHERE)
    if not (folded.open or given or st.session_state.get(DRAWN)):
        return {}
    st.session_state[DRAWN] = True  # a widget that is not drawn would forget its value
    tabs = _tabs()
    with folded:
        for tab, sections in zip(st.tabs([*tabs, "Other"]), [*tabs.values(), ()], strict=True):
            with tab:
                for section in _with_sandbox(sections, dataset):
                    if section == "annotator":
                        choose_existing(fields, key, dataset)
                    if section in SWITCHED:
                        fields.switched(section, *SWITCHED[section])
                    else:
                        fields.section(section, without=(*ELSEWHERE, USE))
        with tab:
            return _other_fields(fields, key)


def is_folded(key: str) -> bool:
    """Whether this widget stands among the other settings."""
    prefix, dot, path = key.partition(".")
    return bool(dot) and prefix in ("s", "h") and path not in ELSEWHERE


def _tabs() -> dict[str, tuple[str, ...]]:
    """The sections above, and a tab for each part of the configuration that none of them names."""
    named = {section for sections in SECTIONS.values() for section in sections}
    rest = {part.replace("_", " ").capitalize(): (part,) for part in plain_parts() if part not in named}
    return {**SECTIONS, **rest}


def _other_fields(fields: Fields, key: str) -> dict[str, Any]:
    """Fields without a widget, by their dotted names."""
    text = st.text_area(
        "Fields without a place above, one per line",
        placeholder="model.lora.target_modules: [q_proj, v_proj]",
        max_chars=2_000,
        height=110,
        key=f"{key}{OTHERS}",
        bind="query-params",
        help="YAML with dotted names, as `cwpo run --help` lists them; a list is one run for each of its values.",
    )
    fields.problem_line(OTHERS)
    try:
        values = yaml.safe_load(text or "") or {}
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        fields.wrong[OTHERS] = "fields are not lines like `salt: again`."
        return {}
    for name in values:
        fields.share_line(OTHERS, name)
    return values


def _with_sandbox(sections: tuple[str, ...], dataset: str) -> tuple[str, ...]:
    return (*sections, "data.sandbox") if "data" in sections and dataset == "sandbox" else sections
