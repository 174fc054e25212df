"""From a configuration to the rows of its run and stages, and where each stage may run."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.errors import ArtifactError
from cwpo.stages.graph import StageSpec
from cwpo.stages.plain import model_of as named_model
from cwpo.stages.stored_annotator import is_fingerprint, stored_annotator
from db.records import NewRun, NewStage
from workers.machine.paths import store


def new_run(config: RunConfig, specs: Mapping[str, StageSpec], *, sweep: str | None, priority: int) -> NewRun:
    """The row of a run: its config and the columns that lists filter by."""
    method = catalog.METHODS[config.method]
    return NewRun(
        name=config.name,
        config=config.canonical(),
        config_hash=config.hash(),
        group_key=config.group_key(),
        method=config.method,
        method_label=config.method_label,
        labels=method.labels,
        pool=method.pool,
        weighting=config.weighting_name,
        objective=config.objective,
        policy=config.model.policy,
        annotator=backbone_of(config) if config.needs_annotator else None,
        dataset=config.data.dataset,
        label_fraction=config.data.label_fraction,
        seed=config.seed,
        baseline=specs["baseline_samples"].fingerprint,
        sweep_id=sweep,
        priority=priority,
    )


class Need(Protocol):
    """How many cards of one host a stage wants, bytes on each, and bytes of the machine's own memory."""

    @property
    def cards(self) -> int: ...
    @property
    def card_bytes(self) -> int | None: ...
    @property
    def host_bytes(self) -> int | None: ...


def new_stages(
    config: RunConfig, specs: Mapping[str, StageSpec], *, gpu: bool, needs: Mapping[str, Need] = MappingProxyType({})
) -> list[NewStage]:
    """The rows of a run's stages, in the order of the graph. needs: by slot; what is not in it is unknown."""
    return [
        NewStage(
            slot=slot,
            fingerprint=spec.fingerprint,
            kind=spec.kind,
            version=spec.version,
            config=spec.config,
            inputs=spec.inputs,
            device=device_of(config, spec, gpu=gpu),
            model=model_of(config, spec),
            cards=needs[slot].cards if slot in needs else 1,
            card_bytes=needs[slot].card_bytes if slot in needs else None,
            host_bytes=needs[slot].host_bytes if slot in needs else None,
        )
        for slot, spec in specs.items()
    ]


def device_of(config: RunConfig, spec: StageSpec, *, gpu: bool) -> str:
    """Light stages run anywhere; the others where the run wants, and on a GPU when it does not say and there is one."""
    if not spec.needs_model:
        return "any"
    if config.execution.device != "auto":
        return config.execution.device
    return "gpu" if gpu else "any"


def model_of(config: RunConfig, spec: StageSpec) -> str | None:
    """The model a stage spends its time in: what expected seconds are averaged over."""
    if spec.kind == "labels":
        return backbone_of(config)
    return named_model(spec.settings)


def backbone_of(config: RunConfig) -> str:
    """The model that labels: the existing annotator's where one is used."""
    use = config.annotator.use
    if use is None or not is_fingerprint(use):
        return config.model.annotator
    try:
        return stored_annotator(store(), use).model
    except ArtifactError:
        return config.model.annotator
