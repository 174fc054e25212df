"""A prompt with a list of responses that are scored or ranked: the best against the worst. Torch-free."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cwpo.data.readers.turns import from_cell
from cwpo.data.rows import BadRow

TEXTS = ("response", "text", "content", "completion", "output", "answer", "value")
FIGURES = ("score", "overall_score", "rating", "reward")
TIED = "equal_scores"


def best_and_worst(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with chosen and rejected in place of the list."""
    responses = _list(row.get("responses"), "responses")
    values = _values(row, responses)
    if len(values) != len(responses):
        raise BadRow("unparsable", f"{len(responses)} responses and {len(values)} scores")
    if len(responses) < 2:
        raise BadRow("only_one", "the prompt has one response, which makes no pair")
    if max(values) == min(values):
        raise BadRow(TIED, "all responses have the same score")
    best, worst = values.index(max(values)), values.index(min(values))
    rest = {name: value for name, value in row.items() if name not in ("responses", "scores", "ranks")}
    return {**rest, "chosen": _response(responses[best]), "rejected": _response(responses[worst])}


def number(value: Any) -> float:
    """A finite number; CSV has it as text."""
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise BadRow("no_label", f"{str(value)[:40]!r} is not a score")
    return found


def _values(row: Mapping[str, Any], responses: Sequence[Any]) -> list[float]:
    """Higher is better; a rank counts from the best, so it is turned round."""
    if row.get("scores") is not None:
        return [number(value) for value in _list(row["scores"], "scores")]
    if row.get("ranks") is not None:
        return [-number(value) for value in _list(row["ranks"], "ranks")]
    own = [next((one[key] for key in FIGURES if key in one), None) for one in responses if isinstance(one, Mapping)]
    if len(own) != len(responses) or not own:
        raise BadRow("no_label", "the responses have neither scores nor ranks")
    return [number(value) for value in own]


def _list(value: Any, name: str) -> list[Any]:
    found = from_cell(value)
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        raise BadRow("unparsable", f"{name} is not a list")
    return list(found)


def _response(one: Any) -> Any:
    """The response itself, where it stands in an object beside its score."""
    if not isinstance(one, Mapping) or "role" in one or "from" in one:
        return one
    return next((one[key] for key in TEXTS if key in one), one)
