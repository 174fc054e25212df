"""The graph of a run's stages: which there are and what each reads. Free of torch."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cwpo.config import catalog
from cwpo.config.run import RunConfig, digest
from cwpo.errors import ConfigError
from cwpo.stages import from_config
from cwpo.stages.along.planned import stages as along_stages
from cwpo.stages.fingerprint import fingerprint
from cwpo.stages.kinds import KINDS, Kind, kind_of
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import CardSettings, JudgeSettings, Settings

# Names for people of slots that are not called like their kind.
SLOTS: Mapping[str, str] = {
    "prompts": "Prompts",
    "base_policy": "Base policy",
    "base_annotator": "Base annotator",
    "baseline_sft": "Baseline SFT",
    "baseline_samples": "Baseline answers",
    "baseline_scores": "Baseline scores",
    "blind_spots": "Blind spots",
    "gold_twin": "Gold reward without the pairs it is tried on",
}
TWIN, CARD, BLIND_SPOTS = "gold_twin", "card", "blind_spots"


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage of a run. Two specs with the same fingerprint are the same work."""

    slot: str
    settings: Settings
    inputs: Mapping[str, str]  # input name -> slot
    input_fingerprints: Mapping[str, str]  # input name -> fingerprint
    fingerprint: str

    @property
    def row(self) -> Kind:
        """The declaration of its kind."""
        return kind_of(self.settings)

    @property
    def kind(self) -> str:
        return self.row.name

    @property
    def version(self) -> int:
        return self.row.version

    @property
    def config(self) -> dict[str, Any]:
        """The settings as a database and manifests keep them."""
        return to_plain(self.settings)

    @property
    def needs_model(self) -> bool:
        """Whether it computes with a model; False: light work for any device."""
        judge = getattr(self.settings, "judge", None)
        if isinstance(self.settings, CardSettings) and self.settings.gold_reward is not None:
            return self.settings.gold_reward.kind != "oracle"
        return not self.row.light and (judge is None or judge.kind == "local")


def build(config: RunConfig, known: Mapping[str, str] | None = None) -> dict[str, StageSpec]:
    """The stages of a run by slot, each after the stages it reads. `known`: fingerprints of slots that exist already,
    taken as they are, whatever has changed since."""
    specs: dict[str, StageSpec] = {}
    for slot, settings, inputs in _plan(config):
        fingerprints = {name: specs[source].fingerprint for name, source in inputs.items()}
        specs[slot] = StageSpec(
            slot=slot,
            settings=settings,
            inputs=inputs,
            input_fingerprints=fingerprints,
            fingerprint=(known or {}).get(slot) or fingerprint(settings, fingerprints, salt=config.salt),
        )
    return specs


def slot_name(slot: str) -> str:
    """What people read of a slot; one that scores again names its gold reward."""
    own, _, gold = slot.partition("@")
    if is_judge_slot(slot):
        own, gold = ("judge" if own == "evaluation" else own), gold.removeprefix(JUDGE_MARK)
    kind = KINDS.get(own)
    name = SLOTS.get(own) or (own.replace("_", " ") if kind is None else kind.title or kind.label)
    return f"{name} · {gold}" if gold else name


JUDGED = ("gold", "scores", "baseline_scores", "evaluation")  # slots that another gold reward makes anew
JUDGE_MARK = "judge."  # begins the name in a slot whose outcomes are a judge model's
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


def judging(config: RunConfig, finished: Mapping[str, str]) -> dict[str, StageSpec]:
    """The stages by which the judge model of `config` compares the stored answers of a finished run, whose own stages
    are taken as they are."""
    kept = {slot: fingerprint for slot, fingerprint in finished.items() if "@" not in slot}
    return {slot: spec for slot, spec in build(config, kept).items() if is_judge_slot(slot)}


def checking(config: RunConfig, finished: Mapping[str, str]) -> dict[str, StageSpec]:
    """The stages that try the gold reward of `config` on pairs with human labels of a finished run. One that is trained
    here is trained once more, without the pairs that it is tried on."""
    key = gold_key(str(config.evaluation.gold_reward))
    base = "base_annotator" if "base_annotator" in finished else f"base_annotator@{key}"
    specs: dict[str, StageSpec] = {}
    for slot, stage, sources in _card(config, base):
        prints = {name: specs[one].fingerprint if one in specs else finished[one] for name, one in sources.items()}
        specs[slot] = StageSpec(
            slot=slot, settings=stage, inputs=sources, input_fingerprints=prints,
            fingerprint=fingerprint(stage, prints, salt=config.salt),
        )  # fmt: skip
    return specs


