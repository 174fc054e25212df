"""The fields of New run: one declaration for each that says more than the run configuration does, and all of them.

The form, its address, its YAML file and what fills it (a run, a ready-made comparison) read what a field is from here.
A field that nothing is declared about is drawn from the configuration: its name, type and description.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.components.form.presets import presets_for
from app.components.frame.address import DATASETS
from cwpo.config import catalog
from cwpo.config.parts import LoraConfig
from cwpo.config.run import RunConfig

# one: a single choice · choice: several of a list · flag: on, off or both · shares: harmless 0.8 + helpful 0.2
Kind = Literal["text", "int", "float", "shares", "flag", "choice", "one", "lines"]
Offers = Callable[[str], Mapping[str, str]]  # for a dataset: name -> what the widget shows

# The lines on top of the form, and how wide their widgets are; every other place is a tab below.
LINES: Mapping[str, tuple[int, ...]] = {
    "name": (1,),
    "dataset": (1,),
    "preset": (1,),
    "models": (3, 2),
    "names of models": (1, 1),
    "methods": (3, 2),
    "objectives": (3, 2),
    "figures": (1, 1, 1),
}
LAST_TAB = "Other"  # the last tab, of what has no widget
OTHER_MODELS = "other models"
OTHER = "other"  # the text with the fields that have no widget
DEFAULT = "default"  # stands for "not set" beside other values
FLAGS: Mapping[str, bool | None] = {"auto": None, "off": False, "on": True}


def pairs_of(dataset: str) -> dict[str, catalog.ModelPairRow]:
    """The model pairs of the catalog that read this dataset; sandbox models stay with the sandbox."""
    sandbox = dataset == "sandbox"
    return {name: row for name, row in catalog.MODEL_PAIRS.items() if (row.family == "sandbox") == sandbox}


def methods_of(dataset: str) -> dict[str, catalog.MethodRow]:
    """The methods that can be had on this dataset."""
    return {name: row for name, row in catalog.METHODS.items() if dataset == "sandbox" or not row.sandbox_only}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the configuration does not say about a field; all of it may be left out."""

    label: str = ""  # else its name
    place: str = ""  # a line on top; else the tab of its part
    kind: Kind | None = None  # else from its type
    help: str = ""  # else its description
    placeholder: str = ""
    optional: bool = False  # or as its type says
    offers: Offers | None = None  # else from its type
    closed: bool = True  # whether nothing else than what is offered can be chosen
    sets: tuple[str, ...] = ()  # fields of the configuration, of a widget that is none of them itself
    longest: int | None = 300  # characters of a text
    found_for: str = ""  # it is about that field's value, and has its default again when that one changes
    named_annotators: bool = False  # a list of them stands beside it


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where a part of the configuration stands."""

    tab: str = ""  # else a tab of its own, or that of the part around it
    switch: str = ""  # the words of its switch, if it may be absent
    turned_on: Mapping[str, Any] | None = None  # what it starts from when it is turned on
    dataset: str = ""  # the only one with which it is drawn


def _labels(rows: Mapping[str, Any]) -> dict[str, str]:
    return {name: row.label for name, row in rows.items()}


DECLARED: Mapping[str, Declared] = {
    # On top of the form.
    "name": Declared(
        label="Name",
        place="name",
        kind="text",
        placeholder="what this comparison is called",
        sets=("name",),
        longest=200,
    ),
    "dataset": Declared(
        label="Dataset",
        place="dataset",
        kind="one",
        offers=lambda dataset: {name: label for name, label in DATASETS.items() if name},
        closed=False,
        sets=("data.dataset",),
        help="A dataset of the catalog; or type a hub id (owner/name) or the path of a JSONL, Parquet or CSV file. "
        "What was changed below stays; what stands at the defaults of the dataset follows it.",
    ),
    "preset": Declared(
        label="Start from",
        place="preset",
        kind="one",
        optional=True,
        offers=lambda dataset: _labels(presets_for(dataset)),
        placeholder="the defaults of the dataset",
        help="A ready-made comparison.",
    ),
    "models": Declared(
        label="Models: annotator → policy",
        place="models",
        kind="one",
        offers=lambda dataset: {**_labels(pairs_of(dataset)), OTHER_MODELS: OTHER_MODELS},
    ),
    "evaluation.gold_reward": Declared(
        place="models", offers=lambda dataset: _labels(catalog.GOLD_REWARDS), closed=False
    ),
    "model.annotator": Declared(place="names of models"),
    "model.policy": Declared(place="names of models"),
    "methods": Declared(
        label="Methods",
        place="methods",
        kind="choice",
        offers=lambda dataset: _labels(methods_of(dataset)),
        sets=("method",),
    ),
    "percents": Declared(
        label="N %",
        place="methods",
        kind="choice",
        offers=lambda dataset: {percent: percent for percent in ("10", "30", "50", "75")},
        closed=False,
        sets=("top_percent",),
        help="The share of the pairs that top, random and bottom keep; one run for each.",
    ),
    "objectives": Declared(
        label="Objectives",
        place="objectives",
        kind="choice",
        offers=lambda dataset: _labels(catalog.OBJECTIVES),
        sets=("objective",),
    ),
    "seeds": Declared(
        label="Seeds",
        place="objectives",
        kind="int",
        sets=("seed",),
        longest=None,
        help="Whole numbers and spans: 0-3 or 0, 1, 2. A seed moves the split, the annotator, SFT and alignment.",
    ),
    "data.label_fraction": Declared(place="figures"),
    "align.beta": Declared(label="β", place="figures"),
    "data.test_prompts": Declared(place="figures"),
    # In the tabs, where the configuration alone does not say enough.
    "data.revision": Declared(found_for="dataset"),
    "data.subset": Declared(found_for="dataset"),
    "data.mix": Declared(found_for="dataset"),
    "data.length_rule.counts": Declared(label="Length counts"),
    "data.length_rule.tokenizer_revision": Declared(found_for="data.length_rule.tokenizer"),
    "data.sandbox.noise": Declared(label="Label noise τ"),
    "annotator.use": Declared(label="Existing annotator", named_annotators=True),
    "annotator.implicit_beta": Declared(label="Implicit β of ws"),
    "align.label_noise": Declared(label="ε of rDPO"),
    "align.ipo_reduction": Declared(label="IPO reduces by"),
    "align.odpo_alpha": Declared(label="α of ODPO"),
    "align.simpo_gamma": Declared(label="γ of SimPO"),
    "weighting.name": Declared(label="Weighting", offers=lambda dataset: _labels(catalog.WEIGHTINGS), closed=False),
    "weighting.slope": Declared(label="Slope a of clipped"),
    "weighting.gamma": Declared(label="γ of power"),
    "weighting.temperature": Declared(label="Temperature T"),
    "weighting.threshold": Declared(label="Lowest C of threshold"),
    "evaluation.top_p": Declared(label="Top p"),
    "evaluation.gold_revision": Declared(found_for="evaluation.gold_reward"),
    "evaluation.gold_model": Declared(found_for="evaluation.gold_reward"),
    "model.annotator_revision": Declared(found_for="model.annotator"),
    "model.policy_revision": Declared(found_for="model.policy"),
    "model.lora.r": Declared(label="Rank r"),
    "model.lora.alpha": Declared(label="Scale α"),
    "seeds.base": Declared(label="Base models"),
    # In every part that trains something.
    "*.lr": Declared(label="Learning rate"),
    "*.max_grad_norm": Declared(label="Gradient norm, at most"),
    # Last.
    OTHER: Declared(
        label="Fields without a place above, one per line",
        place=LAST_TAB,
        kind="lines",
        longest=2_000,
        placeholder="model.lora.target_modules: [q_proj, v_proj]",
        help="YAML with dotted names, as `cwpo run --help` lists them; a list is one run for each of its values.",
    ),
}

# In the order of the tabs.
PARTS: Mapping[str, Part] = {
    "data": Part(tab="Pairs"),
    "data.length_rule": Part(switch="Drop pairs that are too long", turned_on={"max_tokens": 512, "counts": "each"}),
    "data.sandbox": Part(dataset="sandbox"),
    "annotator": Part(tab="Annotator"),
    "sft": Part(tab="SFT"),
    "align": Part(tab="Alignment"),
    "weighting": Part(tab="Weighting"),
    "evaluation": Part(tab="Evaluation"),
    "model": Part(tab="Models"),
    "model.lora": Part(switch="Low-rank adapters on the policy", turned_on=LoraConfig().model_dump(mode="json")),
    "seeds": Part(tab="Execution"),
    "execution": Part(tab="Execution"),
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One widget of the form: what is declared about it, and the rest from the configuration."""

    name: str  # in the form and in its address; dotted, and that of the configuration, for one field of it
    kind: Kind
    label: str = ""
    place: str = ""
    help: str = ""
    placeholder: str | None = None
    optional: bool = False
    offers: Offers | None = field(default=None, compare=False)  # for a dataset: name -> what the widget shows
    closed: bool = True
    sets: tuple[str, ...] = ()
    longest: int | None = 300
    found_for: str = ""
    named_annotators: bool = False

    @property
    def last_name(self) -> str:
        return self.name.rpartition(".")[2]

    def offered(self, dataset: str) -> Mapping[str, str]:
        """What can be chosen with this dataset: name -> what the widget shows."""
        return self.offers(dataset) if self.offers else {}


