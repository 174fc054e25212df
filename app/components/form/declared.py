"""What is declared about the widgets of New run: one entry per field, where the run configuration does not say enough.

A field that has no entry is drawn from the configuration: its name, type and description. To say more about it (what
it is called, where it stands, what it offers), add an entry here; nothing else lists fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.components.form.presets import presets_for
from app.components.frame.address import DATASETS
from cwpo.config import catalog
from cwpo.config.parts import AlongConfig, JudgeConfig, LoraConfig, OnlineConfig

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


def pairs_of(dataset: str) -> dict[str, catalog.ModelPairRow]:
    """The model pairs of the catalog that read this dataset, its own first; sandbox models stay with the sandbox."""
    sandbox, known = dataset == "sandbox", catalog.DATASETS.get(dataset)
    rows = {name: row for name, row in catalog.MODEL_PAIRS.items() if (row.family == "sandbox") == sandbox}
    first = known.models if known is not None else None
    return rows if first is None else {first: rows[first], **rows}


def methods_of(dataset: str) -> dict[str, catalog.MethodRow]:
    """The methods that can be had on this dataset."""
    return {name: row for name, row in catalog.METHODS.items() if dataset == "sandbox" or not row.sandbox_only}


def judges_of(dataset: str) -> dict[str, catalog.GoldRewardRow]:
    """What can judge beside a gold reward on this dataset."""
    rows = catalog.GOLD_REWARDS.items()
    return {name: row for name, row in rows if row.kind == "model" or (row.kind == "oracle" and dataset == "sandbox")}


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
    heading: str = ""  # over its fields, where another part stands in the same tab


def _labels(rows: Mapping[str, Any]) -> dict[str, str]:
    return {name: row.label for name, row in rows.items()}


def _listed(meanings: Mapping[str, str]) -> str:
    """A line for each, with its name in bold."""
    return "\n".join(f"- **{name}**: {meaning}" for name, meaning in meanings.items())


LETTERS = (
    "h is how much more the policy prefers the chosen response than the reference does, β how much moving away costs, "
    "ε the share of labels taken to be wrong, Δ the annotator's margin."
)

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
        help="A dataset of the catalog; or type a hub id (owner/name) or the path of a JSONL, Parquet or CSV file "
        "in a folder that the Data page names. "
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
        help=_listed({row.label: row.says for row in catalog.METHODS.values()}),
    ),
    "percents": Declared(
        label="N %",
        place="methods",
        kind="choice",
        offers=lambda dataset: {percent: percent for percent in ("10", "30", "50", "75")},
        closed=False,
        sets=("top_percent",),
        help="The share of the pairs that top, top_true, random and bottom keep; one run for each.",
    ),
    "objectives": Declared(
        label="Objectives",
        place="objectives",
        kind="choice",
        offers=lambda dataset: _labels(catalog.OBJECTIVES),
        sets=("objective",),
        help=f"The loss of a pair. {LETTERS}\n"
        + _listed({row.label: f"{row.formula} ({row.source})" for row in catalog.OBJECTIVES.values()}),
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
    "data.labeled_sources": Declared(found_for="dataset"),
    "data.unlabeled_sources": Declared(found_for="dataset"),
    "data.relabels": Declared(label="Later labels", placeholder="NAME or NAME@VERSION"),
    "data.length_rule.counts": Declared(label="Length counts"),
    "data.length_rule.tokenizer_revision": Declared(found_for="data.length_rule.tokenizer"),
    "data.sandbox.noise": Declared(label="Label noise τ"),
    "annotator.use": Declared(label="Existing annotator", named_annotators=True),
    "annotator.implicit_beta": Declared(label="Implicit β of ws"),
    "align.label_noise": Declared(label="ε of rDPO"),
    "align.ipo_reduction": Declared(label="IPO reduces by"),
    "align.odpo_alpha": Declared(label="α of ODPO"),
    "align.simpo_gamma": Declared(label="γ of SimPO"),
    "align.beta_dynamics": Declared(label="a of β-DPO"),
    "align.orpo_lambda": Declared(label="λ of ORPO"),
    "align.online.refresh_every": Declared(label="Steps between samplings"),
    "align.online.temperature": Declared(label="Sampling temperature"),
    "align.online.max_new_tokens": Declared(label="Longest answer, tokens"),
    "weighting.name": Declared(label="Weighting", offers=lambda dataset: _labels(catalog.WEIGHTINGS), closed=False),
    "weighting.slope": Declared(label="Slope a of clipped"),
    "weighting.gamma": Declared(label="γ of power"),
    "weighting.temperature": Declared(label="Temperature T"),
    "weighting.threshold": Declared(label="Lowest C of threshold"),
    "evaluation.top_p": Declared(label="Top p"),
    "evaluation.gold_revision": Declared(found_for="evaluation.gold_reward"),
    "evaluation.gold_model": Declared(found_for="evaluation.gold_reward"),
    "evaluation.judge.kind": Declared(label="Judge is"),
    "evaluation.judge.revision": Declared(found_for="evaluation.judge.model"),
    "evaluation.judge.noise": Declared(label="Noise τ, simulated"),
    "evaluation.judge.first_bias": Declared(label="Liking for the first, simulated"),
    "evaluation.along.second": Declared(
        label="Second judge", offers=lambda dataset: _labels(judges_of(dataset)), closed=False
    ),
    "evaluation.along.second_revision": Declared(found_for="evaluation.along.second"),
    "evaluation.along.best_of": Declared(label="Best of"),
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
    "data.sandbox": Part(dataset="sandbox", heading="The sandbox's world"),
    "annotator": Part(tab="Annotator"),
    "sft": Part(tab="SFT"),
    "align": Part(tab="Alignment"),
    "align.online": Part(
        switch="Fresh pairs: the policy samples two answers to each prompt while it trains, and the annotator labels "
        "and weighs them",
        heading="Online",
        turned_on=OnlineConfig().model_dump(mode="json"),
    ),
    "weighting": Part(tab="Weighting"),
    "evaluation": Part(tab="Evaluation"),
    "evaluation.gold_train": Part(heading="Training of the gold reward, where it is trained here"),
    "evaluation.judge": Part(
        switch="A judge model compares the answers too",
        heading="A judge model beside the gold reward",
        turned_on=JudgeConfig().model_dump(mode="json"),
    ),
    "evaluation.along": Part(
        switch="Judge models along the alignment",
        heading="Over-optimisation along training",
        turned_on=AlongConfig().model_dump(mode="json"),
    ),
    "model": Part(tab="Models"),
    "model.lora": Part(switch="Low-rank adapters on the policy", turned_on=LoraConfig().model_dump(mode="json")),
    "seeds": Part(tab="Execution", heading="Single seeds"),
    "execution": Part(tab="Execution", heading="How it is executed"),
}

SET_ON_TOP = {path for one in DECLARED.values() for path in one.sets}
MODELS = tuple(name for name, one in DECLARED.items() if one.place == "names of models")
SWITCHED: Mapping[str, Mapping[str, Any]] = {
    name: part.turned_on for name, part in PARTS.items() if part.turned_on is not None
}
