"""The stage graph of a run: which stages it has, what each reads, and the fingerprint that lets runs share them.

A fingerprint covers the stage's kind and version, the configuration fields that decide its result, and the fingerprints
of its inputs. Device, threads, micro-batches and library versions do not enter. Free of torch.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cwpo.config import catalog
from cwpo.config.run import RunConfig, digest
from cwpo.stages import settings

# Raise a number when the same input gives another output; a test on recorded output hashes reminds by name.
VERSIONS: Mapping[str, int] = {
    "data": 1,
    "base": 1,
    "annotator": 1,
    "calibration": 1,
    "labels": 5,
    "sft": 1,
    "reference": 1,
    "align": 2,
    "samples": 1,
    "gold": 1,
    "scores": 1,
    "evaluation": 1,
}

# Kinds that only shuffle rows: any worker can do them, GPU or not.
LIGHT_KINDS = frozenset({"data", "evaluation"})


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage of a run. Two specs with the same fingerprint are the same work."""

    slot: str
    kind: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]  # input name -> slot
    input_fingerprints: Mapping[str, str]  # input name -> fingerprint
    fingerprint: str
    needs_model: bool  # False: light work for any device


def build(config: RunConfig, known: Mapping[str, str] | None = None) -> dict[str, StageSpec]:
    """The stages of a run by slot, each after the stages it reads. `known`: fingerprints of slots that exist already,
    taken as they are, whatever has changed since."""
    specs: dict[str, StageSpec] = {}
    for slot, kind, fields, inputs in _plan(config):
        fingerprints = {name: specs[source].fingerprint for name, source in inputs.items()}
        version = VERSIONS[kind]
        identity = {"kind": kind, "version": version, "config": _identity(fields), "inputs": fingerprints}
        fingerprint = (known or {}).get(slot) or digest({**identity, "salt": config.salt})
        specs[slot] = StageSpec(
            slot=slot,
            kind=kind,
            version=version,
            config=fields,
            inputs=inputs,
            input_fingerprints=fingerprints,
            fingerprint=fingerprint,
            needs_model=kind not in LIGHT_KINDS,
        )
    return specs


JUDGED = ("gold", "scores", "baseline_scores", "evaluation")  # slots that another gold reward makes anew
LONGEST_KEY = 20  # characters of NAME in a slot


def rescoring(config: RunConfig, finished: Mapping[str, str]) -> dict[str, StageSpec]:
    """The stages that score the stored answers of a finished run with the gold reward of `config`, the run's own
    configuration but for that; slots end in @NAME. `finished`: fingerprints of the run's stages by slot. What the run
    has is read and never made again: no answer is generated."""
    kept = {slot: fingerprint for slot, fingerprint in finished.items() if slot not in JUDGED and "@" not in slot}
    specs = build(config, kept)
    names = {slot: slot if slot in kept else f"{slot}@{gold_key(str(config.evaluation.gold_reward))}" for slot in specs}
    wanted, found = ["evaluation"], set[str]()
    while wanted:
        slot = wanted.pop()
        if slot not in kept and slot not in found:
            found.add(slot)
            wanted += specs[slot].inputs.values()
    return {
        names[slot]: replace(
            spec, slot=names[slot], inputs={name: names[source] for name, source in spec.inputs.items()}
        )
        for slot, spec in specs.items()
        if slot in found
    }


def gold_key(name: str) -> str:
    """A gold reward's name as a slot can carry it: the last piece of a hub id or path, with a digest where cut."""
    short = re.sub(r"[^A-Za-z0-9._-]", "-", name.rstrip("/").rsplit("/", 1)[-1])
    if short == name and len(short) <= LONGEST_KEY + 4:
        return short
    return f"{short[: LONGEST_KEY - 5]}-{digest(name)[:6]}"


def _identity(value: Any) -> Any:
    """`value` with every local file or folder named by its content hash, so that a path never enters a fingerprint."""
    if not isinstance(value, Mapping):
        return value
    named = {key: _identity(item) for key, item in value.items()}
    for name, revision in _PINNED:
        pin = named.get(revision)
        if name in named and isinstance(pin, str) and pin.startswith("sha256:"):
            named[name] = pin
    return named


_PINNED = (("dataset", "revision"), ("model", "revision"), ("name", "revision"), ("tokenizer", "tokenizer_revision"))

Planned = tuple[str, str, dict[str, Any], dict[str, str]]


def _plan(config: RunConfig) -> Iterator[Planned]:
    method = catalog.METHODS[config.method]
    prompts = "prompts" if config.is_sandbox else "data"
    yield "data", "data", settings.data(config, pool=True), {}
    if config.is_sandbox:
        yield "prompts", "data", settings.data(config, pool=False), {}
    yield from _bases(config, config.trains_annotator)
    if method.needs_annotator:
        yield from _annotators(config)
    yield from _sft(config, method)
    start = _start_slot(config)
    starts = {"start": start} if start else {}
    yield "reference", "reference", settings.reference(config, method), {"data": "data", **starts}
    weak = {"labels": "labels"} if method.needs_annotator else {}
    fitted = {"calibration": "calibration"} if config.weighting_values.get("temperature", 0) is None else {}
    inputs = {"data": "data", **weak, **fitted, "reference": "reference", **starts}
    yield "align", "align", settings.align(config, method), inputs
    yield from _answers(config, prompts, start)
    yield (
        "evaluation",
        "evaluation",
        {"tie_epsilon": 0.0},
        {
            "samples": "samples",
            "baseline_samples": "baseline_samples",
            "scores": "scores",
            "baseline_scores": "baseline_scores",
        },
    )


