"""Fonts of this machine for a PDF: one for our own words, and of the others those that the text's scripts need."""

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# In the order in which they are preferred; the first that is there is the body's, the bold one beside it.
BODIES = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
)
ENDINGS = (".ttf", ".otf", ".ttc")
MOST_LOOKED_AT = 150  # files
PREFERRED = ("notosans", "noto", "dejavu", "freesans", "unifont", "arial", "droid", "wqy", "ipa", "takao", "lohit")


@dataclass(frozen=True, kw_only=True)
class Fonts:
    """Files; without a body the PDF's own Latin letters are used."""

    body: Path | None = None
    bold: Path | None = None
    others: tuple[Path, ...] = ()
    missing: frozenset[str] = frozenset()  # characters that none of them has


def fonts_for(text: str) -> Fonts:
    """The fonts that show this text, as far as this machine has them."""
    files = _files()
    by_name = {file.name: file for file in reversed(files)}
    body, bold = next(((by_name[one], by_name.get(two)) for one, two in BODIES if one in by_name), (None, None))
    if body is None:
        return Fonts(missing=frozenset(sign for sign in text if not _is_latin(sign)))
    lacking = {sign for sign in text if ord(sign) >= 32} - _signs(body)
    nowhere = {sign for sign in lacking if unicodedata.category(sign) in ("Co", "Cn", "Cs")}
    wanted = lacking - nowhere
    others: list[Path] = []
    for file in sorted(files, key=_preference)[:MOST_LOOKED_AT]:
        if not wanted:
            break
        found = wanted & _signs(file) if file not in (body, bold) else set()
        if found:
            others.append(file)
            wanted -= found
    return Fonts(body=body, bold=bold or body, others=tuple(others), missing=frozenset(wanted | nowhere))


def _preference(file: Path) -> tuple[int, int, str]:
    """Plain upright faces of well-known families first."""
    name = file.name.lower()
    plain = any(word in name for word in ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono"))
    return (int(plain), next((n for n, word in enumerate(PREFERRED) if word in name), len(PREFERRED)), name)


def _is_latin(sign: str) -> bool:
    try:
        return bool(sign.encode("cp1252"))
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=1)
def _files() -> tuple[Path, ...]:
    return tuple(sorted({file for folder in _folders() for file in _below(folder)}, key=lambda file: file.name))


def _folders() -> Iterator[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts")
    elif sys.platform == "win32":
        yield Path("C:/Windows/Fonts")
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts")
        yield home / ".fonts"


def _below(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return ()
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names if name.lower().endswith(ENDINGS)]


@lru_cache(maxsize=512)
def _signs(file: Path) -> frozenset[str]:
    """The characters that a font has; none of one that cannot be read or that draws by colour alone."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file, fontNumber=0, lazy=True) as font:
            drawn = "glyf" in font or "CFF " in font
            return frozenset(map(chr, font.getBestCmap() or ())) if drawn else frozenset()
    except (TTLibError, OSError, KeyError, ValueError):
        return frozenset()