@cache
def fields_of_part(part: str) -> tuple[Field, ...]:
    """The plain fields of one part, in the order of the configuration, but for those that a widget on top sets."""
    found = (_field(f"{part}.{name}", info) for name, info in part_of(part).model_fields.items())
    return tuple(one for one in found if one is not None and one.name not in SET_ON_TOP)


@cache
def fields_of_run() -> Mapping[str, Field]:
    """Those of the run configuration, by their dotted names."""
    return {one.name: one for part in all_parts() for one in fields_of_part(part)}


@cache
def all_fields() -> Mapping[str, Field]:
    """Every widget of the form by its name, but for the switches of parts."""
    own = {name: _declared(name, one.kind) for name, one in DECLARED.items() if one.kind is not None}
    return {**own, **fields_of_run()}


def fields_on(place: str) -> list[Field]:
    """The fields that are declared to stand there."""
    return [all_fields()[name] for name, one in DECLARED.items() if one.place == place]


def found_for(name: str) -> list[str]:
    """The fields that are about this one's value."""
    return [one for one, declared in DECLARED.items() if declared.found_for == name]


def tabs() -> dict[str, list[str]]:
    """The tabs and their parts, and a tab for each part that nothing is declared about."""
    found: dict[str, list[str]] = {}
    for part in (*PARTS, *(part for part in all_parts() if part not in PARTS)):
        found.setdefault(_tab(part), []).append(part)
    return {**found, LAST_TAB: []}


