"""Eight browser sessions on live runs for half an hour: does the web process grow?

    python -m benchmarks soak [--minutes 30] [--sessions 8]

The whole stack runs over a home of its own, with more small sandbox runs queued than it can compute meanwhile. Every
session does something on its page four times a minute, and goes to another one every five minutes; the memory of the
web process, its open files and its connections, to browsers, Redis and other databases, are read then. Counted is the
growth of the last minute over the sixth, of resident memory and of what the process alone has written (private); the
trend between them stands beside it, in MB an hour.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import linear_regression, mean
from typing import Any

import psutil

from benchmarks.measure import table
from tests import browser
from tests.e2e.serving import ROOT, Dashboard, free_port, wait_for_page
from tests.signed_in import known, signed_in

OUT = Path(__file__).parent / "results" / "soak.json"
EVERY = 15.0  # seconds between two readings
WARM = 5  # minutes that are not counted
GOAL = 0.10
MEMORY = ("rss_mb", "private_mb")
COUNTS = ("connections", "sockets", "files", "threads")
CONFIG = """
name: soak
method: [human, weak, cw, "top:30"]
seed: [SEEDS]
data: {sandbox: {pairs: 600}, test_prompts: 60}
model: {annotator: sandbox/opt-48, policy: sandbox/opt-64, lora: null}
"""
SEEDS = 120  # more runs than one worker computes meanwhile
MOVE = 20  # turns after which each session goes to another page
PAGES = ("", "run?run={live}", "compare?runs=1-8", "examples", "annotators", "new_run", "run?run={live}", "system")


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
            file.write_text(CONFIG.replace("SEEDS", ", ".join(map(str, range(SEEDS)))))
            command = [sys.executable, "-m", "workers.cli.main", "sweep", str(file)]
            subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=300, stdout=log)
            known(f"http://127.0.0.1:{port}", home)
            yield Dashboard(url=f"http://127.0.0.1:{port}", home=home, process=process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def reading(web: psutil.Process) -> dict[str, float]:
    """Memory in MB, open files, connections."""
    return {
        "rss_mb": web.memory_info().rss / 2**20,
        "private_mb": _private(web),
        "files": len(web.open_files()),
        "connections": sum(one.status == psutil.CONN_ESTABLISHED for one in web.net_connections("inet")),
        "sockets": web.num_fds() - len(web.open_files()),
        "threads": web.num_threads(),
    }


def _private(process: psutil.Process) -> float:
    """What it has written and shares with nobody, MB. Pages of libraries are none of it: they would be its own as soon
    as the last worker that has them too ends, which is no growth."""
    maps = process.memory_maps(grouped=True)
    return sum(one.private_dirty for one in maps) / 2**20


def address(dashboard: Dashboard, number: int, turn: int) -> str:
    """The page of a session at this turn."""
    database = sqlite3.connect(f"file:{dashboard.home / 'cwpo.sqlite'}?mode=ro", uri=True)
    with closing(database):
        live = database.execute("SELECT min(id) FROM runs WHERE status IN ('queued', 'running')").fetchone()[0]
    place = PAGES[(number + turn // MOVE) % len(PAGES)].format(live=live or 1)
    return f"{dashboard.url}/{place}"


def act(page: Any, turn: int, place: str) -> str:
    """Something small that a person does on any page: another tab, a scroll, now and then another page; what failed."""
    from playwright.sync_api import Error

    try:
        tabs = page.get_by_role("tab")
        if turn and turn % MOVE == 0:
            page.goto(place, timeout=120_000)
        elif tabs.count():
            tabs.nth(turn % tabs.count()).click(timeout=5_000)
        else:
            page.mouse.wheel(0, 400 if turn % 2 else -400)
        boxes = page.get_by_test_id("stException").count()
    except Error as error:
        return str(error).splitlines()[0]
    return "an exception is shown" if boxes else ""


def soak(dashboard: Dashboard, minutes: float, sessions: int) -> list[dict[str, Any]]:
    """The readings."""
    from playwright.sync_api import sync_playwright

    rows: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium_path(), args=browser.ARGUMENTS)
        signed_in(chromium)
        pages = []
        for number in range(sessions):
            pages.append(chromium.new_context(viewport={"width": 1440, "height": 900}).new_page())
            pages[-1].goto(address(dashboard, number, 0), timeout=300_000)
        start, turn = time.monotonic(), 0
        while time.monotonic() - start < minutes * 60:
            began = time.monotonic()
            failed = [
                f"{page.url}: {said}"
                for number, page in enumerate(pages)
                if (said := act(page, turn, address(dashboard, number, turn)))
            ]
            web = dashboard.web_process()
            at = {"minute": (time.monotonic() - start) / 60, "pid": web.pid, "load": os.getloadavg()[0]}
            rows.append(at | reading(web) | {"failed": failed})
            if turn % 8 == 0 or failed:
                print({name: round(value, 1) if name != "failed" else value for name, value in rows[-1].items()},
                      flush=True)  # fmt: skip
            turn += 1
            pages[0].wait_for_timeout(max(0.0, EVERY - (time.monotonic() - began)) * 1000)
        chromium.close()
    return rows


def summary(rows: list[dict[str, Any]], sessions: int) -> dict[str, Any]:
    """The last minute against the first one that counts; of connections the fewest of a minute, because those that
    bring a page its files come and go: there is one for each session, and no more."""
    last = rows[-1]["minute"]
    first = [row for row in rows if WARM <= row["minute"] < WARM + 1] or rows[:1]
    final = [row for row in rows if row["minute"] >= last - 1]
    memory = {name: [mean(row[name] for row in part) for part in (first, final)] for name in MEMORY}
    growth = {name: after / before - 1 for name, (before, after) in memory.items()}
    counts = {name: [min(row[name] for row in part) for part in (first, final)] for name in COUNTS}
    return {
        "minutes": round(last, 1),
        "processes": len({row["pid"] for row in rows}),
        "load": round(mean(row["load"] for row in rows), 1),
        **{name: [round(value, 1) for value in values] for name, values in memory.items()},
        **{f"{name}_growth": round(value, 3) for name, value in growth.items()},
        "mb_an_hour": _trend([row for row in rows if row["minute"] >= WARM] or rows),
        **counts,
        "failed": sum(len(row["failed"]) for row in rows),
        "met": max(growth.values()) <= GOAL and counts["connections"][1] <= max(sessions, counts["connections"][0]),
    }


def _trend(rows: list[dict[str, Any]]) -> float:
    """The slope of a straight line through the readings."""
    if len(rows) < 2:
        return 0.0
    return round(linear_regression([row["minute"] / 60 for row in rows], [row["private_mb"] for row in rows]).slope, 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Does the web process grow?")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--out", type=Path, default=OUT, help="where what was found is written")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cwpo-soak-") as folder, stack(Path(folder)) as dashboard:
        rows = soak(dashboard, options.minutes, options.sessions)
    found = summary(rows, options.sessions)
    print(table([found]), flush=True)
    record = {"what": "memory and connections of the web process", "date": datetime.now(UTC).date().isoformat()}
    options.out.write_text(
        json.dumps(record | {"sessions": options.sessions, "summary": found, "readings": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
