"""What a backup is: a plain tar whose first member says what it is, and whose last holds the sha256 of all others.

`backup.json`; `database/<table>/<number>.jsonl.gz`, rows as JSON lists; `home/…`, files of CWPO_HOME; `end.json`. It is
written and read from front to back, so that neither memory nor disk ever holds more than the file itself.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from cwpo.errors import DataError
from cwpo.evaluation.judges import ledger

FORMAT = 1
HEADER, END = "backup.json", "end.json"
DATABASE, HOME = "database", "home"
ARTIFACTS = "artifacts"
PURCHASES = f"{ARTIFACTS}/{ledger.FOLDER}"  # replies of judges that were paid for; of no artifact
FOLDERS = ("uploads", "profiles", "labelings")  # of the home, beside the artifacts
MODELS = ("models", "converted", "exports")  # which can be made again
MOST_OF_A_PART = 256 << 20  # bytes of rows in one member, unpacked; what is written has a few MB
MOST_OF_A_LIST = 1 << 30  # bytes of the first and of the last member
CHUNK = 1 << 20
PART = re.compile(rf"{DATABASE}/([a-z_]+)/\d{{6}}\.jsonl\.gz")


class Damaged(DataError):
    """A file is no backup, or is not as it was written."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"{file} is no whole backup ({what}): take another one; nothing was restored.")


def is_plain(name: str) -> bool:
    """Whether a name of a member leads into one of the folders of the home that a backup has, and nowhere else."""
    path = PurePosixPath(name)
    parts = path.parts
    inside = len(parts) > 2 and parts[0] == HOME and parts[1] in (ARTIFACTS, *FOLDERS, *MODELS)
    return inside and ".." not in parts and "\0" not in name and str(path) == name


def field(values: Any, name: str, kind: type) -> Any:
    """A field of a JSON object that must be of this kind; ValueError where it is not."""
    found = values.get(name) if isinstance(values, dict) else None
    if not isinstance(found, kind):
        raise ValueError(f"{name} is missing")
    return found
