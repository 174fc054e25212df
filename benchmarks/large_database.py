"""A database of the size that lists are measured on: 10,000 runs of 2,000 settings with 78 fields and 40 figures each,
40 curves and 100 outcomes per run, and an annotator that labeled 1,000,000 pairs.

    python -m benchmarks.large_database ADDRESS [--runs 10000] [--pairs 1000000]

ADDRESS is `sqlite:////path/to/file` or `postgresql://…` of an empty database. Rows are written past the repositories,
by executemany on SQLite and COPY on Postgres; what they say is made up.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from cwpo.config.dotted import flat
from cwpo.config.run import RunConfig, merged
from cwpo.statistics import calibration, intervals
from db.engine import make_engines, upgrade
from db.repositories.lists.run_values import _leaves, number_of, text_of

METHODS = ("human", "weak", "cw", "top:10", "top:20", "top:30", "top:40", "top:50", "top:75", "oracle")
OBJECTIVES = ("dpo", "ipo")
BETAS, FRACTIONS, RATES = (0.01, 0.05, 0.1, 0.25, 0.5), (0.1, 0.2, 0.3, 0.5), (1e-4, 2e-4, 3e-4, 5e-4, 1e-3)
SEEDS, PROMPTS, CURVES, STEPS = 5, 100, 40, 2
SHARED = ("data", "prompts", "base_policy", "base_annotator", "annotator", "labels", "reference", "baseline_samples",
          "baseline_scores")  # fmt: skip
OWN = ("align", "samples", "scores", "evaluation")
START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 20_000


class Writer:
    """Many rows into one table, as fast as the database takes them."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.sqlite = engine, engine.dialect.name == "sqlite"

    def write(self, table: str, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> int:
        """How many rows were written."""
        source, count = iter(rows), 0
        while batch := list(islice(source, BATCH)):
            count += len(batch)
            connection = self.engine.raw_connection()
            try:
                self._batch(connection, table, names, batch)
            finally:
                connection.close()
        return count

    def _batch(self, connection: Any, table: str, names: tuple[str, ...], batch: list[tuple[Any, ...]]) -> None:
        columns = ", ".join(names)
        if self.sqlite:
            marks = ", ".join("?" * len(names))
            connection.execute("BEGIN")
            statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
            connection.driver_connection.executemany(statement, [tuple(map(_for_sqlite, row)) for row in batch])
            connection.execute("COMMIT")
            return
        with (
            connection.driver_connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
        ):
            for row in batch:
                copy.write_row(row)
        connection.commit()


def _for_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return int(value) if isinstance(value, bool) else value


def settings() -> Iterator[dict[str, Any]]:
    """Configurations without a seed, two thousand of them."""
    parsed = {
        (method, objective): RunConfig.parse({"method": method, "objective": objective, "name": "large"}).canonical()
        for method, objective in product(METHODS, OBJECTIVES)
    }
    for beta, fraction, rate, objective, method in product(BETAS, FRACTIONS, RATES, OBJECTIVES, METHODS):
        over = {"align": {"beta": beta, "lr": rate}, "data": {"label_fraction": fraction}}
        yield merged(parsed[method, objective], over)


def build(url: str, *, runs: int, pairs: int) -> dict[str, Any]:
    """Migrate and fill; how much is in it and how long it took."""
    start = time.perf_counter()
    upgrade(url)
    engines = make_engines(url)
    writer, rng = Writer(engines.write), np.random.default_rng(0)
    _stages(writer, runs)
    outcomes = rng.choice([0.0, 0.5, 1.0], (runs, PROMPTS), p=[0.3, 0.15, 0.55])
    found = _runs(writer, runs, rng, outcomes.mean(axis=1))
    _results(writer, runs, outcomes)
    _pairs(writer, pairs, rng)
    with engines.write.connect() as connection:
        for table in () if writer.sqlite else ("runs", "stages", "attempts", "annotations"):
            highest = f"SELECT max(id) FROM {table}"  # noqa: S608
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), ({highest}))"))
        connection.execute(text("ANALYZE"))
        connection.commit()
    engines.dispose()
    return {**found, "runs": runs, "annotated_pairs": pairs, "seconds": round(time.perf_counter() - start, 1)}


def stage_id(run: int, slot: str) -> int:
    """Shared stages first, one set for each seed; then those of each run."""
    if slot in SHARED:
        return 1 + (run - 1) % SEEDS * len(SHARED) + SHARED.index(slot)
    return 1 + SEEDS * len(SHARED) + (run - 1) * len(OWN) + OWN.index(slot)


