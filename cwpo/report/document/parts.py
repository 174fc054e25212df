"""What a report is made of, whatever file it becomes: sentences, tables, pictures of few marks, text in one piece."""

import re
from dataclasses import dataclass, field
from typing import Literal

from cwpo.report.document.inks import INK
from cwpo.report.tables import Table

Role = Literal["lead", "plain", "note"]
Anchor = Literal["start", "middle", "end"]

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """`lead` is the answer, `note` what stands small below something."""

    text: str
    role: Role = "plain"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table; lines in `strong` are those that may be emphasised. The table's notes stand under it."""

    title: str
    table: Table
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A straight line, in points from the upper left."""

    x1: float
    y1: float
    x2: float
    y2: float
    ink: str = INK
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    ink: str = INK
    radius: float = 3.2


@dataclass(frozen=True, kw_only=True)
class Label:
    """One line of text on a baseline."""

    x: float
    y: float
    text: str
    ink: str = INK
    anchor: Anchor = "start"
    size: float = 9.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart; `alt` says in words what is seen."""

    title: str
    alt: str
    width: float
    height: float
    strokes: tuple[Stroke, ...] = ()
    dots: tuple[Dot, ...] = ()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Block:
    """Text in one piece, as it is written."""

    title: str
    text: str


Part = Paragraph | Heading | Sheet | Picture | Block


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report from its title to the line at its foot."""

    title: str
    subtitle: str
    parts: tuple[Part, ...]
    foot: str
    keywords: tuple[str, ...] = field(default=("gold reward accuracy", "preference optimization"))


def legible(text: object) -> str:
    """The text with what nobody could see, or what would turn the direction of a line, spelt out as ⟨U+XXXX⟩."""
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", str(text))
