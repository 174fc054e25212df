"""How long does each page take to its first content at scale? A built database, a real server, a real browser.

    python benchmarks/pages.py [--runs 200] [--pairs 100000] [--loads 7] [--out benchmarks/results/pages.json]

The database is filled through db.repositories: a sandbox sweep of 40 settings × 5 seeds, every stage claimed and
published, with hand-written rows in place of trained models. Each page is loaded once to warm the server, then several
times by its address in a fresh tab: `first_content` is when its data is on the screen, `settled` when its script ended.
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
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.url_state import CompareView, ExamplesView, RunView  # noqa: E402
from cwpo import calibration  # noqa: E402
from cwpo import statistics as intervals  # noqa: E402
from cwpo.config import RunConfig, expand  # noqa: E402
from cwpo.stages import build  # noqa: E402
from db.engine import BATCH_ROWS, Engines, make_engines, session_scope, upgrade  # noqa: E402
from db.records import ClaimedStage, NewArtifact  # noqa: E402
from db.repositories import annotations, evaluations, metrics, runs, stages, workers  # noqa: E402
from tests import browser  # noqa: E402
from workers import scheduler  # noqa: E402
from workers.stack import find_redis  # noqa: E402

LABELS = ("human", "oracle", "weak", "cw", "top:10", "top:20", "top:30", "top:40", "top:50", "top:75")
OBJECTIVES = (
    {"objective": "dpo"},
    {"objective": "dpo", "align": {"beta": 0.25}},
    {"objective": "ipo"},
    {"objective": "rdpo"},
)
SEEDS = 5
PROMPTS, SAMPLES, STEPS, OTHER_PAIRS = 400, 2, 130, 1_000
CURVES = ("loss", "lr", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
          "logps/chosen", "logps/rejected", "mean_weight")  # fmt: skip
GOAL_SECONDS = 1.5
WORDS = np.array(["the", "a", "model", "said", "please", "kindly", "answer", "tea", "rain", "seven", "never", "garden"])


# ---- the database -------------------------------------------------------------------------------------------------


class Filler:
    """Publishes every stage that can be claimed, with plausible rows; the first data stage has all the pairs."""

    def __init__(self, engines: Engines, pairs: int) -> None:
        self.engines, self.pairs = engines, pairs
        self.rng = np.random.default_rng(0)
        self.pair_rows: dict[int, list[dict[str, Any]]] = {}

    def fill(self) -> int:
        """How many stages were published."""
        with session_scope(self.engines) as session:
            worker = workers.register(session, name="benchmark", host="localhost", pid=os.getpid(), device="cpu")
        done = 0
        while self._one(worker):
            done += 1
        return done

    def _one(self, worker: int) -> bool:
        with session_scope(self.engines) as session:
            claim = stages.claim(session, worker, "cpu", 3600)
        if claim is None:
            return False
        summary = getattr(self, f"_{claim.kind}", self._plain)(claim)
        with session_scope(self.engines) as session:
            artifact = NewArtifact(bytes=1_000_000, files=4, sha256=f"{claim.stage_id:064x}")
            stages.publish(session, claim.stage_id, claim.token, summary=summary, seconds=2.5, artifact=artifact)
        return True

    def _write(self, claim: ClaimedStage, write: Callable[..., None], rows: list[Any]) -> None:
        for start in range(0, len(rows), BATCH_ROWS):
            with session_scope(self.engines) as session:
                write(session, claim, rows[start : start + BATCH_ROWS])

    def _plain(self, claim: ClaimedStage) -> dict[str, Any]:
        return {"pairs": OTHER_PAIRS}

    def _text(self, words: int) -> str:
        return " ".join(self.rng.choice(WORDS, words))

    def _data(self, claim: ClaimedStage) -> dict[str, Any]:
        if not claim.config["sandbox"]["pairs"]:
            rows = [{"prompt_id": f"{i:016x}", "prompt": self._text(14)} for i in range(PROMPTS)]
            self._write(claim, evaluations.add_prompts, rows)
            return {"rows": 0, "kept": 0, "rejected": {}, "test_prompts": PROMPTS}
        count = OTHER_PAIRS if self.pair_rows else self.pairs
        texts = [self._text(40) for _ in range(500)]
        sides = self.rng.choice(["a", "b"], (count, 2))
        self.pair_rows[claim.stage_id] = [
            {
                "pair_id": f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}",
                "prompt_id": f"{i // 2:016x}",
                "prompt": texts[i % 97],
                "response_a": f"{i} {texts[i % 499]}",
                "response_b": f"{texts[(i + 1) % 499]} {i}",
                "human_label": str(sides[i, 0]),
                "true_label": str(sides[i, 1]),
            }
            for i in range(count)
        ]
        self._write(claim, annotations.add_pairs, self.pair_rows[claim.stage_id])
        return {"rows": count, "kept": count, "rejected": {}, "train_prompts": count // 2}

    def _annotator(self, claim: ClaimedStage) -> dict[str, Any]:
        self._points(claim, ("loss", "accuracy", "heldout_nll"))
        return {"steps": STEPS, "final_loss": 0.6}

    def _align(self, claim: ClaimedStage) -> dict[str, Any]:
        self._points(claim, CURVES)
        return {"steps": STEPS, "final_loss": 0.5, "pairs": OTHER_PAIRS, "effective_sample_size": 600.0}

    def _points(self, claim: ClaimedStage, names: tuple[str, ...]) -> None:
        noise = self.rng.normal(0, 0.05, (STEPS, len(names)))
        rows = [(s, n, 0.69 - 0.002 * s + float(noise[s, i])) for s in range(STEPS) for i, n in enumerate(names)]
        self._write(claim, metrics.add, rows)

    def _labels(self, claim: ClaimedStage) -> dict[str, Any]:
        data = claim.input_stage_ids["data"]
        pairs = self.pair_rows[data]
        margins = self.rng.exponential(1.0, len(pairs))
        sure = calibration.confidence(margins)
        right = self.rng.random(len(pairs)) < (1 + sure) / 2
        rows = []
        for pair, margin, c, agrees in zip(pairs, margins, sure, right, strict=True):
            other = "b" if pair["human_label"] == "a" else "a"
            label = pair["human_label"] if agrees else other
            score_a, score_b = (margin, 0.0) if label == "a" else (0.0, margin)
            rows.append(pair | {"score_a": float(score_a), "score_b": float(score_b), "margin": float(margin),
                                "confidence": float(c), "label": label})  # fmt: skip
        self._write(claim, partial(annotations.add_annotations, data_stage_id=data), rows)
        found = calibration.histogram(sure, right)
        histogram = {"edges": found.edges, "counts": found.counts, "agree_counts": found.agree_counts}
        with session_scope(self.engines) as session:
            annotations.add_histogram(session, claim, "confidence", histogram)
        return {
            "n": len(pairs),
            "accuracy_human": float(right.mean()),
            "accuracy_truth": float(right.mean()),
            "human_accuracy_truth": 0.75,
            "length_only_accuracy": 0.52,
            "mean_confidence": float(sure.mean()),
            "effective_sample_size": calibration.effective_sample_size(sure),
            "histogram": histogram,
            "deciles": calibration.deciles(sure, right, right),
        }

    def _samples(self, claim: ClaimedStage) -> dict[str, Any]:
        texts = [self._text(30) for _ in range(200)]
        rows = [
            {"prompt_id": f"{i:016x}", "sample": k, "text": texts[(7 * i + k) % 200], "tokens": 30, "finished": True,
             "logp": -60.0, "reference_logp": -61.0}
            for i in range(PROMPTS) for k in range(SAMPLES)
        ]  # fmt: skip
        self._write(claim, evaluations.add_samples, rows)
        return {"samples": len(rows)}

    def _scores(self, claim: ClaimedStage) -> dict[str, Any]:
        scores = self.rng.normal(0, 1, (PROMPTS, SAMPLES))
        rows = [
            {"prompt_id": f"{i:016x}", "sample": k, "score": float(scores[i, k]), "ungrammatical": False}
            for i in range(PROMPTS)
            for k in range(SAMPLES)
        ]
        self._write(claim, evaluations.add_scores, rows)
        return {"scores": len(rows)}

    def _evaluation(self, claim: ClaimedStage) -> dict[str, Any]:
        outcome = self.rng.choice([0, 0.5, 1], PROMPTS, p=[0.3, 0.15, 0.55])
        figures = {"score": 0.2, "baseline_score": 0.0, "tokens": 30.0, "baseline_tokens": 28.0, "ungrammatical": 0.1,
                   "baseline_ungrammatical": 0.05}  # fmt: skip
        drift = self.rng.normal(1.5, 0.5, PROMPTS)
        rows = [
            figures | {"prompt_id": f"{i:016x}", "outcome": float(outcome[i]), "logratio": float(drift[i])}
            for i in range(PROMPTS)
        ]
        self._write(claim, evaluations.add_outcomes, rows)
        tally, interval = intervals.gra(outcome), intervals.single_run_interval(outcome)
        summary = {
            "gra": tally.gra, "gra_strict": tally.strict, "gra_ties_dropped": tally.ties_dropped, "wins": tally.wins,
            "ties": tally.ties, "losses": tally.losses, "prompts": PROMPTS, "samples": SAMPLES, "ci_low": interval.low,
            "ci_high": interval.high, "interval_method": interval.method, "mean_tokens": 30.0,
            "baseline_mean_tokens": 28.0, "kl": 1.5, "ungrammatical": 0.1, "baseline_ungrammatical": 0.05,
            "mean_score": 0.2, "baseline_mean_score": 0.0,
        }  # fmt: skip
        with session_scope(self.engines) as session:
            evaluations.add_evaluation(session, claim, summary)
        return summary


def configs(count: int) -> list[RunConfig]:
    """The sweep: labels × objectives × seeds, cut to `count` runs."""
    every = [
        one
        for objective in OBJECTIVES
        for one in expand({"method": list(LABELS), "seed": list(range(SEEDS)), "name": "sandbox sweep", **objective})
    ]
    return every[:count]


def build_database(url: str, *, count: int, pairs: int) -> dict[str, int]:
    """Migrate and fill; how much is in it."""
    upgrade(url)
    engines = make_engines(url)
    for config in configs(count):
        specs = build(config)
        with session_scope(engines) as session:
            row = scheduler.new_run(config, specs, sweep="sandbox sweep", priority=0)
            runs.create(session, row, scheduler.new_stages(config, specs, gpu=False))
    published = Filler(engines, pairs).fill()
    engines.dispose()
    return {"runs": count, "annotated_pairs": pairs, "stages": published, "outcomes_per_run": PROMPTS}


# ---- the pages ------------------------------------------------------------------------------------------------------

FIGURE = '[data-testid="stMain"] [data-testid="stMetricValue"]'
PAIRS = '[data-testid="stMain"] :text("pairs in this view")'
GRID = '[data-testid="stMain"] [data-testid="data-grid-canvas"]'
FORM = '[data-testid="stMain"] [data-testid="stMultiSelect"]'


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


SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(home: Path, url: str) -> Iterator[str]:
    """Redis and the dashboard over the built database; both end with the block."""
    socket_path, port = home / "redis.sock", free_port()
    environment = os.environ | {"DATABASE_URL": url, "CWPO_HOME": str(home), "REDIS_URL": f"unix://{socket_path}"}
    redis = subprocess.Popen(
        [find_redis(), "--port", "0", "--unixsocket", str(socket_path), "--save", ""], stdout=subprocess.DEVNULL
    )
    web = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
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


def measure(base: str, places: Mapping[str, tuple[str, str]], loads: int, pictures: Path | None) -> dict[str, Any]:
    """Seconds from asking for each address to its content, warm."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        program = browser.installed()
        chromium = playwright.chromium.launch(executable_path=program, args=browser.ARGUMENTS)
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        for name, (address, content) in places.items():
            timings = [_load(context, base + address, content) for _ in range(loads + 1)]
            found[name] = _figures(timings)
            if pictures is not None:
                _picture(context, base + address, pictures / f"{name.lower().replace(' ', '_').replace(',', '')}.png")
            print(f"{name:<24} {found[name]['first_content']['median']:.2f} s", flush=True)
        found["browser"] = chromium.version
        chromium.close()
    return found


