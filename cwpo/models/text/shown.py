"""The first pairs of a training as its model reads them: tokens as strings, and which of them the loss counts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cwpo.models.text.reader import reader_of
from cwpo.models.tokenization import Encoded, PackedBatch, pack

FIRST_BATCH = "first_batch"  # what it is called beside the stage
SHOWN_PAIRS = 3
MOST_TOKENS = 240  # of one prompt or response; of a prompt the last ones are shown
Counts = Literal["answers", "scores"]  # what the loss is made of: each token of the answers, or a score at their ends


def first_batch(
    rows: Sequence[Encoded],
    chosen: Sequence[int],
    tokenizer: Any,
    *,
    counts: Counts,
    names: Mapping[int, Sequence[str]],
    weights: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Plain values of the pairs `chosen` that the first step reads, the first few of them with their tokens.

    names: by row, what its responses are, in their order. weights: by row, where the loss has any.
    """
    packed = pack(rows, sum(rows[index].tokens for index in chosen), chosen)
    shown = [int(index) for index in chosen][:SHOWN_PAIRS]
    by_row = {}
    for batch in packed:
        mask = counted(batch, counts)
        for index, row in _rows(batch, mask):
            by_row[index] = row
    markers = {*tokenizer.all_special_ids, *reader_of(tokenizer).control.values()}
    return {
        "counts": counts,
        "pairs": len(chosen),
        "tokens": sum(batch.tokens for batch in packed),
        "counted": sum(int(counted(batch, counts).sum()) for batch in packed),
        "rows": [
            {
                "pair_id": rows[index].pair_id,
                "weight": None if weights is None else float(weights[index]),
                "parts": [
                    _part(name, ids, mask, tokenizer, markers, end=name == "prompt")
                    for name, (ids, mask) in zip(("prompt", *names[index]), by_row[index], strict=True)
                ],
            }
            for index in shown
        ],
    }


def counted(batch: PackedBatch, counts: Counts) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """(T,) the tokens of a packed batch that the loss counts: the targets of the answers, or the ends at which scores
    are read. A target stands behind the token that predicts it, at its response's place."""
    mask = np.zeros(batch.tokens, dtype=bool)
    if counts == "scores":
        mask[batch.ends.numpy()] = True
        return mask
    lengths, ends = batch.lengths.numpy(), batch.ends.numpy()
    within = np.arange(len(batch.targets)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    mask[(ends - lengths + 1)[batch.sequence.numpy()] + within] = True
    return mask


def _rows(batch: PackedBatch, mask: Any) -> list[tuple[int, list[tuple[list[int], list[bool]]]]]:
    """Each row of a batch: ids and counted tokens of its prompt and responses."""
    ids, at, found = batch.input_ids[0].tolist(), 0, []
    for index, spans in zip(batch.indices.tolist(), batch.spans.tolist(), strict=True):
        parts = []
        for length in spans:
            parts.append((ids[at : at + length], mask[at : at + length].tolist()))
            at += length
        found.append((index, parts))
    return found


def _part(
    name: str, ids: list[int], mask: list[bool], tokenizer: Any, markers: set[int], *, end: bool
) -> dict[str, Any]:
    """A text as tokens; of a long one its start, of a prompt its end."""
    cut = slice(-MOST_TOKENS, None) if end else slice(MOST_TOKENS)
    kept = ids[cut]
    return {
        "name": name,
        "tokens": [_string(tokenizer, token) for token in kept],
        "ids": kept,
        "counted": mask[cut],
        "markers": [token in markers for token in kept],
        "left_out": len(ids) - len(kept),
        "counted_in_all": sum(mask),
    }


def _string(tokenizer: Any, token: int) -> str:
    """What the token stands for; a part of a character as the tokenizer writes it."""
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    return str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text or not text else text
