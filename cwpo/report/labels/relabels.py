"""What people's labels brought, in one sentence. Free of torch."""

from typing import Protocol

from cwpo.report.numbers import points, points_interval
from cwpo.statistics.raters import Figure

PER = 100  # labels


class Difference(Protocol):
    """A paired difference of GRA, with the set minus without."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def n_seeds(self) -> int: ...
    @property
    def n_prompts(self) -> int: ...
    @property
    def covers_zero(self) -> bool: ...


def gain_sentence(difference: Difference, labels: int) -> str:
    """With 40 labels GRA is +1.2 points (−0.3 to +2.7) higher: +3.0 points per 100 labels (…)."""
    if difference.estimate is None or labels < 1:
        return "What the labels brought is not known: the runs have no seeds and prompts in common."
    scale = PER / labels
    low = None if difference.low is None else scale * difference.low
    high = None if difference.high is None else scale * difference.high
    each = f"{points(scale * difference.estimate)} points per {PER} labels ({points_interval(low, high)})"
    verdict = ", which could be none" if difference.covers_zero else ""
    return (
        f"GRA with these {labels:,} labels minus without: {points(difference.estimate)} points, 95 % "
        f"{points_interval(difference.low, difference.high)}, over {difference.n_seeds} seeds and "
        f"{difference.n_prompts:,} prompts; {each}{verdict}."
    )


def figure(value: Figure | None, *, percent: bool = False) -> str:
    """0.41 (0.22 – 0.58); a dash where it is not defined."""
    if value is None:
        return "–"
    scale, digits, unit = (100, 1, " %") if percent else (1, 2, "")

    def said(number: float) -> str:
        return f"{scale * number:.{digits}f}".replace("-", "−")

    if value.low is None or value.high is None:
        return f"{said(value.value)}{unit}"
    return f"{said(value.value)}{unit} ({said(value.low)} – {said(value.high)})"
