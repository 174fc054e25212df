"""Where things lie on disk: the files and folders under CWPO_HOME, and the checkout itself."""

from collections.abc import Callable
from pathlib import Path

from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import settings
from cwpo.config.store import store_at

ROOT = Path(__file__).resolve().parents[2]  # the checkout: Procfile, app/main.py, configs/


def home() -> Path:
    """CWPO_HOME, or var/cwpo under the current directory: artifacts, embedded database, logs."""
    return settings.home


def stack_file(base: Path) -> Path:
    """Written by the launcher while a stack runs over this home: pid, Redis address, web address."""
    return base / "stack.json"


def stack_failure(base: Path) -> Path:
    """Written by a launcher that could not start: its pid and why."""
    return base / "stack-failure.json"


def logs(base: Path) -> Path:
    """Output of the processes that the launcher started."""
    return base / "logs"


def labelings(base: Path) -> Path:
    """One record for each file that the dashboard had labeled."""
    return base / "labelings"


def uploads(base: Path) -> Path:
    """Files that people gave through the dashboard, each in a folder named by its content."""
    return base / "uploads"


def profiles(base: Path) -> Path:
    """What is known of datasets that people looked at, and pairs that they exported; a folder for each question."""
    return base / "profiles"


def exports(base: Path) -> Path:
    """Models that were exported, each a folder with a record beside it."""
    return base / "exports"


def reproduced(base: Path) -> Path:
    """Bundles that were run again here, a folder each."""
    return base / "reproduced"


def store(*, patience: float = 0.0, should_stop: Callable[[], bool] = lambda: False) -> ArtifactStore:
    """The artifact store under CWPO_HOME, which workers and `cwpo run` share; behind it that of CWPO_STORE, waited for
    `patience` seconds when it does not answer."""
    return store_at(home(), patience=patience, should_stop=should_stop)