def _stages(writer: Writer, runs: int) -> None:
    ids = {stage_id(run, slot): slot for run in range(1, runs + 1) for slot in (*SHARED, *OWN)}
    names = ("id", "fingerprint", "kind", "version", "config", "model", "device", "cards", "status", "priority",
             "token", "losses", "current_attempt_id", "published_attempt_id", "summary", "seconds", "created_at",
             "started_at", "finished_at")  # fmt: skip
    kinds = {
        "baseline_samples": "samples",
        "baseline_scores": "scores",
        "base_policy": "base",
        "base_annotator": "base",
    }
    rng = np.random.default_rng(1)
    writer.write("stages", names, (
        (one, f"{one:064x}", kinds.get(slot, slot), 1, "{}", "tiny", "cpu", 1, "done", 0, 1, 0, one, one,
         json.dumps(_summary(slot, rng)), float(rng.uniform(1, 90)), START, START, START + timedelta(minutes=one))
        for one, slot in sorted(ids.items())
    ))  # fmt: skip
    writer.write(
        "attempts", ("id", "stage_id", "token", "worker", "status", "started_at", "finished_at"),
        ((one, one, 1, "large", "published", START, START) for one in sorted(ids)),
    )  # fmt: skip


def _summary(slot: str, rng: np.random.Generator) -> dict[str, Any]:
    """Forty figures over the stages of a run."""
    if slot == "labels":
        return {"mean_confidence": float(rng.uniform(0.2, 0.9)), "accuracy_human": 0.7, "n": 1_000}
    if slot == "align":
        return {"final_loss": float(rng.uniform(0.3, 0.7)), "steps": 120} | {
            f"figure_{n}": float(rng.normal()) for n in range(16)
        }
    if slot in ("data", "prompts"):
        return {"test_groups": []}  # no two prompts are related
    return {} if slot != "evaluation" else {f"more_{n}": float(rng.normal()) for n in range(4)}


def _runs(writer: Writer, runs: int, rng: np.random.Generator, gra: np.ndarray) -> dict[str, Any]:
    names = ("id", "name", "config", "config_hash", "group_key", "method", "method_label", "labels", "pool",
             "weighting", "objective", "policy", "annotator", "dataset", "label_fraction", "seed", "baseline", "status",
             "priority", "created_at", "queued_at", "started_at", "finished_at", "archived")  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    values: list[tuple[Any, ...]] = []
    leaves = figures = 0
    every = [(config, seed) for config in settings() for seed in range(SEEDS)][:runs]
    for run, (setting, seed) in enumerate(every, start=1):
        config = {**setting, "seed": seed}
        key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()
        at = START + timedelta(minutes=run)
        label = f"top {setting['top_percent']:g} %" if setting["method"] == "top" else setting["method"]
        rows.append((
            run, "large sweep", json.dumps(config), f"{run:064x}", key, setting["method"], label, "weak", "unlabeled",
            "confidence", setting["objective"], "sandbox/opt-64", "sandbox/opt-48", "sandbox",
            setting["data"]["label_fraction"], seed, f"baseline {seed}", "done", 0, at, at, at, at + timedelta(hours=1),
            False,
        ))  # fmt: skip
        its = {key: value for key, value in _leaves(config) if value is not None}
        said = _figures(rng, float(gra[run - 1]), run)
        leaves, figures = len(its), len(said)
        values += [(run, name, number_of(value), text_of(value)) for name, value in (*its.items(), *said.items())]
    writer.write("runs", names, rows)
    writer.write("run_stages", ("run_id", "slot", "stage_id", "reused"), (
        (run, slot, stage_id(run, slot), slot in SHARED and run > SEEDS)
        for run in range(1, runs + 1) for slot in (*SHARED, *OWN)
    ))  # fmt: skip
    written = writer.write("run_values", ("run_id", "key", "number", "text"), values)
    return {"fields": leaves, "figures": figures, "values": written, "config_fields": len(dict(flat(every[0][0])))}


def _figures(rng: np.random.Generator, gra: float, run: int) -> dict[str, float]:
    own = {"evaluation:gra": gra, "evaluation:ci_low": gra - 0.08, "evaluation:ci_high": gra + 0.08,
           "evaluation:kl": float(run % 400) / 100, "evaluation:mean_tokens": float(rng.uniform(20, 40)),
           "align:final_loss": float(rng.uniform(0.3, 0.7)), "labels:mean_confidence": float(rng.uniform(0.2, 0.9)),
           "seconds": float(rng.uniform(60, 600))}  # fmt: skip
    return own | {f"align:figure_{n}": float(rng.normal()) for n in range(CURVES - len(own))}


