"""A process that ends with the one that started it, however that one ended. Quick to import."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None, sig: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux for `sig` when the parent ends; leave at once when it ended before we could ask.

    `parent` is the pid that started us as it told us; without it the current parent is taken. Survives exec. Elsewhere
    than on Linux the supervisor's own SIGTERM is all there is.
    """
    expected = parent if parent is not None else os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sig))
    if os.getppid() != expected:
        os._exit(1)


def end_with(stream: BinaryIO, heard: Callable[[bytes], None]) -> None:
    """Hand each line of the parent's pipe to `heard`; when the pipe ends, so does this process, whatever it does."""

    def listen() -> None:
        for line in stream:
            heard(line)
        os._exit(1)

    threading.Thread(target=listen, name="parent", daemon=True).start()
