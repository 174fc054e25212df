"""Where a labeling of a file lies: output, finished windows, report, lock; and what can be said before it starts.

Free of torch: the page says the same sentences as `cwpo label`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cwpo import places
from cwpo.bounds import json_text
from cwpo.bounds.paths import is_file
from cwpo.data.files import SUFFIXES, suffix_of
from cwpo.errors import ConfigError, DataError
from cwpo.full_disk import when_room

FORMATS = (".jsonl", ".jsonl.gz", ".parquet")  # that can be written
WINDOW = 2_048  # pairs in memory at once; they are sorted by length inside it
JOB = "job.json"  # beside the finished windows
_MOST = 2**24  # bytes of a report or a record
SOURCE, OUT = "FILE", "--out"  # what the sentences are about


def default_out(source: Path) -> Path:
    """Beside the source: pairs.jsonl -> pairs.labeled.jsonl; a Parquet file gives a Parquet file."""
    name = source.name.removesuffix(".gz")
    ending = ".parquet" if name.lower().endswith(".parquet") else ".jsonl"
    return source.with_name(f"{name.rpartition('.')[0] or name}.labeled{ending}")


def report_of(out: Path) -> Path:
    """What was labeled and what was not, by reason."""
    return out.with_name(f"{out.name}.report.json")


def parts_of(out: Path) -> Path:
    """Finished windows, until the output is whole."""
    return out.with_name(f"{out.name}.parts")


def windows_done(out: Path) -> int:
    """How many windows of the output are finished."""
    return sum(1 for _ in parts_of(out).glob("*.sealed"))


def job_of(out: Path) -> Mapping[str, Any]:
    """Source and annotator of an existing output, whole or in part; empty where it is not from a labeling."""
    job = read_json(report_of(out)).get("job") if out.exists() else None
    return job if isinstance(job, dict) else read_json(parts_of(out) / JOB)


def format_of(out: Path) -> str:
    """The supported ending of the output file."""
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if out.name.lower().endswith(suffix):
            return suffix
    raise DataError(f"{out.name} has an ending that cannot be written: use one of {', '.join(FORMATS)}.")


def check_files(source: Path, out: Path) -> None:
    """Raise before hours of work if the source cannot be read or the output cannot be written."""
    format_of(out)
    places.check(source, SOURCE)
    places.check(out, OUT)
    if not os.path.exists(source):
        raise ConfigError(SOURCE, f"{source} does not exist; give a JSONL, JSONL.gz, Parquet or CSV file.")
    if not os.path.isfile(source):
        raise ConfigError(SOURCE, f"{source} is a folder or no plain file; give one of {', '.join(SUFFIXES)}.")
    suffix_of(source)
    if not os.access(source, os.R_OK):
        raise ConfigError(SOURCE, f"no permission to read {source}; choose a file of yours.")
    if not os.path.isdir(out.parent):
        raise ConfigError(OUT, f"the folder {out.parent} does not exist; make it, or choose another.")
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(OUT, f"no permission to write in {out.parent}; choose a folder of yours.")


def taken(out: Path) -> ConfigError:
    """The error for an output name that is in use: files are never overwritten."""
    return ConfigError(OUT, f"{out} exists and is not from this labeling; remove it, or choose another name.")


def check_report(out: Path) -> None:
    """Raise where the report's name is taken by something that is no report of a labeling."""
    path = report_of(out)
    if not os.path.lexists(path):
        return
    job = None if path.is_symlink() else read_json(path).get("job")
    if not isinstance(job, dict) or "id" not in job:
        raise ConfigError(OUT, f"{path} exists and is no report of a labeling; remove it, or choose another name.")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the lock of this output, so that no other process labels into it."""
    if os.path.islink(out.with_name(f"{out.name}.parts.lock")):
        raise ConfigError(OUT, f"{out.name}.parts.lock is a link; remove it, or choose another name.")
    lock = FileLock(out.with_name(f"{out.name}.parts.lock"))
    try:
        when_room(lambda: lock.acquire(timeout=0))
    except Timeout as error:
        raise busy(out) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def busy(out: Path) -> ConfigError:
    """The error for an output that another process is labeling into."""
    return ConfigError(OUT, f"{out.name} is being written by another labeling; wait for it.")


def read_json(path: Path) -> dict[str, Any]:
    """What a file of ours says; nothing where there is none, or where it is not ours: larger than ours ever are, or no
    file at all."""
    try:
        return json_text.read_object(path, most=_MOST) if is_file(path) else {}
    except (OSError, json_text.JsonError):
        return {}
