"""The memory that the stages of a plan need, beside what this machine has. Sizes come from what is here, no network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cwpo.config.run import RunConfig
from cwpo.models import memory_estimate
from cwpo.models.memory_estimate import SAFE, Need
from cwpo.models.shape import Shape, known_config, shape_of
from cwpo.models.sizes.machine import whole_memory
from cwpo.stages.graph import StageSpec
from cwpo.stages.settings import (
    BaseSettings,
    CardSettings,
    JudgeSettings,
    LabelSettings,
    ModelSettings,
    PreferenceSettings,
    ScoreSettings,
)
from workers.machine.devices import card_memory, gpu_memory
from workers.plan import submission

Model = tuple[str, str | None]  # name and revision


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is known here: shapes of models, and bytes of memory by device, None where nothing says; the cards of each
    host, None where one does not say how large it is."""

    shapes: Mapping[Model, Shape | None] = field(default_factory=dict)
    memory: Mapping[str, int | None] = field(default_factory=dict)
    hosts: Sequence[Sequence[int | None]] = ()


@dataclass(frozen=True, kw_only=True)
class StageMemory:
    """What one stage needs at its peak. `remedies`: what of the run could be changed so that it needs less."""

    kind: str
    device: str
    bytes: int
    have: int | None
    checkpointing: bool
    remedies: tuple[str, ...]

    @property
    def exceeds(self) -> bool:
        return self.have is not None and self.bytes > self.have


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The stage that needs most, one that does not fit before all others; and kinds whose model is not known here."""

    largest: StageMemory | None
    unknown: tuple[str, ...]


def device_name(device: str) -> str:
    """Light stages and workers without a GPU compute on the CPU."""
    return "gpu" if device.startswith(("gpu", "cuda")) else "cpu"


def this_machine(
    runs: Sequence[tuple[RunConfig, Mapping[str, StageSpec]]],
    home: Path,
    hosts: Sequence[Sequence[int | None]] = (),
) -> Machine:
    """The shapes of every model of these runs, and the memory of this machine. hosts: the cards of living workers; the
    largest counts as the GPU's memory where this machine has none."""
    wanted = {model_of(config, spec) for config, graph in runs for spec in graph.values()} - {None}
    known = [size for host in hosts for size in host if size is not None]
    configs = {model: known_config(*model, home) for model in wanted if model is not None}
    return Machine(
        shapes={model: None if found is None else shape_of(found) for model, found in configs.items()},
        memory={"cpu": cpu_memory(), "gpu": gpu_memory() or max(known, default=None)},
        hosts=hosts or ([memory.total for memory in card_memory().values()],),
    )


def cpu_memory() -> int:
    """Bytes of this machine's memory that a process may have."""
    return whole_memory("cpu")


def needed(stages: Iterable[tuple[RunConfig, StageSpec]], machine: Machine, *, gpu: bool) -> Memory:
    """The largest need among these stages."""
    found: list[StageMemory] = []
    unknown: dict[str, None] = {}
    for config, spec in stages:
        model = model_of(config, spec)
        if model is None:
            continue
        shape = machine.shapes.get(model)
        if shape is None:
            unknown[spec.kind] = None
        elif (need := _need(config, spec, shape)) is not None:
            device = device_name(submission.device_of(config, spec, gpu=gpu))
            budget = not memory_estimate.fixes_tokens(spec.settings, shape)
            found.append(_stage_memory(config, spec, need, device, machine.memory.get(device), budget=budget))
    largest = max(found, key=lambda stage: (stage.exceeds, stage.bytes), default=None)
    return Memory(largest=largest, unknown=tuple(unknown))


def model_of(config: RunConfig, spec: StageSpec) -> Model | None:
    """The model that a stage holds; None for a stage without one."""
    settings = spec.settings
    if isinstance(settings, ScoreSettings):
        gold = settings.gold_reward
        return (gold.name, gold.revision) if gold.kind == "model" else None
    if isinstance(settings, JudgeSettings | CardSettings) and settings.judge is not None:
        return (settings.judge.model, settings.judge.revision) if settings.judge.kind == "local" else None
    if isinstance(settings, CardSettings) and settings.gold_reward is not None:
        gold = settings.gold_reward
        return (gold.name, gold.revision) if gold.kind == "model" else None
    if isinstance(settings, LabelSettings):
        if settings.use is not None:  # an annotator of another run, whose model this one does not name
            return None
        return config.model.annotator, config.model.annotator_revision
    if isinstance(settings, BaseSettings):
        return settings.model, None
    return (settings.model, settings.revision) if isinstance(settings, ModelSettings) else None


def models_of(spec: StageSpec) -> int:
    """How many models a stage holds at once: members of an ensemble, or the implicit reward's two."""
    if not isinstance(spec.settings, LabelSettings):
        return 1
    return max(1, sum(name.startswith("annotator") for name in spec.inputs))


def _need(config: RunConfig, spec: StageSpec, shape: Shape) -> Need | None:
    tokens = config.execution.tokens_per_batch
    return memory_estimate.of_stage(spec.settings, shape, tokens=tokens, models=models_of(spec))


def _stage_memory(
    config: RunConfig, spec: StageSpec, need: Need, device: str, have: int | None, *, budget: bool
) -> StageMemory:
    """With gradient checkpointing where the run asks for it, or where the stage would turn it on. `budget`: whether
    execution.tokens_per_batch changes the need."""
    asked = config.execution.gradient_checkpointing
    trains, settings = spec.row.trains, spec.settings
    again = trains and (asked if asked is not None else have is not None and need.total > SAFE * have)
    remedies = ["lora"] if isinstance(settings, PreferenceSettings) and not settings.lora else []
    remedies += ["checkpointing"] if trains and asked is False else []
    return StageMemory(
        kind=spec.kind,
        device=device,
        bytes=need.total_checkpointed if again else need.total,
        have=have,
        checkpointing=again,
        remedies=(*remedies, *(["tokens"] if budget else [])),
    )
