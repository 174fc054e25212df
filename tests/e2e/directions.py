"""The lines of a text as a browser draws them: what each says, and at which side of its room it begins."""

import unicodedata

from playwright.sync_api import Locator

LINES = """all => all.map(at => {
  const room = at.closest('[data-testid=stElementContainer]').getBoundingClientRect();
  const pieces = document.createTreeWalker(at, NodeFilter.SHOW_TEXT), lines = [{said: '', left: Infinity, right: 0}];
  while (pieces.nextNode()) {
    let from = 0;
    for (const [place, piece] of pieces.currentNode.data.split('\\n').entries()) {
      if (place) lines.push({said: '', left: Infinity, right: 0});
      const line = lines.at(-1), range = document.createRange();
      range.setStart(pieces.currentNode, from);
      range.setEnd(pieces.currentNode, from + piece.length);
      for (const box of piece ? range.getClientRects() : []) {
        line.left = Math.min(line.left, box.left);
        line.right = Math.max(line.right, box.right);
      }
      line.said += piece;
      from += piece.length + 1;
    }
  }
  return lines.filter(line => line.said).map(line =>
    [line.said, line.left - room.left < room.right - line.right ? 'left' : 'right']);
})"""


def drawn_lines(texts: Locator) -> list[list[tuple[str, str]]]:
    """Of each element the lines that say something, and whether a line begins at the left or at the right."""
    return [[(said, side) for said, side in lines] for lines in texts.evaluate_all(LINES)]


def as_written(line: str) -> tuple[str, str]:
    """The line, and the side at which the script of its first letter begins."""
    strong = (kind for kind in map(unicodedata.bidirectional, line) if kind in ("L", "R", "AL"))
    return line, "left" if next(strong, "L") == "L" else "right"
