"""The process of one job: `python -m cwpo.data.profile.main FOLDER` does what FOLDER/job.json asks for."""

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from cwpo.data.profile import job as jobs
from cwpo.errors import CwpoError, sentence_of
from cwpo.files import write_whole
from cwpo.redaction import without_secrets

REPORT_SECONDS = 0.5


class _Progress:
    """Says how far it is, at most twice a second."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._last = folder, 0.0

    def __call__(self, done: int, what: str) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_SECONDS:
            self._last = now
            write_whole(self._folder / jobs.PROGRESS, json.dumps({"done": done, "what": what}))


def run(folder: Path) -> None:
    """Do the job, write what it found, and last how it ended."""
    try:
        write_whole(folder / jobs.RESULT, json.dumps(_do(folder), ensure_ascii=True))
    except CwpoError as error:
        jobs.end(folder, jobs.FAILED, str(error))
    except Exception as error:
        print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr)
        jobs.end(folder, jobs.FAILED, sentence_of(error))
    else:
        jobs.end(folder, jobs.DONE)


def _do(folder: Path) -> dict[str, Any]:
    job, report = jobs.read(folder), _Progress(folder)
    if job.kind == "first":
        from cwpo.data.profile.preview import preview

        return preview(job, report)
    if job.kind == "profile":
        from cwpo.data.profile.compute import profile

        return profile(job, report)
    from cwpo.data.profile.export import export, export_run

    return export(job, folder, report) if job.kind == "export" else export_run(job, folder, report)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
