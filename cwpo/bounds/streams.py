"""Files of anybody, read piece by piece: what unpacks to far more than it is ends soon, and so does an endless line."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwpo.errors import CwpoError

MOST_ROW = 16 << 20  # characters (or bytes) of one row
MOST_GROWTH = 200  # bytes that a packed byte may stand for: text packs to a tenth, repeated rows to a fiftieth
SMALL = 64 << 20  # bytes that any file may unpack to
FIRST_EMPTY, EMPTY_PER_LINE = 10_000, 100  # lines without text that a file may have, and as many more for each line
_PIECE = 1 << 16
BROKEN = (OSError, EOFError, zlib.error)  # what reading a packed file raises where it is damaged


class Exceeded(CwpoError):
    """A file goes beyond a bound. The message is what stands after its name: "has a line of more than 16 MB"."""


def allowance(size: int) -> int:
    """Bytes that a file of this size may hold once it is unpacked."""
    return SMALL + MOST_GROWTH * size


def grows_too_much() -> Exceeded:
    """What is said of a file beyond its allowance."""
    return Exceeded(f"unpacks to more than {MOST_GROWTH} times its size, as no data do")


def opened(path: Path) -> io.BufferedReader:
    """The bytes of a file, unpacked where its name ends in .gz; Exceeded once there are far too many."""
    if path.name.lower().endswith(".gz"):
        return io.BufferedReader(_Counted(gzip.open(path, "rb"), allowance(path.stat().st_size)), _PIECE)
    return open(path, "rb")


def opened_text(path: Path) -> io.TextIOWrapper:
    """UTF-8 with a leading byte-order mark removed; bytes that are not UTF-8 become U+FFFD and are found later."""
    return io.TextIOWrapper(opened(path), encoding="utf-8-sig", errors="replace", newline="")


def lines(stream: io.TextIOBase) -> Iterator[str]:
    """The lines of a text, ends included; Exceeded where one is too long, or where hardly any has text."""
    number = empty = 0
    while text := stream.readline(MOST_ROW + 1):
        number += 1
        if len(text) > MOST_ROW:
            raise Exceeded(f"has more than {MOST_ROW >> 20} MB in line {number}")
        if text.isspace():
            empty += 1
            if empty > FIRST_EMPTY + EMPTY_PER_LINE * (number - empty):
                raise Exceeded(f"holds almost nothing but empty lines up to line {number:,}")
        yield text


class _Counted(io.RawIOBase):
    """A stream of which no more than so many bytes are read."""

    def __init__(self, inner: Any, most: int) -> None:
        super().__init__()
        self._inner, self._left = inner, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise grows_too_much()
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()
