"""A report as PDF on A4: real text and tables, charts as vectors, fonts of this machine embedded as far as they go."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace

from cwpo.report.document.fonts import Fonts, fonts_for
from cwpo.report.document.inks import INK, MUTED, RULE
from cwpo.report.document.parts import Block, Document, Heading, Paragraph, Part, Picture, Sheet, legible
from cwpo.report.tables import Table, are_numeric, fitting, shown

MARGIN, TEXT = 40.0, 9.5  # points
LEAD, TITLE, SECTION, SMALL, CELL = 14.0, 18.0, 13.0, 8.0, 8.0
LINE_OF_TABLE = 126  # characters
CODE_COLUMNS = 100
# Scripts that run from right to left or whose letters change beside each other: shaping them takes twice the time.
JOINED = ((0x0590, 0x109F), (0x1780, 0x18AF), (0x1A00, 0x1CFF), (0xA840, 0xABFF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC))
LATIN = {
    "−": "-", "–": "-", "≥": ">=", "≤": "<=", "→": "->", "α": "alpha", "β": "beta", "γ": "gamma", "Δ": "Delta",
    "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda", "ρ": "rho", "σ": "sigma", "Σ": "Sum", "τ": "tau",
    "⟨": "<", "⟩": ">", "√": "sqrt",
}  # fmt: skip


class _Paper(FPDF):
    """Pages with their number at the foot."""

    def __init__(self, fonts: Fonts, made_at: datetime, foot: str, *, joined: bool) -> None:
        super().__init__(unit="pt", format="A4")
        self.foot, self.fonts_here = foot, fonts
        self.family = "Helvetica"
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(True, MARGIN + 14)
        self.set_creation_date(made_at)
        if fonts.body is not None:
            self.family = "body"
            self.add_font("body", "", fonts.body)
            self.add_font("body", "B", fonts.bold)
            for place, file in enumerate(fonts.others):
                self.add_font(f"other{place}", "", file)
            self.set_fallback_fonts([f"other{place}" for place in range(len(fonts.others))], exact_match=False)
            self.set_text_shaping(joined)

    def plain(self, text: object) -> str:
        """What can be drawn: signs that no font has are named by their number."""
        shown_text = legible(text)
        if self.fonts_here.body is None:
            shown_text = "".join(LATIN.get(sign, sign) for sign in shown_text)
            return "".join(sign if _latin(sign) else f"[U+{ord(sign):04X}]" for sign in shown_text)
        lost = self.fonts_here.missing
        return "".join(f"[U+{ord(sign):04X}]" if sign in lost else sign for sign in shown_text)

    def ink(self, colour: str) -> None:
        self.set_text_color(*_rgb(colour))

    def footer(self) -> None:
        self.set_y(-MARGIN)
        self.set_font(self.family, size=SMALL)
        self.ink(MUTED)
        self.cell(w=self.epw / 2, h=10, text=self.plain(self.foot[:110]), align=Align.L)
        self.cell(w=self.epw / 2, h=10, text=f"{self.page_no()}", align=Align.R)


def to_pdf(document: Document, *, made_at: datetime) -> bytes:
    """The whole file."""
    text = "".join(_texts(document))
    fonts = fonts_for(text)
    joined = any(low <= ord(sign) <= high for sign in set(text) for low, high in JOINED)
    paper = _Paper(fonts, made_at, document.foot.partition(" from runs")[0], joined=joined)
    paper.set_title(legible(document.title))
    paper.set_creator("cwpo")
    paper.set_lang("en")
    paper.add_page()
    _write(paper, document.title, size=TITLE, style="B")
    _write(paper, document.subtitle, size=SMALL, colour=MUTED)
    for part in document.parts:
        _DRAWN[type(part)](paper, part)
    _write(paper, document.foot, size=SMALL, colour=MUTED, above=14)
    if fonts.missing:
        words = "Signs that no font of this machine has are named by their Unicode number."
        _write(paper, words, size=SMALL, colour=MUTED)
    return bytes(paper.output())


def _texts(document: Document) -> list[str]:
    """Every text of the report, to find the fonts that it needs."""
    found = [document.title, document.subtitle, document.foot, "…·⟨⟩"]
    for part in document.parts:
        match part:
            case Paragraph() | Heading():
                found.append(part.text)
            case Block():
                found += [part.title, part.text]
            case Sheet():
                found += [part.title, *part.table.columns, *part.table.notes]
                found += [shown(cell) for row in part.table.rows for cell in row]
            case Picture():
                found += [part.title, *(label.text for label in part.labels)]
    return [legible(text) for text in found]


def _write(
    paper: _Paper, text: str, *, size: float = TEXT, style: str = "", colour: str = INK, above: float = 0.0
) -> None:
    if above:
        paper.ln(above)
    paper.set_font(paper.family, style, size)
    paper.ink(colour)
    paper.multi_cell(w=0, h=1.38 * size, text=paper.plain(text), align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _paragraph(paper: _Paper, part: Paragraph) -> None:
    if part.role == "lead":
        _write(paper, part.text, size=LEAD, style="B", above=10)
        paper.ln(4)
    else:
        note = part.role == "note"
        _write(paper, part.text, size=SMALL if note else TEXT, colour=MUTED if note else INK, above=3)


def _heading(paper: _Paper, part: Heading) -> None:
    if paper.get_y() > paper.h - 170:
        paper.add_page()
    _write(paper, part.text, size=SECTION, style="B", above=16)


def _sheet(paper: _Paper, part: Sheet) -> None:
    if paper.get_y() > paper.h - 130:
        paper.add_page()
    _write(paper, part.title, style="B", above=8)
    for table in fitting(part.table, LINE_OF_TABLE):
        _table(paper, table, part.strong)
        paper.ln(6)
    for note in part.table.notes:
        _write(paper, note, size=SMALL, colour=MUTED)


def _table(paper: _Paper, table: Table, strong: frozenset[int]) -> None:
    """Columns as wide as what stands in them; the headings again on every page."""
    paper.set_font(paper.family, size=CELL)
    paper.ink(INK)
    paper.set_fill_color(255, 255, 255)
    paper.set_draw_color(*_rgb(RULE))
    paper.set_line_width(0.5)
    aligned = ["RIGHT" if right else "LEFT" for right in are_numeric(table)]
    wide = [
        max(paper.get_string_width(paper.plain(text)) for text in (name, *(shown(row[place]) for row in table.rows)))
        + 10
        for place, name in enumerate(table.columns)
    ]
    widths = _shared_width(wide, paper.epw)
    with paper.table(
        width=min(sum(widths), paper.epw), col_widths=tuple(widths), text_align=tuple(aligned), align=Align.L,
        line_height=1.35 * CELL, borders_layout=TableBordersLayout.HORIZONTAL_LINES, padding=2,
        headings_style=FontFace(emphasis="", color=_rgb(MUTED)),
    ) as drawn:  # fmt: skip
        heading = drawn.row()
        for name in table.columns:
            heading.cell(paper.plain(name))
        for place, row in enumerate(table.rows):
            line = drawn.row(style=FontFace(emphasis="BOLD") if place in strong else None)
            for cell in row:
                line.cell(paper.plain(shown(cell)))


def _shared_width(wanted: Sequence[float], room: float) -> list[float]:
    """What each column wants where there is room for all; else the widest give way, and their words break."""
    most, rest = room, sorted(wanted)
    for place, width in enumerate(rest):
        share = (room - sum(rest[:place])) / (len(rest) - place)
        if width > share:
            most = share
            break
    return [min(width, most) for width in wanted]


def _picture(paper: _Paper, part: Picture) -> None:
    """Marks where they are; a picture too tall for what is left of a page begins the next one."""
    room = paper.h - MARGIN - 20
    scale = min(1.0, paper.epw / part.width, (room - MARGIN - 30) / part.height)
    if paper.get_y() + scale * part.height + 30 > room:
        paper.add_page()
    _write(paper, part.title, style="B", above=8)
    left, top = paper.l_margin, paper.get_y() + 2
    for line in part.strokes:
        paper.set_draw_color(*_rgb(line.ink))
        paper.set_line_width(line.width * scale)
        paper.set_dash_pattern(dash=2, gap=3) if line.dashed else paper.set_dash_pattern()
        paper.line(left + scale * line.x1, top + scale * line.y1, left + scale * line.x2, top + scale * line.y2)
    paper.set_dash_pattern()
    for dot in part.dots:
        paper.set_fill_color(*_rgb(dot.ink))
        paper.circle(left + scale * dot.x, top + scale * dot.y, scale * dot.radius, style="F")
    for label in part.labels:
        text = paper.plain(label.text)
        paper.set_font(paper.family, size=scale * label.size)
        paper.ink(label.ink)
        wide = paper.get_string_width(text)
        shift = {"start": 0.0, "middle": wide / 2, "end": wide}[label.anchor]
        paper.text(left + scale * label.x - shift, top + scale * label.y, text)
    paper.set_y(top + scale * part.height)


def _block(paper: _Paper, part: Block) -> None:
    _write(paper, part.title, style="B", above=8)
    for line in part.text.splitlines():
        _write(paper, line.replace("  ", "\u00a0\u00a0") or " ", size=SMALL)


def _latin(sign: str) -> bool:
    try:
        return sign == "\n" or bool(sign.encode("cp1252"))
    except UnicodeEncodeError:
        return False


def _rgb(colour: str) -> tuple[int, int, int]:
    value = colour.lstrip("#")
    return int(value[0:2], 16), int(value[2:4], 16), int(value[4:6], 16)


_DRAWN: Mapping[type[Part], Callable[[_Paper, Any], None]] = {
    Paragraph: _paragraph,
    Heading: _heading,
    Sheet: _sheet,
    Picture: _picture,
    Block: _block,
}
