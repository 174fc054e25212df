"""How long does each page take to its first content at scale? A built database, a real server, a real browser.

    python -m benchmarks.pages [--runs 200] [--pairs 100000] [--loads 7] [--out benchmarks/results/pages.json]
    python -m benchmarks.pages --large [ADDRESS] [--loads 7] [--out benchmarks/results/pages-large.json]
    python -m benchmarks.pages --large postgres [--loads 7] [--out benchmarks/results/pages-large-postgres.json]

The database is that of benchmarks/scale.py, with `--large` that of benchmarks/large_database.py: 10,000 runs and an
annotator of 1,000,000 pairs, made where ADDRESS (of SQLite or Postgres; `postgres`: of a server that is started for it)
has no runs yet; beside the browser's figures stand then the server's (benchmarks/server_time.py) with the number of
queries of each page. Each page is loaded once to warm the server, then several times by its address in a fresh tab:
`first_content` is when its data is on the screen, `settled` when its script has ended; `browser_cpu` is what the tab
had computed until its first content, which does not depend on other work on the machine. `bare` is a page of
Streamlit's that has one list of fifty lines and nothing else: what any page with a list takes here. Of Chromium the
build without windows is taken where there is one: without a graphics card windows are drawn by the cores that serve
the pages.
"""

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from app.components.frame.address import CompareView, ExamplesView, RunView
from benchmarks import large_database, server_time
from benchmarks.scale import build_database, run_of
from db.engine import make_engines, read_scope
from db.errors import DatabaseError
from tests import browser, servers
from tests.signed_in import known, signed_in
from workers.cli.stack import find_redis

ROOT = Path(__file__).resolve().parent.parent
GOAL_SECONDS = 1.5
POSTGRES = "postgres"  # the address of a server of our own


FIGURE = '[data-testid="stMain"] [data-testid="stMetricValue"]'
PAIRS = '[data-testid="stMain"] [class*="st-key-pairs-"]'
GRID = '[data-testid="stMain"] [data-testid="data-grid-canvas"]'
FORM = '[data-testid="stMain"] [data-testid="stMultiSelect"]'
TEXT = '[data-testid="stMain"] [data-testid="stCaptionContainer"]'
CONTENT = {"runs": GRID, "examples": PAIRS, "compare": FIGURE, "new_run": FORM, "system": FIGURE, "run": FIGURE}


def addresses(cw: int, ten_settings: tuple[int, ...]) -> dict[str, tuple[str, str]]:
    """Each page's address, and what must be on the screen before it counts as content."""
    example = ExamplesView(run=cw, order="highest", low=0.5, agreement="disagree")
    return {
        "Runs": ("/", GRID),
        "New run": ("/new_run", FORM),
        "Run": (_address("run", RunView(run=cw).to_params()), FIGURE),
        "Examples": (_address("examples", ExamplesView(run=cw).to_params()), PAIRS),
        "Examples, filtered": (_address("examples", example.to_params()), PAIRS),
        "Compare, 10 settings": (_address("compare", CompareView(runs=ten_settings).to_params()), FIGURE),
        "System": ("/system", FIGURE),
    }


def _address(page: str, params: Mapping[str, Any]) -> str:
    return f"/{page}?{urlencode(params, doseq=True)}"


