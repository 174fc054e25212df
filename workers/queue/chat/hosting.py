"""The supervisor's side of chats: takes those that wait, finds a place for their models, starts and buries processes.

A chat has a process of its own beside the workers and holds no stage. It gets a card only where no stage computes and
its models fit into what is free. Free of torch.
"""

import logging
import socket
import subprocess
import sys
import time

from cwpo.config.run import RunConfig
from cwpo.errors import CwpoError
from cwpo.models.memory import free_memory
from cwpo.models.shape import known_config, shape_of
from cwpo.models.sizes.fits import CONTEXT, GIGABYTE
from cwpo.models.sizes.weights import frozen_bytes, kept_in
from cwpo.report.numbers import size
from db import queries
from db.errors import DatabaseError, UnknownRun
from db.queries import chats as chat_rows
from db.records import WorkerRow
from db.repositories import chats
from db.status import DONE, WORKER_IDLE
from workers.machine.database import reading, writing
from workers.machine.devices import card_memory, cores, visible_gpus
from workers.machine.paths import home, store
from workers.machine.processes import child_environment, end_all

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds between looks at the database
MOST = 2  # chats of a machine at once
MODELS = ("align", "sft")  # slots of a run whose files a chat needs
_ROOM = 1.2  # beside weights stand keys, values and what is computed
_THREADS = 4
KILLED = "Its process ended unexpectedly (killed, or out of memory): start it again."


class NoRoom(CwpoError):
    """The models of a chat fit nowhere now."""


class ChatHost:
    """The chats of one machine; `tick` often, `end` once."""

    def __init__(self) -> None:
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self._next_look = 0.0

    def tick(self) -> None:
        """Bury what has ended, and once a second take what waits."""
        for chat_id, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[chat_id]
                with writing() as session:
                    chats.end(session, chat_id, KILLED)
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        with reading() as session:
            waiting, silent = chat_rows.waiting(session), chat_rows.are_silent(session)
        if silent:
            with writing() as session:
                chats.bury(session)
        for chat_id, run_id, wish in waiting:
            self._take(chat_id, run_id, wish)

    def end(self, grace: float) -> None:
        """The workers are stopped, and the chats with them."""
        end_all(list(self.running.values()), grace)
        for chat_id in self.running:
            try:
                with writing() as session:
                    chats.end(session, chat_id, "The workers of its machine were stopped.")
            except DatabaseError as error:
                log.warning("%s", error)
        self.running.clear()

    def _take(self, chat_id: int, run_id: int, wish: str) -> None:
        """Start its process where its models fit; a chat whose files another machine has is left to that one."""
        try:
            if not _has_files(run_id):
                return
            if len(self.running) >= MOST:
                raise NoRoom(f"{MOST} chats are open on this machine already: end one of them, then start this one.")
            card = _place(run_id, wish)
        except (CwpoError, UnknownRun) as error:
            with writing() as session:
                chats.end(session, chat_id, str(error))
            return
        with writing() as session:
            mine = chats.claim(session, chat_id, host=socket.gethostname(), device=f"card {card}" if card else "cpu")
        if not mine:
            return
        threads = str(min(_THREADS, cores()))
        environment = child_environment(
            CUDA_VISIBLE_DEVICES=card, CWPO_DEVICE="gpu" if card else "cpu", OMP_NUM_THREADS=threads,
            MKL_NUM_THREADS=threads, TOKENIZERS_PARALLELISM="false",
        )  # fmt: skip
        command = [sys.executable, "-m", "workers", "chat", str(chat_id)]
        process = self.running[chat_id] = subprocess.Popen(command, env=environment)
        with writing() as session:
            chats.name_process(session, chat_id, process.pid)


def _has_files(run_id: int) -> bool:
    """Whether this machine can have the models that the run has trained."""
    with reading() as session:
        stages = queries.run_stages(session, run_id)
    place = store()
    return all(place.holds(stage.fingerprint) for stage in stages if stage.slot in MODELS and stage.status == DONE)


def _place(run_id: int, wish: str) -> str:
    """The card whose free memory holds the models, by its name; "" for the CPU. NoRoom with the reason."""
    with reading() as session:
        config = RunConfig.stored(queries.get_run(session, run_id).config)
        workers = queries.workers(session)
    if wish == "cpu" or not visible_gpus():
        need, have = needed(config, card=False), free_memory("cpu")
        if need > have:
            raise NoRoom(f"The models take about {size(need)} of memory, and {size(have)} are free on this machine.")
        return ""
    return card_for(
        needed(config, card=True) + CONTEXT, workers, {name: one.free for name, one in card_memory().items()}
    )


def card_for(need: int, workers: list[WorkerRow], free: dict[str, int]) -> str:
    """The card with the most free memory among those of this host's workers that compute nothing."""
    here = socket.gethostname()
    idle = [one.card for one in workers if one.alive and one.host == here and one.state == WORKER_IDLE and one.card]
    if not idle:
        raise NoRoom("Stages compute on every card of this machine: wait for one to end, or chat on the CPU.")
    best = max(idle, key=lambda card: free.get(card, 0))
    if need > free.get(best, need):
        raise NoRoom(
            f"The models take about {size(need)} of a card, and the idle one with the most room has "
            f"{size(free.get(best))} free: wait for stages to end, or chat on the CPU."
        )
    return best


def needed(config: RunConfig, *, card: bool) -> int:
    """Bytes of all models of a chat: one set of weights under adapters, else one for each; 0 where nobody knows."""
    model = config.model
    known = known_config(model.policy, model.policy_revision, home())
    shape = None if known is None else shape_of(known)
    if shape is None:
        return GIGABYTE if card else 0
    kept = kept_in(model.precision, model.quantization if card else "none", frozen=True)
    copies = 1 if model.lora is not None else 2 + (config.sft.data != "none")
    return round(_ROOM * copies * frozen_bytes(shape, kept, scalar=False))