def all_parts() -> list[str]:
    """The parts of a run's configuration and the parts inside them, in its order."""
    found = []
    for name, info in RunConfig.model_fields.items():
        if _part_in(info.annotation) is not None:
            inner = part_of(name).model_fields
            found += [name, *(f"{name}.{below}" for below in inner if _part_in(inner[below].annotation) is not None)]
    return found


def part_of(path: str) -> type[BaseModel]:
    """The model behind a dotted name, seen through `| None`."""
    part: type[BaseModel] | None = RunConfig
    for name in path.split("."):
        part = _part_in(part.model_fields[name].annotation) if part is not None else None
    if part is None:
        raise KeyError(path)
    return part


def _tab(part: str) -> str:
    around, _, name = part.rpartition(".")
    return PARTS.get(part, Part()).tab or (_tab(around) if around else name.replace("_", " ").capitalize())


def _field(name: str, info: FieldInfo) -> Field | None:
    """A field of the configuration; None for a nested part or a list."""
    union = get_origin(info.annotation) in (Union, types.UnionType)
    inner = [kind for kind in (get_args(info.annotation) if union else (info.annotation,)) if kind is not NoneType]
    optional = union and len(inner) < len(get_args(info.annotation))
    kind, offers = _kind(inner, optional) if len(inner) == 1 else (None, None)
    if kind is None:
        return None
    return _declared(name, kind, info.description or "", optional, offers)


def _declared(name: str, kind: Kind, words: str = "", optional: bool = False, offers: Offers | None = None) -> Field:
    """What is declared, before what the configuration says."""
    last = name.rpartition(".")[2]
    said = DECLARED.get(name) or DECLARED.get(f"*.{last}") or Declared()
    optional = said.optional or optional
    return Field(
        name=name,
        kind=said.kind or ("choice" if said.offers else kind),
        label=said.label or last.replace("_", " ").capitalize(),
        place=said.place,
        help=said.help or words,
        placeholder=said.placeholder or (DEFAULT if optional else None),
        optional=optional,
        offers=said.offers or offers,
        closed=said.closed,
        sets=said.sets,
        longest=said.longest,
        found_for=said.found_for,
        named_annotators=said.named_annotators,
    )


def _kind(inner: Sequence[Any], optional: bool) -> tuple[Kind | None, Offers | None]:
    """The kind of widget for a type, and what it offers."""
    (kind,) = inner
    if get_origin(kind) is Literal:
        choices = {choice: str(choice) for choice in get_args(kind)}
        return "choice", lambda dataset: choices
    if get_origin(kind) is dict:
        return "shares", None
    if kind is bool:
        words = {word: word for word, value in FLAGS.items() if value is not None or optional}
        return "flag", lambda dataset: words
    plain: Mapping[Any, Kind] = {int: "int", float: "float", str: "text"}
    return plain.get(kind), None


def _part_in(annotation: Any) -> type[BaseModel] | None:
    kinds = (*get_args(annotation), annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


SET_ON_TOP = {path for one in DECLARED.values() for path in one.sets}
MODELS = tuple(name for name, one in DECLARED.items() if one.place == "names of models")
SWITCHED: Mapping[str, Mapping[str, Any]] = {
    name: part.turned_on for name, part in PARTS.items() if part.turned_on is not None
}
