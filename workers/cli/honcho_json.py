"""The launcher's output with CWPO_LOG=json: lines that are JSON as they come, every other one wrapped."""

import logging
from typing import Any

from honcho.printer import Printer

from workers.machine import logs


class JsonPrinter(Printer):
    """honcho's printer without its prefix of time and name."""

    def write(self, message: Any) -> None:
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        for line in text.splitlines():
            print(line if line.startswith("{") else self._wrapped(message.name or "launcher", line),
                  file=self.output, flush=True)  # fmt: skip

    def _wrapped(self, name: str, line: str) -> str:
        record = logging.LogRecord(name, logging.INFO, "", 0, "%s", (line,), None)
        return logs.formatter().format(record)
