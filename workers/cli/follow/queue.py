"""`cwpo queue`: the runs in the order in which workers look at them, and the verbs that change it."""

from collections.abc import Sequence

from cwpo.errors import ConfigError
from cwpo.report.numbers import duration
from cwpo.stages.graph import slot_name
from db import queries
from db.records.keeping import QueuedRun
from workers.api import keeping
from workers.cli.console import make_console, show_notes, show_table
from workers.machine.database import reading
from workers.plan import queue_times
from workers.plan.eta import Eta

SHOWN = 50
COLUMNS = ["place", "run", "method", "seed", "status", "now", "left", "done in", "priority", "name"]


def main(do: str, words: Sequence[str]) -> int:
    """Show or change; the code is 1 where nothing could be done."""
    if do == "list":
        if words:
            raise ConfigError("cwpo queue", "list takes no run; `cwpo status RUN` shows one.")
        return _show()
    done = _move(words) if do == "move" else _pause(do, _numbers(words))
    print(done.said)
    return 1 if done.refused and not done.run_ids else 0


def _pause(do: str, run_ids: Sequence[int]) -> keeping.Done:
    if run_ids:
        return keeping.pause(run_ids) if do == "pause" else keeping.resume(run_ids)
    return keeping.pause_queue() if do == "pause" else keeping.resume_queue()


def _move(words: Sequence[str]) -> keeping.Done:
    *numbers, where = words or ("",)
    place = next((one for one in keeping.WHERE if one == where), None)
    if place is None or not numbers:
        raise ConfigError("cwpo queue", f"move needs runs and where to: `cwpo queue move 7 {keeping.WHERE[0]}`.")
    return keeping.move(_numbers(numbers), place)


def _numbers(words: Sequence[str]) -> list[int]:
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 10)]
    if wrong:
        raise ConfigError("cwpo queue", f"{wrong[0]!r} is no number of a run.")
    return [int(word) for word in words]


def _show() -> int:
    console = make_console()
    with reading() as session:
        page, times = queries.queued_runs(session, limit=SHOWN), queue_times.etas(session)
    show_table(
        f"Queue ({len(page.rows)} of {page.total})",
        COLUMNS,
        [_cells(run, times.get(run.id)) for run in page.rows],
        console,
    )
    if page.paused:
        show_notes(["The queue is paused: `cwpo queue resume` lets it go on."], console)
    return 0


def _cells(run: QueuedRun, eta: Eta | None) -> list[str]:
    expected = "–" if eta is None or eta.done_in is None else duration(eta.done_in)
    return [
        str(run.place), str(run.id), run.method_label, str(run.seed), "paused" if run.paused else run.status,
        now_of(run), f"{run.stages_left}/{run.stages}", expected, str(run.priority), run.name,
    ]  # fmt: skip


def now_of(run: QueuedRun) -> str:
    """What is computed of it, or starts next; else what it waits for."""
    if run.running:
        return ", ".join(slot_name(slot) for slot in run.running)
    if run.next_slot:
        return f"next: {slot_name(run.next_slot)}"
    return f"waits for {slot_name(run.waits_for)}" if run.waits_for else "–"
