"""How many cards each stage of a run wants, what it needs on each and what of the machine: stored with the stage, for
whoever claims it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cwpo.config.run import RunConfig
from cwpo.models import memory_estimate
from cwpo.models.shape import Shape
from cwpo.models.sizes.fits import CONTEXT, COUNTS, Way, ways
from cwpo.stages.graph import StageSpec
from cwpo.stages.settings import LabelSettings, SampleSettings, ScoreSettings
from workers.plan import submission
from workers.plan.memory import Machine, model_of, models_of

Hosts = Sequence[Sequence[int | None]]  # bytes of each card of each host; None: unknown


@dataclass(frozen=True, kw_only=True)
class StageNeed:
    """Cards of one host, bytes on each, and bytes of the host's own memory for all processes together; None: nobody
    knows, so that any will do."""

    cards: int = 1
    card_bytes: int | None = None
    host_bytes: int | None = None


def of_run(
    config: RunConfig, specs: Mapping[str, StageSpec], machine: Machine, *, gpu: bool
) -> dict[str, StageNeed]:  # fmt: skip
    """By slot. What computes without a GPU needs no card; what would run on any worker wants one."""
    found = {}
    for slot, spec in specs.items():
        device = submission.device_of(config, spec, gpu=gpu)
        model = model_of(config, spec)
        shape = machine.shapes.get(model) if model else None
        wanted = config.execution.gpus if is_shared(spec) else 1
        if device == "gpu":
            need = _on_cards(config, spec, shape, wanted, machine.hosts)
        else:
            need = StageNeed(cards=wanted if wanted != "auto" and device == "cpu" else 1)
        found[slot] = need if shape is None else replace(need, host_bytes=_of_host(config, spec, shape, need, device))
    return found


def single(stages: Iterable[tuple[RunConfig, StageSpec]]) -> tuple[str, ...]:
    """Kinds that hold a model and that no second card makes faster, of runs that ask for several."""
    several = ((config, spec) for config, spec in stages if config.execution.gpus != 1)
    return tuple(dict.fromkeys(spec.kind for config, spec in several if model_of(config, spec) and not is_shared(spec)))


def is_shared(spec: StageSpec) -> bool:
    """Whether several processes, one per card, can compute the stage together."""
    settings = spec.settings
    if isinstance(settings, LabelSettings) and settings.label_dropout:
        return False
    if isinstance(settings, ScoreSettings) and settings.gold_reward.kind == "oracle":
        return False
    return spec.row.shared


def _on_cards(
    config: RunConfig, spec: StageSpec, shape: Shape | None, wanted: int | Literal["auto"], hosts: Hosts
) -> StageNeed:  # fmt: skip
    """The least that the stage can be computed with, as far as it chooses for itself (gradient checkpointing)."""
    if shape is None:
        return StageNeed(cards=1 if wanted == "auto" else wanted)
    counts = COUNTS if wanted == "auto" else (wanted,)
    possible = _least(
        ways(
            spec.settings, shape, tokens=config.execution.tokens_per_batch, models=models_of(spec), counts=counts,
            asked=config.execution.gradient_checkpointing,
        )
    )  # fmt: skip
    if not possible:
        return StageNeed(cards=1 if wanted == "auto" else wanted)
    if wanted != "auto":
        return StageNeed(cards=wanted, card_bytes=min(possible.values()))
    return _fewest(possible, hosts)


def _of_host(config: RunConfig, spec: StageSpec, shape: Shape, need: StageNeed, device: str) -> int | None:
    """The least of the machine's memory that the stage can be computed with: beside its cards, or, on a CPU, all that
    it holds. What may run on either needs no more than the less of both."""
    beside = memory_estimate.of_stage(
        spec.settings, shape, tokens=config.execution.tokens_per_batch, models=models_of(spec), cards=need.cards
    )
    if beside is None or device == "gpu":
        return None if beside is None else beside.host
    possible = ways(
        spec.settings, shape, tokens=config.execution.tokens_per_batch, models=models_of(spec), counts=(need.cards,),
        asked=config.execution.gradient_checkpointing,
    )  # fmt: skip
    held = need.cards * min(way.bytes for way in possible)
    if isinstance(spec.settings, SampleSettings):
        held -= beside.cache  # a batch of answers is made as large as there is room
    return held if device == "cpu" else min(held, beside.host)


def _least(possible: Iterable[Way]) -> dict[int, int]:
    """Bytes by number of cards."""
    found: dict[int, int] = {}
    for way in possible:
        found[way.cards] = min(way.bytes, found.get(way.cards, way.bytes))
    return found


def _fewest(possible: Mapping[int, int], hosts: Hosts) -> StageNeed:
    """The fewest cards that a host has and that are large enough, else as many as the largest host has."""
    for cards, needed in possible.items():
        if any(sum(size is None or size >= needed + CONTEXT for size in host) >= cards for host in hosts):
            return StageNeed(cards=cards, card_bytes=needed)
    there = [cards for cards in possible if cards <= max(map(len, hosts), default=1)]
    cards = max(there, default=1)
    return StageNeed(cards=cards, card_bytes=possible.get(cards))
