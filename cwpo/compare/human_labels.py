"""How many human labels runs learn from, counted once per split."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cwpo.config.run import RunConfig
from cwpo.stages.graph import StageSpec
from cwpo.stages.settings import AnnotatorSettings, CalibrationSettings, PreferenceSettings, Settings, SplitSettings

Graph = Mapping[str, StageSpec]
NO_SETS: Mapping[str, int] = MappingProxyType({})


def human_labels(
    runs: Sequence[tuple[RunConfig, Graph]], pairs: Mapping[str, int | None], sets: Mapping[str, int] = NO_SETS
) -> int | None:
    """Pairs whose human label some stage trains on, once per data, fraction and split; a trained judge's not. Labels
    that people gave later come on top, once per set; `sets`: how many pairs people decided, by fingerprint."""
    used: dict[tuple[str, str, float | None, int | None], float] = {}
    later: set[str] = set()
    for config, graph in runs:
        for spec in graph.values():
            part, stage = _human_part(spec.settings), spec.settings
            if part and isinstance(stage, SplitSettings):
                share = share_of_pairs(part, stage, config)
                size = share if part == "unlabeled" else stage.label_fraction
                used[graph["data"].fingerprint, part, size, stage.split_seed] = share
                if stage.relabels is not None and part != "unlabeled":  # no pair of a set is in that part
                    later.add(stage.relabels)
    totals: dict[str, float] = {}
    for (data, *_), share in used.items():
        count = pairs.get(data)
        if count is None:
            return None
        totals[data] = min(totals.get(data, 0.0) + count * share, count)
    if not later <= sets.keys():
        return None
    return round(sum(totals.values())) + sum(sets[name] for name in later)


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
