"""Models that the dashboard exports or sends to the hub: a process of its own each, records under CWPO_HOME/exports.

The process is `cwpo export` or `cwpo push`. What a page knows of it is the file in which it says how far it is, and
whether it lives. Free of torch.
"""

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock

from cwpo.annotation.label_paths import read_json
from cwpo.errors import ConfigError
from cwpo.export import words
from cwpo.export.words import Report
from cwpo.files import PARTIAL, write_whole
from cwpo.redaction import without_secrets
from workers.machine.paths import exports, home, logs
from workers.machine.processes import allocator_environment, running, start_apart

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is exported, and where it is sent."""

    run: int
    stage: str
    form: str
    dtype: str
    repo: str = ""
    private: bool = True
    existing: bool = False

    @property
    def name(self) -> str:
        """Of the folder."""
        return f"run-{self.run}-{self.stage}-{self.form}-{self.dtype}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was started, as it is kept."""

    wanted: Wanted
    pid: int
    started_at: str


@dataclass(frozen=True, kw_only=True)
class Export:
    """An export, or what sends it to the hub, as it stands now. `said`: its result, progress or why it ended."""

    wanted: Wanted
    folder: Path
    started_at: datetime
    status: str
    said: str
    report: Report | None
    bytes: int


def folder_of(wanted: Wanted) -> Path:
    """Where the model lies when it is done."""
    return exports(home()) / wanted.name


def start(wanted: Wanted) -> Export:
    """Start the process and keep the record; one that is done or at it is not started again."""
    words.check_choice(wanted.stage, wanted.dtype)
    place = exports(home())
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):  # two clicks at once are one export
        record = _read(_record_of(wanted))
        if record is not None and (process := _process(record)) is not None:
            if read_json(_state_of(wanted)).get("status") not in (DONE, FAILED):
                raise ConfigError("run", f"{wanted.run}: this is being done already; wait for it, or stop it.")
            with contextlib.suppress(psutil.Error):
                process.wait(10)  # it has said its last word
        _state_of(wanted).unlink(missing_ok=True)
        pid = start_apart(_command(wanted), _log_of(wanted), CWPO_HOME=str(home()), **allocator_environment())
        record = Record(wanted=wanted, pid=pid, started_at=datetime.now(UTC).isoformat())
        write_whole(_record_of(wanted), json.dumps(asdict(record), indent=1))
    return _export(record)


def stop(wanted: Wanted) -> None:
    """End the process; nothing half-made gets the name of the whole."""
    record = _read(_record_of(wanted))
    if record is not None and (process := _process(record)) is not None:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.wait(5)
    for left in folder_of(wanted).parent.glob(f".{wanted.name[:40]}.*{PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def remove(wanted: Wanted) -> None:
    """Stop it, and delete the folder and what is known of it."""
    stop(wanted)
    if not wanted.repo:
        shutil.rmtree(folder_of(wanted), ignore_errors=True)
    _record_of(wanted).unlink(missing_ok=True)
    _state_of(wanted).unlink(missing_ok=True)


def of_run(run: int) -> list[Export]:
    """All of a run, newest first; what was sent to the hub among them."""
    records = [record for path in exports(home()).glob(f"run-{run}-*.json") if (record := _read(path)) is not None]
    records.sort(key=lambda record: record.started_at, reverse=True)
    return [_export(record) for record in records]


def say(path: Path | None, status: str, said: str) -> None:
    """Called by the process: how far it is, or how it ended."""
    if path is not None:
        write_whole(path, json.dumps({"status": status, "said": without_secrets(said)}, ensure_ascii=False))


def _command(wanted: Wanted) -> Sequence[str]:
    verb = ["push", str(wanted.run), wanted.repo] if wanted.repo else ["export", str(wanted.run)]
    command = [sys.executable, "-m", "workers.cli.main", *verb, "--stage", wanted.stage, "--dtype", wanted.dtype]
    command += ["--merged"] if wanted.form == words.MERGED and not wanted.repo else []
    command += [] if wanted.repo else ["--to", str(folder_of(wanted))]
    command += ["--public"] if wanted.repo and not wanted.private else []
    command += ["--existing"] if wanted.repo and wanted.existing else []
    return [*command, "--state", str(_state_of(wanted))]


def _export(record: Record) -> Export:
    wanted = record.wanted
    folder = folder_of(wanted)
    report = words.read_report(folder)
    status, said = _state(record, report)
    return Export(
        wanted=wanted,
        folder=folder,
        started_at=datetime.fromisoformat(record.started_at),
        status=status,
        said=said,
        report=report,
        bytes=words.size_of(folder) if report is not None else 0,
    )


def _state(record: Record, report: Report | None) -> tuple[str, str]:
    """From the process, what it wrote, and the folder."""
    runs = _process(record) is not None  # before its end is read, which it writes while it runs
    found = read_json(_state_of(record.wanted))
    status, said = str(found.get("status", "")), str(found.get("said", ""))
    if status not in (DONE, FAILED) and runs:
        return RUNNING, said or "starting"
    if status in (DONE, FAILED):
        gone = status == DONE and report is None and not record.wanted.repo
        return (STOPPED, "It was finished, and its folder is gone since.") if gone else (status, said)
    return STOPPED, "It was stopped before its end; nothing of it is kept."


def _process(record: Record) -> psutil.Process | None:
    return running(record.pid, str(_state_of(record.wanted)))


def _record_of(wanted: Wanted) -> Path:
    return exports(home()) / f"{_key(wanted)}.json"


def _state_of(wanted: Wanted) -> Path:
    return exports(home()) / f"{_key(wanted)}.state"


def _log_of(wanted: Wanted) -> Path:
    return logs(home()) / f"export-{_key(wanted)}.log"


def _key(wanted: Wanted) -> str:
    """One export a folder, and one push a repository."""
    return f"{wanted.name}.to.{wanted.repo.replace('/', '--')}" if wanted.repo else wanted.name


def _read(path: Path) -> Record | None:
    found = read_json(path)
    try:
        return Record(**{**found, "wanted": Wanted(**found["wanted"])})
    except (TypeError, KeyError):
        return None
