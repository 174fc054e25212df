"""Token ids of a data artifact's pairs by one tokenizer: made once, by whichever stage comes first, read by the others.

They lie in the artifact store's folder `tokens`, under a hash of the pairs and of all that decides their ids: int32 ids
of prompt, a and b of every pair one behind the other, whole and without end-of-text, and where each text begins. What a
model's context cuts is decided when they are read. They are no stage and enter no fingerprint: whatever is lost or
damaged there is made again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cwpo.artifacts import MANIFEST, TOKENS, ArtifactStore, sha256_of
from cwpo.config.run import digest
from cwpo.data.pairs import PAIRS_FILE
from cwpo.files import append_whole
from cwpo.full_disk import when_room
from cwpo.models.text.reader import RULE, TextReader, reader_of
from cwpo.models.tokenization import RowIds
from cwpo.records import CandidatePair, Side
from cwpo.stages.context import StageContext

IDS, STARTS, CONTROL = "ids.i32", "starts.npy", "control.npy"
STOPPED = "Stopped while texts were turned into tokens; retry the run to start this again."
_TEXTS = ("prompt", "response_a", "response_b")
_RESPONSE: Mapping[Side, int] = {"a": 1, "b": 2}
_BATCH = 4096  # pairs in memory at once


@dataclass(frozen=True, kw_only=True)
class PairTokens:
    """N pairs as ids, mapped from disk."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]  # (3 N + 1,) where each text begins in `ids`; the last is their length
    control: NDArray[np.bool_]  # (N, 3) a control token is written in prompt, a, b
    row_of: Mapping[str, int]  # pair id -> row

    def rows(self, wanted: Iterable[tuple[str, Sequence[Side]]]) -> Iterator[RowIds]:
        """The prompt and these responses of each pair, in the order asked for."""
        for pair_id, sides in wanted:
            row = self.row_of[pair_id]
            texts = [0, *(_RESPONSE[side] for side in sides)]
            prompt, *responses = (self._text(3 * row + text) for text in texts)
            yield RowIds(pair_id, prompt, responses, bool(self.control[row, texts].any()))

    def pairs(self, pairs: Iterable[CandidatePair]) -> Iterator[RowIds]:
        """Both responses of every pair, in the stored order a, b."""
        return self.rows((pair.pair_id, ("a", "b")) for pair in pairs)

    def _text(self, at: int) -> NDArray[np.int32]:
        return self.ids[self.starts[at] : self.starts[at + 1]]


def pair_tokens(ctx: StageContext[Any], tokenizer: Any) -> PairTokens:
    """The ids of the stage's pairs: read where they are stored and whole, made and stored where not."""
    file = ctx.inputs["data"] / PAIRS_FILE
    reader, store = reader_of(tokenizer), ArtifactStore(ctx.store.root / TOKENS)
    key = _key(file, tokenizer, reader)
    folder = store.find(key)
    if folder is None:
        with store.lock(key):
            folder = store.find(key)
            if folder is None:
                with store.build(key) as aside:
                    _write(file, reader, aside, ctx)
                folder = store.path(key)
    os.utime(folder)  # the reaper removes what nobody has read for long
    return _open(folder, file)


def _key(file: Path, tokenizer: Any, reader: TextReader) -> str:
    """Two tokenizers that read alike have one key, wherever they were loaded from."""
    import tokenizers
    import transformers

    return digest(
        {
            "pairs": _hash_of(file),
            "tokenizer": _content(tokenizer),
            "template": str(getattr(tokenizer, "chat_template", None)),
            "special": {name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())},
            "control": dict(sorted(reader.control.items())),
            "start": reader.start,
            "end": reader.end,
            "rule": RULE,
            "versions": [tokenizers.__version__, transformers.__version__],
        }
    )


def _hash_of(file: Path) -> str:
    """What the manifest of a data artifact says of its pairs, which was checked when the stage was given it."""
    manifest = file.parent / MANIFEST
    if manifest.is_file():
        return str(json.loads(manifest.read_text())["files"][file.name])
    return sha256_of(file)


def _content(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        text = json.dumps([type(tokenizer).__name__, tokenizer.get_vocab()], sort_keys=True)
    else:
        backend.no_truncation()  # as every call without it does; what an earlier call left decides nothing
        backend.no_padding()
        text = backend.to_str()
    return hashlib.sha256(text.encode()).hexdigest()


def _write(file: Path, reader: TextReader, folder: Path, ctx: StageContext[Any]) -> None:
    """All texts of the file in order, a batch of pairs at a time."""
    lengths: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    control: list[NDArray[np.bool_]] = [np.zeros((0, 3), dtype=bool)]
    with when_room(lambda: (folder / IDS).open("wb", buffering=0)) as stream, pq.ParquetFile(file) as table:
        for number, batch in enumerate(table.iter_batches(batch_size=_BATCH, columns=[*_TEXTS, "messages"])):
            if number:
                ctx.stop_if_asked(STOPPED)
            said = {name: batch.column(name).to_pylist() for name in (*_TEXTS, "messages")}
            prompts = reader.prompts(list(zip(said["prompt"], said["messages"], strict=True)))
            texts = [prompts, *(reader.ids(said[name]) for name in _TEXTS[1:])]
            found = list(chain.from_iterable(zip(*texts, strict=True)))
            lengths.append(np.fromiter(map(len, found), dtype=np.int64, count=len(found)))
            ids = np.fromiter(chain.from_iterable(found), dtype=np.int32, count=int(lengths[-1].sum()))
            append_whole(stream, ids.tobytes())
            holds = (
                reader.holds_control(text) for row in zip(*(said[name] for name in _TEXTS), strict=True) for text in row
            )
            control.append(np.fromiter(holds, dtype=bool, count=len(found)).reshape(-1, 3))
    when_room(lambda: np.save(folder / STARTS, np.concatenate(lengths).cumsum()))
    when_room(lambda: np.save(folder / CONTROL, np.concatenate(control)))


def _open(folder: Path, file: Path) -> PairTokens:
    ids = folder / IDS
    mapped = np.memmap(ids, dtype=np.int32, mode="r") if ids.stat().st_size else np.zeros(0, dtype=np.int32)
    names = pq.read_table(file, columns=["pair_id"])["pair_id"].to_pylist()
    return PairTokens(
        ids=np.asarray(mapped),
        starts=np.load(folder / STARTS),
        control=np.load(folder / CONTROL),
        row_of={name: row for row, name in enumerate(names)},
    )
