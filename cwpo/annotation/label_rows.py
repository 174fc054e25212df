"""A file of prompts with two responses -> pairs, window by window, and labeled pairs -> a file that TRL reads.

Nothing a file says of its responses reaches the annotator: their order follows from the texts alone. Free of torch.
"""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cwpo.annotation.label_paths import format_of
from cwpo.data.files import RowAt, read_rows
from cwpo.data.filtering import Tally, to_candidate
from cwpo.data.readers.preference import to_pair as preference_pair
from cwpo.data.readers.shapes import to_pair as any_pair
from cwpo.data.rows import BadRow, RawPair
from cwpo.files import written_new
from cwpo.records import CandidatePair

_NUMBERS = ("margin", "confidence", "weight", "score_chosen", "score_rejected")
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Window:
    """Usable pairs of the file; `lines`: the row each came from."""

    lines: list[int]
    pairs: list[CandidatePair]


def windows(source: Path, size: int, tally: Tally) -> Iterator[Window]:
    """The usable pairs of a file in its order, duplicates included; every other row is in the tally by reason.

    All pairs have the form of the first one, text or chat messages: a file of both could be read by nobody.
    """
    chat: bool | None = None
    lines: list[int] = []
    pairs: list[CandidatePair] = []
    for at in read_rows(source):
        tally.rows += 1
        try:
            pair = _pair(at, chat)
        except BadRow as bad:
            tally.reject(bad.reason, line=at.line, detail=bad.detail)
            continue
        chat = pair.messages is not None
        lines.append(at.line)
        pairs.append(pair)
        if len(pairs) == size:
            yield Window(lines=lines, pairs=pairs)
            lines, pairs = [], []
    if pairs:
        yield Window(lines=lines, pairs=pairs)


def _pair(at: RowAt, chat: bool | None) -> CandidatePair:
    if at.row is None:
        raise BadRow("unparsable", at.problem)
    pair = to_candidate(_raw(at.row))
    if chat is not None and chat != (pair.messages is not None):
        raise BadRow("other_form", f"{'text' if chat else 'chat messages'}, unlike the rows before")
    return replace(pair, pair_id=f"{at.line:x}", human_label=None)  # the line tells equal pairs apart


def _raw(row: Row) -> RawPair:
    """response_a and response_b without a label, or any labeled form; which is which is forgotten by `to_candidate`."""
    if row.get("response_a") is not None and row.get("response_b") is not None:
        either = {"chosen": row["response_a"], "rejected": row["response_b"]}
        return preference_pair({"prompt": row.get("prompt"), **either})
    return any_pair(row)


def labeled_row(pair: CandidatePair, said: Row) -> Row:
    """One output row; chat pairs stay chat messages. said: label, margin, confidence, score_a and score_b."""
    a_wins = said["label"] == "a"
    texts = (pair.response_a, pair.response_b) if a_wins else (pair.response_b, pair.response_a)
    scores = (said["score_a"], said["score_b"]) if a_wins else (said["score_b"], said["score_a"])
    prompt, chosen, rejected = _in_chat(pair, texts) if pair.messages is not None else (pair.prompt, *texts)
    return {
        "prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": said["margin"],
        "confidence": said["confidence"], "weight": said["confidence"],
        "score_chosen": scores[0], "score_rejected": scores[1],
    }  # fmt: skip


def _in_chat(pair: CandidatePair, texts: tuple[str, str]) -> tuple[Any, Any, Any]:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in texts)
    return json.loads(pair.messages or "[]"), chosen, rejected


def schema(chat: bool) -> pa.Schema:
    """The columns of the output; texts or chat messages."""
    text = _MESSAGES if chat else pa.string()
    texts = [(name, text) for name in ("prompt", "chosen", "rejected")]
    return pa.schema([*texts, *((name, pa.float64()) for name in _NUMBERS)])


def join(tables: Iterable[pa.Table], columns: pa.Schema, out: Path) -> None:
    """All tables in one file, one in memory at a time; it is there whole or not at all."""
    with written_new(out) as aside, _WRITERS[format_of(out)](aside, columns) as write:
        for table in tables:
            write(table)


@contextmanager
def _parquet(path: Path, columns: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with pq.ParquetWriter(path, columns) as writer:
        yield writer.write_table


@contextmanager
def _jsonl(path: Path, columns: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with path.open("wb") as file:
        yield _lines_to(io.TextIOWrapper(file, encoding="utf-8", newline="\n"))


@contextmanager
def _jsonl_gz(path: Path, columns: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        yield _lines_to(io.TextIOWrapper(packed, encoding="utf-8", newline="\n"))


def _lines_to(text: io.TextIOWrapper) -> Callable[[pa.Table], None]:
    def write(table: pa.Table) -> None:
        for row in table.to_pylist():
            text.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        text.flush()

    return write


_WRITERS = {".parquet": _parquet, ".jsonl": _jsonl, ".jsonl.gz": _jsonl_gz}
