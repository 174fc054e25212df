"""How a labeling that the dashboard started ended: written by its process, read by the page."""

import json
from pathlib import Path

from cwpo.annotation.label_paths import read_json
from cwpo.files import write_whole
from cwpo.redaction import without_secrets

DONE, FAILED = "done", "failed"


def write(path: Path, status: str, said: str) -> None:
    """Its last act; a process that is killed writes none."""
    write_whole(path, json.dumps({"status": status, "said": without_secrets(said)}, ensure_ascii=False))


def read(path: Path) -> tuple[str, str] | None:
    """Status and sentence; None where the process did not come to its end."""
    found = read_json(path)
    if found.get("status") not in (DONE, FAILED) or not isinstance(found.get("said"), str):
        return None
    return str(found["status"]), str(found["said"])
