"""The artifact store of a home: its folder alone, or with the store that CWPO_STORE names behind it."""

from collections.abc import Callable
from pathlib import Path

from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import settings
from cwpo.object_store import ObjectStore

STORE_PATIENCE = 120.0  # seconds that a stage waits for a shared store that does not answer


def store_at(home: Path, *, patience: float = 0.0, should_stop: Callable[[], bool] = lambda: False) -> ArtifactStore:
    """The store under a home, shared where CWPO_STORE is set. `patience`: seconds that a shared store which does not
    answer is waited for, unless `should_stop` says yes meanwhile."""
    return ArtifactStore(home / "artifacts", shared_store(patience=patience, should_stop=should_stop))


def shared_store(*, patience: float = 0.0, should_stop: Callable[[], bool] = lambda: False) -> ObjectStore | None:
    """The store that CWPO_STORE names."""
    url = settings.store_url
    return None if url is None else ObjectStore(url, patience=patience, should_stop=should_stop)
