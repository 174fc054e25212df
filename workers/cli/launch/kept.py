"""Keep a program running: start it again when it ends by itself, end it when told to."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from workers.machine.processes import die_with_parent, end_all

log = logging.getLogger("workers.cli.stack")

LIVED = 10.0  # seconds after which a start counts as one that worked
GIVE_UP_AFTER = 3  # starts in a row that did not work: what is wrong will not pass
PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds before a start, doubled with each that was short
GRACE = 3.0  # seconds to end
_TICK = 0.1


class _Stop:
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def keep_running(name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run the program until it is asked to stop. Its exit status once it failed to start three times in a row; one that
    was killed did not fail.

    `environment`: by default that of this process."""
    stop, failed, short, parent = _Stop(), 0, 0, os.getpid()
    while True:
        began = time.monotonic()
        child = subprocess.Popen(command, env=environment, preexec_fn=lambda: die_with_parent(parent))
        while child.poll() is None:
            if stop.asked:
                end_all([child], GRACE)
                return 0
            time.sleep(_TICK)
        lived = time.monotonic() - began >= LIVED
        short = 0 if lived else short + 1
        failed = 0 if lived else failed + (child.returncode >= 0)
        if stop.asked or failed >= GIVE_UP_AFTER:
            return 0 if stop.asked else child.returncode or 1
        log.warning("%s ended (%s); starting it again", name, child.returncode)
        time.sleep(min(LONGEST_PAUSE, PAUSE * 2**short))
