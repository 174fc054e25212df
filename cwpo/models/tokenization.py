"""Text to token ids, and pairs to packed batches: the prompt once, its responses behind it, pairs side by side.

Shapes used here and in `logps.py`: B pairs, S responses (2B for pairs, B for single answers), T tokens in a packed
batch, R response tokens in it. A packed batch holds no padding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwpo.models.text.reader import reader_of

Ids = NDArray[np.int64]


class PromptRow(Protocol):
    """What has a prompt: a pair or a held-out prompt."""

    @property
    def prompt(self) -> str: ...
    @property
    def messages(self) -> str | None: ...


class PairRow(PromptRow, Protocol):
    """What has a prompt and two responses."""

    @property
    def pair_id(self) -> str: ...
    @property
    def response_a(self) -> str: ...
    @property
    def response_b(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A prompt and the responses that share it, as token ids. Responses end with the end-of-text token."""

    pair_id: str
    prompt_ids: Ids
    responses: tuple[Ids, ...]

    @property
    def tokens(self) -> int:
        """Tokens in the packed form: the prompt counts once."""
        return len(self.prompt_ids) + sum(len(ids) for ids in self.responses)


class EncodedSet(NamedTuple):
    """What fits the model, and what was cut (prompt's left side) or dropped (a response does not fit alone)."""

    rows: list[Encoded]
    truncated: int
    dropped: int
    control_tokens: int = 0  # rows in whose texts a control token is written; it was read as text

    def counts(self) -> dict[str, int]:
        """What a stage's summary says of it; rows with control tokens where there are any."""
        control = {"control_tokens": self.control_tokens} if self.control_tokens else {}
        return {"truncated": self.truncated, "dropped": self.dropped, **control}


class RowIds(NamedTuple):
    """One row before it is fitted to a model: ids of its prompt and its responses, whole and without end-of-text."""

    row_id: str
    prompt: Sequence[int] | NDArray[np.integer[Any]]
    responses: Sequence[Sequence[int] | NDArray[np.integer[Any]]]
    control: bool  # a control token is written in one of its texts


def start_ids(tokenizer: Any) -> list[int]:
    """The token that starts a text, once: what the tokenizer adds itself (OPT `</s>`), else its own BOS (Llama)."""
    return reader_of(tokenizer).start


def encode_prompt(row: PromptRow, tokenizer: Any, max_length: int) -> list[int]:
    """Ids of a prompt as the policy continues it, cut from the left to `max_length`."""
    return cut_left(reader_of(tokenizer).prompts([(row.prompt, row.messages)])[0], max_length, tokenizer)


def encode_pairs(pairs: Iterable[PairRow], tokenizer: Any, *, max_length: int) -> EncodedSet:
    """Both responses of every pair, in the stored order a, b."""
    return encode_rows(
        ((pair, pair.pair_id, (pair.response_a, pair.response_b)) for pair in pairs), tokenizer, max_length
    )


def encode_rows(rows: Iterable[tuple[PromptRow, str, tuple[str, ...]]], tokenizer: Any, max_length: int) -> EncodedSet:
    """(prompt row, id, responses) rows as ids; the prompt loses its left side where the longest response needs room."""
    return fit(read_rows(list(rows), tokenizer), tokenizer, max_length)


def read_rows(rows: Sequence[tuple[PromptRow, str, tuple[str, ...]]], tokenizer: Any) -> Iterator[RowIds]:
    """The ids of rows of texts. What data say is text: a control token written there is spelled out."""
    reader = reader_of(tokenizer)
    prompts = reader.prompts([(row.prompt, row.messages) for row, _, _ in rows])
    texts = iter(reader.ids([text for _, _, responses in rows for text in responses]))
    for (row, row_id, responses), prompt in zip(rows, prompts, strict=True):
        control = any(map(reader.holds_control, (row.prompt, *responses)))
        yield RowIds(row_id, prompt, tuple(next(texts) for _ in responses), control)


def fit(rows: Iterable[RowIds], tokenizer: Any, max_length: int) -> EncodedSet:
    """Rows as a model reads them: end-of-text behind each response, what does not fit cut or dropped."""
    start, end = start_ids(tokenizer), [tokenizer.eos_token_id]
    kept: list[Encoded] = []
    truncated = dropped = control = 0
    for row in rows:
        control += row.control
        room = max_length - max(len(response) for response in row.responses) - 1
        if room < 1:
            dropped += 1
            continue
        truncated += len(row.prompt) > room
        ids = tuple(np.concatenate([np.asarray(response, dtype=np.int64), end]) for response in row.responses)
        prompt = np.asarray(_cut_left(row.prompt, room, start), dtype=np.int64)
        kept.append(Encoded(pair_id=row.row_id, prompt_ids=prompt, responses=ids))
    return EncodedSet(kept, truncated, dropped, control)


