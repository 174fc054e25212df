"""The values of a field as its widget holds them, and back: the text "0.1, 0.25" is two, "0-3" is four whole numbers.

Shares of named things are one value: "harmless 0.8 + helpful 0.2".
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from app.components.form.fields import DEFAULT, FLAGS, Field

MOST_VALUES = 500
CHOOSE = "choose at least one."
_SPAN = re.compile(r"(\d{1,9})\s*[-–]\s*(\d{1,9})")
_UNCLEAR = re.compile(r"\d{1,3}(,\d{3})+")
_SHARE = re.compile(r"(\S.*?)[\s:=]+(\S+)")
_WORD = {"int": "a whole number", "float": "a number", "shares": "a name and its share, joined by +"}
_EXAMPLE = {
    "int": "write one value or several: 8, 16 or 0-3.",
    "float": "write one value or several: 0.1, 0.25.",
    "shares": "write harmless 0.8 + helpful 0.2.",
}


def in_widget(field: Field, values: Sequence[Any]) -> Any:
    """What the widget of a field holds when the field has these values."""
    if field.kind == "flag":
        return [word for word in field.offered("") if FLAGS[word] in values]
    if field.kind == "choice":
        return [str(value) for value in values if value is not None]
    return as_text(values)


def of_widget(field: Field, held: Any) -> tuple[list[Any], str]:
    """The other way: the values of a field, and a sentence when they cannot be read."""
    if field.kind == "flag":
        return [FLAGS[word] for word in field.offered("") if word in held], "" if held else CHOOSE
    if field.kind == "choice":
        return ([str(name) for name in held], "") if held else ([None], "" if field.optional else CHOOSE)
    return parse(field, held)


def parse(field: Field, text: str) -> tuple[list[Any], str]:
    """The values in a text, each once, and a sentence when it cannot be read."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        return ([None] if field.optional else [""], "") if _may_be_empty(field) else ([], "give at least one value.")
    if field.kind == "int" and _UNCLEAR.fullmatch(text.strip()):
        return [], f"{text.strip()} can be one number or several; write it without a comma, or a space after each."
    values: list[Any] = []
    for piece in pieces:
        try:
            values.extend(_values(field, piece))
        except ValueError:
            return [], f"{piece[:40]!r} is not {_WORD[field.kind]}; {_EXAMPLE[field.kind]}"
        if len(values) > MOST_VALUES:
            return [], f"has more than {MOST_VALUES} values; give fewer."
    return [value for place, value in enumerate(values) if value not in values[:place]], ""


def as_text(values: Sequence[Any]) -> str:
    """The other way; long rows of whole numbers become spans."""
    if len(values) == 1 and values[0] in (None, ""):
        return ""
    whole = len(values) > 1 and all(type(value) is int and value >= 0 for value in values)
    return ", ".join(_spans(values) if whole else [_word(value) for value in values])


def _may_be_empty(field: Field) -> bool:
    return field.optional or field.kind == "text"


def _values(field: Field, piece: str) -> list[Any]:
    if field.optional and piece.lower() == DEFAULT:
        return [None]
    if field.kind == "text":
        return [piece]
    if field.kind == "int":
        return _whole(piece)
    return [_shares(piece) if field.kind == "shares" else _number(piece)]


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
