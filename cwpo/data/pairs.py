"""Read and write the pairs and prompts of a data artifact, whole or by part. Torch-free."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwpo.data.related.clusters import cluster_counts, groups
from cwpo.data.split import Labels, relabel, split_pairs, swap_labels
from cwpo.full_disk import waits_for_room
from cwpo.records import CandidatePair, Prompt
from cwpo.stages.settings import SplitSettings

if TYPE_CHECKING:
    import pyarrow as pa

PAIRS_FILE = "pairs.parquet"
PROMPTS_FILE = "prompts.parquet"
MOST_SOURCES = 20  # in a summary
_BATCH = 4096  # rows of a file in memory at once


def load_pairs(directory: Path) -> list[CandidatePair]:
    """The pairs of a data artifact, in stored order."""
    return [CandidatePair(**row) for row in _rows(directory / PAIRS_FILE)]


def load_prompts(directory: Path) -> list[Prompt]:
    """The held-out prompts of a data artifact, in stored order."""
    return [Prompt(**row) for row in _rows(directory / PROMPTS_FILE)]


def write_pairs(pairs: Iterable[CandidatePair], directory: Path) -> None:
    """Write pairs.parquet with a fixed schema, also when there are no pairs; clusters only where pairs have them."""
    records = list(pairs)
    _write(records, _without_clusters(_pair_schema(), records), directory / PAIRS_FILE)


def write_prompts(prompts: Iterable[Prompt], directory: Path) -> None:
    """Write prompts.parquet; clusters only where prompts have them."""
    records = list(prompts)
    _write(records, _without_clusters(_text_schema(Prompt), records), directory / PROMPTS_FILE)


def load_part(directory: Path, part: str, rule: SplitSettings, labels: Labels | None = None) -> list[CandidatePair]:
    """The pairs of a part of a data artifact, with the human labels that this stage is given. labels: those that people
    gave later."""
    pairs, later = load_pairs(directory), labels or {}
    if part == "all":
        kept = [pair for pair in pairs if later.get(pair.pair_id, "a") is not None]
    else:
        split = replace(split_pairs(pairs, rule), relabeled=later)
        kept = [pair for pair in pairs if split.holds(part, pair)]
    return relabel(swap_labels(kept, rule.swapped_labels), later)


def split_labeled(
    pairs: Sequence[CandidatePair], fraction: float, seed: int
) -> tuple[list[CandidatePair], list[CandidatePair]]:
    """(labeled, unlabeled): whole prompts in the order of a seeded hash until `fraction` of the pairs is reached."""
    return part_of(pairs, "labeled", fraction, seed), part_of(pairs, "unlabeled", fraction, seed)


def part_of(pairs: Sequence[CandidatePair], part: str, fraction: float, seed: int) -> list[CandidatePair]:
    """The pairs of a part, where all that is not labeled is unlabeled."""
    split = split_pairs(pairs, SplitSettings(label_fraction=fraction, split_seed=seed))
    return [pair for pair in pairs if split.has(part, pair.prompt_id)]


def cluster_summary(pairs: Sequence[CandidatePair], prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What the summary of a data stage says of clusters: of the prompts for training, of the held-out ones, and which
    of these belong together."""
    training = {pair.prompt_id: pair.unit for pair in pairs}
    held = {prompt.prompt_id: prompt.unit for prompt in prompts}
    return {
        "training_clusters": cluster_counts(training.values()),
        "test_clusters": cluster_counts(held.values()),
        "test_groups": groups(held),
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Row by row: of a large file only a batch is there twice."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()


@waits_for_room
def _write(records: Sequence[Any], schema: "pa.Schema", path: Path) -> None:
    """Column by column, so that no record is there as a dictionary too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.array([getattr(one, item.name) for one in records], item.type) for item in schema]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)


def _without_clusters(schema: "pa.Schema", records: Sequence[CandidatePair] | Sequence[Prompt]) -> "pa.Schema":
    """The schema as it was, where the data are divided by prompt: what was stored is the same bytes again."""
    if any(record.cluster is not None for record in records):
        return schema
    return schema.remove(schema.get_field_index("cluster"))


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
