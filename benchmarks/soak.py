"""Eight browser sessions on live runs for half an hour: does the web process grow?

    python -m benchmarks soak [--minutes 30] [--sessions 8]

The whole stack runs over a home of its own, with more small sandbox runs queued than it can compute meanwhile. Every
session stays on one page and does something there four times a minute; the memory of the web process (USS), its open
files and its connections are read then. Counted is the growth of the last minute over the sixth.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

from benchmarks.measure import table
from tests import browser
from tests.e2e.serving import ROOT, Dashboard, free_port, wait_for_page

OUT = Path(__file__).parent / "results" / "soak.json"
EVERY = 15.0  # seconds between two readings
WARM = 5  # minutes that are not counted
GOAL = 0.10
CONFIG = """
name: soak
method: [human, weak, cw, "top:30"]
seed: [0, 1, 2, 3, 4, 5, 6, 7]
data: {sandbox: {pairs: 600}, test_prompts: 60}
model: {annotator: sandbox/opt-48, policy: sandbox/opt-64, lora: null}
"""
PAGES = ("", "run?run=1", "compare?runs=1-8", "examples", "annotators", "new_run", "system", "paper")


@contextmanager
def stack(home: Path) -> Iterator[Dashboard]:
    """`make start` over this home; it ends with the block."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment = kept | {"CWPO_HOME": str(home), "PORT": str(port), "WORKERS": "1", "OMP_NUM_THREADS": "1"}
    with (home / "stack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.stack"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            wait_for_page(port, process, home / "stack.log")
            file = home / "soak.yaml"
            file.write_text(CONFIG)
            command = [sys.executable, "-m", "workers.cli.main", "sweep", str(file)]
            subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=120)
            yield Dashboard(url=f"http://127.0.0.1:{port}", home=home, process=process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def reading(web: psutil.Process) -> dict[str, float]:
    """Memory in MB, open files, connections."""
    return {
        "uss_mb": web.memory_full_info().uss / 2**20,
        "files": len(web.open_files()),
        "connections": sum(one.status == psutil.CONN_ESTABLISHED for one in web.net_connections()),
        "threads": web.num_threads(),
    }


def act(page: Any, turn: int) -> None:
    """Something small that a person does on any page: another tab, a scroll, now and then a reload."""
    with suppress(Exception):
        tabs = page.get_by_role("tab")
        if turn % 20 == 19:
            page.reload()
        elif tabs.count():
            tabs.nth(turn % tabs.count()).click(timeout=2_000)
        else:
            page.mouse.wheel(0, 400 if turn % 2 else -400)


def soak(dashboard: Dashboard, minutes: float, sessions: int) -> list[dict[str, float]]:
    """The readings."""
    from playwright.sync_api import sync_playwright

    rows = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium_path(), args=browser.ARGUMENTS)
        pages = []
        for number in range(sessions):
            page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto(f"{dashboard.url}/{PAGES[number % len(PAGES)]}")
            pages.append(page)
        start, turn = time.monotonic(), 0
        while time.monotonic() - start < minutes * 60:
            began = time.monotonic()
            for page in pages:
                act(page, turn)
            web = dashboard.web_process()
            rows.append({"minute": (time.monotonic() - start) / 60, "pid": float(web.pid), **reading(web)})
            if turn % 8 == 0:
                print({name: round(value, 1) for name, value in rows[-1].items()}, flush=True)
            turn += 1
            pages[0].wait_for_timeout(max(0.0, EVERY - (time.monotonic() - began)) * 1000)
        chromium.close()
    return rows


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """The last minute against the first one that counts."""
    last = rows[-1]["minute"]
    first = [row for row in rows if WARM <= row["minute"] < WARM + 1] or rows[:1]
    final = [row for row in rows if row["minute"] >= last - 1]
    growth = {name: mean(r[name] for r in final) / max(1.0, mean(r[name] for r in first)) - 1 for name in first[0]}
    return {
        "minutes": round(last, 1),
        "processes": len({row["pid"] for row in rows}),
        "uss_mb_first": round(mean(r["uss_mb"] for r in first), 1),
        "uss_mb_last": round(mean(r["uss_mb"] for r in final), 1),
        "memory_growth": round(growth["uss_mb"], 3),
        "connections": [round(mean(r["connections"] for r in part), 1) for part in (first, final)],
        "files": [round(mean(r["files"] for r in part), 1) for part in (first, final)],
        "met": growth["uss_mb"] <= GOAL,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Does the web process grow?")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cwpo-soak-") as folder, stack(Path(folder)) as dashboard:
        rows = soak(dashboard, options.minutes, options.sessions)
    found = summary(rows)
    print(table([found]), flush=True)
    record = {"what": "memory and connections of the web process", "date": datetime.now(UTC).date().isoformat()}
    OUT.write_text(json.dumps(record | {"sessions": options.sessions, "summary": found, "readings": rows}, indent=1))


if __name__ == "__main__":
    main()
