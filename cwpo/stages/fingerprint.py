"""The fingerprint of a stage: kind, version, settings and the fingerprints of its inputs. Runs share equal ones.

Device, threads, micro-batches and library versions do not enter. Local files and folders enter by their content.
"""

from collections.abc import Mapping
from typing import Any

from cwpo.config.run import digest
from cwpo.stages.kinds import kind_of
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import Settings

# Where a revision is a content hash, it stands for the path too.
_PINNED = (("dataset", "revision"), ("model", "revision"), ("name", "revision"), ("tokenizer", "tokenizer_revision"))


def fingerprint(settings: Settings, inputs: Mapping[str, str], *, salt: str) -> str:
    """The sha256 of all that decides a stage's result. inputs: name -> fingerprint; `salt` forces a fresh execution."""
    kind = kind_of(settings)
    parts = {"kind": kind.name, "version": kind.version, "config": identity(to_plain(settings)), "inputs": dict(inputs)}
    return digest({**parts, "salt": salt})


def identity(value: Any) -> Any:
    """`value` with every local file or folder named by its content hash, so that a path never enters a fingerprint."""
    if not isinstance(value, Mapping):
        return value
    named = {key: identity(item) for key, item in value.items()}
    for name, revision in _PINNED:
        pin = named.get(revision)
        if name in named and isinstance(pin, str) and pin.startswith("sha256:"):
            named[name] = pin
    return named
