"""What differs between two texts, word by word; of very long ones paragraph by paragraph. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_WORDS = 1_000  # of one text; the time grows with the product of both
_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_PARAGRAPH = re.compile(r"\n+|[^\n]+")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a text; `own`: the other text has it not."""

    text: str
    own: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two texts cut into pieces, and how many words of each the other has not. `by_words`: not by paragraphs."""

    first: tuple[Piece, ...]
    second: tuple[Piece, ...]
    first_own: int
    second_own: int
    by_words: bool


def difference(first: str, second: str) -> Difference:
    """Both texts whole, in order; joined, the pieces of each are the text."""
    sides = [_WORD.findall(text) for text in (first, second)]
    by_words = max(_count(side) for side in sides) <= MOST_WORDS
    if not by_words:
        sides = [_PARAGRAPH.findall(text) for text in (first, second)]
    blocks = SequenceMatcher(None, sides[0], sides[1], autojunk=False).get_matching_blocks()
    pieces = [_pieces(side, [(block[place], block.size) for block in blocks]) for place, side in enumerate(sides)]
    own = [sum(_count(_WORD.findall(piece.text)) for piece in side if piece.own) for side in pieces]
    return Difference(first=pieces[0], second=pieces[1], first_own=own[0], second_own=own[1], by_words=by_words)


def _pieces(words: Sequence[str], same: Sequence[tuple[int, int]]) -> tuple[Piece, ...]:
    """(start, length) of what both have; spaces alone are never what differs."""
    found: list[Piece] = []
    at = 0
    for start, length in same:
        _add(found, "".join(words[at:start]), own=True)
        _add(found, "".join(words[start : start + length]), own=False)
        at = start + length
    return tuple(found)


def _add(found: list[Piece], text: str, *, own: bool) -> None:
    if not text:
        return
    own = own and bool(text.strip())
    if found and found[-1].own == own:
        found[-1] = Piece(text=found[-1].text + text, own=own)
    else:
        found.append(Piece(text=text, own=own))


def _count(words: Sequence[str]) -> int:
    return sum(not word.isspace() for word in words)
