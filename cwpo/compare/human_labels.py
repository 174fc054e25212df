"""How many human labels runs learn from, counted once per split."""

from collections.abc import Mapping, Sequence

from cwpo.config.run import RunConfig
from cwpo.stages.graph import StageSpec
from cwpo.stages.settings import AnnotatorSettings, CalibrationSettings, PreferenceSettings, Settings, SplitSettings

Graph = Mapping[str, StageSpec]


def human_labels(runs: Sequence[tuple[RunConfig, Graph]], pairs: Mapping[str, int | None]) -> int | None:
    """Pairs whose human label some stage trains on, once per data, fraction and split; a trained judge's not."""
    used: dict[tuple[str, str, float | None, int | None], float] = {}
    for config, graph in runs:
        for spec in graph.values():
            part, stage = _human_part(spec.settings), spec.settings
            if part and isinstance(stage, SplitSettings):
                share = share_of_pairs(part, stage, config)
                size = share if part == "unlabeled" else stage.label_fraction
                used[graph["data"].fingerprint, part, size, stage.split_seed] = share
    totals: dict[str, float] = {}
    for (data, *_), share in used.items():
        count = pairs.get(data)
        if count is None:
            return None
        totals[data] = min(totals.get(data, 0.0) + count * share, count)
    return round(sum(totals.values()))


def _human_part(stage: Settings) -> str | None:
    if isinstance(stage, AnnotatorSettings) and not isinstance(stage, CalibrationSettings):
        return "labeled"
    if isinstance(stage, PreferenceSettings) and stage.label_source == "human":
        return stage.part
    return None


def share_of_pairs(part: str, stage: SplitSettings, config: RunConfig) -> float:
    """The share of all pairs that a part holds."""
    if part == "all":
        return 1.0
    fixed = config.data.unlabeled_fraction
    if part == "unlabeled" and fixed is not None:
        return fixed
    labeled = float(stage.label_fraction or 0)
    return labeled if part == "labeled" else 1.0 - labeled