def cut_left(ids: list[int], room: int, tokenizer: Any) -> list[int]:
    """The last `room` ids of a prompt; the token that a tokenizer puts in front stays in front."""
    return list(_cut_left(ids, room, start_ids(tokenizer)))


def _cut_left(ids: Any, room: int, start: list[int]) -> Any:
    if len(ids) <= room:
        return ids
    if room > 1 and list(ids[:1]) == start:
        return [*start, *ids[1 - room :]]
    return ids[-room:]


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Several pairs in one sequence of T tokens; response s of S belongs to row s // (S / B) of the pairs."""

    indices: Tensor  # (B,) rows of the list that was packed
    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T); every response starts at its prompt's length
    predictors: Tensor  # (R,) the token whose hidden state predicts; a prompt's last token predicts each first token
    targets: Tensor  # (R,)
    sequence: Tensor  # (R,) response, 0..S-1
    ends: Tensor  # (S,) last token of each response
    lengths: Tensor  # (S,) tokens of each response, end-of-text included
    spans: NDArray[np.int64]  # (B, 1 + responses) lengths of prompt and responses, on the host

    @property
    def tokens(self) -> int:
        return int(self.input_ids.shape[1])

    def to(self, device: str) -> "PackedBatch":
        """The same batch on `device`."""
        if self.input_ids.device == torch.device(device):
            return self
        names = ("indices", "input_ids", "position_ids", "predictors", "targets", "sequence", "ends", "lengths")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def pack(rows: Sequence[Encoded], tokens_per_batch: int, indices: Iterable[int] | None = None) -> list[PackedBatch]:
    """Packed batches of at most `tokens_per_batch` tokens (a longer row stands alone), shortest rows first.

    `indices` chooses rows; without it all are packed. Sorting keeps rows of like length together, which the attention
    over padded blocks likes; it does not change any result.
    """
    chosen = list(range(len(rows))) if indices is None else [int(index) for index in indices]
    return [_packed(rows, group) for group in _groups(rows, chosen, tokens_per_batch)]


def pack_count(rows: Sequence[Encoded], tokens_per_batch: int, indices: Iterable[int]) -> int:
    """How many batches `pack` would make."""
    return sum(1 for _ in _groups(rows, [int(index) for index in indices], tokens_per_batch))


def _groups(rows: Sequence[Encoded], chosen: list[int], budget: int) -> Iterator[list[int]]:
    group: list[int] = []
    filled = 0
    for index in sorted(chosen, key=lambda index: (rows[index].tokens, index)):
        if group and filled + rows[index].tokens > budget:
            yield group
            group, filled = [], 0
        group.append(index)
        filled += rows[index].tokens
    if group:
        yield group


def _packed(rows: Sequence[Encoded], group: list[int]) -> PackedBatch:
    parts = [ids for index in group for ids in (rows[index].prompt_ids, *rows[index].responses)]
    width = 1 + len(rows[group[0]].responses)
    spans = np.fromiter((len(part) for part in parts), dtype=np.int64, count=len(parts)).reshape(len(group), width)
    flat = spans.ravel()
    ids = np.concatenate(parts)
    starts = np.cumsum(flat) - flat
    is_prompt = np.arange(len(parts)) % width == 0
    offsets = np.where(is_prompt, 0, np.repeat(spans[:, 0], width))
    within = np.arange(len(ids)) - np.repeat(starts, flat)
    in_response = np.repeat(~is_prompt, flat)
    prompt_end = np.repeat(starts[::width] + spans[:, 0] - 1, width)
    previous = np.where(within == 0, np.repeat(prompt_end, flat), np.arange(len(ids)) - 1)
    lengths = flat[~is_prompt]
    return PackedBatch(
        indices=torch.tensor(group),
        input_ids=torch.from_numpy(ids)[None],
        position_ids=torch.from_numpy(within + np.repeat(offsets, flat))[None],
        predictors=torch.from_numpy(previous[in_response]),
        targets=torch.from_numpy(ids[in_response]),
        sequence=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        ends=torch.from_numpy((starts + flat - 1)[~is_prompt]),
        lengths=torch.from_numpy(lengths.copy()),
        spans=spans,
    )
