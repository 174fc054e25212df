"""How the paper's numbers are named: methods, models, data, and what else a cell sets. Pure."""

from collections.abc import Mapping, Sequence

from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.paper.published import Number
from cwpo.paper.verdict import PaperDifference
from cwpo.report.numbers import number as figure

PLACES = ("models", "data", "objective", "labels", "setting")
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
    "accuracy": "accuracy",
    "win_rate": "win rate",
    "head_to_head": "wins over Human",
    "disagreement": "disagreement",
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
}
ANNOTATORS: Mapping[str, str] = {"cw": "Bradley–Terry", "ws": "implicit reward"}
ARMS: Mapping[tuple[tuple[str, str], ...], str] = {
    (("weighting.name", "sigma"),): "σ(Δ)",
    (("weighting.name", "clipped"), ("weighting.slope", "1")): "min(Δ, 1)",
    (("weighting.name", "clipped"), ("weighting.slope", "0.2")): "min(0.2Δ, 1)",
    (("annotator.kind", "joint"),): "joint encoder",
    (("sft.data", "none"),): "without SFT",
    (("align.online", "on"),): catalog.ONLINE,
}


def method_name(number: Number) -> str:
    """Without percentage and setting: Top N %; where nothing is aligned, the kind of annotator."""
    if not number.objective:
        return ANNOTATORS[number.method]
    row = catalog.METHODS.get(number.method)
    return row.label if row else ELSEWHERE[number.method]


def arm_label(number: Number) -> str:
    """What people read for a number's method: CW · σ(Δ), Top 30 %."""
    own = tuple(pair for pair in number.setting if not pair[0].startswith("data."))
    words = ARMS[own] if own else ""
    if number.objective and number.method in catalog.METHODS:
        return catalog.method_label(number.method, number.top_percent, words)
    return " · ".join(filter(None, (method_name(number), words)))


def about(number: Number) -> str:
    """What else a cell sets: share of swapped labels, mix, subset."""
    words = []
    for path, value in number.setting:
        if path == "data.swapped_labels":
            words.append(f"{figure(100 * float(value), 0)} % swapped")
        elif path.startswith("data.mix."):
            words.append(f"{path.removeprefix('data.mix.')} {figure(100 * float(value), 0)} %")
        elif path == "data.subset":
            words.append(value)
    return ", ".join(words)


def labels(number: Number) -> str:
    """Share of the pairs whose human labels are used; nothing where it does not matter."""
    return "" if number.label_fraction is None else f"{figure(100 * number.label_fraction, 0)} % labels"


def models(number: Number) -> str:
    """OPT 125M → 13B, or the annotator alone."""
    for row in catalog.MODEL_PAIRS.values():
        if (row.annotator, row.policy) == (number.annotator, number.policy):
            return row.label
    return _annotator(number.annotator)


def annotator_and_data(config: RunConfig) -> str:
    """What a figure of ours is of, where the paper's number does not say it: OPT 125M · HH."""
    data = config.data.dataset
    return f"{_annotator(config.model.annotator)} · {DATASETS.get(data, data)}"


def _annotator(name: str) -> str:
    return name.rsplit("/", 1)[-1].replace("opt-125m", "OPT 125M").replace("-", " ")


def objective(number: Number) -> str:
    row = catalog.OBJECTIVES.get(number.objective)
    return row.label if row else number.objective


def parts_of(number: Number) -> tuple[str, ...]:
    """Models, data, objective, label fraction, and what else the cell sets: as PLACES."""
    data = DATASETS.get(number.dataset, number.dataset)
    return models(number), data, objective(number), labels(number), about(number)


def varied(numbers: Sequence[Number]) -> list[int]:
    """Which of the parts differ among the numbers; a label fraction that does not matter differs from none."""
    found = [{parts_of(number)[place] for number in numbers} for place in range(len(PLACES))]
    return [
        place for place, values in enumerate(found) if len(values - ({""} if PLACES[place] == "labels" else set())) > 1
    ]


def places(numbers: Sequence[Number]) -> list[tuple[str, ...]]:
    """For each number, the parts in which the numbers differ."""
    differing = varied(numbers)
    return [tuple(parts_of(number)[place] for place in differing) for number in numbers]


def shared(numbers: Sequence[Number]) -> list[str]:
    """The parts that all the numbers have in common, for a caption."""
    differing = varied(numbers)
    common = ({parts_of(number)[place] for number in numbers} for place in range(len(PLACES)) if place not in differing)
    return [next(iter(values)) for values in common if len(values) == 1 and values != {""}]


def difference_label(difference: PaperDifference) -> str:
    """CW − WS; Qwen2.5 7B − Qwen2.5 0.5B where the two sides differ in annotator or labels and not in method."""
    first, second = difference.first, difference.second
    same = arm_label(first) == arm_label(second)
    name = arm_label if not same else models if first.annotator != second.annotator else labels
    return f"{name(first)} − {name(second)}"


def line_of(difference: PaperDifference) -> tuple[str, str, str]:
    """Which differences stand together in a summary: their two sides, the objective, and the varied setting."""
    first, second = difference.first, difference.second
    own = any(path == "data.swapped_labels" or path.startswith("data.mix.") for path, _ in first.setting)
    varied = second.label_fraction not in (None, first.label_fraction)
    return difference_label(difference), objective(first), about(first) if own else "" if varied else labels(first)
