"""The stage graph of a run: which stages it has, what each reads, and the fingerprint that lets runs share them.

A fingerprint covers the stage's kind and version, the configuration fields that decide its result, and the fingerprints
of its inputs. Device, threads, micro-batches and library versions do not enter. Free of torch.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cwpo import catalog
from cwpo.config import RunConfig, TrainConfig, digest

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

WORLD_VERSION = 1  # of the sandbox's prompts, behaviour and utility


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

Role = Literal["annotator", "policy"]
Planned = tuple[str, str, dict[str, Any], dict[str, str]]


def _plan(config: RunConfig) -> Iterator[Planned]:
    method = catalog.METHODS[config.method]
    prompts = "prompts" if config.is_sandbox else "data"
    yield "data", "data", _data(config, pool=True), {}
    if config.is_sandbox:
        yield "prompts", "data", _data(config, pool=False), {}
    yield from _bases(config, config.trains_annotator)
    if method.needs_annotator:
        yield from _annotators(config)
    yield from _sft(config, method)
    start = _start_slot(config)
    starts = {"start": start} if start else {}
    yield "reference", "reference", _reference(config, method), {"data": "data", **starts}
    weak = {"labels": "labels"} if method.needs_annotator else {}
    fitted = {"calibration": "calibration"} if config.weighting_values.get("temperature", 0) is None else {}
    inputs = {"data": "data", **weak, **fitted, "reference": "reference", **starts}
    yield "align", "align", _align(config, method), inputs
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
        yield "base_policy", "base", _base(config, config.model.policy), {}
    gold_backbone = config.evaluation.gold_reward == "trained" and config.evaluation.gold_model is None
    if config.model.annotator in catalog.SANDBOX_MODELS and (needs_annotator or gold_backbone):
        yield "base_annotator", "base", _base(config, config.model.annotator), {}


def _annotators(config: RunConfig) -> Iterator[Planned]:
    """Who labels, and the labels."""
    base = _with_base({"data": "data"}, config.model.annotator)
    if config.annotator.use is not None:
        yield "labels", "labels", _labels(config), {"data": "data"}
        return
    if config.annotator_kind == "implicit":
        yield from _implicit_annotator(config)
        return
    slots = ["annotator", *(f"annotator_{number}" for number in range(2, config.annotator.members + 1))]
    for member, slot in enumerate(slots):
        yield slot, "annotator", _annotator(config, member=member), base
    if config.fits_temperature:
        yield "calibration", "calibration", _calibration(config), base
    yield "labels", "labels", _labels(config), {"data": "data", **{slot: slot for slot in slots}}


def _implicit_annotator(config: RunConfig) -> Iterator[Planned]:
    """Tao & Li: SFT of the weak model on the labeled winners, then DPO on them; its log-ratio is the reward."""
    base = {"base": "base_annotator"} if config.model.annotator in catalog.SANDBOX_MODELS else {}
    start = {"start": "base_annotator"} if base else {}
    if config.sft.data != "none":
        fields = {**_sft_fields(config, "human", "labeled", role="annotator"), "lora": None}
        yield "annotator_sft", "sft", fields, {"data": "data", **base}
        start = {"start": "annotator_sft"}
    reference = {**_model(config, "annotator"), **_part(config, "labeled")}
    yield "annotator_reference", "reference", reference, {"data": "data", **start}
    inputs = {"data": "data", "reference": "annotator_reference", **start}
    yield "annotator", "align", _implicit(config), inputs
    labels = {"data": "data", "annotator": "annotator", **{f"annotator_{name}": slot for name, slot in start.items()}}
    yield "labels", "labels", _labels(config), labels


def _sft(config: RunConfig, method: catalog.MethodRow) -> Iterator[Planned]:
    if config.sft.data == "none":
        return
    labeled: tuple[catalog.LabelSource, catalog.Part] = ("human", "labeled")
    source, part = (method.labels, method.pool) if config.sft.data == "pool" else labeled
    weak = {"labels": "labels"} if source == "weak" else {}
    yield "sft", "sft", _sft_fields(config, source, part), _with_policy({"data": "data", **weak}, config)
    if _baseline_slot(config) == "baseline_sft":
        yield "baseline_sft", "sft", _sft_fields(config, *labeled), _with_policy({"data": "data"}, config)


def _answers(config: RunConfig, prompts: str, start: str | None) -> Iterator[Planned]:
    reference_model = {"reference_model": start} if start else {}
    aligned = _samples(config, with_reference=True)
    yield "samples", "samples", aligned, {"prompts": prompts, "model": "align", **reference_model}
    opponent = _baseline_slot(config)
    yield (
        "baseline_samples",
        "samples",
        _samples(config, with_reference=False),
        {"prompts": prompts, **({"model": opponent} if opponent else {})},
    )
    gold = {}
    if config.evaluation.gold_reward == "trained":
        backbone = config.evaluation.gold_model or config.model.annotator
        yield "gold", "gold", _gold(config, backbone), _with_base({"data": "data"}, backbone)
        gold = {"gold": "gold"}
    for slot, answers in (("scores", "samples"), ("baseline_scores", "baseline_samples")):
        yield slot, "scores", _scores(config), {"samples": answers, "prompts": prompts, **gold}


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


def _data(config: RunConfig, *, pool: bool) -> dict[str, Any]:
    data = config.data
    rule = data.length_rule.model_dump() if data.length_rule else None
    if rule is not None and rule["tokenizer"] is None:
        rule["tokenizer"], rule["tokenizer_revision"] = config.model.policy, config.model.policy_revision
    world = None
    if data.sandbox is not None:
        world = data.sandbox.model_dump()
        world["pool_seed"] = config.seed_of("split") if pool else 0
        world["version"] = WORLD_VERSION
        if not pool:
            world |= {"pairs": 0, "noise": 0.0, "near_ties": 0.0}
    row = catalog.DATASETS.get(data.dataset)
    parts = dict(row.parts) if row and row.parts and data.subset is None else None
    return {
        "dataset": data.dataset,
        "revision": data.revision,
        "subset": data.subset,
        "max_pairs": data.max_pairs,
        "length_rule": rule,
        "test_prompts": data.test_prompts if (not pool or not config.is_sandbox) else 0,
        "evaluation_seed": config.evaluation.seed,
        "sandbox": world,
        **({"parts": parts} if parts else {}),
        **({"sources": True} if data.mix else {}),  # artifacts of before do not say where a pair is from
    }


def _base(config: RunConfig, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "architecture": catalog.SANDBOX_MODELS[model].architecture,
        "world_version": WORLD_VERSION,
        "seed": config.seeds.base,
    }


def _split(config: RunConfig) -> dict[str, Any]:
    """What decides the labeled part; a mix may need more pairs than a fixed unlabeled part leaves."""
    mix = {"mix": dict(config.data.mix), **_unlabeled(config)} if config.data.mix else {}
    return {"label_fraction": config.data.label_fraction, "split_seed": config.seed_of("split"), **mix}


def _unlabeled(config: RunConfig) -> dict[str, Any]:
    """What decides the size of the unlabeled part, where it is not the rest."""
    fraction = config.data.unlabeled_fraction
    return {} if fraction is None else {"unlabeled_fraction": fraction}


def _swaps(config: RunConfig) -> dict[str, Any]:
    """Which human labels are swapped, for stages that learn from them."""
    share = config.data.swapped_labels
    return {"swapped_labels": {"share": share, "seed": config.seed_of("split")}} if share else {}


def _model(config: RunConfig, role: Role) -> dict[str, Any]:
    return {
        "model": getattr(config.model, role),
        "revision": getattr(config.model, f"{role}_revision"),
        "precision": config.model.precision,
        "max_length": config.model.max_length,
    }


def _train(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in TrainConfig.model_fields}


def _annotator(config: RunConfig, *, member: int = 0) -> dict[str, Any]:
    part = config.annotator
    return {
        **_model(config, "annotator"),
        **_split(config),
        **_swaps(config),
        "seed": config.seed_of("annotator") + _MEMBER_SEEDS * member,
        "train": _train(part),
        "dropout": part.dropout,
        "early_stopping": part.early_stopping,
        "heldout_fraction": part.heldout_fraction if part.early_stopping else None,
        **_kind(config),
    }


_MEMBER_SEEDS = 1_000  # between the members of an ensemble


def _kind(config: RunConfig) -> dict[str, Any]:
    return {} if config.annotator_kind == "bradley_terry" else {"kind": config.annotator_kind}


def _calibration(config: RunConfig) -> dict[str, Any]:
    """The annotator's own settings, and the share of the labels that is held out from it."""
    return {**_annotator(config), "heldout_fraction": config.annotator.heldout_fraction}


