"""How long does Compare take with 50 runs, and how often does it ask the database?

    python -m benchmarks compare [--settings 12] [--seeds 4] [--loads 5] [--home DIR] [--out FILE]

A built sweep over method, β and learning rate with 500 prompts a run. The page's script runs in this process as the
server would run it: `cold` with empty caches, `warm` with what the first visit left. The time to paint, which the page
waits once per visit, is not counted. Queries are SELECTs that reach the database.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, event

from benchmarks import scale
from cwpo.config.run import RunConfig
from cwpo.stages.graph import build
from cwpo.statistics import intervals
from db.engine import make_engines, session_scope, upgrade
from db.records import ClaimedStage
from db.repositories import evaluations, runs
from workers.plan import submission

ROOT = Path(__file__).resolve().parent.parent
PROMPTS, PAIRS = 500, 2_000
GOAL_SECONDS, GOAL_QUERIES = 2.0, 6
TABS = ("Configuration", "Annotators", "Curves", "Answers", "Cost")
METHODS = {"human": 0.60, "weak": 0.56, "cw": 0.64}
BETAS, RATES = (0.1, 0.5), (1e-4, 3e-4)


class Sweep(scale.Filler):
    """Outcomes that follow from method, β and learning rate, over prompts of one easiness for all."""

    chances: dict[int, float]

    def _evaluation(self, claim: ClaimedStage) -> dict[str, Any]:
        easiness = np.random.default_rng(7).uniform(-0.25, 0.25, PROMPTS)
        won = self.rng.random(PROMPTS) < np.clip(self.chances[claim.stage_id] + easiness, 0, 1)
        drift = self.rng.normal(1.5 + 2 * (self.chances[claim.stage_id] - 0.55), 0.5, PROMPTS)
        figures = {"score": 0.2, "baseline_score": 0.0, "tokens": 30.0, "baseline_tokens": 28.0, "ungrammatical": 0.1,
                   "baseline_ungrammatical": 0.05}  # fmt: skip
        rows = [
            figures | {"prompt_id": f"{i:016x}", "outcome": float(won[i]), "logratio": float(drift[i])}
            for i in range(PROMPTS)
        ]
        self._write(claim, evaluations.add_outcomes, rows)
        tally, span = intervals.gra(won.astype(float)), intervals.single_run_interval(won.astype(float))
        summary = {
            "gra": tally.gra, "gra_strict": tally.strict, "gra_ties_dropped": tally.ties_dropped, "wins": tally.wins,
            "ties": tally.ties, "losses": tally.losses, "prompts": PROMPTS, "samples": 1, "ci_low": span.low,
            "ci_high": span.high, "interval_method": span.method, "mean_tokens": 30.0, "baseline_mean_tokens": 28.0,
            "kl": float(drift.mean()), "ungrammatical": 0.1, "baseline_ungrammatical": 0.05, "mean_score": 0.2,
            "baseline_mean_score": 0.0,
        }  # fmt: skip
        with session_scope(self.engines) as session:
            evaluations.add_evaluation(session, claim, summary)
        return summary


def configs(settings: int, seeds: int) -> list[RunConfig]:
    every = [
        {"method": method, "align": {"beta": beta, "lr": rate}}
        for rate in RATES
        for beta in BETAS
        for method in METHODS
    ]
    more = [{**one, "align": {**one["align"], "epochs": 3}} for one in every]  # type: ignore[dict-item]
    return [
        RunConfig.parse({**one, "seed": seed, "name": "sweep of β and rate"})
        for one in [*every, *more][:settings]
        for seed in range(seeds)
    ]


def build_database(url: str, settings: int, seeds: int) -> None:
    """Migrate and fill."""
    upgrade(url)
    engines = make_engines(url)
    filler = Sweep(engines, PAIRS)
    filler.chances = {}
    for config in configs(settings, seeds):
        specs = build(config)
        with session_scope(engines) as session:
            row = submission.new_run(config, specs, sweep="sweep", priority=0)
            made = runs.create(session, row, submission.new_stages(config, specs, gpu=False))
        gain = METHODS[config.method] + (0.03 if config.align.beta < 0.2 else 0.0) + 10 * config.align.lr
        filler.chances |= _evaluations(engines, made.run_id, gain)
    filler.fill()
    engines.dispose()


def _evaluations(engines: Any, run_id: int, chance: float) -> dict[int, float]:
    from db import queries

    with session_scope(engines) as session:
        return dict.fromkeys(queries.stages_in_slot(session, [run_id], "evaluation").values(), chance)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that read, as they reach the database."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def visit(runs_: str, tab: str) -> tuple[float, int]:
    """Seconds of the script, without what the test tool does with its output, and its queries."""
    from streamlit.testing.v1 import AppTest, local_script_runner

    took: list[float] = []
    whole = local_script_runner.LocalScriptRunner.run

    def timed(runner: Any, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        tree = whole(runner, *arguments, **options)
        took.append(time.perf_counter() - start)
        return tree

    page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
    page.switch_page("screens/compare.py")
    page.query_params["runs"] = runs_
    page.query_params["further"] = tab
    local_script_runner.LocalScriptRunner.run = timed  # type: ignore[method-assign]
    try:
        with counted() as said:
            page.run()
    finally:
        local_script_runner.LocalScriptRunner.run = whole  # type: ignore[method-assign]
    if page.exception:
        raise RuntimeError(str(page.exception[0].message))
    return took[-1], len(said)


def measure(count: int, loads: int) -> dict[str, Any]:
    import streamlit as st

    visit(f"1-{count}", TABS[0])  # imports
    found: dict[str, Any] = {}
    for tab in TABS:
        st.cache_data.clear()
        cold = visit(f"1-{count}", tab)
        warm = [visit(f"1-{count}", tab) for _ in range(loads)]
        found[tab] = {
            "cold_seconds": round(cold[0], 3),
            "cold_queries": cold[1],
            "warm_seconds": round(statistics.median(one[0] for one in warm), 3),
            "warm_queries": max(one[1] for one in warm),
        }
        print(tab, found[tab], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="as for the other benchmarks; this one is always made anew")
    parser.add_argument("--settings", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--home", type=Path, help="a folder to keep the database in; it is built only once")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "compare.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        home = options.home or Path(own)
        home.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(home / 'compare.sqlite').resolve()}"
        os.environ |= {"DATABASE_URL": url, "CWPO_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:9/0"}
        scale.PROMPTS = PROMPTS
        if not (home / "compare.sqlite").exists():
            build_database(url, options.settings, options.seeds)
        found = measure(options.settings * options.seeds, options.loads)
    record = {
        "what": f"seconds and queries of Compare; goal {GOAL_SECONDS} s and {GOAL_QUERIES} queries",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "settings": options.settings, "seeds": options.seeds, "prompts": PROMPTS, "tabs": found,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
