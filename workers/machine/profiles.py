"""Datasets that are being looked at: a process of its own each, a folder under CWPO_HOME/profiles, how far it is.

The process is `cwpo.data.profile.main`; what a page knows of it is in its folder. Free of torch.
"""

import contextlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from cwpo.data.profile import job as jobs
from cwpo.data.profile.job import Job
from cwpo.errors import DataError
from cwpo.files import write_whole
from workers.machine.paths import home, profiles
from workers.machine.processes import running, start_apart

NONE, RUNNING, DONE, FAILED, STOPPED = "none", "running", jobs.DONE, jobs.FAILED, "stopped"
MOST_AT_ONCE = 3
MOST_KEPT = 200  # folders
_PROCESS, _LOG = "process.json", "log"
# One thread, and no torch, which the datasets library would import to read a stream.
_LEAN = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "USE_TORCH": "0"}
BUSY = "{} datasets are being read: wait until one is finished, or stop it."


@dataclass(frozen=True, kw_only=True)
class State:
    """How a job stands. `said`: how far it is, or why it failed; `result` where it is done."""

    status: str
    said: str = ""
    result: dict[str, Any] | None = None


def folder_of(job: Job) -> Path:
    return profiles(home()) / job.key()


def start(job: Job, *, again: bool = False) -> None:
    """Start its process, unless it runs or was done already."""
    folder, root = folder_of(job), profiles(home())
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):  # two clicks at once are one process
        now = state(job)
        if now.status == RUNNING or (now.status == DONE and not again):
            return
        if sum(_reads(one) for one in root.iterdir() if one.is_dir()) >= MOST_AT_ONCE:
            raise DataError(BUSY.format(MOST_AT_ONCE))
        _tidy(root)
        for name in (jobs.PROGRESS, jobs.RESULT, jobs.END, jobs.PAIRS):
            (folder / name).unlink(missing_ok=True)
        jobs.write(folder, job)
        command = [sys.executable, "-m", "cwpo.data.profile.main", str(folder)]
        pid = start_apart(command, folder / _LOG, CWPO_HOME=str(home()), **_LEAN)
        write_whole(folder / _PROCESS, json.dumps({"pid": pid}))


def stop(job: Job) -> None:
    """End its process; nothing of it is kept."""
    process = _process(folder_of(job))
    if process is not None:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.wait(5)


def state(job: Job) -> State:
    """From the process, what it wrote of its end, and what it found."""
    folder = folder_of(job)
    runs = _process(folder) is not None  # before its end is read, which it writes while it runs
    end = jobs.found(folder, jobs.END)
    if end.get("status") == DONE and (result := jobs.found(folder, jobs.RESULT)):
        return State(status=DONE, result=result)
    if end.get("status") == FAILED:
        return State(status=FAILED, said=str(end.get("said", "")))
    if runs:
        progress = jobs.found(folder, jobs.PROGRESS)
        return State(status=RUNNING, said=f"{progress.get('done', 0):,} {progress.get('what', 'rows read')}")
    return State(status=STOPPED if (folder / _PROCESS).exists() else NONE)


def pairs_file(job: Job) -> Path | None:
    """The exported pairs, once they are whole."""
    file = folder_of(job) / jobs.PAIRS
    return file if state(job).status == DONE and file.is_file() else None


def newest(most: int) -> list[Job]:
    """What was looked at last, the newest first; a part of a dataset is there once."""
    found = []
    for folder in sorted(_folders(profiles(home())), key=_age, reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(jobs.read(folder))
    seen: dict[tuple[str, str | None, str | None], Job] = {}
    for job in found:
        if job.kind in ("first", "profile"):
            seen.setdefault((job.source, job.subset, job.revision), job)
    return list(seen.values())[:most]


def _process(folder: Path) -> psutil.Process | None:
    pid = jobs.found(folder, _PROCESS).get("pid")
    return running(pid, str(folder)) if isinstance(pid, int) else None


def _reads(folder: Path) -> bool:
    """Whether its process has something left to do; one that said how it ended is on its way out."""
    return not jobs.found(folder, jobs.END) and _process(folder) is not None


def _folders(root: Path) -> list[Path]:
    return [one for one in root.iterdir() if one.is_dir()] if root.is_dir() else []


def _age(folder: Path) -> float:
    try:
        return (folder / jobs.JOB).stat().st_mtime
    except OSError:
        return 0.0


def _tidy(root: Path) -> None:
    """The oldest go, with their exports."""
    for folder in sorted(_folders(root), key=_age, reverse=True)[MOST_KEPT:]:
        if _process(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