def _implicit(config: RunConfig) -> dict[str, Any]:
    return {
        **_model(config, "annotator"),
        **_part(config, "labeled"),
        **_swaps(config),
        "lora": None,
        "label_source": "human",
        "weighting": {"name": "uniform"},
        "objective": {"name": "dpo", "beta": config.annotator.implicit_beta},
        "seed": config.seed_of("annotator"),
        "train": _train(config.annotator),
    }


def _labels(config: RunConfig) -> dict[str, Any]:
    part, dropout = config.annotator, config.annotator.label_dropout
    implicit = config.annotator_kind == "implicit"
    fields = {
        **_split(config),
        **_unlabeled(config),
        **_swaps(config),
        "precision": config.model.precision,
        "max_length": config.model.max_length,
        "label_dropout": dropout,
        "seed": config.seed_of("annotator") if dropout else 0,
        **(_kind(config) if part.use is None else {}),
    }
    if part.passes > 1:
        fields["passes"] = part.passes
    if part.use is not None:
        fields["use"] = part.use
    if implicit:
        fields |= {**_model(config, "annotator"), "beta": part.implicit_beta}
    return fields


def _lora(config: RunConfig) -> dict[str, Any] | None:
    return config.model.lora.model_dump(mode="json") if config.model.lora else None


