"""What a field of the form says, as a list of values: "0.1, 0.25" is two, "0-3" is four whole numbers.

Shares of named things are one value: "harmless 0.8 + helpful 0.2".
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from app.components.form.field_specs import FieldSpec

MOST_VALUES = 500
DEFAULT = "default"  # stands for "not set" beside other values
_SPAN = re.compile(r"(\d{1,9})\s*[-–]\s*(\d{1,9})")
_UNCLEAR = re.compile(r"\d{1,3}(,\d{3})+")
_SHARE = re.compile(r"(\S.*?)[\s:=]+(\S+)")
_WORD = {"int": "a whole number", "float": "a number", "shares": "a name and its share, joined by +"}
_EXAMPLE = {
    "int": "write one value or several: 8, 16 or 0-3.",
    "float": "write one value or several: 0.1, 0.25.",
    "shares": "write harmless 0.8 + helpful 0.2.",
}


def parse(spec: FieldSpec, text: str) -> tuple[list[Any], str]:
    """The values in a text, each once, and a sentence when it cannot be read."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        return ([None] if spec.optional else [""], "") if _may_be_empty(spec) else ([], "give at least one value.")
    if spec.kind == "int" and _UNCLEAR.fullmatch(text.strip()):
        return [], f"{text.strip()} can be one number or several; write it without a comma, or a space after each."
    values: list[Any] = []
    for piece in pieces:
        try:
            values.extend(_values(spec, piece))
        except ValueError:
            return [], f"{piece[:40]!r} is not {_WORD[spec.kind]}; {_EXAMPLE[spec.kind]}"
        if len(values) > MOST_VALUES:
            return [], f"has more than {MOST_VALUES} values; give fewer."
    return [value for place, value in enumerate(values) if value not in values[:place]], ""


def shown(values: Sequence[Any]) -> str:
    """The other way; long rows of whole numbers become spans."""
    if len(values) == 1 and values[0] in (None, ""):
        return ""
    whole = len(values) > 1 and all(type(value) is int and value >= 0 for value in values)
    return ", ".join(_spans(values) if whole else [_word(value) for value in values])


def _may_be_empty(spec: FieldSpec) -> bool:
    return spec.optional or spec.kind == "text"


def _values(spec: FieldSpec, piece: str) -> list[Any]:
    if spec.optional and piece.lower() == DEFAULT:
        return [None]
    if spec.kind == "text":
        return [piece]
    if spec.kind == "int":
        return _whole(piece)
    return [_shares(piece) if spec.kind == "shares" else _number(piece)]


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _shares(piece: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in piece.split("+"):
        found = _SHARE.fullmatch(part.strip())
        if found is None or found[1] in shares:
            raise ValueError(piece)
        shares[found[1]] = _number(found[2])
    return shares


def _whole(piece: str) -> list[int]:
    span = _SPAN.fullmatch(piece)
    if span:
        low, high = int(span[1]), int(span[2])
        if high < low:
            raise ValueError(piece)
        return list(range(low, min(high, low + MOST_VALUES) + 1))
    number = float(piece)
    if not number.is_integer():
        raise ValueError(piece)
    return [int(number)]


def _word(value: Any) -> str:
    if value is None:
        return DEFAULT
    if isinstance(value, dict):
        return " + ".join(f"{name} {_word(share)}" for name, share in value.items())
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _spans(values: Sequence[int]) -> list[str]:
    """0, 1, 2, 3, 7 -> 0-3, 7; two in a row stay two."""
    rows: list[list[int]] = []
    for value in values:
        if rows and value == rows[-1][-1] + 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    return [word for row in rows for word in ([f"{row[0]}-{row[-1]}"] if len(row) > 2 else map(str, row))]
