"""Is it worth to wait for the browser before the evidence of a page? The answer's time on the screen with and without.

    python -m benchmarks.first_paint [--runs 40] [--loads 9] [--out benchmarks/results/first_paint.json]

Two servers over the database of benchmarks/scale.py, one that waits (`app.components.frame.painting`) and one that
does not, are loaded in turns, each time in a fresh browser without a cache: `first_content` is when the page's
figures are on the screen, `settled` when its script has ended.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.pages import _load, addresses, serving
from benchmarks.scale import build_database, run_of
from tests import browser
from tests.signed_in import signed_in

PAGES = ("Run", "Compare, 10 settings")
WITHOUT = "import app.components.frame.painting as painting; painting.PATIENCE = 0.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "first_paint.json")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{(home / 'scale.sqlite').resolve()}"
        build_database(url, count=options.runs, pairs=2_000)
        bases = {}
        for name, first in (("with", ""), ("without", WITHOUT)):
            place = home / name
            place.mkdir()
            bases[name] = stack.enter_context(serving(place, url, first))
        places = addresses(run_of("cw", options.runs), tuple(range(1, options.runs + 1)))
        pages = measure(bases, {name: places[name] for name in PAGES}, options.loads)
    record = {
        "what": "seconds to the figures and the end of a page, waiting for the browser's word between and not",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "pages": pages,
    }
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def measure(bases: dict[str, str], places: dict[str, tuple[str, str]], loads: int) -> dict[str, Any]:
    """Medians of each page on both servers, which take turns; the first load warms the server and does not count."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.tested_path(), args=browser.ARGUMENTS)
        signed_in(chromium)
        for page, (address, content) in places.items():
            timings: dict[str, list[tuple[float, float, float]]] = {name: [] for name in bases}
            for _ in range(loads + 1):
                for name, base in bases.items():
                    context = chromium.new_context(viewport={"width": 1440, "height": 900})
                    timings[name].append(_load(context, base + address, content))
                    context.close()
            found[page] = {
                name: {
                    figure: round(statistics.median(timing[place] for timing in rows[1:]), 3)
                    for place, figure in enumerate(("first_content", "settled", "browser_cpu"))
                }
                for name, rows in timings.items()
            }
            print(page, json.dumps(found[page]), flush=True)
        chromium.close()
    return found


if __name__ == "__main__":
    main()
