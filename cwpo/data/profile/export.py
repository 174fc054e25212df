"""The pairs as a run uses them, one JSON object a line: prompt, chosen, rejected, and the part of the split.

Prompts that are messages stay messages, and their responses are messages then: the form that TRL calls conversational.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from cwpo.data.pairs import PAIRS_FILE, load_prompts
from cwpo.data.profile.job import PAIRS, Job
from cwpo.data.profile.reading import Counts, opened, pairs_of, part_by, related_to, test_prompts
from cwpo.data.related.clusters import Related
from cwpo.data.split import split_file
from cwpo.files import written_aside
from cwpo.stages.plain import from_plain
from cwpo.stages.settings import SplitSettings

BATCH = 4_096
Report = Callable[[int, str], None]


def export(job: Job, folder: Path, report: Report) -> dict[str, Any]:
    """Every usable pair of a source, with the part that a new run would put it in. The rows are read twice."""
    tests: dict[str, bool] = {}
    training: list[tuple[str, str | None]] = []
    related = Related()
    for read in pairs_of(opened(job).source, Counts(), lambda rows: report(rows, "rows read")):
        tests[read.pair.prompt_id] = tests.get(read.pair.prompt_id, False) or read.test
        related.add(read.pair.prompt_id, read.pair.prompt, (read.chosen, read.rejected))
        if not read.test:
            training.append((read.pair.prompt_id, read.pair.source))
    clusters = related.clusters()
    held = test_prompts(tests, job.split, clusters)
    left_out = related_to(held, clusters)
    part = part_by([one for one in training if one[0] not in left_out], job.split, clusters)
    written: dict[str, int] = {}
    with _lines(folder) as stream:
        for read in pairs_of(opened(job).source, Counts(), lambda rows: report(rows, "rows written")):
            name = read.pair.prompt_id
            where = "test" if name in held else "unused" if read.test or name in left_out else part(name)
            written[where] = written.get(where, 0) + 1
            values = line(read.pair.prompt, read.pair.messages, read.chosen, read.rejected)
            _write(stream, {**values, "split": where, **({"source": read.pair.source} if read.pair.source else {})})
    return {"written": written}


def export_run(job: Job, folder: Path, report: Report) -> dict[str, Any]:
    """The pairs of a data artifact with the parts of the run's own split, and its test prompts."""
    artifact, rule = Path(job.source), from_plain(SplitSettings, dict(job.rule or {}))
    split = split_file(artifact / PAIRS_FILE, rule)
    written: dict[str, int] = {}
    with _lines(folder) as stream:
        for row in _rows(artifact / PAIRS_FILE, report):
            where = next((name for name in ("labeled", "unlabeled") if split.has(name, row["prompt_id"])), "unused")
            written[where] = written.get(where, 0) + 1
            chosen, rejected = (row["response_a"], row["response_b"])
            if row["human_label"] == "b":
                chosen, rejected = rejected, chosen
            _write(stream, {**line(row["prompt"], row["messages"], chosen, rejected), "split": where})
        for prompt in load_prompts(artifact):
            written["test"] = written.get("test", 0) + 1
            values = {"prompt": json.loads(prompt.messages) if prompt.messages else prompt.prompt}
            _write(stream, {**values, "split": "test"})
    return {"written": written}


def line(prompt: str, messages: str | None, chosen: str, rejected: str) -> dict[str, Any]:
    """A pair as TRL and this program read it."""
    if messages is None:
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    answers = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    return {"prompt": json.loads(messages), "chosen": answers[0], "rejected": answers[1]}


@contextmanager
def _lines(folder: Path) -> Iterator[IO[str]]:
    """The file of pairs, which is there when it is whole."""
    with written_aside(folder / PAIRS) as aside, aside.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream


def _write(stream: IO[str], values: Mapping[str, Any]) -> None:
    stream.write(f"{json.dumps(values, ensure_ascii=False)}\n")


def _rows(path: Path, report: Report) -> Iterator[dict[str, Any]]:
    columns = ["prompt_id", "prompt", "messages", "response_a", "response_b", "human_label"]
    with pq.ParquetFile(path) as file:
        done = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=columns):
            yield from batch.to_pylist()
            done += batch.num_rows
            report(done, "rows written")
