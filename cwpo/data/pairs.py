"""Read and write the pairs and prompts of a data artifact, whole or by part. Torch-free."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwpo.data.split import split_pairs, swap_labels
from cwpo.records import CandidatePair, Prompt
from cwpo.stages.settings import SplitSettings

if TYPE_CHECKING:
    import pyarrow as pa

PAIRS_FILE = "pairs.parquet"
PROMPTS_FILE = "prompts.parquet"
MOST_SOURCES = 20  # in a summary


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


def load_part(directory: Path, part: str, rule: SplitSettings) -> list[CandidatePair]:
    """The pairs of a part of a data artifact, with the human labels that this stage is given."""
    pairs = load_pairs(directory)
    split = split_pairs(pairs, rule) if part != "all" else None
    return swap_labels(
        [pair for pair in pairs if split is None or split.has(part, pair.prompt_id)], rule.swapped_labels
    )


def split_labeled(
    pairs: Sequence[CandidatePair], fraction: float, seed: int
) -> tuple[list[CandidatePair], list[CandidatePair]]:
    """(labeled, unlabeled): whole prompts in the order of a seeded hash until `fraction` of the pairs is reached."""
    return part_of(pairs, "labeled", fraction, seed), part_of(pairs, "unlabeled", fraction, seed)


def part_of(pairs: Sequence[CandidatePair], part: str, fraction: float, seed: int) -> list[CandidatePair]:
    """The pairs of a part, where all that is not labeled is unlabeled."""
    split = split_pairs(pairs, SplitSettings(label_fraction=fraction, split_seed=seed))
    return [pair for pair in pairs if split.has(part, pair.prompt_id)]


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


def source_counts(pairs: Sequence[CandidatePair]) -> dict[str, Any]:
    """Pairs for training by source, most first; nothing where no pair names one."""
    counts = Counter(pair.source for pair in pairs if pair.source is not None)
    return {"sources": dict(counts.most_common(MOST_SOURCES))} if counts else {}