def looking(config: RunConfig, finished: Mapping[str, str]) -> dict[str, StageSpec]:
    """The stage that finds the blind spots of a finished run, whose own stages are taken as they are. A ConfigError
    where no annotator says how sure it is."""
    if "labels" not in finished:
        raise ConfigError("run", "has no annotator, whose confidence blind spots are held against.")
    if config.align.online is not None:
        raise ConfigError("run", "learned from its own answers, and blind spots are looked for among stored pairs.")
    wanted = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"blind_spots": True})})
    kept = {slot: fingerprint for slot, fingerprint in finished.items() if slot != BLIND_SPOTS and "@" not in slot}
    return {BLIND_SPOTS: build(wanted, kept)[BLIND_SPOTS]}


def _card(config: RunConfig, base: str = "base_annotator") -> Iterator["Planned"]:
    """The gold reward on pairs with human labels, before it, where it is trained here, its twin that has not met them;
    `base`: the slot of the sandbox's model that the twin starts from."""
    key = gold_key(str(config.evaluation.gold_reward))
    settings, inputs = from_config.card(config, None), {"data": "data"}
    if settings.heldout is not None:
        backbone = config.evaluation.gold_model or config.model.annotator
        own = {"data": "data", **({"base": base} if backbone in catalog.SANDBOX_MODELS else {})}
        yield f"{TWIN}@{key}", from_config.gold(config, backbone, heldout=settings.heldout), own
        inputs["gold"] = f"{TWIN}@{key}"
    yield f"{CARD}@{key}", settings, inputs


def judge_key(settings: JudgeSettings) -> str:
    """A judge model as a slot can carry it: judge, the last piece of its name, and a digest of how it is asked."""
    name = gold_key(settings.judge.model or settings.judge.kind)[:10].rstrip("-.")
    return f"{JUDGE_MARK}{name}-{digest(to_plain(settings))[:6]}"


def is_judge_slot(slot: str) -> bool:
    """Whether a judge model fills it, and not a gold reward."""
    return slot.partition("@")[2].startswith(JUDGE_MARK)


_OF_ALIGNED = {"data": "data", "start": "align", "labels": "labels", "reference": "reference"}
Planned = tuple[str, Settings, dict[str, str]]  # slot, settings, input name -> slot


def _plan(config: RunConfig) -> Iterator[Planned]:
    method = catalog.METHODS[config.method]
    asked = config.needs_annotator
    prompts = "prompts" if config.is_sandbox else "data"
    yield "data", from_config.data(config, pool=True), {}
    if config.is_sandbox:
        yield "prompts", from_config.data(config, pool=False), {}
    yield from _bases(config, config.trains_annotator)
    labeling = list(_annotators(config)) if asked else []
    yield from labeling
    yield from _sft(config, method)
    start = _start_slot(config)
    starts = {"start": start} if start else {}
    fitted = {"calibration": "calibration"} if config.weighting_values.get("temperature", 0) is None else {}
    if config.align.online is None:
        yield "reference", from_config.reference(config, method.pool), {"data": "data", **starts}
        weak = {"labels": "labels"} if asked else {}
        inputs = {"data": "data", **weak, **fitted, "reference": "reference", **starts}
        yield "align", from_config.align(config, method), inputs
        if asked and config.evaluation.blind_spots:
            yield BLIND_SPOTS, from_config.blind_spots(config, method.pool), _OF_ALIGNED
    else:
        annotators = labeling[-1][2] if labeling else {}  # what the labels are made by labels fresh pairs too
        yield (
            "align",
            from_config.online(config, config.align.online, method),
            {"data": "data", **annotators, **fitted, **starts},
        )
    yield from _answers(config, prompts, start)
    yield (
        "evaluation",
        from_config.evaluation(config),
        {
            "samples": "samples",
            "baseline_samples": "baseline_samples",
            "scores": "scores",
            "baseline_scores": "baseline_scores",
        },
    )
    yield from along_stages(config, prompts=prompts, start=start, baseline=_baseline_slot(config))
    if config.evaluation.card:
        yield from _card(config)
    yield from _judges(config, prompts)


def _judges(config: RunConfig, prompts: str) -> Iterator[Planned]:
    """A judge model beside the gold reward, in slots of its own name."""
    asked = config.evaluation.judge
    if asked is None:
        return
    settings = from_config.judge(config, asked)
    inputs = {"prompts": prompts, "samples": "samples", "baseline_samples": "baseline_samples"}
    yield f"evaluation@{judge_key(settings)}", settings, inputs
    if asked.human_labels:
        yield f"{CARD}@{judge_key(settings)}", from_config.card(config, asked), {"data": "data"}


