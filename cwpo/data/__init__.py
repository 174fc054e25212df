"""Preference pairs: where they come from, how they are filtered, split by prompt and hidden. Torch-free but `stage`."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cwpo.records import CandidatePair, Prompt

if TYPE_CHECKING:
    import pyarrow as pa

PAIRS_FILE = "pairs.parquet"
PROMPTS_FILE = "prompts.parquet"
PARTS = ("unlabeled", "labeled", "all")


def load_pairs(directory: Path) -> list[CandidatePair]:
    """The pairs of a data artifact, in stored order."""
    return [CandidatePair(**row) for row in _rows(directory / PAIRS_FILE)]


def load_prompts(directory: Path) -> list[Prompt]:
    """The held-out prompts of a data artifact, in stored order."""
    return [Prompt(**row) for row in _rows(directory / PROMPTS_FILE)]


def write_pairs(pairs: Iterable[CandidatePair], directory: Path) -> None:
    """Write pairs.parquet with a fixed schema, also when there are no pairs."""
    _write([asdict(pair) for pair in pairs], _pair_schema(), directory / PAIRS_FILE)


def write_prompts(prompts: Iterable[Prompt], directory: Path) -> None:
    """Write prompts.parquet."""
    _write([asdict(prompt) for prompt in prompts], _text_schema(Prompt), directory / PROMPTS_FILE)


def split_labeled(
    pairs: Sequence[CandidatePair], fraction: float, seed: int
) -> tuple[list[CandidatePair], list[CandidatePair]]:
    """(labeled, unlabeled): whole prompts in the order of a seeded hash until `fraction` of the pairs is reached."""
    by_prompt = Counter(pair.prompt_id for pair in pairs)
    labeled, _ = labeled_prompts(by_prompt, list(by_prompt.values()), fraction, seed)
    return [p for p in pairs if p.prompt_id in labeled], [p for p in pairs if p.prompt_id not in labeled]


def labeled_prompts(
    prompt_ids: Iterable[Any], counts: Sequence[int], fraction: float, seed: int
) -> tuple[frozenset[str], int]:
    """Prompts of the labeled part and how many pairs they have; counts: pairs of each prompt id."""
    keys = np.fromiter((_split_key(seed, str(prompt_id)) for prompt_id in prompt_ids), dtype="S64", count=len(counts))
    order = np.argsort(keys, kind="stable")
    taken = np.cumsum(np.asarray(counts)[order])
    target = round(fraction * int(np.sum(counts)))
    reached = int(np.searchsorted(taken, target)) + 1 if target else 0
    chosen = set(order[:reached].tolist())
    labeled = frozenset(str(prompt_id) for index, prompt_id in enumerate(prompt_ids) if index in chosen)
    return labeled, int(taken[reached - 1]) if reached else 0


def hide_labels(pairs: Iterable[CandidatePair]) -> list[CandidatePair]:
    """The pairs without their human labels, as the annotator meets them."""
    return [replace(pair, human_label=None) for pair in pairs]


def part_of(pairs: Sequence[CandidatePair], part: str, fraction: float, seed: int) -> list[CandidatePair]:
    """The pairs of a part: "unlabeled", "labeled" or "all"."""
    if part not in PARTS:
        raise KeyError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
    if part == "all":
        return list(pairs)
    labeled, unlabeled = split_labeled(pairs, fraction, seed)
    return labeled if part == "labeled" else unlabeled


def _split_key(seed: int, prompt_id: str) -> str:
    return hashlib.sha256(f"{seed}:{prompt_id}".encode()).hexdigest()


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def _write(rows: list[dict[str, Any]], schema: "pa.Schema", path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _text_schema(record: type) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(item.name, pa.string()) for item in fields(record)])


def _pair_schema() -> "pa.Schema":
    import pyarrow as pa

    numbers = ("utility_a", "utility_b")
    return pa.schema(
        [(item.name, pa.float64() if item.name in numbers else pa.string()) for item in fields(CandidatePair)]
    )