# The frame behind the one that first had the content, by the clock of the day. Asked from outside, the tab would answer
# when it has nothing else to do.
WATCH = """
const look = () => {
  const found = document.querySelector(content);
  if (found && found.checkVisibility() && found.getClientRects().length) {
    requestAnimationFrame(() => { window.seenAt = performance.timeOrigin + performance.now(); });
  } else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(home: Path, url: str, first: str = "") -> Iterator[str]:
    """Redis and the dashboard over the built database; both end with the block. `first`: what the web process does
    before anything else."""
    socket_path, port = home / "redis.sock", free_port()
    environment = os.environ | {"DATABASE_URL": url, "CWPO_HOME": str(home), "REDIS_URL": f"unix://{socket_path}"}
    redis = subprocess.Popen(
        [find_redis(), "--port", "0", "--unixsocket", str(socket_path), "--save", ""], stdout=subprocess.DEVNULL
    )
    web = subprocess.Popen(
        [sys.executable, "-c", f"{first}\nfrom streamlit.web.cli import main; main()", "run", "app/serve.py",
         "--server.port", str(port)],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        known(f"http://127.0.0.1:{port}", home)
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in (web, redis):
            process.terminate()
            process.wait(20)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError("The dashboard did not start within 120 s: run `make start` to see why.")


BARE = """
import numpy, pandas, streamlit
streamlit.set_page_config(layout="wide")
streamlit.dataframe(pandas.DataFrame(numpy.random.default_rng(0).random((50, 12))).rename(columns=str), height=600)
"""


def measure_bare(home: Path, loads: int) -> dict[str, Any]:
    """The same figures of a page that is Streamlit's alone."""
    from playwright.sync_api import sync_playwright

    script, port = home / "bare.py", free_port()
    script.write_text(BARE, encoding="utf-8")
    web = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless", "true",
         "--server.port", str(port)],
        cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser.tested_path(), args=browser.ARGUMENTS)
            context = chromium.new_context(viewport={"width": 1440, "height": 900})
            found = _figures([_load(context, f"http://127.0.0.1:{port}", GRID) for _ in range(loads + 1)])
            chromium.close()
    finally:
        web.terminate()
        web.wait(20)
    return found


