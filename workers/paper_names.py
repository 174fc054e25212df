"""How the paper's numbers are named: methods, models, data, and what else a cell sets. Pure."""

from collections.abc import Mapping, Sequence

from cwpo import catalog
from cwpo.paper import Number
from workers.figures import number as figure
from workers.verdict import PaperDifference

DATASETS: Mapping[str, str] = {
    "hh": "HH",
    "hh-harmless": "HH harmless",
    "hh-helpful": "HH helpful",
    "tldr": "TL;DR",
    "ultrafeedback": "UltraFeedback",
    "shp": "SHP",
}
METRICS: Mapping[str, str] = {
    "gra": "GRA",
    "accuracy": "agreement with human labels",
    "win_rate": "win rate",
    "head_to_head": "wins over Human",
    "disagreement": "disagreement with human labels",
    "seconds": "seconds",
    "mean_confidence": "mean C",
    "median_confidence": "median C",
    "below_0.1": "share of C < 0.1",
    "below_0.5": "share of C < 0.5",
    "above_0.9": "share of C > 0.9",
}
# Methods of the paper that no run here has.
ELSEWHERE: Mapping[str, str] = {
    "online_dpo": "Online DPO",
    "online_cw": "Online CW",
    "online_ws": "Online WS",
}
ARMS: Mapping[tuple[tuple[str, str], ...], str] = {
    (("weighting.name", "sigma"),): "σ(Δ)",
    (("weighting.name", "clipped"), ("weighting.slope", "1")): "min(Δ, 1)",
    (("weighting.name", "clipped"), ("weighting.slope", "0.2")): "min(0.2Δ, 1)",
    (("annotator.kind", "joint"),): "joint encoder",
    (("sft", "none"),): "without SFT",
}


def method_name(number: Number) -> str:
    """Without percentage and setting: Top N %."""
    row = catalog.METHODS.get(number.method)
    return row.label if row else ELSEWHERE[number.method]


def arm_label(number: Number) -> str:
    """What people read for a number's method: CW · σ(Δ), Top 30 %."""
    own = tuple(pair for pair in number.setting if not pair[0].startswith("data."))
    words = ARMS[own] if own else ""
    if number.method in catalog.METHODS:
        return catalog.method_label(number.method, number.top_percent, words)
    return method_name(number)


def about(number: Number) -> str:
    """What else a cell sets: label fraction where it is not 30 %, share of swapped labels, mix, subset."""
    words = []
    if number.label_fraction not in (None, 0.3):
        words.append(f"{figure(100 * (number.label_fraction or 0), 0)} % labels")
    for path, value in number.setting:
        if path == "data.swapped_labels":
            words.append(f"{figure(100 * float(value), 0)} % swapped")
        elif path.startswith("data.mix."):
            words.append(f"{path.removeprefix('data.mix.')} {figure(100 * float(value), 0)} %")
        elif path == "data.subset":
            words.append(value)
    return ", ".join(words)


def models(number: Number) -> str:
    """OPT 125M → 13B, or the annotator alone."""
    for row in catalog.MODEL_PAIRS.values():
        if (row.annotator, row.policy) == (number.annotator, number.policy):
            return row.label
    return number.annotator.rsplit("/", 1)[-1]


def objective(number: Number) -> str:
    row = catalog.OBJECTIVES.get(number.objective)
    return row.label if row else number.objective


def parts_of(number: Number) -> tuple[str, str, str, str]:
    """Models, data, objective, and what else the cell sets."""
    return models(number), DATASETS.get(number.dataset, number.dataset), objective(number), about(number)


def varied(numbers: Sequence[Number]) -> list[int]:
    """Which of the parts differ among the numbers."""
    found = [parts_of(number) for number in numbers]
    return [place for place in range(4) if len({parts[place] for parts in found}) > 1]


def places(numbers: Sequence[Number]) -> list[tuple[str, ...]]:
    """For each number, the parts in which the numbers differ."""
    differing = varied(numbers)
    return [tuple(parts_of(number)[place] for place in differing) for number in numbers]


def shared(numbers: Sequence[Number]) -> list[str]:
    """The parts that all the numbers have in common, for a caption."""
    differing = varied(numbers)
    return [part for place, part in enumerate(parts_of(numbers[0])) if place not in differing and part]


def line_of(difference: PaperDifference) -> tuple[str, str, str]:
    """Which differences stand together in a summary: their two arms, the objective, and the varied setting."""
    first, second = difference.first, difference.second
    fraction = "" if first.label_fraction is None else f"{figure(100 * first.label_fraction, 0)} % labels"
    swapped = any(path == "data.swapped_labels" for path, _ in first.setting)
    return f"{arm_label(first)} − {arm_label(second)}", objective(first), about(first) if swapped else fraction
