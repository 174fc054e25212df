"""The launcher's honcho: how its processes are ended, and its output with CWPO_LOG=json."""

import logging
import os
import signal
from types import FrameType
from typing import Any

from honcho import manager as honcho_manager
from honcho.compat import ProcessManager
from honcho.manager import Manager
from honcho.printer import Printer

from workers.machine import logs

_BEYOND = 5.0  # seconds that the supervisor has beyond the grace of the jobs


class StackManager(Manager):
    """Gives jobs `grace` seconds for their checkpoints; a second Ctrl-C or SIGTERM ends everything at once."""

    def __init__(self, printer: Printer | None, grace: float) -> None:
        super().__init__(printer)
        honcho_manager.KILL_WAIT = grace + _BEYOND
        self._asked = False

    def _start(self) -> None:
        """Called when honcho listens to both signals, before its first process starts."""
        honchos: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def hear(number: int, frame: FrameType | None) -> None:
            if self._asked and self._all_started():
                self.kill()
                return
            self._asked = True
            if number == signal.SIGINT:
                self._procmgr = _Interrupting()
                self._system_print("jobs finish their step and write a checkpoint; Ctrl-C again ends them at once\n")
            honchos[number](number, frame)

        for number in honchos:
            signal.signal(number, hear)
        super()._start()


class _Interrupting(ProcessManager):
    """Passes Ctrl-C on as what it is, so that the supervisor knows that a person waits."""

    def terminate(self, pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGINT)
        except ProcessLookupError:
            return


class JsonPrinter(Printer):
    """honcho's printer without its prefix of time and name: lines that are JSON as they come, others wrapped."""

    def write(self, message: Any) -> None:
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        for line in text.splitlines():
            print(line if line.startswith("{") else self._wrapped(message.name or "launcher", line),
                  file=self.output, flush=True)  # fmt: skip

    def _wrapped(self, name: str, line: str) -> str:
        record = logging.LogRecord(name, logging.INFO, "", 0, "%s", (line,), None)
        return logs.formatter().format(record)
