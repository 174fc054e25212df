"""A disk that is full at every place where something is written below a folder: twice at each, then it has room."""

import builtins
import errno
import io
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import safetensors.torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cwpo.training import checkpoints

_WRITES = re.compile(r"[wxa+]")
_CHANGING = re.compile(r"[0-9a-f]{8,}|\d+")  # of a name: fingerprints, steps, process numbers
_ARGUMENT: dict[tuple[Any, str], int] = {  # which argument says where it is written
    (os, "mkdir"): 0, (os, "rename"): 0, (os, "replace"): 0, (os, "link"): 1, (os, "fsync"): 0,
    (pq, "write_table"): 1, (pq.ParquetWriter, "__init__"): 1, (checkpoints, "save_file"): 1,
    (safetensors.torch, "save_file"): 1, (PreTrainedModel, "save_pretrained"): 1,
    (PreTrainedTokenizerBase, "save_pretrained"): 1,
}  # fmt: skip


class FullDisk:
    """`met`: place -> how often something was to be written there; `about` goes before the place's name. `only`: some
    of the places. Files are full at their end, too: the second error comes when all is written."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, only: Callable[[str], bool] = lambda place: True):
        self.met: Counter[str] = Counter()
        self.about = ""
        self._folder, self._only = str(folder), only
        for (owner, name), argument in _ARGUMENT.items():
            self._watch(patch, owner, name, argument)
        for owner in (builtins, io):
            self._watch(patch, owner, "open", 0, lambda values: _WRITES.search(str([*values, "r"][1])))
        self._watch(patch, os, "open", 0, lambda values: values[1] & os.O_CREAT)

    def places(self) -> list[str]:
        return sorted(self.met)

    def _watch(
        self, patch: pytest.MonkeyPatch, owner: Any, name: str, argument: int,
        writes: Callable[[tuple[Any, ...]], Any] = lambda values: True,
    ) -> None:  # fmt: skip
        real = getattr(owner, name)

        def call(*values: Any, **named: Any) -> Any:
            where = _below(values[argument], self._folder) if len(values) > argument and writes(values) else None
            place = f"{self.about} {name} {where}".strip()
            if where is None or not self._only(place):
                return real(*values, **named)
            self.met[place] += 1
            if self.met[place] == 1:
                raise full(place)
            done = real(*values, **named)
            if self.met[place] == 2 and name in ("write_table", "save_file", "save_pretrained", "fsync", "open"):
                if name == "open":  # the name is there, and not a byte of what it is to hold
                    os.close(done) if isinstance(done, int) else done.close()
                raise full(place)
            return done

        patch.setattr(owner, name, call)


def full(place: str) -> OSError:
    """What the system says."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)


def _below(path: Any, folder: str) -> str | None:
    """A short name of a path below the folder, None for anything else."""
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not str(text).startswith(folder):
        return None
    return _CHANGING.sub("*", str(text).removeprefix(folder).lstrip("/"))
