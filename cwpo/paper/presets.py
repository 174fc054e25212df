"""The paper's comparisons as sweeps to start from, each with a small version for the sandbox. Free of torch.

A setting with a list is one run per value (`cwpo.config.run.expand`). Which cells of the paper a run answers follows
from its configuration (`cwpo.paper.answers.fits`), so a preset says only which tables it is made for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cwpo.config.presets import CONTROLS, CONTROLS_SHOW, PRESETS, SandboxPreset
from cwpo.paper.published import TABLES

Settings = Mapping[str, Any]
OPT, QWEN = "facebook/opt-125m", "Qwen/Qwen2.5-0.5B"
MAIN = ["hh", "tldr", "ultrafeedback"]
HH = ["hh-harmless", "hh-helpful", "hh"]
FRACTIONS = [0.1, 0.2, 0.3, 0.4, 0.5]
POISON = [0.05, 0.1, 0.15, 0.2]
OBJECTIVES = ["dpo", "ipo", "rdpo"]
# C1 to C4 of Table 5.
WEIGHTINGS = [
    {"name": "confidence"},
    {"name": "sigma"},
    {"name": "clipped", "slope": 1.0},
    {"name": "clipped", "slope": 0.2},
]
MIXES = [{"harmless": share, "helpful": round(1 - share, 1)} for share in (0.5, 0.8, 0.2)]
SEEDS = (0, 1, 2)
SANDBOX_SEEDS = (0, 1, 2, 3)
PAPERS = ("human", "ws", "weak", "cw")  # the paper's three, and the clean control
TOPS = ("human", "weak", "top:30", "top:50", "top:75")
FINER_TOPS = ("human", "weak", *(f"top:{n}" for n in (10, 15, 20, 25, 30, 40, 50, 75)))
OTHER_WORLD = "In the sandbox, another world: of its result only the sign may be held against the paper's."


@dataclass(frozen=True, kw_only=True)
class PaperPreset(SandboxPreset):
    """A sweep that answers cells of these tables, with models of a hub or in the sandbox."""

    tables: tuple[str, ...]
    sandbox: bool = False


def _models(annotator: str | list[str], policy: str | list[str]) -> Settings:
    return {"model": {"annotator": annotator, "policy": policy}}


def _data(dataset: str | list[str], **fields: Any) -> Settings:
    return {"data": {"dataset": dataset, **fields}}


def _opt(*sizes: str) -> list[str]:
    return [f"facebook/opt-{size}" for size in sizes]


def _qwen(*sizes: str) -> list[str]:
    return [f"Qwen/Qwen2.5-{size}" for size in sizes]


def _paper(name: str, tables: Sequence[str], models: str, methods: Sequence[str], *settings: Settings) -> PaperPreset:
    """The paper's own models and data."""
    table = TABLES[tables[0]]
    return PaperPreset(
        name=name,
        label=f"{table.label} · {models}",
        shows=table.question,
        settings=_joined(settings),
        methods=tuple(methods),
        seeds=SEEDS,
        tables=tuple(tables),
    )


def _sandbox(
    tables: Sequence[str], methods: Sequence[str], *settings: Settings, seeds: tuple[int, ...] = SANDBOX_SEEDS
) -> PaperPreset:
    table = TABLES[tables[0]]
    return PaperPreset(
        name=f"{_slug(tables[0])}-sandbox",
        label=f"{table.label} · sandbox",
        shows=f"{table.question} {OTHER_WORLD}",
        settings=_joined(settings),
        methods=tuple(methods),
        seeds=seeds,
        tables=tuple(tables),
        sandbox=True,
    )


def _joined(settings: Sequence[Settings]) -> Settings:
    return {name: value for one in settings for name, value in one.items()}


def _slug(table: str) -> str:
    return table.lower().replace(" ", "-")


_TINY_OPT = _models("sandbox/opt-48", "sandbox/opt-64")
_TINY_QWEN = _models("sandbox/qwen2-48", "sandbox/qwen2-64")
_OPT_13B, _OPT_1B = _models(OPT, "facebook/opt-13b"), _models(OPT, "facebook/opt-1.3b")
_QWEN_3B = _models(QWEN, "Qwen/Qwen2.5-3B")
_QWEN_14B, _QWEN_7B = _models(QWEN, "Qwen/Qwen2.5-14B"), _models(QWEN, "Qwen/Qwen2.5-7B")
_ALL_OBJECTIVES: Settings = {"objective": OBJECTIVES}
_NO_SFT: Settings = {"sft": {"data": "none"}}  # of the weak model of ws, before its DPO
_GPT_4: Settings = {"evaluation": {"judge": {"kind": "endpoint", "model": "gpt-4", "human_labels": True}}}
_JOINT: Settings = {"annotator": {"kind": ["bradley_terry", "joint"]}}
_SHARED_POOL: Settings = {"unlabeled_fraction": 0.5}  # the same pairs for every mix of the labeled part
_ONLINE: Settings = {"align": {"online": {}}}
_BOTH: Settings = {"align": {"online": [None, {}]}}  # stored pairs, and the policy's own
_FIXED_POOL: Settings = {"label_fraction": FRACTIONS, "unlabeled_fraction": 0.5}

