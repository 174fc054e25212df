"""An annotator that another run trained, as the artifact store keeps it. Free of torch.

What it is stands in its manifest, written when it was trained; what a configuration says of it is never asked.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from cwpo.artifacts import MANIFEST, ArtifactStore
from cwpo.errors import ArtifactError
from cwpo.stages.kinds import stored_settings
from cwpo.stages.settings import AnnotatorSettings

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
STAGE_KIND = "annotator"


@dataclass(frozen=True, kw_only=True)
class StoredAnnotator:
    """A trained scalar head: where it lies and what it was trained with."""

    fingerprint: str
    path: Path
    kind: str  # bradley_terry | joint
    model: str
    precision: str
    max_length: int | None


def is_fingerprint(text: str) -> bool:
    """Whether an annotator is named by its fingerprint, and not by a name that only a database knows."""
    return FINGERPRINT.fullmatch(text) is not None


def stored_annotator(store: ArtifactStore, fingerprint: str, *, verify: bool = False) -> StoredAnnotator:
    """The annotator of that fingerprint; ArtifactError when it is gone or something else. verify: its files are here
    afterwards, and were read."""
    there = store.find(fingerprint) is not None if verify else store.holds(fingerprint)
    if not there:
        raise ArtifactError(f"The annotator {fingerprint[:12]} is not in the store; choose another or train it.")
    meta = store.info(fingerprint).meta
    if meta.get("kind") != STAGE_KIND:
        raise ArtifactError(f"{fingerprint[:12]} is no annotator but {meta.get('kind')}; choose another.")
    settings = stored_settings(STAGE_KIND, meta["config"])
    if not isinstance(settings, AnnotatorSettings):
        raise ArtifactError(f"{fingerprint[:12]} is no annotator; choose another.")
    return StoredAnnotator(
        fingerprint=fingerprint,
        path=store.path(fingerprint),
        kind=settings.kind,
        model=settings.model,
        precision=settings.precision,
        max_length=settings.max_length,
    )


def store_of(folder: Path) -> tuple[ArtifactStore, str] | None:
    """The store and fingerprint of a folder that is an artifact where it was made; None for any other folder."""
    folder = folder.resolve()
    known = is_fingerprint(folder.name) and folder.parent.name == folder.name[:2] and (folder / MANIFEST).is_file()
    return (ArtifactStore(folder.parent.parent), folder.name) if known else None
