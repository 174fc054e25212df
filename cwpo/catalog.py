"""What a run can be made of: objectives, weightings, methods, datasets, models, gold rewards. Names and rows only.

Free of torch, so that a form can list everything; the functions behind the rows live in `objectives.py`,
`weighting.py`, `data/` and `gold.py`, and a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

LabelSource = Literal["human", "weak", "true"]
Part = Literal["unlabeled", "labeled", "all"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveRow:
    """A per-example loss on policy and reference log-probabilities."""

    name: str
    label: str
    source: str
    formula: str
    needs: tuple[str, ...] = ()  # "margin", "token_stats": what the method must supply
    fields: tuple[str, ...] = ("beta",)  # fields of `align` that it reads


@dataclass(frozen=True, kw_only=True)
class WeightingRow:
    """How a pair's margin becomes its weight in the loss."""

    name: str
    label: str
    formula: str
    source: str
    needs_margin: bool = True
    fields: tuple[str, ...] = ()  # of `weighting` that it reads; percent is `top_percent`
    reads: tuple[str, ...] = ()  # beside the margin: "keys" (chance by pair), "spread" (SD over annotators or passes)
    swaps: bool = False  # also weighs the pair the other way round


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """A name for (labels, pool, weighting)."""

    name: str
    label: str
    labels: LabelSource
    pool: Part
    weighting: str
    source: str
    annotator: str | None = None  # its own kind of annotator; None: the one of the configuration
    sandbox_only: bool = False
    whole_data: bool = False  # may be run with label_fraction 1

    @property
    def needs_annotator(self) -> bool:
        return self.labels == "weak"

    @property
    def needs_percent(self) -> bool:
        return "percent" in WEIGHTINGS[self.weighting].fields


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A preference dataset: where it is and how a row of it reads."""

    name: str
    label: str
    source: str
    reader: str  # module of cwpo.data whose to_pair reads a row
    repo: str | None = None
    revision: str | None = None
    subset: str | None = None  # data_dir or configuration of the repository
    parts: Mapping[str, str] | None = None  # source -> subset, where several are joined unless one is chosen
    splits: tuple[str, ...] = ("train",)
    gold_reward: str = "skywork-qwen3-0.6b"
    max_tokens: int | None = None  # length rule of the paper, for the form
    paper_test_prompts: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelPairRow:
    """A weak annotator backbone and the policy that it teaches."""

    name: str
    label: str
    annotator: str
    policy: str
    family: str


@dataclass(frozen=True, kw_only=True)
class SandboxModelRow:
    """A tiny causal LM that is built from its configuration and pretrained locally."""

    name: str
    family: Literal["opt", "qwen2"]
    hidden_size: int
    layers: int
    heads: int
    ffn: int
    epochs: int
    lr: float

    @property
    def architecture(self) -> dict[str, Any]:
        """What of this row decides the weights; enters the fingerprint of the base stage."""
        return {
            "family": self.family,
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "heads": self.heads,
            "ffn": self.ffn,
            "epochs": self.epochs,
            "lr": self.lr,
        }


@dataclass(frozen=True, kw_only=True)
class GoldRewardRow:
    """Who decides which of two answers is better."""

    name: str
    label: str
    kind: Literal["oracle", "trained", "model"]
    source: str
    model: str | None = None
    revision: str | None = None
    input_form: Literal["chat_template", "text_pair"] = "chat_template"
    max_length: int = 4096


OBJECTIVES: Mapping[str, ObjectiveRow] = {
    row.name: row
    for row in (
        ObjectiveRow(
            name="dpo",
            label="DPO",
            source="Rafailov et al. 2023; CW-PO eq. 9",
            formula="−log σ(βh)",
        ),
        ObjectiveRow(
            name="ipo",
            label="IPO",
            source="Azar et al. 2024; CW-PO eq. 10",
            formula="(h − 1/(2β))²",
            fields=("beta", "ipo_reduction"),
        ),
        ObjectiveRow(
            name="rdpo",
            label="rDPO",
            source="Chowdhury et al. 2024; CW-PO eq. 11",
            formula="[−(1−ε) log σ(βh) + ε log σ(−βh)] / (1−2ε)",
            fields=("beta", "label_noise"),
        ),
        ObjectiveRow(
            name="cdpo",
            label="cDPO",
            source="Mitchell 2023",
            formula="−(1−ε) log σ(βh) − ε log σ(−βh)",
            fields=("beta", "label_noise"),
        ),
        ObjectiveRow(
            name="odpo",
            label="ODPO",
            source="Amini et al. 2024",
            formula="−log σ(βh − α log Δ)",
            needs=("margin",),
            fields=("beta", "odpo_alpha"),
        ),
        ObjectiveRow(
            name="simpo",
            label="SimPO",
            source="Meng et al. 2024",
            formula="−log σ(β(mean log π(y⁺) − mean log π(y⁻)) − γ)",
            fields=("beta", "simpo_gamma"),
        ),
        ObjectiveRow(
            name="wpo",
            label="WPO",
            source="Zhou et al. 2024",
            formula="−min(1, e^(l⁺ + l⁻)) log σ(βh)",
            needs=("token_stats",),
        ),
    )
}

WEIGHTINGS: Mapping[str, WeightingRow] = {
    row.name: row
    for row in (
        WeightingRow(name="uniform", label="1", formula="w = 1", source="unweighted loss", needs_margin=False),
        WeightingRow(name="confidence", label="C", formula="w = 2(σ(Δ) − ½)", source="CW-PO eq. 7 and 8"),
        WeightingRow(
            name="top",
            label="top N %",
            formula="w = 1 for the N % of pairs with the largest Δ; the rest is dropped",
            source="CW-PO Table 4, 10, 11",
            fields=("percent",),
        ),
        WeightingRow(
            name="bottom",
            label="lowest N %",
            formula="w = 1 for the N % of pairs with the smallest Δ; the rest is dropped",
            source="control: what unsure labels teach",
            fields=("percent",),
        ),
        WeightingRow(
            name="random",
            label="random N %",
            formula="w = 1 for N % of the pairs by chance; the rest is dropped",
            source="control for top N %",
            needs_margin=False,
            fields=("percent",),
            reads=("keys",),
        ),
        WeightingRow(
            name="threshold",
            label="C ≥ t",
            formula="w = 1 where C ≥ t; the rest is dropped",
            source="hard filter at a confidence",
            fields=("threshold",),
        ),
        WeightingRow(name="sigma", label="σ(Δ)", formula="w = σ(Δ)", source="CW-PO Table 5, C2"),
        WeightingRow(
            name="clipped",
            label="min(aΔ, 1)",
            formula="w = min(aΔ, 1)",
            source="CW-PO Table 5, C3 (a = 1) and C4 (a = 0.2)",
            fields=("slope",),
        ),
        WeightingRow(name="power", label="C^γ", formula="w = C^γ", source="a harsher or milder C", fields=("gamma",)),
        WeightingRow(
            name="temperature",
            label="C at temperature T",
            formula="w = tanh(Δ / 2T)",
            source="Guo et al. 2017; T fitted on held-out labeled pairs",
            fields=("temperature",),
        ),
        WeightingRow(
            name="uncertainty",
            label="C less its uncertainty",
            formula="w = tanh(Δ / 2√(1 + πs²/8))",
            source="MacKay 1992; s: SD of Δ over annotators or passes",
            reads=("spread",),
        ),
        WeightingRow(
            name="shuffled", label="C shuffled", formula="w = C of another pair", source="control", reads=("keys",)
        ),
        WeightingRow(name="normalised", label="C / mean C", formula="w = C / mean C over the pool", source="control"),
        WeightingRow(
            name="soft",
            label="(p, 1 − p)",
            formula="w = σ(Δ), and 1 − σ(Δ) the other way round",
            source="soft labels; cDPO with ε = 1 − p per pair",
            swaps=True,
        ),
    )
}

METHODS: Mapping[str, MethodRow] = {
    row.name: row
    for row in (
        MethodRow(
            name="human",
            label="Human",
            labels="human",
            pool="unlabeled",
            weighting="uniform",
            source='the paper\'s "Human": human labels on the part that the annotator labels for the others',
        ),
        MethodRow(
            name="human_100",
            label="Human 100 %",
            labels="human",
            pool="all",
            weighting="uniform",
            source="CW-PO Table 3",
            whole_data=True,
        ),
        MethodRow(
            name="human_labeled",
            label="Human, labeled part",
            labels="human",
            pool="labeled",
            weighting="uniform",
            source="CW-PO Figure 3, right",
            whole_data=True,
        ),
        MethodRow(
            name="oracle",
            label="Oracle labels",
            labels="true",
            pool="unlabeled",
            weighting="uniform",
            source="true labels, known in the sandbox only",
            sandbox_only=True,
        ),
        MethodRow(
            name="ws",
            label="WS",
            labels="weak",
            pool="unlabeled",
            weighting="uniform",
            annotator="implicit",
            source="Tao & Li 2025: labels by the implicit reward of a weak model after SFT and DPO",
        ),
        MethodRow(
            name="weak",
            label="Weak labels",
            labels="weak",
            pool="unlabeled",
            weighting="uniform",
            source="the 100 % column of CW-PO Tables 10 and 11: the clean control for CW",
        ),
        MethodRow(
            name="cw",
            label="CW",
            labels="weak",
            pool="unlabeled",
            weighting="confidence",
            source="CW-PO eq. 7",
        ),
        MethodRow(
            name="top",
            label="Top N %",
            labels="weak",
            pool="unlabeled",
            weighting="top",
            source="CW-PO Tables 4, 10, 11",
        ),
        MethodRow(
            name="random",
            label="Random N %",
            labels="weak",
            pool="unlabeled",
            weighting="random",
            source="control for Top N %: as many pairs, by chance",
        ),
        MethodRow(
            name="bottom",
            label="Lowest N %",
            labels="weak",
            pool="unlabeled",
            weighting="bottom",
            source="control: what the least confident labels teach alone",
        ),
        MethodRow(
            name="shuffled",
            label="Shuffled C",
            labels="weak",
            pool="unlabeled",
            weighting="shuffled",
            source="control for CW: the same weights, without their information",
        ),
        MethodRow(
            name="normalised",
            label="C / mean C",
            labels="weak",
            pool="unlabeled",
            weighting="normalised",
            source="control for CW: the same information, without the smaller loss",
        ),
        MethodRow(
            name="soft",
            label="Soft labels",
            labels="weak",
            pool="unlabeled",
            weighting="soft",
            source="each pair both ways, by the annotator's probability",
        ),
    )
}

DATASETS: Mapping[str, DatasetRow] = {
    row.name: row
    for row in (
        DatasetRow(
            name="sandbox",
            label="Sandbox (offline)",
            source="a small written world with a known utility",
            reader="sandbox",
            gold_reward="oracle",
        ),
        DatasetRow(
            name="hh",
            label="HH-RLHF",
            source="Bai et al. 2022",
            reader="hh",
            repo="Anthropic/hh-rlhf",
            parts={"harmless": "harmless-base", "helpful": "helpful-base"},
            splits=("train", "test"),
            max_tokens=512,
            paper_test_prompts=704,
        ),
        DatasetRow(
            name="hh-harmless",
            label="HH-RLHF harmless",
            source="Bai et al. 2022",
            reader="hh",
            repo="Anthropic/hh-rlhf",
            subset="harmless-base",
            splits=("train", "test"),
            max_tokens=512,
            paper_test_prompts=696,
        ),
        DatasetRow(
            name="hh-helpful",
            label="HH-RLHF helpful",
            source="Bai et al. 2022",
            reader="hh",
            repo="Anthropic/hh-rlhf",
            subset="helpful-base",
            splits=("train", "test"),
            max_tokens=512,
            paper_test_prompts=703,
        ),
        DatasetRow(
            name="tldr",
            label="Reddit TL;DR",
            source="Stiennon et al. 2020, comparisons",
            reader="tldr",
            repo="openai/summarize_from_feedback",
            revision="refs/convert/parquet",
            subset="comparisons",
            splits=("train", "validation"),
            gold_reward="openassistant-deberta",
            max_tokens=1024,
            paper_test_prompts=714,
        ),
        DatasetRow(
            name="ultrafeedback",
            label="UltraFeedback binarized",
            source="Cui et al. 2023; Tunstall et al. 2023",
            reader="ultrafeedback",
            repo="HuggingFaceH4/ultrafeedback_binarized",
            splits=("train_prefs", "test_prefs"),
            max_tokens=2048,
        ),
        DatasetRow(
            name="shp",
            label="SHP (Reddit questions)",
            source="Ethayarajh et al. 2022; CW-PO Table 23",
            reader="shp",
            repo="stanfordnlp/SHP",
            parts={name: name for name in ("askacademia", "askbaking", "askengineers", "askphilosophy")},
            splits=("train", "test"),
        ),
    )
}

SANDBOX_MODELS: Mapping[str, SandboxModelRow] = {
    row.name: row
    for row in (
        SandboxModelRow(
            name="sandbox/opt-64", family="opt", hidden_size=64, layers=2, heads=2, ffn=256, epochs=5, lr=6e-3
        ),
        SandboxModelRow(
            name="sandbox/opt-48", family="opt", hidden_size=48, layers=2, heads=2, ffn=192, epochs=5, lr=7e-3
        ),
        SandboxModelRow(
            name="sandbox/qwen2-64", family="qwen2", hidden_size=64, layers=2, heads=2, ffn=192, epochs=4, lr=5e-3
        ),
        SandboxModelRow(
            name="sandbox/qwen2-48", family="qwen2", hidden_size=48, layers=2, heads=2, ffn=144, epochs=4, lr=7e-3
        ),
    )
}

MODEL_PAIRS: Mapping[str, ModelPairRow] = {
    row.name: row
    for row in (
        ModelPairRow(
            name="sandbox-opt",
            label="Sandbox OPT 0.08M → 0.13M",
            annotator="sandbox/opt-48",
            policy="sandbox/opt-64",
            family="sandbox",
        ),
        ModelPairRow(
            name="sandbox-qwen2",
            label="Sandbox Qwen2 0.08M → 0.12M",
            annotator="sandbox/qwen2-48",
            policy="sandbox/qwen2-64",
            family="sandbox",
        ),
        *(
            ModelPairRow(
                name=f"opt-125m-{size}",
                label=f"OPT 125M → {size.upper()}",
                annotator="facebook/opt-125m",
                policy=f"facebook/opt-{size}",
                family="OPT",
            )
            for size in ("1.3b", "2.7b", "6.7b", "13b")
        ),
        *(
            ModelPairRow(
                name=f"qwen2.5-0.5b-{size}",
                label=f"Qwen2.5 0.5B → {size.upper()}",
                annotator="Qwen/Qwen2.5-0.5B",
                policy=f"Qwen/Qwen2.5-{size.upper()}",
                family="Qwen2.5",
            )
            for size in ("1.5b", "3b", "7b", "14b")
        ),
        ModelPairRow(
            name="opt-125m-qwen-14b",
            label="OPT 125M → Qwen2.5 14B",
            annotator="facebook/opt-125m",
            policy="Qwen/Qwen2.5-14B",
            family="cross",
        ),
        ModelPairRow(
            name="qwen2.5-0.5b-opt-13b",
            label="Qwen2.5 0.5B → OPT 13B",
            annotator="Qwen/Qwen2.5-0.5B",
            policy="facebook/opt-13b",
            family="cross",
        ),
        ModelPairRow(
            name="qwen2.5-0.5b-llama-3.1-8b",
            label="Qwen2.5 0.5B → Llama-3.1 8B Instruct",
            annotator="Qwen/Qwen2.5-0.5B",
            policy="meta-llama/Llama-3.1-8B-Instruct",
            family="cross",
        ),
    )
}

GOLD_REWARDS: Mapping[str, GoldRewardRow] = {
    row.name: row
    for row in (
        GoldRewardRow(
            name="oracle",
            label="Sandbox oracle",
            kind="oracle",
            source="the utility from which the sandbox draws its human labels",
        ),
        GoldRewardRow(
            name="trained",
            label="Trained here on all human labels",
            kind="trained",
            source="Bradley–Terry on every human label of the data",
        ),
        GoldRewardRow(
            name="skywork-qwen3-0.6b",
            label="Skywork-Reward-V2 Qwen3 0.6B",
            kind="model",
            source="Liu et al. 2025",
            model="Skywork/Skywork-Reward-V2-Qwen3-0.6B",
            max_length=16384,
        ),
        GoldRewardRow(
            name="skywork-llama-3.1-8b",
            label="Skywork-Reward-V2 Llama-3.1 8B",
            kind="model",
            source="Liu et al. 2025",
            model="Skywork/Skywork-Reward-V2-Llama-3.1-8B",
            max_length=16384,
        ),
        GoldRewardRow(
            name="openassistant-deberta",
            label="OpenAssistant DeBERTa v3 large v2",
            kind="model",
            source="OpenAssistant",
            model="OpenAssistant/reward-model-deberta-v3-large-v2",
            input_form="text_pair",
            max_length=512,
        ),
    )
}

Row = TypeVar("Row")


def lookup(rows: Mapping[str, Row], name: str, kind: str) -> Row:
    """The row of that name; an unknown name lists the valid ones."""
    if name not in rows:
        raise KeyError(f"unknown {kind} {name!r}; choose one of {', '.join(rows)}")
    return rows[name]


def method_label(method: str, top_percent: float | None, weighting: str = "") -> str:
    """What people read: "Top 30 %" for `top` at 30; `weighting` is named where it is not the method's own."""
    label = METHODS[method].label
    if top_percent is not None:
        label = label.replace("N %", f"{top_percent:g} %")
    return f"{label} · {weighting}" if weighting else label


def weighting_label(name: str, values: Mapping[str, Any]) -> str:
    """A weighting with its parameters: "min(0.2Δ, 1)"."""
    words = {
        "clipped": lambda: f"min({'' if values['slope'] == 1 else format(values['slope'], 'g')}Δ, 1)",
        "power": lambda: f"C^{values['gamma']:g}",
        "threshold": lambda: f"C ≥ {values['threshold']:g}",
        "temperature": lambda: (
            "C at fitted T" if values["temperature"] is None else f"C at T = {values['temperature']:g}"
        ),
        "top": lambda: f"top {values['percent']:g} %",
        "bottom": lambda: f"lowest {values['percent']:g} %",
        "random": lambda: f"random {values['percent']:g} %",
    }
    return words[name]() if name in words else WEIGHTINGS[name].label
