"""What a stage stored, in words: the weights at the bottom and the adapters on them. Free of torch.

Model artifacts say in `model.json` what they are and on what they lie (cwpo/models/load.py writes it).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError
from cwpo.export.words import plain_name
from cwpo.stages.kinds import label_of

MODEL_FILE = "model.json"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A model artifact. `base` is a hub id, a folder, or a stage of this program in words."""

    fingerprint: str
    folder: Path | None  # None: its files are not on this machine
    bytes: int
    base: str
    revision: str | None
    adapters: tuple[str, ...]  # of which kinds of stages, the lowest first
    scalar: bool
    hub_base: bool  # the base can be had by everybody

    @property
    def chain(self) -> str:
        """ "facebook/opt-1.3b + adapter of SFT + adapter of Alignment"."""
        return " + ".join((self.base, *(f"adapter of {name}" for name in self.adapters)))


def stored(fingerprint: str, store: ArtifactStore) -> Stored:
    """What lies under a fingerprint; ArtifactError where it is no model, or a part of the chain is gone."""
    own, adapters, at = _form(fingerprint, store), list[str](), fingerprint
    form = own
    while form["form"] == "adapter":
        adapters.insert(0, _kind(at, store))
        parent = form["parent"]
        if "artifact" not in parent:
            name = str(parent["model"])
            return _stored(fingerprint, store, own, plain_name(name), parent["revision"], adapters, hub=_public(name))
        at = str(parent["artifact"])
        form = _form(at, store)
    return _stored(fingerprint, store, own, f"weights of {_kind(at, store)}", None, adapters, hub=False)


def _stored(
    fingerprint: str,
    store: ArtifactStore,
    form: Mapping[str, Any],
    base: str,
    revision: str | None,
    adapters: list[str],
    *,
    hub: bool,
) -> Stored:
    info = store.info(fingerprint)
    return Stored(
        fingerprint=fingerprint,
        folder=info.path if info.path.is_dir() else None,
        bytes=info.bytes,
        base=base,
        revision=revision if hub else None,
        adapters=tuple(adapters),
        scalar=form["form"] in ("annotator", "reward"),
        hub_base=hub,
    )


def _form(fingerprint: str, store: ArtifactStore) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(store.read_text(fingerprint, MODEL_FILE))
    except (KeyError, ValueError, OSError) as error:
        raise ArtifactError(f"Artifact {fingerprint[:12]} holds no model that can be read.") from error
    return found


def _kind(fingerprint: str, store: ArtifactStore) -> str:
    return label_of(str(store.info(fingerprint).meta.get("kind", "model")))


def _public(name: str) -> bool:
    """Whether a base's name is one of the hub's."""
    return plain_name(name) == name and "/" in name and not Path(name).exists()
