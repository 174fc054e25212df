"""What will likely go wrong with the runs of a plan: the doubts of each configuration, and the disk."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from cwpo.config.run import RunConfig
from cwpo.models.memory_estimate import lora_of
from cwpo.models.shape import known_config, shape_of
from cwpo.outlook.doubts import doubts
from cwpo.report.numbers import size
from cwpo.stages.graph import StageSpec
from cwpo.stages.kinds import kind_of
from db.status import DONE
from workers.plan.memory import model_of

Graphs = Sequence[tuple[RunConfig, Mapping[str, StageSpec]]]
FLOAT = 4  # bytes; what is trained is kept so
MOMENTS = 3  # a checkpoint: the weights and the two moments of AdamW
FULL = 0.9  # share of the free disk that may be filled
_READ = {"data", "model", "annotator", "sft", "align", "evaluation"}  # parts of a run that doubts are about


def warnings(graphs: Graphs, status: Mapping[str, str], home: Path) -> tuple[str, ...]:
    """Each sentence once; runs that differ in nothing that matters here are looked at once."""
    seen: dict[str, RunConfig] = {}
    for config, _ in graphs:
        seen.setdefault(f"{config.method} {config.model_dump_json(include=_READ)}", config)
    found = dict.fromkeys(sentence for config in seen.values() for sentence in doubts(config, home))
    return (*found, *disk(graphs, status, home))


def disk(graphs: Graphs, status: Mapping[str, str], home: Path) -> list[str]:
    """One sentence where the weights that are left to write fill the disk; nothing where they fit or nobody knows."""
    needed, free = written(graphs, status, home), shutil.disk_usage(_existing(home)).free
    if needed < FULL * free:
        return []
    return [
        f"The models that these runs train take about {size(needed)} on the disk, and {size(free)} are free at {home}: "
        "delete runs that nobody needs, train adapters (model.lora), or queue fewer seeds at once."
    ]


def written(graphs: Graphs, status: Mapping[str, str], home: Path) -> int:
    """Bytes of the weights of all stages to do, and of the largest checkpoint beside its successor."""
    weights: dict[str, int] = {}
    for config, specs in graphs:
        for spec in specs.values():
            if spec.fingerprint not in weights and status.get(spec.fingerprint) != DONE:
                weights[spec.fingerprint] = _weights(config, spec, home)
    return sum(weights.values()) + 2 * MOMENTS * max(weights.values(), default=0)


def _weights(config: RunConfig, spec: StageSpec, home: Path) -> int:
    """Bytes that a stage trains; 0 where it trains nothing, or the sizes of its model are not known."""
    kind, model = kind_of(spec.settings), model_of(config, spec)
    known = known_config(*model, home) if kind.trains and model is not None else None
    shape = None if known is None else shape_of(known)
    if shape is None:
        return 0
    lora = lora_of(spec.settings)
    return FLOAT * (shape.adapter(lora) if lora else shape.scorer if kind.scalar else shape.causal)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
