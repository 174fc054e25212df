"""What a run reads and who judges it: rows of datasets, models and gold rewards, for `cwpo.config.catalog`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A preference dataset: where it is and how a row of it reads."""

    name: str
    label: str
    source: str
    reader: str  # its name in cwpo/data/readers/shapes.py; sandbox: pairs are made, not read
    repo: str | None = None
    file: str | None = None  # beside cwpo/data, of a dataset that comes with the program
    revision: str | None = None
    subset: str | None = None  # data_dir or configuration of the repository
    parts: Mapping[str, str] | None = None  # source -> subset, where several are joined unless one is chosen
    kinds: tuple[str, ...] = ()  # sources that pairs name where data.mix asks for them, without subsets of their own
    splits: tuple[str, ...] = ("train",)
    gold_reward: str = "skywork-qwen3-0.6b"
    max_tokens: int | None = None  # pairs longer than this are dropped (CW-PO, section 4.1 and appendix E)
    paper_test_prompts: int | None = None
    models: str | None = None  # the model pair that is offered first
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of a run on it, where they are not the paper's

    @property
    def sources(self) -> tuple[str, ...]:
        """What data.mix can name, where no subset is chosen."""
        return tuple(self.parts) if self.parts else self.kinds


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
    input_form: Literal["chat_template", "text_pair", "steamshp"] = "chat_template"
    max_length: int = 4096


@dataclass(frozen=True, kw_only=True)
class ModelPin:
    """The commit at which a repository of the hub holds safetensors weights; used where a run names no revision.

    commit: all 40 hex digits, or as many of them as are known. Then `ref` is looked up at submission and must stand at
    a commit that begins so: a part of a commit cannot be downloaded.
    """

    commit: str
    ref: str | None = None  # where the commit is, unless it is on main

    @property
    def whole(self) -> bool:
        """Whether the commit is known to its last digit."""
        return len(self.commit) == 40

    @property
    def revision(self) -> str | None:
        """What to ask the hub for."""
        return self.commit if self.whole else self.ref


SMOLLM2 = "fetched/smollm2-135m"  # as `cwpo fetch smollm2` keeps it

# Of runs that two cores of a laptop finish: short answers, few prompts, adapters at one rate for every method.
LAPTOP_DEFAULTS: Mapping[str, Any] = {
    "model": {
        "annotator": SMOLLM2,
        "policy": SMOLLM2,
        "precision": "fp32",
        "max_length": 512,
        "lora": {"r": 8, "alpha": 16, "dropout": 0.0},  # without dropout, a batch is as small as tokens_per_batch says
    },
    "data": {"max_pairs": 300, "test_prompts": 60},
    "annotator": {"epochs": 2, "lr": 5e-5, "batch_size": 8},
    "sft": {"data": "none"},
    "align": {"epochs": 1, "lr": 2e-4, "batch_size": 8, "warmup_steps": 2, "weight_decay": 0.0, "beta": 0.1},
    "evaluation": {
        "max_new_tokens": 32,
        "baseline": "common",
        "gold_reward": "trained",
        "gold_train": {"epochs": 2, "lr": 5e-5, "batch_size": 8},
    },
    "execution": {"tokens_per_batch": 512},
}

DATASETS: Mapping[str, DatasetRow] = {
    row.name: row
    for row in (
        DatasetRow(
            name="sandbox",
            label="Sandbox (offline)",
            source="a small written world with a known utility",
            reader="sandbox",
            kinds=("harmless", "helpful"),
            gold_reward="oracle",
        ),
        DatasetRow(
            name="everyday",
            label="Everyday advice (made by a rule)",
            source="written for this program, labels drawn by the rule of tools/everyday.py; Apache-2.0",
            reader="any",
            file="everyday.jsonl",
            gold_reward="trained",
            models="smollm2-135m",
            defaults=LAPTOP_DEFAULTS,
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
            gold_reward="steamshp-flan-t5-large",
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
        ModelPairRow(
            name="smollm2-135m",
            label="SmolLM2 135M → 135M",
            annotator=SMOLLM2,
            policy=SMOLLM2,
            family="fetched",
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
        *(
            GoldRewardRow(
                name=f"steamshp-flan-t5-{size}",
                label=f"SteamSHP Flan-T5 {size}",
                kind="model",
                source="Ethayarajh et al. 2022; the judge of CW-PO Table 23 is the one of size large",
                model=f"stanfordnlp/SteamSHP-flan-t5-{size}",
                input_form="steamshp",
                max_length=512,
            )
            for size in ("large", "xl")
        ),
    )
}

# Policies that the paper calls larger than 7B: its SFT takes a quarter of the texts per device (Table 9).
ABOVE_7B = frozenset({"facebook/opt-13b", "Qwen/Qwen2.5-14B", "meta-llama/Llama-3.1-8B-Instruct"})

# main of OPT, of the DeBERTa judge and of SteamSHP has .bin weights alone; their safetensors are in pull requests that
# the hub's own converter opened. The others are commits of main.
MODEL_PINS: Mapping[str, ModelPin] = {
    "facebook/opt-125m": ModelPin(commit="1f44ae81e29a9f7525c8331302e5562e0d91f731", ref="refs/pr/35"),
    "facebook/opt-1.3b": ModelPin(commit="0d66fae", ref="refs/pr/25"),
    "facebook/opt-2.7b": ModelPin(commit="90ed8f8", ref="refs/pr/26"),
    "facebook/opt-6.7b": ModelPin(commit="3f007b4", ref="refs/pr/31"),
    "facebook/opt-13b": ModelPin(commit="7db9bc580adb9263335537281f1de02b6549d7b0", ref="refs/pr/28"),
    "Qwen/Qwen2.5-0.5B": ModelPin(commit="060db6499f32faf8b98477b0a26969ef7d8b9987"),
    "Qwen/Qwen2.5-1.5B": ModelPin(commit="8faed761d45a263340a0528343f099c05c9a4323"),
    "Qwen/Qwen2.5-3B": ModelPin(commit="3aab1f1954e9cc14eb9509a215f9e5ca08227a9b"),
    "Qwen/Qwen2.5-7B": ModelPin(commit="d149729398750b98c0af14eb82c78cfe92750796"),
    "Qwen/Qwen2.5-14B": ModelPin(commit="97e1e76335b7017d8f67c08a19d103c0504298c9"),
    "meta-llama/Llama-3.1-8B-Instruct": ModelPin(commit="0e9e39f249a16976918f6564b8830bc894c89659"),
    "Skywork/Skywork-Reward-V2-Qwen3-0.6B": ModelPin(commit="8c14a4e9e6321deaf572544339b16b8d6bbe8886"),
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B": ModelPin(commit="cba2f842f3f1af2f1b2f0d35e794d789976390c5"),
    "OpenAssistant/reward-model-deberta-v3-large-v2": ModelPin(commit="c4549779", ref="refs/pr/3"),
    "stanfordnlp/SteamSHP-flan-t5-large": ModelPin(commit="4f1c995", ref="refs/pr/2"),
    "stanfordnlp/SteamSHP-flan-t5-xl": ModelPin(commit="2fb4c2a", ref="refs/pr/1"),
}