def _bases(config: RunConfig, needs_annotator: bool) -> Iterator[Planned]:
    if config.model.policy in catalog.SANDBOX_MODELS:
        yield "base_policy", "base", settings.base(config, config.model.policy), {}
    gold_backbone = config.evaluation.gold_reward == "trained" and config.evaluation.gold_model is None
    if config.model.annotator in catalog.SANDBOX_MODELS and (needs_annotator or gold_backbone):
        yield "base_annotator", "base", settings.base(config, config.model.annotator), {}


def _annotators(config: RunConfig) -> Iterator[Planned]:
    """Who labels, and the labels."""
    base = _with_base({"data": "data"}, config.model.annotator)
    if config.annotator.use is not None:
        yield "labels", "labels", settings.labels(config), {"data": "data"}
        return
    if config.annotator_kind == "implicit":
        yield from _implicit_annotator(config)
        return
    slots = ["annotator", *(f"annotator_{number}" for number in range(2, config.annotator.members + 1))]
    for member, slot in enumerate(slots):
        yield slot, "annotator", settings.annotator(config, member=member), base
    if config.fits_temperature:
        yield "calibration", "calibration", settings.calibration(config), base
    yield "labels", "labels", settings.labels(config), {"data": "data", **{slot: slot for slot in slots}}


def _implicit_annotator(config: RunConfig) -> Iterator[Planned]:
    """Tao & Li: SFT of the weak model on the labeled winners, then DPO on them; its log-ratio is the reward."""
    base = {"base": "base_annotator"} if config.model.annotator in catalog.SANDBOX_MODELS else {}
    start = {"start": "base_annotator"} if base else {}
    if config.sft.data != "none":
        fields = {**settings.sft(config, "human", "labeled", role="annotator"), "lora": None}
        yield "annotator_sft", "sft", fields, {"data": "data", **base}
        start = {"start": "annotator_sft"}
    reference = settings.annotator_reference(config)
    yield "annotator_reference", "reference", reference, {"data": "data", **start}
    inputs = {"data": "data", "reference": "annotator_reference", **start}
    yield "annotator", "align", settings.implicit(config), inputs
    labels = {"data": "data", "annotator": "annotator", **{f"annotator_{name}": slot for name, slot in start.items()}}
    yield "labels", "labels", settings.labels(config), labels


def _sft(config: RunConfig, method: catalog.MethodRow) -> Iterator[Planned]:
    if config.sft.data == "none":
        return
    labeled: tuple[catalog.LabelSource, catalog.Part] = ("human", "labeled")
    source, part = (method.labels, method.pool) if config.sft.data == "pool" else labeled
    weak = {"labels": "labels"} if source == "weak" else {}
    yield "sft", "sft", settings.sft(config, source, part), _with_policy({"data": "data", **weak}, config)
    if _baseline_slot(config) == "baseline_sft":
        yield "baseline_sft", "sft", settings.sft(config, *labeled), _with_policy({"data": "data"}, config)


def _answers(config: RunConfig, prompts: str, start: str | None) -> Iterator[Planned]:
    reference_model = {"reference_model": start} if start else {}
    aligned = settings.samples(config, with_reference=True)
    yield "samples", "samples", aligned, {"prompts": prompts, "model": "align", **reference_model}
    opponent = _baseline_slot(config)
    yield (
        "baseline_samples",
        "samples",
        settings.samples(config, with_reference=False),
        {"prompts": prompts, **({"model": opponent} if opponent else {})},
    )
    gold = {}
    if config.evaluation.gold_reward == "trained":
        backbone = config.evaluation.gold_model or config.model.annotator
        yield "gold", "gold", settings.gold(config, backbone), _with_base({"data": "data"}, backbone)
        gold = {"gold": "gold"}
    for slot, answers in (("scores", "samples"), ("baseline_scores", "baseline_samples")):
        yield slot, "scores", settings.scores(config), {"samples": answers, "prompts": prompts, **gold}


def _start_slot(config: RunConfig) -> str | None:
    """The slot whose model alignment starts from; None: the model named in the configuration."""
    if config.sft.data != "none":
        return "sft"
    return "base_policy" if config.model.policy in catalog.SANDBOX_MODELS else None


def _baseline_slot(config: RunConfig) -> str | None:
    """The slot of the opponent's model; None: the model named in the configuration."""
    if config.sft.data == "pool" and config.evaluation.baseline == "common":
        return "baseline_sft"
    return _start_slot(config)


def _with_base(inputs: dict[str, str], model: str) -> dict[str, str]:
    return {**inputs, "base": "base_annotator"} if model in catalog.SANDBOX_MODELS else inputs


def _with_policy(inputs: dict[str, str], config: RunConfig) -> dict[str, str]:
    return {**inputs, "base": "base_policy"} if config.model.policy in catalog.SANDBOX_MODELS else inputs
