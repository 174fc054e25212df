"""How often a person has to do something: each press of the mouse, and each field that keys go to."""

from playwright.sync_api import Page

SCRIPT = """() => {
  let field = null;
  window.interactions = 0;
  addEventListener('pointerdown', () => { window.interactions += 1; field = null; }, true);
  for (const kind of ['keydown', 'input']) addEventListener(kind, ({target}) => {
    if (target !== field) { window.interactions += 1; field = target; }
  }, true);
}"""


def begin(page: Page) -> None:
    """From now on; a reload ends it."""
    page.evaluate(SCRIPT)


def interactions(page: Page) -> int:
    return int(page.evaluate("window.interactions"))