def _results(writer: Writer, runs: int, outcomes: np.ndarray) -> None:
    """Evaluations, outcomes and curves of every run."""
    names = ("stage_id", "attempt_id", "gra", "gra_strict", "wins", "ties", "losses", "prompts", "samples", "ci_low",
             "ci_high", "interval_method", "mean_tokens", "baseline_mean_tokens", "kl")  # fmt: skip
    rows = []
    for run in range(1, runs + 1):
        tally, one = intervals.gra(outcomes[run - 1]), stage_id(run, "evaluation")
        rows.append((one, one, tally.gra, tally.strict, tally.wins, tally.ties, tally.losses, PROMPTS, 1,
                     tally.gra - 0.08, tally.gra + 0.08, "made up", 30.0, 28.0, float(run % 400) / 100))  # fmt: skip
    writer.write("evaluations", names, rows)
    figures = ("stage_id", "attempt_id", "prompt_id", "outcome", "score", "baseline_score", "tokens", "baseline_tokens",
               "logratio")  # fmt: skip
    writer.write("outcomes", figures, (
        (one, one, f"{prompt:016x}", float(outcomes[run - 1, prompt]), 0.2, 0.0, 30.0, 28.0, 1.5)
        for run in range(1, runs + 1) for one in (stage_id(run, "evaluation"),) for prompt in range(PROMPTS)
    ))  # fmt: skip
    writer.write("metrics", ("attempt_id", "name", "step", "value"), (
        (stage_id(run, "align"), f"curve_{curve}", step, 0.5)
        for run in range(1, runs + 1) for curve in range(CURVES) for step in range(STEPS)
    ))  # fmt: skip


def _pairs(writer: Writer, pairs: int, rng: np.random.Generator) -> None:
    """The pairs of the first seed's data and what its annotator says of them."""
    data, labels = stage_id(1, "data"), stage_id(1, "labels")
    margins = rng.exponential(1.0, pairs)
    sure = calibration.confidence(margins)
    right = rng.random(pairs) < (1 + sure) / 2
    ids = [f"{one * 0x9E3779B97F4A7C15 % 2**64:016x}" for one in range(pairs)]
    names = ("stage_id", "pair_id", "attempt_id", "prompt_id", "prompt", "response_a", "response_b", "human_label",
             "true_label")  # fmt: skip
    writer.write("pairs", names, (
        (data, ids[one], data, f"{one // 2:016x}", f"Question {one} about tea and rain, please answer",
         f"{one} is the first answer, and it goes on for a while", f"the second one, {one}", "a", "b")
        for one in range(pairs)
    ))  # fmt: skip
    names = ("attempt_id", "stage_id", "pair_id", "data_stage_id", "score_a", "score_b", "margin", "confidence",
             "label", "agrees_human")  # fmt: skip
    writer.write("annotations", names, (
        (labels, labels, ids[one], data, float(margins[one]), 0.0, float(margins[one]), float(sure[one]), "a",
         bool(right[one])) for one in range(pairs)
    ))  # fmt: skip
    found = calibration.histogram(sure, right)
    histogram = {"edges": found.edges, "counts": found.counts, "agree_counts": found.agree_counts}
    writer.write("histograms", ("stage_id", "attempt_id", "name", "data"),
                 [(labels, labels, "confidence", json.dumps(_plain(histogram)))])  # fmt: skip
    summary: Mapping[str, Any] = {
        "n": pairs, "accuracy_human": float(right.mean()), "accuracy_truth": float(right.mean()),
        "human_accuracy_truth": 0.75, "length_only_accuracy": 0.52, "mean_confidence": float(sure.mean()),
        "effective_sample_size": calibration.effective_sample_size(sure), "histogram": _plain(histogram),
        "deciles": _plain(calibration.deciles(sure, right, right)),
    }  # fmt: skip
    with writer.engine.begin() as connection:
        connection.execute(
            text("UPDATE stages SET summary = :summary WHERE kind = 'labels'"), {"summary": json.dumps(summary)}
        )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda one: one.tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    options = parser.parse_args()
    print(json.dumps(build(options.address, runs=options.runs, pairs=options.pairs)))


if __name__ == "__main__":
    main()
