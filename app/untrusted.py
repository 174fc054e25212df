"""Text of models, data and users made safe to show: escaped, marked, capped, never Markdown or HTML. Pure.

What the eye would miss is spelt out as ⟨U+XXXX⟩, except where a script needs it: joiners between letters of Arabic or
Indic scripts and within an emoji, breaks between words of scripts that have no spaces, direction marks in lines that
run from right to left, variants of symbols and Han. Overrides and isolates of direction are always spelt out.
"""

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
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Letters, marks and symbols by category, and nothing to see
_BLANK_LETTERS = "\u3164\uffa0\u115f\u1160\u2800\u034f\u17b4\u17b5\U0001d159"
_WORD_BREAK = "\u200b"
_UNSPACED_SCRIPTS = frozenset(("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"))  # words stand side by side
_JOINERS, _DIRECTION_MARKS = "\u200c\u200d", "\u200e\u200f\u061c"
_JOINED_SCRIPTS = frozenset(
    re.findall(
        r"\w+",
        "ARABIC SYRIAC MANDAIC NKO MONGOLIAN DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA "
        "MALAYALAM SINHALA KHMER MYANMAR TIBETAN BALINESE JAVANESE",
    )
)
_PICTURES = "\u203c\u2049\u2139\u24c2\u3030\u303d\u3297\u3299\u2122"  # of other categories than symbols have
_KEYCAP = "\u20e3"
_SELECTOR = re.compile(r"[\ufe00-\ufe0f\u180b-\u180d\u180f\U000e0100-\U000e01ef]")
_BLACK_FLAG, _LONGEST_TAG = "\U0001f3f4", 7


def visible(text: object) -> str:
    """The text with what the eye would miss spelt out: control, direction, zero-width characters, surrogates."""
    return _ODD.sub(_shown, str(text).replace("\r\n", "\n"))


def capped(text: str, limit: int = SHOWN_AT_FIRST, lines: int = LINES_AT_FIRST) -> tuple[str, int]:
    """The start of the text and how many characters are left out."""
    start = "\n".join(text.split("\n", lines)[:lines])[:limit]
    return start, len(text) - len(start)


def label(text: object, limit: int = 80) -> str:
    """One line for a table cell, a caption or a widget's label, with all Markdown switched off."""
    line = " ".join(visible(text).split())
    short = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return _MARKDOWN.sub(r"\\\1", _LINKS.sub(rf"\1{_WORD_JOINER}", short))


def marked(text: object) -> str:
    """Text of several lines with all Markdown switched off, for places that can colour words."""
    return _MARKDOWN.sub(r"\\\1", _LINKS.sub(rf"\1{_WORD_JOINER}", visible(text)))


def plain(text: object, limit: int = 80) -> str:
    """One line for places that know no markup, such as a cell of a data grid."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def chart_text(text: object, limit: int = 60) -> str:
    """One line for a chart, whose labels would read a few HTML tags."""
    return html.escape(plain(text, limit), quote=True)


def _shown(match: re.Match[str]) -> str:
    """The character, or its number where nobody could see it and its neighbours do not need it."""
    character, text, place = match[0], match.string, match.start()
    unseen = unicodedata.category(character) in _HIDDEN or character in _BLANK_LETTERS or _is_selector(character)
    if not unseen or _needed(character, text, place):
        return character
    return f"⟨U+{ord(character):04X}⟩"


def _needed(character: str, text: str, place: int) -> bool:
    before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    if character in _JOINERS:
        if _script(before) in _JOINED_SCRIPTS and _script(after) in _JOINED_SCRIPTS:
            return True
        if _is_selector(before):
            before = text[place - 2 : place - 1]
        return character == "\u200d" and _is_symbol(before) and _is_symbol(after)
    if character == _WORD_BREAK:
        return _script(before) == _script(after) and _script(before) in _UNSPACED_SCRIPTS
    if character in _DIRECTION_MARKS:
        line = text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]
        return any(unicodedata.bidirectional(other) in ("R", "AL") for other in line if other not in _DIRECTION_MARKS)
    if _is_selector(character):
        return _chooses(character, before, after)
    if _is_tag(character):
        start = text[max(0, place - _LONGEST_TAG) : place]
        return start.rstrip("".join(filter(_is_tag, start)))[-1:] == _BLACK_FLAG
    return _script(character) in ("ARABIC", "SYRIAC")  # number signs, which are seen though they are of no width


def _chooses(selector: str, before: str, after: str) -> bool:
    """Whether the selector chooses between forms that the character before it has."""
    script = _script(before)
    if selector in "\ufe0e\ufe0f" and before:  # text or picture
        return _is_symbol(before) or (before in "0123456789#*" and after == _KEYCAP) or before in _PICTURES
    if "\ufe00" <= selector <= "\ufe0f":
        return script in ("CJK", "MYANMAR") or unicodedata.category(before or " ") == "Sm"
    return script == ("CJK" if selector >= "\U000e0100" else "MONGOLIAN")


def _script(character: str) -> str:
    """The first word of the character's Unicode name, which is its script for letters and their marks."""
    return unicodedata.name(character, "").partition(" ")[0] if character else ""


def _is_symbol(character: str) -> bool:
    """A pictograph, or the tone of a skin."""
    return bool(character) and unicodedata.category(character) in ("So", "Sk", "Sm")


def _is_selector(character: str) -> bool:
    """Chooses a variant of the character before it."""
    return bool(_SELECTOR.fullmatch(character))


def _is_tag(character: str) -> bool:
    """One of the letters that name a region's flag."""
    return "\U000e0020" <= character <= "\U000e007f"