def _bases(config: RunConfig, needs_annotator: bool) -> Iterator[Planned]:
    if config.model.policy in catalog.SANDBOX_MODELS:
        yield "base_policy", from_config.base(config, config.model.policy), {}
    gold_backbone = config.evaluation.gold_reward == "trained" and config.evaluation.gold_model is None
    if config.model.annotator in catalog.SANDBOX_MODELS and (needs_annotator or gold_backbone):
        yield "base_annotator", from_config.base(config, config.model.annotator), {}


def _annotators(config: RunConfig) -> Iterator[Planned]:
    """Who labels, and the labels."""
    base = _with_base({"data": "data"}, config.model.annotator)
    if config.annotator.use is not None:
        yield "labels", from_config.labels(config), {"data": "data"}
        return
    if config.annotator_kind == "implicit":
        yield from _implicit_annotator(config)
        return
    slots = ["annotator", *(f"annotator_{number}" for number in range(2, config.annotator.members + 1))]
    for member, slot in enumerate(slots):
        yield slot, from_config.annotator(config, member=member), base
    if config.fits_temperature:
        yield "calibration", from_config.calibration(config), base
    yield "labels", from_config.labels(config), {"data": "data", **{slot: slot for slot in slots}}


def _implicit_annotator(config: RunConfig) -> Iterator[Planned]:
    """Tao & Li: SFT of the weak model on the labeled winners, then DPO on them; its log-ratio is the reward."""
    base = {"base": "base_annotator"} if config.model.annotator in catalog.SANDBOX_MODELS else {}
    start = {"start": "base_annotator"} if base else {}
    if config.sft.data != "none":
        tuned = from_config.sft(config, "human", "labeled", role="annotator", lora=False)
        yield "annotator_sft", tuned, {"data": "data", **base}
        start = {"start": "annotator_sft"}
    reference = from_config.reference(config, "labeled", role="annotator")
    yield "annotator_reference", reference, {"data": "data", **start}
    inputs = {"data": "data", "reference": "annotator_reference", **start}
    yield "annotator", from_config.implicit(config), inputs
    labels = {"data": "data", "annotator": "annotator", **{f"annotator_{name}": slot for name, slot in start.items()}}
    yield "labels", from_config.labels(config), labels


def _sft(config: RunConfig, method: catalog.MethodRow) -> Iterator[Planned]:
    if config.sft.data == "none":
        return
    labeled: tuple[catalog.LabelSource, catalog.Part] = ("human", "labeled")
    source, part = (method.labels, method.pool) if config.sft.data == "pool" else labeled
    weak = {"labels": "labels"} if source == "weak" else {}
    yield "sft", from_config.sft(config, source, part), _with_policy({"data": "data", **weak}, config)
    if _baseline_slot(config) == "baseline_sft":
        yield "baseline_sft", from_config.sft(config, *labeled), _with_policy({"data": "data"}, config)


def _answers(config: RunConfig, prompts: str, start: str | None) -> Iterator[Planned]:
    reference_model = {"reference_model": start} if start else {}
    aligned = from_config.samples(config, with_reference=True)
    yield "samples", aligned, {"prompts": prompts, "model": "align", **reference_model}
    baseline = _baseline_slot(config)
    yield (
        "baseline_samples",
        from_config.samples(config, with_reference=False),
        {"prompts": prompts, **({"model": baseline} if baseline else {})},
    )
    gold = {}
    if config.evaluation.gold_reward == "trained":
        backbone = config.evaluation.gold_model or config.model.annotator
        yield "gold", from_config.gold(config, backbone), _with_base({"data": "data"}, backbone)
        gold = {"gold": "gold"}
    for slot, answers in (("scores", "samples"), ("baseline_scores", "baseline_samples")):
        yield slot, from_config.scores(config), {"samples": answers, "prompts": prompts, **gold}


def _start_slot(config: RunConfig) -> str | None:
    """The slot whose model alignment starts from; None: the model named in the configuration."""
    if config.sft.data != "none":
        return "sft"
    return "base_policy" if config.model.policy in catalog.SANDBOX_MODELS else None


def _baseline_slot(config: RunConfig) -> str | None:
    """The slot of the baseline's model; None: the model named in the configuration."""
    if config.sft.data == "pool" and config.evaluation.baseline == "common":
        return "baseline_sft"
    return _start_slot(config)


def _with_base(inputs: dict[str, str], model: str) -> dict[str, str]:
    return {**inputs, "base": "base_annotator"} if model in catalog.SANDBOX_MODELS else inputs


def _with_policy(inputs: dict[str, str], config: RunConfig) -> dict[str, str]:
    return {**inputs, "base": "base_policy"} if config.model.policy in catalog.SANDBOX_MODELS else inputs
