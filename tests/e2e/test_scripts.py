"""A file of one's own in any script, as New run shows its first rows. No worker runs here."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.app.hostile import SCRIPTS
from tests.e2e.directions import as_written, drawn_lines
from tests.e2e.test_dashboard import ready

TURNED, MARKED = "pay\u202epal", "pay⟨U+202E⟩pal"


def test_the_rows_of_a_file_are_shown_as_they_are_written(stranger: Page, desk: str, tmp_path: Path) -> None:
    """Each line begins at the side where its script begins; what would turn a line round is spelt out."""
    texts = ("\n".join((*SCRIPTS, TURNED)), "\n".join(SCRIPTS[::-1]), TURNED)
    rows = [dict(zip(("prompt", "chosen", "rejected"), texts, strict=True))]
    rows += [{"prompt": f"Question {n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(30)]
    file = tmp_path / "scripts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page = stranger
    page.goto(f"{desk}/new_run?{urlencode({'data.dataset': str(file)})}")
    ready(page, "New run")
    page.get_by_text(re.compile(r"^All 31 rows of scripts\.jsonl")).click()
    blocks = page.get_by_test_id("stMain").locator("[data-testid=stCode] code")
    expect(blocks.filter(has_text=MARKED)).to_have_count(2)
    shown = [[line.replace(TURNED, MARKED) for line in text.split("\n")] for text in texts]
    drawn, wanted = drawn_lines(blocks), [[as_written(line) for line in text] for text in shown]
    assert [text for text in drawn if text in wanted] == wanted, drawn
