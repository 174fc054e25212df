"""Where things lie on disk. One function reads CWPO_HOME."""

import os
from pathlib import Path

from cwpo.artifacts import ArtifactStore

ROOT = Path(__file__).resolve().parents[2]  # the checkout: Procfile, app/main.py, configs/


def home() -> Path:
    """CWPO_HOME, or var/cwpo under the current directory: artifacts, embedded database, logs."""
    return Path(os.environ.get("CWPO_HOME") or "var/cwpo").resolve()


def stack_file(base: Path) -> Path:
    """Written by the launcher while a stack runs over this home: pid, Redis address, web address."""
    return base / "stack.json"


def logs(base: Path) -> Path:
    """Output of the processes that the launcher started."""
    return base / "logs"


def labelings(base: Path) -> Path:
    """One record for each file that the dashboard had labeled."""
    return base / "labelings"


def store() -> ArtifactStore:
    """The artifact store under CWPO_HOME, which workers and `cwpo run` share."""
    return ArtifactStore(home() / "artifacts")