def measure(base: str, places: Mapping[str, tuple[str, str]], loads: int, pictures: Path | None) -> dict[str, Any]:
    """Seconds from asking for each address to its content, warm."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        program = browser.tested_path()
        chromium = signed_in(playwright.chromium.launch(executable_path=program, args=browser.ARGUMENTS))
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        for name, (address, content) in places.items():
            timings = [_load(context, base + address, content) for _ in range(loads + 1)]
            found[name] = _figures(timings)
            if pictures is not None:
                _picture(context, base + address, pictures / f"{name.lower().replace(' ', '_').replace(',', '')}.png")
            print(f"{name:<24} {found[name]['first_content']['median']:.2f} s", flush=True)
        found["browser"] = f"{Path(program).name} {chromium.version}"
        chromium.close()
    return found


def _load(context: Any, address: str, content: str) -> tuple[float, float, float]:
    page = context.new_page()
    page.add_init_script(f"const content = {json.dumps(content)};{WATCH}")
    meter = context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})
    start, on_the_clock = time.perf_counter(), time.time()
    page.goto(address, wait_until="commit")
    try:
        page.locator(content).first.wait_for(state="visible", timeout=60_000)
    except Exception as error:
        seen = page.locator('[data-testid="stMain"]').inner_text()
        raise RuntimeError(f"{address} did not show {content} within 60 s, but: {seen[:400]}") from error
    readings = {row["name"]: row["value"] for row in meter.send("Performance.getMetrics")["metrics"]}
    page.locator(SETTLED).wait_for(timeout=60_000)
    settled = time.perf_counter() - start
    page.wait_for_function("window.seenAt")
    first = float(page.evaluate("window.seenAt")) / 1_000 - on_the_clock
    page.close()
    return first, settled, readings["TaskDuration"]


def _picture(context: Any, address: str, file: Path) -> None:
    page = context.new_page()
    page.goto(address)
    page.locator(SETTLED).wait_for(timeout=60_000)
    page.wait_for_timeout(1_000)
    page.screenshot(path=file)
    page.close()


def _figures(timings: list[tuple[float, float, float]]) -> dict[str, Any]:
    """The first load warms the server and is given apart."""
    warm = timings[1:]
    figures: dict[str, Any] = {"cold_first_content": round(timings[0][0], 3)}
    for place, name in enumerate(("first_content", "settled", "browser_cpu")):
        values = [timing[place] for timing in warm]
        figures[name] = {"median": round(statistics.median(values), 3), "worst": round(max(values), 3)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--home", type=Path, help="a folder to keep the database in; it is built only once")
    parser.add_argument("--pictures", type=Path, help="a folder for one screenshot of each page")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pages.json")
    parser.add_argument("--only", default="", help="of the large database: pages whose name begins so")
    parser.add_argument("--large", nargs="?", const="", help="the database of 10,000 runs, at this address or made")
    options = parser.parse_args()
    if options.large is not None:
        _large(options)
        return
    with contextlib.ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        file = home / "scale.sqlite"
        url, start = f"sqlite:///{file.resolve()}", time.perf_counter()
        built = None if file.exists() else build_database(url, count=options.runs, pairs=options.pairs)
        print(f"database ready after {time.perf_counter() - start:.0f} s", flush=True)
        places = addresses(run_of("cw", options.runs), tuple(range(1, min(50, options.runs) + 1)))
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
        with serving(home, url) as base:
            found = measure(base, places, options.loads, options.pictures)
        size = file.stat().st_size
    _write(options.out, built, found, size)


def _large(options: argparse.Namespace) -> None:
    """The pages over the large database: what the browser waits for, and what the server computes."""
    with contextlib.ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        url = options.large or f"sqlite:///{(home / 'large.sqlite').resolve()}"
        if url == POSTGRES:
            url = stack.enter_context(_own_postgres())
        built = None if _has_runs(url) else large_database.build(url, runs=10_000, pairs=1_000_000)
        places = {
            name: (_address("" if screen == "runs" else screen, params), CONTENT.get(screen, TEXT))
            for name, (screen, params) in server_time.places(url).items()
            if name.startswith(options.only)
        }
        bare = measure_bare(home, options.loads)
        with serving(home, url) as base:
            found = measure(base, places, options.loads, options.pictures)
        chromium = found.pop("browser")
        os.environ |= {"DATABASE_URL": url, "CWPO_HOME": str(home), "REDIS_URL": f"unix://{home}/none.sock"}
        served = server_time.measure(url, options.loads, options.only)
    pages = {name: figures | {"server": served[name]} for name, figures in found.items()}
    kind = "SQLite" if url.startswith("sqlite") else "Postgres"
    named = "pages-large.json" if kind == "SQLite" else "pages-large-postgres.json"
    out = options.out.with_name(named) if options.out.name == "pages.json" else options.out
    _write(out, built, pages | {"browser": chromium, "bare": bare}, 0, kind)


@contextlib.contextmanager
def _own_postgres() -> Iterator[str]:
    """An empty database on a Postgres server that ends with the block."""
    with servers.postgres() as maintenance:
        servers.run_sql(maintenance, "CREATE DATABASE large")
        yield make_url(maintenance).set(database="large").render_as_string(hide_password=False)


def _has_runs(url: str) -> bool:
    """Whether it was built by an earlier call."""
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return False
    engines = make_engines(url)
    try:
        with read_scope(engines) as session:
            return bool(session.execute(text("SELECT count(*) FROM runs")).scalar_one())
    except (DatabaseError, ProgrammingError):
        return False
    finally:
        engines.dispose()


def _write(out: Path, built: dict[str, Any] | None, found: dict[str, Any], size: int, kind: str = "SQLite") -> None:
    chromium, bare = found.pop("browser"), found.pop("bare", None)
    slow = [name for name, figures in found.items() if figures["first_content"]["median"] > GOAL_SECONDS]
    record = {
        "what": f"seconds to first content of each page, warm; goal {GOAL_SECONDS} s",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "versions": {name: version(name) for name in ("streamlit", "sqlalchemy", "plotly", "pandas", "numpy")}
        | {"python": platform.python_version(), "chromium": chromium},
        "database": {"kind": kind, "bytes": size, "built": built or "by an earlier call"},
        "slower_than_goal": slow,
        "bare": bare,
        "pages": found,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"slower than {GOAL_SECONDS} s: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