PAPER_PRESETS: Mapping[str, PaperPreset] = {
    preset.name: preset
    for preset in (
        _paper("t1-opt", ("T1", "T20"), "OPT 125M → 13B", PAPERS, _data(MAIN), _OPT_13B, _ALL_OBJECTIVES),
        _paper("t1-qwen", ("T1", "T20"), "Qwen2.5 0.5B → 14B", PAPERS, _data(MAIN), _QWEN_14B, _ALL_OBJECTIVES),
        _sandbox(("T1", "T20", "T26"), PAPERS, _TINY_OPT, _ALL_OBJECTIVES),
        _paper(
            "t2-opt", ("T2",), "OPT", PAPERS, _data(["hh", "tldr"]), _models(OPT, _opt("1.3b", "2.7b", "6.7b", "13b"))
        ),
        _paper(
            "t2-qwen",
            ("T2", "T26"),
            "Qwen2.5",
            PAPERS,
            _data(["hh", "tldr"]),
            _models(QWEN, _qwen("1.5B", "3B", "7B", "14B")),
        ),
        _sandbox(("T2",), PAPERS, _models("sandbox/opt-48", ["sandbox/opt-48", "sandbox/opt-64"])),
        _paper("t3-opt", ("T3",), "OPT 125M → 1.3B", ("human_100", "cw"), _data([*HH, "tldr"]), _OPT_1B),
        _paper("t3-qwen", ("T3",), "Qwen2.5 0.5B → 7B", ("human_100", "cw"), _data([*HH, "tldr"]), _QWEN_7B),
        _sandbox(("T3",), ("human_100", "cw"), _TINY_OPT),
        _paper("t4-opt", ("T4",), "OPT 125M → 1.3B", ("cw", "top:30", "top:40"), _data(HH), _OPT_1B),
        _paper("t4-qwen", ("T4",), "Qwen2.5 0.5B → 7B", ("cw", "top:30", "top:40"), _data(HH), _QWEN_7B),
        _sandbox(("T4",), ("cw", "top:30", "top:40"), _TINY_OPT),
        _paper("t5", ("T5",), "Qwen2.5 0.5B → 7B", ("cw",), _data(HH), _QWEN_7B, {"weighting": WEIGHTINGS}),
        _sandbox(("T5",), ("cw",), _TINY_OPT, {"weighting": WEIGHTINGS}),
        _paper("t6-opt", ("T6",), "OPT 125M", ("ws", "cw"), _data(HH), _OPT_1B),
        _paper("t6-qwen", ("T6",), "Qwen2.5 0.5B", ("ws", "cw"), _data(HH), _models(QWEN, "Qwen/Qwen2.5-1.5B")),
        _paper(
            "t6-alone",
            ("T6",),
            "both without SFT",
            ("ws",),
            _data(HH),
            _models([OPT, QWEN], "facebook/opt-1.3b"),
            _NO_SFT,
        ),
        _sandbox(("T6",), ("ws", "cw"), _TINY_OPT),
        _paper("t10", ("T10",), "OPT 125M → 1.3B", TOPS, _data(HH), _OPT_1B),
        _sandbox(("T10",), TOPS, _TINY_OPT),
        _paper("t11", ("T11",), "Qwen2.5 0.5B → 7B", TOPS, _data(HH), _QWEN_7B),
        _sandbox(("T11",), TOPS, _TINY_QWEN),
        _paper(
            "t12",
            ("T12",),
            "Qwen2.5 0.5B to 7B",
            ("cw",),
            _data(["hh-harmless", "hh-helpful", "tldr"]),
            _models(_qwen("0.5B", "1.5B", "3B", "7B"), "Qwen/Qwen2.5-1.5B"),
        ),
        _sandbox(("T12",), ("cw",), _models(["sandbox/opt-48", "sandbox/opt-64"], "sandbox/opt-64")),
        _paper("t13", ("T13",), "OPT 125M", ("cw",), _data(HH, label_fraction=FRACTIONS), _OPT_1B),
        _sandbox(("T13",), ("cw",), _data("sandbox", label_fraction=FRACTIONS), _TINY_OPT),
        _paper("t16-opt", ("T16",), "OPT 125M → Qwen2.5 14B", PAPERS, _data(HH), _models(OPT, "Qwen/Qwen2.5-14B")),
        _paper(
            "t16-qwen",
            ("T16",),
            "Qwen2.5 0.5B → OPT 13B and Llama-3.1 8B",
            PAPERS,
            _data(HH),
            _models(QWEN, ["facebook/opt-13b", "meta-llama/Llama-3.1-8B-Instruct"]),
        ),
        _sandbox(("T16",), PAPERS, _models("sandbox/qwen2-48", "sandbox/opt-64")),
        _paper("t17-opt", ("T17",), "OPT 125M → 13B", PAPERS, _data(MAIN), _OPT_13B, _ALL_OBJECTIVES, _GPT_4),
        _paper("t17-qwen", ("T17",), "Qwen2.5 0.5B → 14B", PAPERS, _data(MAIN), _QWEN_14B, _ALL_OBJECTIVES, _GPT_4),
        _sandbox(
            ("T17",),
            PAPERS,
            _TINY_OPT,
            _ALL_OBJECTIVES,
            {"evaluation": {"judge": {"kind": "simulated", "first_bias": 0.5, "human_labels": True}}},
        ),
        _paper("t21", ("T21",), "Qwen2.5 0.5B → 3B", PAPERS[1:], _data(["hh", "tldr"]), _QWEN_3B, _ONLINE),
        _paper("t22", ("T22",), "Qwen2.5 0.5B → 3B", ("cw",), _data(["hh", "tldr"]), _QWEN_3B, _BOTH),
        _sandbox(("T21", "T22"), PAPERS[1:], _TINY_OPT, _BOTH, seeds=(0, 1)),
        _paper(
            "t23",
            ("T23",),
            "Qwen2.5 0.5B → 7B and 14B",
            PAPERS,
            _data("shp", subset=["askacademia", "askbaking", "askengineers", "askphilosophy"]),
            _models(QWEN, _qwen("7B", "14B")),
        ),
        _sandbox(("T23",), PAPERS, _data("sandbox", sandbox={"near_ties": 0.3}), _TINY_OPT),
        _paper(
            "t24", ("T24",), "Qwen2.5 0.5B → 7B", ("ws", "weak", "cw"), _data("hh", mix=MIXES, **_SHARED_POOL), _QWEN_7B
        ),
        _sandbox(
            ("T24",), ("ws", "weak", "cw"), _data("sandbox", mix=MIXES, label_fraction=0.1, **_SHARED_POOL), _TINY_OPT
        ),
        _paper(
            "t25",
            ("T25", "F8"),
            "Qwen2.5 0.5B → 7B, harmless pairs, labels swapped at random",
            ("ws", "weak", "cw"),
            _data("hh-harmless", swapped_labels=POISON),
            _QWEN_7B,
        ),
        _sandbox(("T25", "F8"), ("ws", "weak", "cw"), _data("sandbox", swapped_labels=POISON), _TINY_OPT),
        _paper("t26", ("T26",), "Qwen2.5 0.5B → 7B", ("cw",), _data(["hh", "tldr"]), _QWEN_7B, _JOINT),
        _sandbox(("T26",), ("cw",), _TINY_OPT, _JOINT),
        _paper(
            "f3-left",
            ("F3 left",),
            "OPT 125M → 1.3B",
            ("ws", "cw"),
            _data(["hh-harmless", "hh-helpful"], **_FIXED_POOL),
            _OPT_1B,
        ),
        _sandbox(("F3 left",), ("ws", "cw"), _data("sandbox", **_FIXED_POOL), _TINY_OPT),
        _paper(
            "f3-right",
            ("F3 right",),
            "OPT 125M → 1.3B",
            ("human_labeled", "cw"),
            _data(["hh-harmless", "hh-helpful"], label_fraction=FRACTIONS),
            _OPT_1B,
        ),
        _sandbox(("F3 right",), ("human_labeled", "cw"), _data("sandbox", label_fraction=FRACTIONS), _TINY_OPT),
        _paper("f4", ("F4",), "OPT 125M → 1.3B", FINER_TOPS, _data(HH), _OPT_1B),
        _sandbox(("F4",), FINER_TOPS, _TINY_OPT),
        _paper("f5", ("F5",), "Qwen2.5 0.5B → 7B", ("human", "cw"), _data([*HH, "tldr"]), _QWEN_7B),
        _sandbox(("F5",), ("human", "cw"), _TINY_OPT),
        _paper(
            "f7",
            ("F7",),
            "OPT 125M",
            ("weak",),
            _data(["hh-harmless", "hh-helpful", "tldr", "ultrafeedback", "shp"]),
            _OPT_1B,
        ),
        _sandbox(("F7",), ("weak",), _data("sandbox", sandbox={"noise": [0.75, 1.5, 3.0]}), _TINY_OPT),
    )
}


HUB_CONTROLS = SandboxPreset(
    name="controls-hh",
    label="Controls · OPT 125M → 1.3B",
    shows=CONTROLS_SHOW,
    settings=_joined((_data("hh"), _OPT_1B)),
    methods=CONTROLS,
    seeds=SEEDS,
)


def presets_of(table: str, *, sandbox: bool) -> list[PaperPreset]:
    """What can be started for a table."""
    return [preset for preset in PAPER_PRESETS.values() if table in preset.tables and preset.sandbox == sandbox]


def all_presets() -> dict[str, SandboxPreset]:
    """Everything that New run can start from: the sandbox's own comparisons, the controls, then the paper's."""
    return {**PRESETS, HUB_CONTROLS.name: HUB_CONTROLS, **PAPER_PRESETS}
