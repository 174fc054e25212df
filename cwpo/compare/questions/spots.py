"""Blind spots of a run as rows: shares by tenths of the annotator's confidence, and of all pairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WHOLE = "all"


@dataclass(frozen=True, kw_only=True)
class SpotRow:
    """One tenth of the pairs by C, the least sure first, or all of them; shares in [0, 1] against human labels."""

    part: str
    n: int
    mean_confidence: float
    weak_wrong: float
    reference_wrong: float
    policy_wrong: float
    confident: float
    blind: float  # the policy is confident and wrong
    blind_low: float
    blind_high: float


def spot_rows(found: Mapping[str, Any]) -> list[SpotRow]:
    """The tenths in the summary of a stage, and a line for all pairs behind them; nothing without a human label."""
    parts = [(str(number), part) for number, part in enumerate(found["parts"], start=1)]
    if found["all"] is not None:
        parts.append((WHOLE, found["all"]))
    return [SpotRow(part=name, **values) for name, values in parts]
