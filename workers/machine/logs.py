"""How our processes log: one line a record, with worker, run and stage as fields.

Text for a terminal or a file, JSON lines with CWPO_LOG=json. What people asked for, tables and results, is printed.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import TextIO

from cwpo.config.environment import settings
from cwpo.errors import CwpoError, is_out_of_memory, sentence_of
from cwpo.redaction import without_secrets
from db.errors import DatabaseError
from workers.machine import patience

FIELDS = ("worker", "run", "stage")
Value = str | int | None

# What the lines of this block of work are about; a thread that works for it is started in a copy of the context.
_about: ContextVar[Mapping[str, Value]] = ContextVar("about", default=MappingProxyType({}))

_configuring = threading.Lock()


@contextmanager
def about(**fields: Value) -> Iterator[None]:
    """Lines that are logged inside the block say which worker, run or stage they are about."""
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise ValueError(f"Unknown fields of a log line: {sorted(unknown)}; choose from {', '.join(FIELDS)}.")
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(*, worker: str | None = None) -> None:
    """Send this process's log to stderr; a second call changes the form, not the number of lines.

    `worker`: the name of the worker whose process this is, on every line.
    """
    root = logging.getLogger()
    handler = _ToStderr(worker)
    handler.setFormatter(_Text())
    with _configuring:  # pages of several people are drawn at the same time
        root.handlers = [one for one in root.handlers if not isinstance(one, _ToStderr)] + [handler]
    root.setLevel(logging.WARNING)
    for name in ("app", "workers", "cwpo", "db"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)  # it sets itself to INFO when it is imported
    if sys.excepthook is not _say_uncaught:
        sys.excepthook = _say_unhandled
    if worker is not None:
        logging.captureWarnings(True)  # what libraries warn of is a line of the log, too
    handler.setFormatter(formatter())  # last: that CWPO_LOG is wrong has to be said too


def say_uncaught() -> None:
    """In a process of ours, what nobody catches is said in a sentence where it has one."""
    sys.excepthook = _say_uncaught
    threading.excepthook = lambda thrown: _say_uncaught(thrown.exc_type, thrown.exc_value, thrown.exc_traceback)


def sentence(error: BaseException | None) -> str | None:
    """What is said of an error whose cause is known, in place of its traceback; None for all others."""
    if isinstance(error, DatabaseError):
        return str(error)
    if error is not None and patience.passes(error):
        return f"Redis does not answer ({error})."
    if isinstance(error, CwpoError) or (error is not None and is_out_of_memory(error)):
        return sentence_of(error)
    return None


def _say_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """A sentence, or what the interpreter prints, without secrets."""
    said = sentence(error)
    if said is not None:
        logging.getLogger("workers").error("%s", said)
    else:
        _say_unhandled(kind, error, trace)


def _say_unhandled(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """As the interpreter does it, without secrets."""
    if error is None or issubclass(kind, SystemExit):
        return
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def formatter() -> logging.Formatter:
    """As CWPO_LOG asks for it."""
    return _Json() if settings.log_format == "json" else _Text()


def take_over(mark: str) -> None:
    """Loggers of a library that have a console handler of their own, kept under the attribute `mark`, use ours."""
    for logger in list(logging.Logger.manager.loggerDict.values()):
        own = getattr(logger, mark, None)
        if isinstance(logger, logging.Logger) and own in logger.handlers:
            logger.removeHandler(own)
            logger.propagate = True


class _ToStderr(logging.StreamHandler[TextIO]):
    """Whatever sys.stderr is at the moment; fills in the fields that the record does not bring itself."""

    def __init__(self, worker: str | None) -> None:
        logging.Handler.__init__(self)
        self._worker = worker

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handle(self, record: logging.LogRecord) -> bool:
        known = {"worker": self._worker, **_about.get()}
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, known.get(name))
        return super().handle(record)


class _Text(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO workers.queue.job worker=a run=7 stage=align#12: message`"""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items() if value is not None)
        line = f"{_time(record)} {record.levelname} {record.name}{fields}: {_message(record)}"
        trace = _trace(self, record)
        return without_secrets(f"{line}\n{trace}" if trace else line)


class _Json(logging.Formatter):
    """One object a line, also where the message or a traceback has several."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname, **_fields(record), "logger": record.name,
                "message": without_secrets(_message(record))}  # fmt: skip
        if trace := _trace(self, record):
            line["traceback"] = without_secrets(trace)
        return json.dumps(line, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, Value]:
    return {name: getattr(record, name, None) for name in FIELDS}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    """With the sentence of the error that it was logged with, where there is one."""
    said = sentence(record.exc_info[1]) if record.exc_info else None
    words = record.getMessage()
    return words if said is None or said in words else f"{words.rstrip('.')}: {said}"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback, for an error whose cause is not known."""
    if not record.exc_info or sentence(record.exc_info[1]) is not None:
        return ""
    return formatter.formatException(record.exc_info)
