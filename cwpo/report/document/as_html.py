"""A report as one HTML file that fetches and runs nothing: a strict policy, styles by their hash, charts as SVG."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from cwpo.report.document.parts import Block, Document, Heading, Label, Paragraph, Part, Picture, Sheet, Stroke, legible
from cwpo.report.tables import are_numeric, shown

STYLE = """
:root { color-scheme: light; }
body { max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; background: #fcfcfa; color: #1f2328;
  font: 15px/1.5 "Source Sans 3", "Segoe UI", "Noto Sans", "DejaVu Sans", Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .35rem; }
p { margin: .4rem 0; unicode-bidi: plaintext; } .sub, .note, footer { color: #5d6470; font-size: .875rem; }
.lead { font-size: 1.3rem; line-height: 1.35; font-weight: 600; margin: 1.25rem 0 .5rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; margin: .25rem 0; }
th, td { padding: .28rem .7rem .28rem 0; border-bottom: 1px solid #e3e1da; text-align: start; vertical-align: top;
  unicode-bidi: plaintext; } th { font-weight: 500; color: #5d6470; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.strong td { font-weight: 600; } svg { max-width: 100%; height: auto; display: block; }
svg text { font-family: "Source Sans 3", "Segoe UI", "Noto Sans", "DejaVu Sans", Arial, sans-serif; }
pre { background: #f7f6f2; border: 1px solid #e3e1da; border-radius: 6px; padding: .8rem 1rem; font-size: .8125rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin: 3rem 0 1rem; border-top: 1px solid #e3e1da; padding-top: .75rem; }
@media print { body { margin: 0; max-width: none; background: #fff; } h2, h3 { break-after: avoid; }
  tr, svg { break-inside: avoid; } }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def to_html(document: Document) -> str:
    """The whole file. Every text of data, models and users is escaped and nothing in it is a script or an address."""
    body = "\n".join(_DRAWN[type(part)](part) for part in document.parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1 dir="auto">{_text(document.title)}</h1>\n<p class="sub" dir="auto">{_text(document.subtitle)}</p>\n'
        f'{body}\n<footer dir="auto">{_text(document.foot)}</footer>\n</body>\n</html>\n'
    )


def _text(value: object) -> str:
    return escape(legible(value), quote=True)


def _paragraph(part: Paragraph) -> str:
    return f'<p class="{part.role}" dir="auto">{_text(part.text)}</p>'


def _heading(part: Heading) -> str:
    return f"<h2>{_text(part.text)}</h2>"


def _sheet(part: Sheet) -> str:
    numeric = [" class=n" if right else "" for right in are_numeric(part.table)]
    head = "".join(
        f'<th scope="col" dir="auto"{mark}>{_text(name)}</th>'
        for name, mark in zip(part.table.columns, numeric, strict=True)
    )
    lines = []
    for place, row in enumerate(part.table.rows):
        cells = "".join(
            f'<td dir="auto"{mark}>{_text(shown(cell))}</td>' for cell, mark in zip(row, numeric, strict=True)
        )
        lines.append(f"<tr{' class=strong' if place in part.strong else ''}>{cells}</tr>")
    notes = "".join(f'<p class="note" dir="auto">{_text(note)}</p>' for note in part.table.notes)
    rows = "\n".join(lines)
    return (
        f'<h3>{_text(part.title)}</h3>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n{notes}"
    )


def _block(part: Block) -> str:
    return f'<h3>{_text(part.title)}</h3>\n<pre dir="ltr">{_text(part.text)}</pre>'


def _picture(part: Picture) -> str:
    marks = [*map(_stroke, part.strokes)]
    marks += [f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{dot.radius:g}" fill="{dot.ink}"/>' for dot in part.dots]
    marks += map(_label, part.labels)
    size = f'width="{1.6 * part.width:.0f}" height="{1.6 * part.height:.0f}"'
    return (
        f'<h3>{_text(part.title)}</h3>\n<svg role="img" aria-label="{_text(part.alt)}" {size} '
        f'viewBox="0 0 {part.width:g} {part.height:g}">{"".join(marks)}</svg>'
    )


def _stroke(line: Stroke) -> str:
    ends = f'x1="{line.x1:.1f}" y1="{line.y1:.1f}" x2="{line.x2:.1f}" y2="{line.y2:.1f}"'
    dashes = ' stroke-dasharray="2 3"' if line.dashed else ""
    return f'<line {ends} stroke="{line.ink}" stroke-width="{line.width:g}"{dashes}/>'


def _label(label: Label) -> str:
    place = f'x="{label.x:.1f}" y="{label.y:.1f}" font-size="{label.size:g}" text-anchor="{label.anchor}"'
    return f'<text {place} fill="{label.ink}">{_text(label.text)}</text>'


_DRAWN: Mapping[type[Part], Callable[[Any], str]] = {
    Paragraph: _paragraph,
    Heading: _heading,
    Sheet: _sheet,
    Picture: _picture,
    Block: _block,
}
