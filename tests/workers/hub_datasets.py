"""A hub on the loopback with datasets in parts, and what processes need to ask it."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_server import Files, Hub, Repo, serve

PARTS, ONE = "tiny/parts", "tiny/one"  # of two configurations, of which one is no folder's name; and of none
NAMES = "clean, chats, talk"  # what can be a subset of the first
COLUMNS = {"instruction": "ask", "chosen": "win", "rejected": "lose"}  # that nobody could guess
FILES = (520, 80)  # rows of the two files of `clean`
OLD = 30  # rows of `clean` at the branch `old`
CHATS = 12  # rows of `chats`, in a known form
_CARD = b"""---
configs:
- config_name: clean
  data_files:
  - split: train
    path: clean/*.jsonl
- config_name: chats
  data_files:
  - split: train
    path: talk/*.jsonl
---
"""
_HIDDEN = ("hf_", "transformers_", "http_proxy", "https_proxy", "all_proxy")


@contextmanager
def hub_in_parts() -> Iterator[Hub]:
    """The hub, for as long as the block lasts."""
    main: Files = {
        "README.md": _CARD, "clean/0.jsonl": _rows(0, FILES[0]), "clean/1.jsonl": _rows(*FILES),
        "talk/0.jsonl": _lines({"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "no"} for n in range(CHATS)),
    }  # fmt: skip
    old: Files = {
        "README.md": _CARD, "clean/0.jsonl": _rows(0, OLD), "talk/0.jsonl": main["talk/0.jsonl"],
        "talk/1.jsonl": b"no rows",
    }  # fmt: skip
    repos = [
        Repo("dataset", PARTS, {"main": main, "old": old}),
        Repo("dataset", ONE, {"main": {"rows.jsonl": _rows(0, 20)}}),
    ]
    with serve(repos) as running:
        yield running


def reach(hub: Hub, home: Path, patch: pytest.MonkeyPatch) -> None:
    """From now on this process and those that it starts ask this hub, with caches below `home`."""
    for name in [name for name in os.environ if name.lower().startswith(_HIDDEN)]:
        patch.delenv(name)
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "NO_PROXY": "127.0.0.1"}
    for name, value in own.items():
        patch.setenv(name, value)
    patch.setattr(constants, "ENDPOINT", hub.url)  # which was read when the client was imported
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hf" / "hub"))


def downloaded(hub: Hub) -> set[str]:
    """Names of data files whose content was asked for."""
    paths = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    return {name for path in paths if (name := path.split("/resolve/", 1)[1].split("/", 1)[1]).endswith(".jsonl")}


def _rows(first: int, count: int) -> bytes:
    numbers = range(first, first + count)
    return _lines({"ask": f"What is {n}?", "win": f"{n}, of course", "lose": "no"} for n in numbers)


def _lines(rows: Iterable[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
