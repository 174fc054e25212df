"""Our own sampler. Noise depends on (evaluation seed, prompt id, sample, position) alone.

fp32: the same answers whatever the batch, the order or the worker. A draw so close to the border between two tokens
that rounding could decide it is decided by one forward pass of that row alone, which no batch can change.

bf16: the same answers for the same batch, and one forward pass per token. Rounding moves probabilities so far that no
redraw could promise more; the batch is therefore a part of the stage's settings.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from cwpo import seeded
from cwpo.errors import Cancelled
from cwpo.evaluation.engines import batches
from cwpo.evaluation.engines.cache import PlacedCache, is_placeable
from cwpo.evaluation.engines.contract import Key, Question, Written
from cwpo.evaluation.engines.draws import draw, row_key
from cwpo.evaluation.engines.steps import FixedStep
from cwpo.models.attention import packable, use_packed
from cwpo.models.load import pad_id, precision_context
from cwpo.stages.fingerprint import BATCH_RULE
from cwpo.stages.settings import BatchSettings, DecodingSettings

SHRINK = 0.8  # finished rows leave the batch when fewer than this share of it is unfinished
SHRINK_FIXED = 0.5  # the same for steps of fixed size, each of which costs some steps to record
BORDER = 2e-5  # half-width, in probability, around a border within which fp32 has a draw decided by its row alone
CANCELLED = "The run was cancelled while answers were sampled."


class NativeEngine:
    """A loaded policy that answers; what stays the same from batch to batch."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        decoding: DecodingSettings,
        evaluation_seed: int,
        *,
        device: str,
        precision: str,
        batching: batches.Batching,
    ) -> None:
        self.model, self.decoding, self.seed = model, decoding, evaluation_seed
        self.device, self.precision, self.batching = device, precision, batching
        self.pad = pad_id(tokenizer)
        self.stops = torch.tensor(sorted(stop_ids(model, tokenizer)), device=device)
        self.placeable = is_placeable(model.config)
        known = inspect.signature(_innermost(model).forward).parameters
        self.cache_name = "cache" if "cache" in known else "past_key_values"  # its name before transformers 5.24
        self.takes_positions = "position_ids" in known
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.recorded = device.startswith("cuda") and not _trains_as_a_whole(model)
        self.fixed = False
        self.for_one_token: dict[str, Any] = {}  # what a step of fixed size hands to attention
        if self.recorded:
            self.take_fixed_steps()

    def take_fixed_steps(self) -> None:
        """As on a card, where cache and architecture allow it: steps of fixed size, in which shared keys are not
        repeated. Others may read a mask as something else, or wait for the card in the middle of a step."""
        inner = _innermost(self.model)
        self.fixed = self.placeable and self.takes_positions and packable(inner)
        if self.fixed:
            use_packed(inner)
            self.for_one_token = {"one_token": True}

    @property
    def together(self) -> bool:
        """In bf16."""
        return self.batching.together

    def batches(self, questions: Sequence[Question], done: Collection[Key]) -> list[list[Question]]:
        """Neighbours in length; in bf16 whole, whatever of a batch is done."""
        return self.batching.batches(questions, done, self.decoding.max_new_tokens)

    def answers(self, batch: Sequence[Question], should_stop: Callable[[], bool]) -> list[Written]:
        """Sampled until every row has ended or has its most tokens; finished rows leave the batch."""
        if self.batching.together:
            batches.check_room(self.model.config, batch, self.decoding.max_new_tokens, self.device)
        with torch.inference_mode(), precision_context(self.precision, self.device):
            return self._answers(batch, should_stop)

    def stream(self, question: Question) -> Iterator[int]:
        """The tokens of one answer as they are drawn, the same as in a batch of its own; the stop token is the last."""
        text: list[int] = []
        keys = np.array([row_key(self.seed, question.prompt_id, question.sample)], dtype=np.uint64)
        stops, state = set(self.stops.tolist()), _Batch(self, [question])
        for position in range(self.decoding.max_new_tokens):
            with torch.inference_mode(), precision_context(self.precision, self.device):  # never while nobody asks
                last = torch.tensor(text[-1:], device=self.device)
                logits = state.read(last) if text else state.read_prompts(lambda: False)
                token = int(self._draw(logits, keys, position, [(question, text)])[0])
            text.append(token)
            yield token
            if token in stops:
                return

    def _answers(self, rows: Sequence[Question], should_stop: Callable[[], bool]) -> list[Written]:
        texts: list[list[int]] = [[] for _ in rows]
        keys = np.array([row_key(self.seed, row.prompt_id, row.sample) for row in rows], dtype=np.uint64)
        alive, finished = np.arange(len(rows)), np.zeros(len(rows), dtype=bool)
        state = _Batch(self, rows)
        logits = state.read_prompts(should_stop)
        for position in range(self.decoding.max_new_tokens):
            _stop_if_asked(should_stop)
            tokens = self._draw(logits, keys[alive], position, [(rows[i], texts[i]) for i in alive.tolist()])
            for row, token, is_open in zip(alive, tokens.tolist(), ~finished[alive], strict=True):
                if is_open:
                    texts[row].append(token)
            finished[alive] |= torch.isin(tokens, self.stops).cpu().numpy()
            stays = ~finished[alive]
            if not stays.any() or position + 1 == self.decoding.max_new_tokens:
                break
            if stays.mean() < (SHRINK_FIXED if self.fixed else SHRINK):
                kept = torch.from_numpy(np.flatnonzero(stays)).to(self.device)
                state.keep(kept)
                alive, tokens = alive[stays], tokens[kept]
            logits = state.read(tokens)
        return [
            Written(prompt_id=row.prompt_id, sample=row.sample, ids=text, finished=bool(end))
            for row, text, end in zip(rows, texts, finished, strict=True)
        ]

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache | None
    ) -> torch.Tensor:
        """Logits after the last token of each row, (rows, V)."""
        extra: dict[str, Any] = {"position_ids": positions} if self.takes_positions else {}
        extra |= self.for_one_token if mask.ndim > 2 else {}
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            use_cache=cache is not None,
            **{self.cache_name: cache},
            **extra,
            **self.last_only,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _draw(
        self, logits: torch.Tensor, keys: NDArray[np.uint64], position: int, rows: list[tuple[Question, list[int]]]
    ) -> torch.Tensor:
        uniform = torch.from_numpy(seeded.uniforms(keys, position)).to(self.device)
        settings = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p}
        tokens, doubtful = draw(logits, uniform, **settings, border=BORDER)
        for index in [] if self.precision == "bf16" else doubtful.nonzero().flatten().tolist():
            row, text = rows[index]
            if len(text) < position:  # ended earlier and only waits to leave the batch
                continue
            ids = torch.tensor([row.prompt_ids + text], device=self.device)
            mask = torch.ones_like(ids)
            alone = self.forward(ids, mask, mask.cumsum(dim=1) - 1, None)
            tokens[index] = draw(alone, uniform[index : index + 1], **settings, border=0.0)[0]
        return tokens


