"""Labelings that the dashboard started: a process of its own each, a record under CWPO_HOME/labelings, how far it is.

The process is `cwpo label`: what a page knows of it are its files and what it wrote of its end. Free of torch.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from cwpo.annotation import label_paths
from cwpo.errors import ConfigError
from cwpo.files import write_whole
from workers.machine.paths import home, labelings, logs
from workers.machine.processes import allocator_environment, running, start_apart
from workers.queue import labeling_end

RUNNING, DONE, FAILED, STOPPED = "running", labeling_end.DONE, labeling_end.FAILED, "stopped"
SHOWN = 5  # newest labelings of an annotator


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was started, as it is kept."""

    annotator: str  # as it was asked for
    fingerprint: str
    source: str
    out: str
    pid: int
    started_at: str


@dataclass(frozen=True, kw_only=True)
class Labeling:
    """A labeling as it stands now. `said`: its result, its progress or why it ended, in one sentence."""

    annotator: str
    source: Path
    out: Path
    started_at: datetime
    status: str
    said: str


def paths(source: str, out: str = "") -> tuple[Path, Path]:
    """Absolute paths, ~ and the working directory filled in; links stay links, because their names have the ending."""
    if not source.strip():
        raise ConfigError(label_paths.SOURCE, "give the path of a JSONL, JSONL.gz, Parquet or CSV file.")
    where = _absolute(source)
    return where, _absolute(out) if out.strip() else label_paths.default_out(where)


def start(annotator: str, fingerprint: str, source: Path, out: Path) -> Labeling:
    """Check what can be checked at once, start the process, keep the record."""
    label_paths.check_files(source, out)
    folder = labelings(home())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # two clicks at once are one labeling
        _check_free(out, fingerprint)
        _end_of(out).unlink(missing_ok=True)
        command = [sys.executable, "-m", "workers.cli.main", "label", annotator, str(source), "--out", str(out)]
        command += ["--state", str(_end_of(out))]
        record = Record(
            annotator=annotator,
            fingerprint=fingerprint,
            source=str(source),
            out=str(out),
            pid=start_apart(command, _log_of(out), CWPO_HOME=str(home()), **allocator_environment()),
            started_at=datetime.now(UTC).isoformat(),
        )
        write_whole(_record_of(out), json.dumps(asdict(record), indent=1))
    return _labeling(record)


def stop(out: Path) -> None:
    """End the process; finished windows stay."""
    record = _read(_record_of(out))
    if record is not None and (process := _process(record)) is not None:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.wait(5)


def newest(fingerprint: str, most: int = SHOWN) -> list[Labeling]:
    """The newest labelings with this annotator, newest first."""
    records = [record for path in labelings(home()).glob("*.json") if (record := _read(path)) is not None]
    mine = [record for record in records if record.fingerprint == fingerprint]
    mine.sort(key=lambda record: record.started_at, reverse=True)
    return [_labeling(record) for record in mine[:most]]


def summary(report: Mapping[str, Any]) -> str:
    """What was written and what was not, by reason."""
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in report["rejected"].items()) or "none"
    return (
        f"{report['labeled']:,} of {report['rows']:,} rows labeled, mean confidence {report['mean_confidence']:.3f}; "
        f"left out: {rejected}; prompts cut at the annotator's context: {report['prompts_cut']:,}."
    )


def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text.strip())))


def _check_free(out: Path, fingerprint: str) -> None:
    """No other labeling is at it, and no other file has its name. Its process checks both again, with the content."""
    record = _read(_record_of(out))
    if record is not None and _process(record) is not None:
        raise label_paths.busy(out)
    if out.exists() and label_paths.job_of(out).get("weights") != fingerprint:
        raise label_paths.taken(out)
    label_paths.check_report(out)
    with label_paths.alone(out):
        pass


def _labeling(record: Record) -> Labeling:
    status, said = _state(record)
    return Labeling(
        annotator=record.annotator,
        source=Path(record.source),
        out=Path(record.out),
        started_at=datetime.fromisoformat(record.started_at),
        status=status,
        said=said,
    )


def _state(record: Record) -> tuple[str, str]:
    """From the process, what it wrote of its end, and its files."""
    out = Path(record.out)
    if _process(record) is not None:
        return RUNNING, _progress(out)
    status, said = labeling_end.read(_end_of(out)) or (STOPPED, "")
    if status == FAILED:
        return FAILED, said
    report = _report(record)
    if report is not None:
        return DONE, summary(report)
    if status == DONE:
        return DONE, "It was finished, and its file is gone or another one since."
    return STOPPED, f"It was stopped before its end. {_kept(out)}"


def _progress(out: Path) -> str:
    rows = label_paths.windows_done(out) * label_paths.WINDOW
    return f"about {rows:,} rows so far" if rows else f"the first {label_paths.WINDOW:,} rows are not finished yet"


def _kept(out: Path) -> str:
    rows = label_paths.windows_done(out) * label_paths.WINDOW
    return f"About {rows:,} rows are kept; it goes on there." if rows else "Nothing of it was finished yet."


def _report(record: Record) -> Mapping[str, Any] | None:
    """The report of this annotator and file; None where there is no such file, or it says something else."""
    out = Path(record.out)
    found = label_paths.read_json(label_paths.report_of(out))
    same = (label_paths.job_of(out).get("weights"), found.get("source"))
    if not out.exists() or same != (record.fingerprint, os.path.realpath(record.source)):
        return None
    try:
        summary(found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return found


def _process(record: Record) -> psutil.Process | None:
    return running(record.pid, record.out)


def _record_of(out: Path) -> Path:
    return labelings(home()) / f"{_key(out)}.json"


def _end_of(out: Path) -> Path:
    return labelings(home()) / f"{_key(out)}.end"


def _log_of(out: Path) -> Path:
    return logs(home()) / f"label-{_key(out)}.log"


def _key(out: Path) -> str:
    """One labeling a file: a second one of the same file takes the place of the first."""
    return hashlib.sha256(str(out).encode()).hexdigest()[:16]


def _read(path: Path) -> Record | None:
    try:
        return Record(**label_paths.read_json(path))
    except TypeError:
        return None
