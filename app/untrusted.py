"""Text of models, data and users made safe to show: escaped, marked, capped, never Markdown or HTML. Pure."""

import html
import re
import unicodedata

SHOWN_AT_FIRST = 1_200  # characters of one text before "Show all"
SHOWN_AT_MOST = 50_000  # a browser stays quick with this much in one block
LINES_AT_FIRST = 40

_ODD = re.compile(r"[^\n\t\x20-\x7e]")
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")  # every ASCII punctuation mark
_LINKS = re.compile(r"(?i)(https?:|www|@|:(?=\w+:))")
_WORD_JOINER = "\u2060"  # invisible; keeps an address or an emoji code from being recognised


def visible(text: object) -> str:
    """The text with what the eye would miss spelt out: control, direction, zero-width characters, surrogates."""
    return _ODD.sub(lambda match: _mark(match[0]), str(text).replace("\r\n", "\n"))


def capped(text: str, limit: int = SHOWN_AT_FIRST, lines: int = LINES_AT_FIRST) -> tuple[str, int]:
    """The start of the text and how many characters are left out."""
    start = "\n".join(text.split("\n", lines)[:lines])[:limit]
    return start, len(text) - len(start)


def label(text: object, limit: int = 80) -> str:
    """One line for a table cell, a caption or a widget's label, with all Markdown switched off."""
    line = " ".join(visible(text).split())
    short = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return _MARKDOWN.sub(r"\\\1", _LINKS.sub(rf"\1{_WORD_JOINER}", short))


def plain(text: object, limit: int = 80) -> str:
    """One line for places that know no markup, such as a cell of a data grid."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def chart_text(text: object, limit: int = 60) -> str:
    """One line for a chart, whose labels would read a few HTML tags."""
    return html.escape(plain(text, limit), quote=True)


def _mark(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"⟨U+{ord(character):04X}⟩"
    return character
