"""What a page costs the server: its script in this process, without a browser, and the queries that it sends.

    python -m benchmarks.server_time ADDRESS [--loads 9] [--only Runs] [--out benchmarks/results/server_time.json]

ADDRESS is a database of `benchmarks/large_database.py`. Each page is run once with empty caches, then several times, as
a session that comes to it anew. `cpu` is of this process and does not depend on what else the machine does, `wall`
does; a Postgres server computes beside this process, so that its share is in `wall` alone. What the harness does for
each session and a server once, looking through the installed packages for components, is left out.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, text

from app.components.frame.address import CompareView, ExamplesView, RunsView, RunView
from app.components.frame.relabel_address import RelabelView
from db.engine import make_engines, read_scope
from db.records import Cursor

ROOT = Path(__file__).resolve().parent.parent
MOST_QUERIES = 6
GOALS = {"Runs": 0.5, "Examples": 0.3, "Compare": 2.0}  # seconds, by the first word of a page's name; others 1.5
USUAL_GOAL = 1.5
CW = 11  # the first run of the third method: its annotator has all the pairs
FIELDS = ("gra", "interval", "align.beta", "data.label_fraction", "evaluation:mean_tokens", "labels:mean_confidence")


def places(url: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Each page: its script and its address."""
    runs = {
        "Runs": RunsView(),
        "Runs, sorted by GRA": RunsView(sort="-gra"),
        "Runs, sorted by a field": RunsView(sort="align.beta", columns=FIELDS),
        "Runs, filtered and sorted": RunsView(method=("cw", "top"), sort="-kl", columns=FIELDS),
        "Runs, searched": RunsView(q="large cw", sort="-seconds"),
        "Runs, each": RunsView(group="none", sort="-labels:mean_confidence", columns=FIELDS),
        "Runs, by a field": RunsView(group="align.beta", sort="-gra", columns=FIELDS),
    }
    found = {name: ("runs", view.to_params()) for name, view in runs.items()}
    for share in (0.0, 0.5, 0.99):
        view = ExamplesView(run=CW, after=_deep(url, share), size=50)
        found[f"Examples, {share:.0%} deep"] = ("examples", view.to_params())
    wrong = ExamplesView(run=CW, order="highest", low=0.2, high=0.9, agreement="disagree", size=50)
    found["Examples, filtered"] = ("examples", wrong.to_params())
    return found | {
        "Compare, 50 runs": ("compare", CompareView(runs=tuple(range(1, 51))).to_params()),
        "Compare, newest": ("compare", {}),
        "Run": ("run", RunView(run=CW).to_params()),
        "Model": ("run", {**RunView(run=CW).to_params(), "tab": "Model"}),
        "New run": ("new_run", {}),
        "Data": ("data", {}),
        "Relabel": ("relabel", RelabelView(run=CW).to_params()),
        "System": ("system", {}),
    }


def _deep(url: str, share: float) -> str:
    """The key of a pair so far down the list."""
    if not share:
        return ""
    engines = make_engines(url)
    with read_scope(engines) as session:
        stage = session.execute(text("SELECT stage_id FROM annotations LIMIT 1")).scalar_one()
        count = session.execute(text("SELECT count(*) FROM annotations WHERE stage_id = :s"), {"s": stage}).scalar_one()
        row = session.execute(
            text(
                "SELECT confidence, id FROM annotations WHERE stage_id = :s AND attempt_id = :s "
                "ORDER BY confidence, id LIMIT 1 OFFSET :n"
            ),
            {"s": stage, "n": int(share * count)},
        ).one()
    engines.dispose()
    return Cursor(value=row.confidence, id=row.id).encode()


def measure(url: str, loads: int, only: str = "") -> dict[str, Any]:
    """Seconds and queries of each page whose name begins so."""
    import streamlit as st
    from streamlit.components.v2 import manifest_scanner
    from streamlit.testing.v1 import AppTest

    manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)

    sent: list[str] = []
    event.listen(Engine, "before_cursor_execute", lambda *call: sent.append(str(call[2])))
    found: dict[str, Any] = {}
    for name, (screen, params) in places(url).items():
        rows = []
        if not name.startswith(only):
            continue
        st.cache_data.clear()
        st.cache_resource.clear()
        for _ in range(loads + 1):
            page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
            page.switch_page(f"screens/{screen}.py")
            for key, value in params.items():
                page.query_params[key] = value
            sent.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            page.run()
            rows.append((time.perf_counter() - wall, time.process_time() - cpu, _reads(sent)))
            if page.exception:
                raise RuntimeError(f"{name}: {page.exception[0].message}")
        found[name] = _figures(name, rows)
        print(f"{name:<28} {found[name]}", flush=True)
    return found


def _reads(sent: list[str]) -> int:
    """Queries, without what is said when the database is opened, once in a process."""
    asked = [statement.lstrip("( ") for statement in sent if "alembic_version" not in statement]
    return sum(statement.upper().startswith(("SELECT", "WITH")) for statement in asked)


def _figures(name: str, rows: list[tuple[float, float, int]]) -> dict[str, Any]:
    """The first time, with empty caches, is given apart."""
    warm = rows[1:]
    figures: dict[str, Any] = {"first": round(rows[0][0], 3), "cpu_first": round(rows[0][1], 3)}
    figures["queries_first"] = rows[0][2]
    for place, what in enumerate(("wall", "cpu")):
        values = sorted(row[place] for row in warm)
        figures[what] = {"median": round(statistics.median(values), 3), "p95": round(values[-1 - len(values) // 20], 3)}
    figures["queries"] = max(row[2] for row in warm)
    goal = GOALS.get(name.split(",")[0], USUAL_GOAL)
    most = max(figures["queries"], figures["queries_first"])
    figures["within"] = figures["wall"]["p95"] <= goal and most <= MOST_QUERIES
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--only", default="", help="pages whose name begins so")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "server_time.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "DATABASE_URL": options.address, "CWPO_HOME": home, "REDIS_URL": f"unix://{home}/none.sock",
        }  # fmt: skip
        found = measure(options.address, options.loads, options.only)
    record = {
        "what": "seconds of the server and queries of each page over 10,000 runs and 1,000,000 pairs",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "database": options.address.split(":")[0],
        "pages": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
