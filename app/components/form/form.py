"""The form of New run: what the catalog offers on top, every other field below; any field takes several values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.form.annotator_use import PATH as USE
from app.components.form.annotator_use import choose_existing
from app.components.form.config_fields import Fields
from app.components.form.content import Form, taking
from app.components.form.field_specs import plain_parts, spec_of
from app.components.form.memory import held
from app.components.form.presets import presets_for
from app.components.form.state import MODELS, OTHER, OTHERS, SWITCHES, methods_of, pairs_of
from cwpo.config import catalog
from cwpo.config.sweep import Sweep, sweep

PERCENTS = ("10", "30", "50", "75")
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
SWITCHED: Mapping[str, str] = {
    "data.length_rule": "Drop pairs that are too long",
    "model.lora": "Low-rank adapters on the policy",
}
ELSEWHERE = (
    "data.label_fraction",
    "data.test_prompts",
    "align.beta",
    "evaluation.gold_reward",
    *MODELS,
)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What the form says, checked."""

    name: str
    values: Mapping[str, Any]  # with lists, as a YAML file would say it
    sweep: Sweep
    homeless: tuple[str, ...]  # sentences whose field is not on the form


def show_form(form: Form) -> Filled:
    """Draw the form; what it says is read from its state, whatever of it is drawn."""
    fields = Fields(form)
    st.text_input("Name", max_chars=200, placeholder="what this comparison is called", **held(form, "name"))
    _dataset(form)
    if form.start.source is None:
        _preset(form)
    fields.problem_line("data.dataset")
    _models(fields)
    _methods(fields)
    _objectives_and_seeds(fields)
    _headline_fields(fields)
    _more(fields)
    values, wrong = form.values()
    found = sweep(values, wrong)
    return Filled(
        name=form.state["name"], values=values, sweep=found, homeless=tuple(fields.show_problems(found.problems))
    )


def _dataset(form: Form) -> None:
    st.selectbox(
        "Dataset",
        list(dict.fromkeys([*catalog.DATASETS, form.state["dataset"]])),
        format_func=lambda name: catalog.DATASETS[name].label if name in catalog.DATASETS else name,
        accept_new_options=True,
        help="A dataset of the catalog; or type a hub id (owner/name) or the path of a JSONL, Parquet or CSV file. "
        "What was changed below stays; what stands at the defaults of the dataset follows it.",
        **held(form, "dataset"),
    )


def _preset(form: Form) -> None:
    """A ready-made comparison to start from; everything that it sets can be changed below."""
    rows = presets_for(form.start.dataset)
    if not rows:
        return
    st.selectbox(
        "Start from",
        list(rows),
        placeholder="the defaults of the dataset",
        format_func=lambda name: rows[name].label,
        index=None,
        help="A ready-made comparison.",
        **held(form, "preset"),
    )
    if form.start.preset is not None:
        st.caption(rows[form.start.preset].shows)


def _models(fields: Fields) -> None:
    """A pair of the catalog, or any names; and the judge of their answers."""
    form = fields.form
    rows = pairs_of(form.start.dataset)
    left, right = st.columns([3, 2])
    with left:
        st.selectbox(
            "Models: annotator → policy",
            [*rows, OTHER],
            format_func=lambda name: rows[name].label if name in rows else name,
            **held(form, "models"),
        )
    with right:
        fields.field(spec_of("evaluation.gold_reward"))
    if form.state["models"] in rows:
        return
    for column, path in zip(st.columns(2), MODELS, strict=True):
        with column:
            fields.field(spec_of(path))


def _methods(fields: Fields) -> None:
    form = fields.form
    rows = methods_of(form.start.dataset)
    left, right = st.columns([3, 2])
    with left:
        st.multiselect("Methods", list(rows), format_func=lambda name: rows[name].label, **held(form, "methods"))
        fields.problem_line("method")
    with right:
        st.multiselect(
            "N %",
            list(dict.fromkeys([*PERCENTS, *form.state["percents"]])),
            accept_new_options=True,
            disabled=not taking(form.state["methods"]),
            help="The share of the pairs that top, random and bottom keep; one run for each.",
            **held(form, "percents"),
        )
        fields.problem_line("top_percent")


def _objectives_and_seeds(fields: Fields) -> None:
    left, right = st.columns([3, 2])
    with left:
        st.multiselect(
            "Objectives",
            list(catalog.OBJECTIVES),
            format_func=lambda name: catalog.OBJECTIVES[name].label,
            **held(fields.form, "objectives"),
        )
        fields.problem_line("objective")
    with right:
        st.text_input(
            "Seeds",
            help="Whole numbers and spans: 0-3 or 0, 1, 2. A seed moves the split, the annotator, SFT and alignment.",
            **held(fields.form, "seeds"),
        )
        fields.problem_line("seed")


def _headline_fields(fields: Fields) -> None:
    """The three figures that change most often."""
    paths = ("data.label_fraction", "align.beta", "data.test_prompts")
    for column, path in zip(st.columns(3), paths, strict=True):
        with column:
            if path in fields.form.state:
                fields.field(spec_of(path))


def _more(fields: Fields) -> None:
    """Everything else, folded away by part of the configuration; only the part that is looked at is drawn."""
    folded = st.expander("All other settings", key="new_run.more", on_change="rerun")
    if not folded.open:
        return
    tabs = _tabs()
    with folded:
        for tab, sections in zip(
            st.tabs([*tabs, "Other"], key="new_run.tab", on_change="rerun"), [*tabs.values(), ()], strict=True
        ):
            if tab.open:
                with tab:
                    _sections(fields, sections)


def _sections(fields: Fields, sections: tuple[str, ...]) -> None:
    """The parts of one tab; the last tab has the fields that no part draws."""
    for section in _with_sandbox(sections, fields.form.start.dataset):
        if section == "annotator":
            choose_existing(fields, fields.form.start.dataset)
        if section in SWITCHES:
            fields.switched(section, SWITCHED[section])
        else:
            fields.section(section, without=(*ELSEWHERE, USE))
    if not sections:
        _other_fields(fields)


def _tabs() -> dict[str, tuple[str, ...]]:
    """The sections above, and a tab for each part of the configuration that none of them names."""
    named = {section for sections in SECTIONS.values() for section in sections}
    rest = {part.replace("_", " ").capitalize(): (part,) for part in plain_parts() if part not in named}
    return {**SECTIONS, **rest}


def _other_fields(fields: Fields) -> None:
    """Fields without a widget, by their dotted names."""
    st.text_area(
        "Fields without a place above, one per line",
        placeholder="model.lora.target_modules: [q_proj, v_proj]",
        max_chars=2_000,
        height=110,
        help="YAML with dotted names, as `cwpo run --help` lists them; a list is one run for each of its values.",
        **held(fields.form, OTHERS),
    )
    fields.problem_line(OTHERS)
    for name in fields.form.others() or ():
        fields.share_line(OTHERS, name)


def _with_sandbox(sections: tuple[str, ...], dataset: str) -> tuple[str, ...]:
    return (*sections, "data.sandbox") if "data" in sections and dataset == "sandbox" else sections