def _load(context: Any, address: str, content: str) -> tuple[float, float]:
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    try:
        page.locator(content).first.wait_for(state="visible", timeout=60_000)
    except Exception as error:
        seen = page.locator('[data-testid="stMain"]').inner_text()
        raise RuntimeError(f"{address} did not show {content} within 60 s, but: {seen[:400]}") from error
    first = time.perf_counter() - start
    page.locator(SETTLED).wait_for(timeout=60_000)
    settled = time.perf_counter() - start
    page.close()
    return first, settled


def _picture(context: Any, address: str, file: Path) -> None:
    page = context.new_page()
    page.goto(address)
    page.locator(SETTLED).wait_for(timeout=60_000)
    page.wait_for_timeout(1_000)
    page.screenshot(path=file)
    page.close()


def _figures(timings: list[tuple[float, float]]) -> dict[str, Any]:
    """The first load warms the server and is given apart."""
    warm = timings[1:]
    figures: dict[str, Any] = {"cold_first_content": round(timings[0][0], 3)}
    for place, name in enumerate(("first_content", "settled")):
        values = [timing[place] for timing in warm]
        figures[name] = {"median": round(statistics.median(values), 3), "worst": round(max(values), 3)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--home", type=Path, help="a folder to keep the database in; it is built only once")
    parser.add_argument("--pictures", type=Path, help="a folder for one screenshot of each page")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pages.json")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        file = home / "scale.sqlite"
        url, start = f"sqlite:///{file.resolve()}", time.perf_counter()
        built = None if file.exists() else build_database(url, count=options.runs, pairs=options.pairs)
        print(f"database ready after {time.perf_counter() - start:.0f} s", flush=True)
        places = addresses(_run_of("cw", options.runs), tuple(range(1, min(50, options.runs) + 1)))
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
        with serving(home, url) as base:
            found = measure(base, places, options.loads, options.pictures)
        size = file.stat().st_size
    _write(options.out, built, found, size)


def _run_of(method: str, count: int) -> int:
    """The first seed's run of that method: its labels stage is the one with all the pairs."""
    return next(i for i, config in enumerate(configs(count), start=1) if config.method == method and config.seed == 0)


def _write(out: Path, built: dict[str, int] | None, found: dict[str, Any], size: int) -> None:
    chromium = found.pop("browser")
    slow = [name for name, figures in found.items() if figures["first_content"]["median"] > GOAL_SECONDS]
    record = {
        "what": f"seconds to first content of each page, warm; goal {GOAL_SECONDS} s",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "versions": {name: version(name) for name in ("streamlit", "sqlalchemy", "plotly", "pandas", "numpy")}
        | {"python": platform.python_version(), "chromium": chromium},
        "database": {"kind": "SQLite", "bytes": size, "built": built or "by an earlier call"},
        "slower_than_goal": slow,
        "pages": found,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"slower than {GOAL_SECONDS} s: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
