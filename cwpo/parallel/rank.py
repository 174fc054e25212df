"""`python -m cwpo.parallel.rank`: one of the processes that compute a stage together, started by `launch`.

It ends with the process that started it: by the kernel's signal where there is one, and when its pipe ends.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from cwpo.config.environment import settings
from cwpo.errors import CwpoError, is_disk_full, is_of_a_card, is_out_of_memory, sentence_of
from cwpo.parallel.lifeline import die_with_parent, end_with
from cwpo.parallel.lines import Writer
from cwpo.redaction import without_secrets

BEAT_SECONDS = 1.0
_LONGEST_MESSAGE = 2**16  # characters of one log message
# What torch says when another rank is gone or too slow: never the cause of anything, always a consequence. Unless it
# says that memory ran out, which it asks for itself where ranks begin to talk.
_OF_THE_GROUP = (
    "gloo", "nccl", "distbackenderror", "distnetworkerror", "diststoreerror",
    "connection closed by peer", "connection reset by peer",
)  # fmt: skip


class PipeReporter:
    """The core's Reporter: what rank 0 says goes to the job."""

    def __init__(self, events: Writer) -> None:
        self._events = events

    def resumed(self, step: int) -> None:
        self._events.send("resumed", step)

    def progress(self, done: int, total: int, unit: str) -> None:
        self._events.send("progress", [done, total, unit])

    def share(self, value: float) -> None:
        self._events.send("share", value)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._events.send("metrics", [step, {name: float(value) for name, value in values.items()}])

    def log(self, message: str) -> None:
        self._events.send("log", message[-_LONGEST_MESSAGE:])

    def noted(self, sentence: str) -> None:
        self._events.send("noted", sentence[-_LONGEST_MESSAGE:])

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        self._events.send("shown", [name, data])


def main() -> NoReturn:
    """Take the order from the pipe, compute, say how it ended. Nothing may run after that: threads do not hold it."""
    die_with_parent(settings.parent_pid)
    order = json.loads(sys.stdin.buffer.readline())
    asked = threading.Event()
    end_with(sys.stdin.buffer, lambda line: asked.set())
    os.set_inheritable(order["events"], False)
    events = Writer(os.fdopen(order["events"], "wb"))
    threading.Thread(target=_beat, args=(events,), name="beat", daemon=True).start()
    code = 1
    try:
        events.send("done", _compute(order, events, asked))
        code = 0
    except Exception as error:
        events.send("error", described(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def described(error: Exception) -> dict[str, Any]:
    """An exception as plain values: the names of its classes, its sentence, and when it came."""
    text, no_memory = f"{type(error).__name__} {error}".lower(), is_out_of_memory(error)
    follows = not (isinstance(error, CwpoError) or no_memory) and any(words in text for words in _OF_THE_GROUP)
    return {
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "sentence": sentence_of(error),
        "field": getattr(error, "field", None),
        "out_of_memory": no_memory,
        "disk_full": is_disk_full(error),
        "card": no_memory and is_of_a_card(error),
        "of_the_group": follows,
        "at": time.monotonic(),
        "trace": without_secrets("".join(traceback.format_exception(error)))[-_LONGEST_MESSAGE:],
    }


def _beat(events: Writer) -> None:
    while True:
        events.send("beat")
        time.sleep(BEAT_SECONDS)


def _compute(order: Mapping[str, Any], events: Writer, asked: threading.Event) -> dict[str, Any]:
    """Join the other ranks and call the stage's function; rank 0's summary counts."""
    from cwpo.artifacts import ArtifactStore
    from cwpo.config.store import STORE_PATIENCE, shared_store
    from cwpo.full_disk import waiting
    from cwpo.reporting import SilentReporter
    from cwpo.stages.context import Execution, StageContext
    from cwpo.stages.execute import compute_here
    from cwpo.stages.kinds import stored_settings

    ranks = _join(order)
    context = StageContext(
        kind=order["kind"],
        settings=stored_settings(order["kind"], order["settings"]),
        inputs={name: Path(path) for name, path in order["inputs"].items()},
        out=Path(order["out"]),
        checkpoints=Path(order["checkpoints"]),
        store=ArtifactStore(Path(order["store"]), shared_store(patience=STORE_PATIENCE, should_stop=asked.is_set)),
        execution=Execution(**order["execution"], ranks=ranks),
        reporter=PipeReporter(events) if ranks.is_first() else SilentReporter(),
        should_stop=asked.is_set,
    )
    with waiting(context.store.root, context.reporter.log, asked.is_set):
        done = compute_here(context)
    ranks.barrier()
    return {"summary": done.summary if ranks.is_first() else None, "threads": done.threads}


def _join(order: Mapping[str, Any]) -> Any:
    """The group of all ranks: rows and agreements by gloo, gradients by NCCL where there are cards."""
    import torch
    from torch import distributed

    from cwpo.parallel.group import Group

    cuda = order["execution"]["device"].startswith("cuda")
    if cuda:
        torch.cuda.set_device(order["execution"]["device"])
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        init_method=f"file://{order['meeting']}",
        rank=order["rank"],
        world_size=order["size"],
        timeout=timedelta(seconds=order["wait"]),
    )
    return Group.current()


if __name__ == "__main__":
    main()
