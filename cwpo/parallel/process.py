"""One rank as the process that started it sees it: its pipes, its last sign of life, how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from cwpo.config.environment import for_child, settings
from cwpo.parallel import lines
from cwpo.reporting import Reporter

REAP_SECONDS = 10.0  # a killed process that is still there after that waits for the kernel, not for us
MOST_THREADS = 8  # of torch on the CPU in a rank that has a card


class Rank:
    """A process that was started; one thread listens to it, another takes what it prints."""

    def __init__(self, process: "subprocess.Popen[bytes]", events: int, name: str, reporter: Reporter | None) -> None:
        assert process.stdout is not None
        self.name = name
        self.heard = time.monotonic()
        self.done: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.killed = False  # by us
        self._process, self._reporter = process, reporter
        self._tail = lines.Tail(process.stdout)
        self._listener = threading.Thread(target=self._listen, args=(events,), name="rank", daemon=True)
        self._listener.start()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def runs(self) -> bool:
        return self.code is None

    def failed(self) -> bool:
        """Whether it said so, or ended without a result."""
        return self.error is not None or self.code not in (None, 0)

    def order(self, line: bytes) -> None:
        """Write to its pipe; one that has ended already is noticed elsewhere."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def ask_to_stop(self) -> None:
        self.order(b"stop")

    def kill(self) -> None:
        """SIGKILL to it and to what it started; works where it is stopped or hangs."""
        self.killed = self.killed or self.runs()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait until it is gone and all it said was taken in."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)
        self._listener.join(REAP_SECONDS)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self) -> str:
        """The end of what it printed, for the log."""
        return f"The last output of {self.name}:\n{self._tail.text().strip() or 'none'}"

    def _listen(self, events: int) -> None:
        with os.fdopen(events, "rb") as stream:
            for name, value in lines.read(stream):
                self.heard = time.monotonic()
                self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        if name == "done":
            self.done = value
        elif name == "error":
            self.error = value
        elif self._reporter is None:
            return
        elif name == "progress":
            self._reporter.progress(*value)
        elif name == "share":
            self._reporter.share(value)
        elif name == "shown":
            self._reporter.shown(*value)
        elif name == "metrics":
            self._reporter.metrics(*value)
        elif name == "log":
            self._reporter.log(value)
        elif name == "noted":
            self._reporter.noted(value)
        elif name == "resumed":
            self._reporter.resumed(value)


def start(program: str, order: dict[str, Any], place: str, reporter: Reporter | None) -> Rank:
    """Start the process of one rank and give it its order; `reporter` gets what it reports."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", program],
            env=_environment(place, order["size"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            process_group=0,  # SIGTERM for the job is the job's business; and what a rank starts is killed with it
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    rank = Rank(process, reading, f"Rank {order['rank']} of {order['size']}", reporter)
    rank.order(lines.encoded({**order, "events": writing}))
    return rank


def _environment(place: str, size: int) -> dict[str, str]:
    """What a rank is started with: its card, its threads, and where it talks to the others: on this machine alone.

    Beside a card texts are read on several cores, as in a worker that has one."""
    threads = min(MOST_THREADS, max(1, (os.cpu_count() or 1) // size)) if place else 1
    loopback = "lo" if sys.platform.startswith("linux") else "lo0"
    return for_child(
        CWPO_PARENT_PID=str(os.getpid()),
        CUDA_VISIBLE_DEVICES=place,
        OMP_NUM_THREADS=str(threads),
        MKL_NUM_THREADS=str(threads),
        TOKENIZERS_PARALLELISM="true" if place else "false",
        GLOO_SOCKET_IFNAME=settings.gloo_interface or loopback,
        NCCL_SOCKET_IFNAME=settings.nccl_interface or loopback,
    )
