"""What a model folder says of itself, held against its files: no pickle, no other folder, no size out of nothing.

Free of torch. Asked at submission and again before a model is made.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cwpo.bounds import json_text
from cwpo.errors import ModelError

MOST_CONFIG = 16 << 20  # bytes
MOST_INDEX = 256 << 20  # bytes
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"  # beside whole weights it would put what it names on top of them
MOST_OF: Mapping[str, int] = {"layers": 10_000, "labels": 10_000, "experts": 10_000, "heads": 10_000}
MOST_SIZE = 1 << 31
PER_BYTE = 4  # parameters that a byte of weights can stand for at most: 4 bits have two, and some are tied
SPARE = 50_000_000  # parameters that a model may have beyond: a new head, tables that are computed
_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]*\.safetensors")


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a folder; ModelError in one sentence where it is none, or names sizes that no model has."""
    try:
        config = json_text.read_object(folder / "config.json", most=MOST_CONFIG)
    except (OSError, json_text.JsonError) as error:
        why = f" ({error})" if isinstance(error, json_text.JsonError) else ""
        raise ModelError(
            f"{name} has no readable config.json{why}: name a model folder or repository of transformers."
        ) from error
    for field, value in _numbers(config, ""):
        most = next((most for word, most in MOST_OF.items() if word in field.rpartition(".")[2]), MOST_SIZE)
        if abs(value) > most:
            raise ModelError(f"{name}: config.json says {field[:60]} {str(value)[:40]}: at most {most:,} is possible.")
    if not isinstance(config.get("id2label") or {}, Mapping):
        raise ModelError(f"{name}: id2label in config.json is no table of labels: choose another model.")
    if config.get("transformers_weights"):
        raise ModelError(f"{name}: config.json names other weights than its own (transformers_weights); remove that.")
    return config


def check_weights(folder: Path, name: str) -> None:
    """The weights are safetensors files of this very folder; ModelError where an index names anything else."""
    if (folder / ADAPTER).is_file():
        raise ModelError(f"{name} holds an adapter ({ADAPTER}): merge it into its model and save that.")
    index = folder / INDEX
    if not index.is_file():
        return
    try:
        found = json_text.read_object(index, most=MOST_INDEX)
    except (OSError, json_text.JsonError) as error:
        raise ModelError(f"{name}: {INDEX} cannot be read: download or save it again.") from error
    files, about = found.get("weight_map"), found.get("metadata")
    if not isinstance(files, Mapping) or not isinstance(about, Mapping):
        raise ModelError(f"{name}: {INDEX} is no index of weights: download or save it again.")
    for file in sorted({str(file) for file in files.values()}):
        if not _PLAIN.fullmatch(file):
            raise ModelError(
                f"{name}: {INDEX} names {file[:80]!r}, which is no safetensors file of this folder: it is not read."
            )
        if not (folder / file).is_file():
            raise ModelError(f"{name}: the file {file[:80]} of its weights is missing: download it again.")


def check_size(folder: Path, name: str, parameters: int) -> None:
    """What config.json describes is in the files; a model larger than its weights would be made up of nothing."""
    held = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if parameters > PER_BYTE * held + SPARE:
        raise ModelError(
            f"{name}: config.json describes {parameters:,} parameters, and its weights are {held:,} bytes: "
            "download or save it again."
        )


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every number with its dotted name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, place)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, value