class _Batch:
    """Prompts padded on their left, what has been read of each row, and the cache of it."""

    def __init__(self, engine: NativeEngine, rows: Sequence[Question]) -> None:
        self.engine, self.rows = engine, rows
        lengths = [len(row.prompt_ids) for row in rows]
        self.width = max(lengths)  # positions that are read, in every row
        full = self.width + engine.decoding.max_new_tokens
        self.ids = torch.full((len(rows), self.width), engine.pad)
        self.mask = torch.ones((len(rows), full), dtype=torch.long)
        for index, row in enumerate(rows):
            self.ids[index, self.width - lengths[index] :] = torch.tensor(row.prompt_ids)
            self.mask[index, : self.width - lengths[index]] = 0
        self.ids, self.mask = self.ids.to(engine.device), self.mask.to(engine.device)
        self.padding = self.width - torch.tensor(lengths, device=engine.device)
        self.cache: DynamicCache
        if engine.placeable:
            kept = torch.bfloat16 if engine.precision == "bf16" else None
            self.cache = PlacedCache(engine.model.config, len(rows), full, kept)
        else:
            self.cache = DynamicCache(config=engine.model.config)
        self.step: FixedStep | None = None

    def read_prompts(self, should_stop: Callable[[], bool]) -> torch.Tensor:
        """Logits behind every prompt, read some rows at a time where the cache allows it."""
        mask, found = self.mask[:, : self.width], []
        positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)
        parts = self.engine.batching.parts(self.rows) if self.engine.placeable else [(0, len(self.rows))]
        for first, stop in parts:
            _stop_if_asked(should_stop)
            if isinstance(self.cache, PlacedCache):
                self.cache.work_on(first, stop)
            part = slice(first, stop)
            found.append(self.engine.forward(self.ids[part], mask[part], positions[part], self.cache))
        if isinstance(self.cache, PlacedCache):
            self.cache.work_on(0, len(self.rows))
        return torch.cat(found)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits behind one more token of every row: one forward pass."""
        at, self.width = self.width, self.width + 1
        if self.engine.fixed and isinstance(self.cache, PlacedCache):
            return self._step(self.cache, at).read(tokens, at)
        positions = (at - self.padding)[:, None]
        return self.engine.forward(tokens[:, None], self.mask[:, : self.width], positions, self.cache)

    def _step(self, cache: PlacedCache, at: int) -> FixedStep:
        """The step for the rows that are left, made anew where their text has outgrown it."""
        if self.step is None or at >= self.step.width:
            self.step = None  # its memory is free for the next one
            engine = self.engine
            self.step = FixedStep(
                engine.forward, cache, mask=self.mask, padding=self.padding, at=at, precision=engine.precision
            )
            engine.recorded = engine.recorded and self.step.record()
        return self.step

    def keep(self, rows: torch.Tensor) -> None:
        """The others have ended."""
        self.step = None
        self.cache.batch_select_indices(rows)
        self.mask, self.padding = self.mask[rows], self.padding[rows]


def native(
    model: Any,
    tokenizer: Any,
    decoding: DecodingSettings,
    evaluation_seed: int,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    tokens_per_batch: int,
    fixed: BatchSettings | None = None,
) -> NativeEngine:
    """The sampler of this model. `fixed`: the batches of bf16; in fp32 they are as large as memory allows."""
    if precision == "bf16":
        batching = batches.fixed(model.config, fixed or BatchSettings(rule=BATCH_RULE, cache_gb=None))
    else:
        batching = batches.by_memory(model.config, device=device, tokens_per_batch=tokens_per_batch)
    return NativeEngine(
        model, tokenizer, decoding, evaluation_seed, device=device, precision=precision, batching=batching
    )


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """End-of-text, and what the model's own generation settings call an end (chat models have several)."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    return {int(token) for token in (tokenizer.eos_token_id, *listed) if token is not None}


def _innermost(model: Any) -> Any:
    """The transformers model below any adapters."""
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return model


def _trains_as_a_whole(model: Any) -> bool:
    """Whether most weights train, as in online alignment without an adapter: autocast keeps their copies in bf16 from
    token to token, which a recorded step would make anew."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return 2 * sum(size for size, trains in sizes if trains) > sum(size for size, _ in sizes)


def _stop_if_asked(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Cancelled(CANCELLED)
