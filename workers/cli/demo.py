"""`make demo`: start the stack, submit the sandbox comparison, show its progress, print the GRA table."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from cwpo.config.environment import set_here, settings
from workers.cli.console import make_console
from workers.cli.launch.web import link
from workers.cli.stack import StackError, failure_of, running_stack
from workers.machine.paths import home, logs
from workers.machine.processes import child_environment, end_all

if TYPE_CHECKING:
    from db.records import ActiveStage, RunRow

SWEEP = "demo"
PRESET = "steady"
_START_PATIENCE = 90.0  # seconds for ports, migration and Redis
_LOOK_EVERY = 0.5  # seconds between looks at the database
_SAY_EVERY = 10.0  # seconds between lines when the output is not a terminal
_STOP_PATIENCE = 10.0


def main(config: Path | None = None, sets: Sequence[str] = ()) -> int:
    """The sandbox comparison, or the one that a file describes; `sets`: fields of it that have another value.

    0 when every stage succeeded, 1 when one failed or the stack did not start, 130 after Ctrl-C before the table."""
    console = make_console()
    signal.signal(signal.SIGTERM, _interrupt)  # so that a `kill` ends the stack as Ctrl-C does
    stop_after = settings.demo_exit
    stack: subprocess.Popen[bytes] | None = None
    try:
        if running_stack(home()) is None:
            stack = _start_stack()
        url = _wait_until_up(stack, console)
        code = _compare(config, sets, console)
        console.print(f"\nDashboard: {url}", highlight=False, soft_wrap=True)
        if stack is None or stop_after:
            return code
        console.print("It stays up until Ctrl-C.", highlight=False)
        stack.wait()
        return 1
    except StackError as error:
        print(error, file=sys.stderr)  # to a person: this is no service
        return 1
    except KeyboardInterrupt:
        console.print("\nStopping; everything finished is kept.", highlight=False)
        return 130
    finally:
        if stack is not None:
            end_all([stack], settings.stop_grace + _STOP_PATIENCE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _start_stack() -> subprocess.Popen[bytes]:
    """The launcher in a session of its own, so that Ctrl-C reaches only us and we stop it in order."""
    folder = logs(home())
    folder.mkdir(parents=True, exist_ok=True)
    with open(_stack_log(), "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.cli.stack"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,
        )


def _stack_log() -> Path:
    return logs(home()) / "stack.log"


def _wait_until_up(stack: subprocess.Popen[bytes] | None, console: Console) -> str:
    """The link to the dashboard once database and Redis answer; what the launcher said about ports is repeated."""
    from workers.cli.stack import wait_for_redis

    deadline = time.monotonic() + _START_PATIENCE
    while (running := running_stack(home())) is None:
        if stack is not None and stack.poll() is not None:
            raise StackError(failure_of(home(), stack.pid) or f"The stack did not start: see {_stack_log()}.")
        if time.monotonic() > deadline:
            raise StackError(f"The stack did not start within {_START_PATIENCE:.0f} s: see {_stack_log()}.")
        time.sleep(0.05)
    if stack is not None:
        for note in running.get("notes", ()):
            console.print(note, highlight=False, markup=False)
    wait_for_redis(running["redis_url"], "REDIS_URL")
    address = link(home(), str(running["web_url"]))
    console.print(f"Dashboard: {address}", highlight=False, soft_wrap=True)
    set_here(REDIS_URL=running["redis_url"])
    return address


def _compare(config: Path | None, sets: Sequence[str], console: Console) -> int:
    """Submit what is not there yet, wait for it, print the tables."""
    from cwpo.config.run import expand
    from workers import api
    from workers.cli.status import print_comparison

    started = time.monotonic()
    run_ids = api.submit_missing(expand(_comparison(config, sets)), SWEEP if config is None else config.stem)
    rows = _watch(run_ids, console)
    bad = [row for row in rows if row.status != "done"]
    for row in bad:
        console.print(f"run {row.id} ({row.method_label}, seed {row.seed}) {row.status}: {row.error}", markup=False)
    if len(bad) < len(rows):
        print_comparison([row.id for row in rows if row.status == "done"], console)
    _print_work(run_ids, started, console)
    return 1 if bad else 0


def _comparison(config: Path | None, sets: Sequence[str]) -> Mapping[str, Any]:
    """A configuration with lists: one run per combination."""
    from cwpo.config import presets
    from workers.cli.config_file import read_config

    return presets.comparison(presets.PRESETS[PRESET]) if config is None else read_config(config, sets)


def _watch(run_ids: Sequence[int], console: Console) -> "list[RunRow]":
    """Show progress until no run is queued or running any more; the runs as they ended."""
    live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
    if live:
        live.start()
    said, said_at = "", 0.0
    try:
        while True:
            rows, text = _look(run_ids)
            if live:
                live.update(text)
            elif text != said and time.monotonic() - said_at >= _SAY_EVERY:
                console.print(text, highlight=False, markup=False)
                said, said_at = text, time.monotonic()
            if all(row.status not in ("queued", "running") for row in rows):
                return rows
            time.sleep(_LOOK_EVERY)
    finally:
        if live:
            live.stop()


def _look(run_ids: Sequence[int]) -> "tuple[list[RunRow], str]":
    """The runs now, and one line about them: stages count once however many runs share them."""
    from db import queries
    from db.records import RunFilters
    from workers.machine.database import reading

    with reading() as session:
        page = queries.list_runs(session, filters=RunFilters(ids=tuple(run_ids)), after=None, limit=len(run_ids))
        stages = queries.queue_health(session).stages
        active = queries.active_stages(session, limit=20)
    done = sum(row.status == "done" for row in page.rows)
    head = f"{stages['done']} of {sum(stages.values())} stages, {done} of {len(page.rows)} runs done"
    running = [f"{stage.kind}{_share(stage)}" for stage in active if stage.status == "running"]
    return list(page.rows), head + (f"; now: {', '.join(running)}" if running else "")


def _share(stage: "ActiveStage") -> str:
    return f" {100 * stage.done // stage.total} %" if stage.done is not None and stage.total else ""


def _print_work(run_ids: Sequence[int], started: float, console: Console) -> None:
    """How much was computed, in attempts: a second call computes nothing."""
    from db import queries
    from workers.machine.database import reading

    with reading() as session:
        counts = queries.attempt_counts(session, run_ids)
    stages, attempts, slots = (sum(getattr(c, name) for c in counts) for name in ("stages", "attempts", "runs"))
    console.print(
        f"{time.monotonic() - started:.0f} s. The {slots} stages of {len(run_ids)} runs are {stages} different ones, "
        f"executed {attempts} times in all.",
        highlight=False,
    )
