"""The supervisor's side of chats: starts a process for each that waits, and buries those that end. Quick to import.

A chat has a process of its own beside the workers and holds no stage. Where its models fit is decided by that process.
"""

import logging
import subprocess
import sys
import time

from db.errors import DatabaseError
from db.repositories.people import chats
from workers.machine.database import reading, writing
from workers.machine.devices import cores
from workers.machine.processes import child_environment, end_all

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds between looks at the database
AGAIN_AFTER = 20.0  # seconds after which a chat that this machine left to others is looked at again
MOST = 2  # chats of a machine at once
_THREADS = 4
KILLED = "Its process ended unexpectedly (killed, or out of memory): start it again."
FULL = f"{MOST} chats are open on this machine already: end one of them, then start this one."


class ChatHost:
    """The chats of one machine; `tick` often, `end` once."""

    def __init__(self) -> None:
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self._not_before: dict[int, float] = {}
        self._next_look = 0.0

    def tick(self) -> None:
        """Bury what has ended, and once a second start what waits."""
        for chat_id, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[chat_id]
                with writing() as session:
                    chats.lost(session, chat_id, process.pid, KILLED)
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        with reading() as session:
            waiting, silent = chats.waiting(session), chats.are_silent(session)
        if silent:
            with writing() as session:
                chats.bury(session)
        for chat_id in waiting:
            if chat_id not in self.running and time.monotonic() >= self._not_before.get(chat_id, 0.0):
                self._start(chat_id)

    def end(self, grace: float) -> None:
        """The workers are stopped, and the chats with them."""
        end_all(list(self.running.values()), grace)
        for chat_id, process in self.running.items():
            try:
                with writing() as session:
                    chats.lost(session, chat_id, process.pid, "The workers of its machine were stopped.")
            except DatabaseError as error:
                log.warning("%s", error)
        self.running.clear()

    def _start(self, chat_id: int) -> None:
        if len(self.running) >= MOST:
            with writing() as session:
                chats.end(session, chat_id, FULL)
            return
        threads = str(min(_THREADS, cores()))
        environment = child_environment(
            OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, TOKENIZERS_PARALLELISM="false"
        )
        command = [sys.executable, "-m", "workers", "chat", str(chat_id)]
        self.running[chat_id] = subprocess.Popen(command, env=environment)
        self._not_before[chat_id] = time.monotonic() + AGAIN_AFTER