def _sft_fields(
    config: RunConfig,
    source: catalog.LabelSource,
    part: catalog.Part,
    *,
    role: Role = "policy",
) -> dict[str, Any]:
    return {
        **_model(config, role),
        **_part(config, part),
        **(_swaps(config) if source == "human" else {}),
        "lora": _lora(config),
        "label_source": source,
        "seed": config.seed_of("sft"),
        "train": _train(config.sft),
    }


def _part(config: RunConfig, part: catalog.Part) -> dict[str, Any]:
    """The part of the pairs a stage reads; the whole depends on no split, a fixed unlabeled part on no labeled one."""
    if part == "all":
        return {"part": part, "label_fraction": None, "split_seed": None}
    fixed = _unlabeled(config) if part == "unlabeled" else {}
    if fixed:
        return {"part": part, "label_fraction": None, "split_seed": config.seed_of("split"), **fixed}
    return {"part": part, **_split(config)}


def _reference(config: RunConfig, method: catalog.MethodRow) -> dict[str, Any]:
    return {**_model(config, "policy"), **_part(config, method.pool)}


def _align(config: RunConfig, method: catalog.MethodRow) -> dict[str, Any]:
    fields = catalog.OBJECTIVES[config.objective].fields
    weighting = {"name": config.weighting_name, **config.weighting_values}
    if "keys" in catalog.WEIGHTINGS[config.weighting_name].reads:
        weighting["seed"] = config.seed_of("align")
    options = {"pair_sampling": (config.align.pair_sampling, "all"), "steps": (config.align.steps, "kept")}
    return {
        **_model(config, "policy"),
        **_part(config, method.pool),
        **(_swaps(config) if method.labels == "human" else {}),
        "lora": _lora(config),
        "label_source": method.labels,
        "weighting": weighting,
        "objective": {"name": config.objective, **{name: getattr(config.align, name) for name in fields}},
        "seed": config.seed_of("align"),
        "train": _train(config.align),
        **{name: value for name, (value, usual) in options.items() if value != usual},
    }


def _samples(config: RunConfig, *, with_reference: bool) -> dict[str, Any]:
    part = config.evaluation
    return {
        **_model(config, "policy"),
        "decoding": {
            "temperature": part.temperature,
            "top_p": part.top_p,
            "max_new_tokens": part.max_new_tokens,
            "samples": part.samples,
        },
        "evaluation_seed": part.seed,
        "with_reference": with_reference,
    }


def _gold(config: RunConfig, backbone: str) -> dict[str, Any]:
    own = config.evaluation.gold_model is None
    return {
        "model": backbone,
        "revision": config.model.annotator_revision if own else None,
        "precision": config.model.precision,
        "max_length": config.model.max_length,
        "seed": config.evaluation.seed,
        "train": _train(config.evaluation.gold_train),
        "dropout": None,
    }


def _scores(config: RunConfig) -> dict[str, Any]:
    name = str(config.evaluation.gold_reward)
    row = catalog.GOLD_REWARDS.get(name)
    if row is None:
        row = catalog.GoldRewardRow(name=name, label=name, kind="model", source="given by the user", model=name)
    return {
        "gold_reward": {
            "kind": row.kind,
            "name": row.model or row.name,
            "revision": config.evaluation.gold_revision or row.revision,
            "input_form": row.input_form,
            "max_length": row.max_length,
        },
        "precision": config.model.precision,
    }
