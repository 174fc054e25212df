"""kill -9 of ranks and of the supervisor in the middle of an alignment by several ranks on a CPU, counted.

Each run is one alignment of a tiny random model. It is killed three times: the first rank, the second rank, then the
supervisor, each time at another step; the new supervisor has another number of ranks. Counted are processes that are
left, publications, attempts that went on from a checkpoint, and curves in which a step is missing or stands twice.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import table
from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import for_child
from cwpo.config.run import RunConfig
from cwpo.stages.execute import execute
from cwpo.stages.graph import build
from cwpo.stages.resolve import resolve
from tests import servers
from tests.cwpo import tiny
from tests.workers.workplace import Workplace, descendants, installation, lives, wait_for

RANKS, OTHERS = 2, (3, 1)  # before and after the supervisor was killed
EPOCHS = 300
GONE = 10.0  # seconds after which a process counts as left over
PATIENCE = 600.0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10, help="points at which each process is killed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cwpo-chaos-") as folder, servers.redis() as redis:
        home = Path(folder) / "home"
        home.mkdir()
        with installation(home, redis) as own:
            place = Workplace(environment=for_child(**own), home=home, materials=materials(Path(folder)))
            rows = [one_run(place, number, options.points) for number in range(options.points)]
    print(table(rows))
    print(table([summary(rows)]), flush=True)


def materials(folder: Path) -> dict[str, Any]:
    """A random OPT model and random pairs, as the tests of workers have them."""
    model, dice = str(tiny.save(folder / "model", "opt")), random.Random(0)

    def words(count: int) -> str:
        return " ".join(dice.choice(tiny.WORDS) for _ in range(count))

    pairs = [{"prompt": words(5), "chosen": words(6), "rejected": words(4)} for _ in range(120)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    train = {"epochs": 1, "lr": 1e-3, "batch_size": 16}
    return {
        "method": "cw",
        "data": {"dataset": str(folder / "pairs.jsonl"), "test_prompts": 12},
        "model": {"annotator": model, "policy": model, "lora": None, "precision": "fp32"},
        "annotator": train,
        "sft": {"data": "none"},
        "align": {**train, "epochs": EPOCHS, "lr": 1e-4},
        "evaluation": {"max_new_tokens": 6, "gold_reward": "trained", "gold_train": train},
        "execution": {"device": "cpu", "checkpoint_seconds": 0.5},
    }


def one_run(place: Workplace, number: int, points: int) -> dict[str, Any]:
    """What three kills of one alignment left."""
    from workers import api

    config = resolve(place.config(align={"beta": 0.1 + 0.001 * number}), bf16=False, home=place.home)
    prepare(place, config)
    run_id = api.submit_run(config).run_id
    row: dict[str, Any] = {"run": number, "left": 0}
    share = number / points / 4
    with supervisor(place, RANKS) as process:
        for victim in range(2):
            kill_at(place, process, run_id, row, f"rank {victim}", 0.05 + 0.3 * victim + share)
        kill_at(place, process, run_id, row, "supervisor", 0.65 + share)
    row["other"] = OTHERS[number % len(OTHERS)]
    with supervisor(place, row["other"]) as process:
        wait_for(lambda: place.stage(run_id, "align").status in ("done", "failed"), PATIENCE)
        api.cancel_run(run_id)
        row |= outcome(place, run_id)
    print(json.dumps(row), flush=True)
    return row


def prepare(place: Workplace, config: RunConfig) -> None:
    """What the alignment reads, by this process: each start of ranks takes seconds."""
    import torch

    torch.set_num_threads(1)
    specs = build(config)
    for slot in ("data", "annotator", "labels", "reference"):
        execute(
            store=ArtifactStore(place.home / "artifacts"),
            fingerprint=specs[slot].fingerprint,
            settings=specs[slot].settings,
            inputs=specs[slot].input_fingerprints,
        )


@contextmanager
def supervisor(place: Workplace, ranks: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m workers` with one worker whose stages are computed by so many ranks."""
    environment = {
        **place.environment,
        "WORKERS": "1",
        "CWPO_CPU_RANKS": str(ranks),
        "CWPO_PARENT_PID": str(os.getpid()),
    }
    with (place.home / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def kill_at(
    place: Workplace, process: "subprocess.Popen[bytes]", run_id: int, row: dict[str, Any], whom: str, share: float
) -> None:
    """kill -9 at that share of all steps; what lives 10 s later is counted."""

    def reached() -> bool:
        stage = place.stage(run_id, "align")
        running = stage.status == "running" and stage.done is not None and stage.total is not None
        return bool(running and (stage.done or 0) >= share * (stage.total or 1) and len(ranks_of(process.pid)) == RANKS)

    wait_for(reached, PATIENCE, every=0.05)
    before = place.stage(run_id, "align")
    family = ranks_of(process.pid)
    row[f"{whom} at"] = before.done
    if whom == "supervisor":
        family = descendants(process.pid)
        process.kill()
    else:
        family[int(whom.removeprefix("rank "))].kill()
    died = time.monotonic()
    while any(map(lives, family)) and time.monotonic() - died < GONE:
        time.sleep(0.05)
    left = [one for one in family if lives(one)]
    row["left"] += len(left)
    row["longest"] = round(max(row.get("longest", 0.0), time.monotonic() - died), 1)
    for one in left:
        one.kill()
    if whom != "supervisor":
        wait_for(lambda: place.stage(run_id, "align").attempts > before.attempts, PATIENCE)


def ranks_of(pid: int) -> list[psutil.Process]:
    """The ranks below a supervisor, in the order in which they were started."""
    found = []
    for one in descendants(pid):
        try:
            if "cwpo.parallel.rank" in one.cmdline():
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda one: (one.create_time(), one.pid))


def outcome(place: Workplace, run_id: int) -> dict[str, Any]:
    """Attempts, publications, and whether the curve is whole."""
    from db import queries
    from workers.machine.database import reading

    stage = place.stage(run_id, "align")
    with reading() as session:
        attempts = queries.attempts(session, stage.stage_id)
        curve = queries.metrics(session, [stage.stage_id], ["loss"], max_points=100_000)
    return {
        "attempts": " ".join(attempt.status for attempt in attempts),
        "began at": " ".join(str(attempt.first_step) for attempt in attempts),
        "published": sum(attempt.status == "published" for attempt in attempts),
        "whole curve": sorted(curve["step"]) == list(range(1, (stage.total or 0) + 1)),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kills": 3 * len(rows),
        "left": sum(row["left"] for row in rows),
        "runs": len(rows),
        "published once": sum(row["published"] == 1 for row in rows),
        "resumed": sum(int(step) > 0 for row in rows for step in row["began at"].split()[1:]),
        "whole curves": sum(row["whole curve"] for row in rows),
    }


if __name__ == "__main__":
    main()
