"""What a job and its ranks say to each other: JSON values, one a line; and the end of what a process prints."""

import json
import threading
from collections.abc import Iterator
from typing import IO, Any

LONGEST = 16 * 2**20  # bytes of one line
KEPT = 2**14  # bytes of a process' output


class LineTooLong(ValueError):
    """A value that nobody would read back."""


def encoded(value: Any) -> bytes:
    """A value as one line, without its end."""
    return json.dumps(value).encode()


class Writer:
    """Sends named values; several threads may."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, name: str, value: Any = None) -> None:
        line = encoded([name, value]) + b"\n"
        if len(line) > LONGEST:
            raise LineTooLong(f"{name} has {len(line)} bytes; at most {LONGEST} can be sent.")
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def read(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Named values until the other side ends; a line that its death cut short is none."""
    while (line := stream.readline(LONGEST)).endswith(b"\n"):
        name, value = json.loads(line)
        yield name, value


class Tail:
    """Reads all that a process prints, as fast as it comes, and keeps the last of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._kept, self._bytes = bytearray(), 0
        self._thread = threading.Thread(target=self._drain, name="output", daemon=True)
        self._thread.start()

    def text(self, seconds: float = 1.0) -> str:
        """The last of it, once the process has ended; what is cut off is counted."""
        self._thread.join(seconds)
        with self._lock:
            kept, cut = bytes(self._kept[-KEPT:]).decode(errors="replace"), self._bytes - len(self._kept[-KEPT:])
        return f"… {cut} bytes before\n{kept}" if cut else kept

    def _drain(self) -> None:
        while part := self._stream.read1(2**16):  # type: ignore[attr-defined]
            with self._lock:
                self._kept += part
                self._bytes += len(part)
                if len(self._kept) > 2 * KEPT:
                    del self._kept[:-KEPT]
