"""JSON of anybody: files of bounded size, arrays element by element, nothing that nests deeper than people write."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwpo.bounds.streams import MOST_ROW, Exceeded
from cwpo.errors import CwpoError

DEEPEST = 100
_PIECE = 1 << 16
_BLANK = re.compile(r"[ \t\n\r]*")
_GOES_ON = re.compile(r"[-+.0-9eE]*\Z")  # behind a number, up to where the text was cut
_DECODER = json.JSONDecoder()


class JsonError(CwpoError):
    """A text is no JSON that is read here. The message is what stands after its name: "is not JSON (…)"."""


def parsed(text: str) -> Any:
    """The value of a text; JsonError for one that is no JSON, or nests too deep."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"is not JSON ({str(error)[:80]})") from error
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise JsonError(f"nests deeper than {DEEPEST} levels")
    return value


def read_object(path: Path, *, most: int) -> dict[str, Any]:
    """The object in a file of at most so many bytes; JsonError for any other file, OSError where it is not there."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise JsonError(f"has more than {most:,} bytes")
    try:
        value = parsed(data.decode())
    except UnicodeDecodeError as error:
        raise JsonError("is not JSON: its characters are not UTF-8") from error
    if not isinstance(value, dict):
        raise JsonError("holds no JSON object")
    return value


def elements(stream: io.TextIOBase) -> Iterator[Any]:
    """The elements of an array one by one, so that no more than one and what was read ahead is held.

    JsonError where the text is no array, or stops being one; Exceeded where one element is too long.
    """
    window = _Window(stream)
    if window.sign() != "[":
        window.value()
        raise JsonError("holds no JSON array of rows")
    window.at += 1
    if window.sign() == "]":
        window.at += 1
    else:
        yield from _separated(window)
    if window.sign():
        raise JsonError("is not JSON (something stands behind its array)")


def _separated(window: "_Window") -> Iterator[Any]:
    while True:
        window.sign()
        yield window.value()
        sign = window.sign()
        window.at += 1
        if sign == "]":
            return
        if sign != ",":
            raise JsonError("is not JSON (its array does not end)" if not sign else "is not JSON (a comma is missing)")


class _Window:
    """The part of a stream that is looked at."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream, self._text, self.at, self._ended = stream, "", 0, False

    def sign(self) -> str:
        """The next character that is no blank, which is not passed; empty at the end."""
        while True:
            blank = _BLANK.match(self._text, self.at)
            self.at = blank.end() if blank else self.at
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that begins here, and on behind it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
            except json.JSONDecodeError as error:  # perhaps cut in the middle
                if self._more():
                    continue
                raise JsonError(f"is not JSON ({error.msg})") from error
            except (ValueError, RecursionError) as error:
                raise JsonError(f"is not JSON ({str(error)[:80]})") from error
            if _GOES_ON.match(self._text, end) and self._more():
                continue
            signs = sum(self._text.count(sign, self.at, end) for sign in "[{")
            if signs > DEEPEST and _is_deep(value):
                raise JsonError(f"nests deeper than {DEEPEST} levels")
            self.at = end
            return value

    def _more(self) -> bool:
        if self._ended:
            return False
        left = self._text[self.at :]
        if len(left) > MOST_ROW:
            raise Exceeded(f"has a row of more than {MOST_ROW >> 20} MB, or is not JSON there")
        piece = self._stream.read(max(_PIECE, len(left)))
        self._ended = not piece
        self._text, self.at = left + piece, 0
        return bool(piece)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
