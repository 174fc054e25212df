"""The sampler as it was: a cache that grows by concatenation, every prompt read at once, doubtful draws redrawn in bf16.

Kept to measure against, and as the answers that fp32 must still give.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from cwpo import seeded
from cwpo.evaluation.engines.contract import Question, Written
from cwpo.evaluation.engines.draws import draw, row_key
from cwpo.models.load import precision_context
from cwpo.stages.settings import DecodingSettings

SHRINK = 0.8
BORDER = {"fp32": 2e-5, "bf16": 2e-3}


class Concatenated:
    """A policy that answers a batch in that way; `redrawn` counts the passes of one row."""

    def __init__(self, model: Any, decoding: DecodingSettings, seed: int, *, stops: Sequence[int], precision: str):
        self.model, self.decoding, self.seed, self.precision = model, decoding, seed, precision
        self.stops, self.redrawn = torch.tensor(sorted(stops)), 0
        known = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in known
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def answers(self, rows: Sequence[Question]) -> list[Written]:
        with torch.inference_mode(), precision_context(self.precision, "cpu"):
            return self._answers(rows)

    def _answers(self, rows: Sequence[Question]) -> list[Written]:
        texts: list[list[int]] = [[] for _ in rows]
        keys = np.array([row_key(self.seed, row.prompt_id, row.sample) for row in rows], dtype=np.uint64)
        width = max(len(row.prompt_ids) for row in rows)
        ids, mask = torch.zeros((len(rows), width), dtype=torch.long), torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, width - len(row.prompt_ids) :] = torch.tensor(row.prompt_ids)
            mask[index, width - len(row.prompt_ids) :] = 1
        cache, alive = DynamicCache(config=self.model.config), np.arange(len(rows))
        finished = np.zeros(len(rows), dtype=bool)
        for position in range(self.decoding.max_new_tokens):
            logits = self._forward(ids, mask, cache)
            tokens = self._draw(logits, keys[alive], position, [(rows[i], texts[i]) for i in alive.tolist()])
            for row, token, is_open in zip(alive, tokens.tolist(), ~finished[alive], strict=True):
                if is_open:
                    texts[row].append(token)
            finished[alive] |= torch.isin(tokens, self.stops).numpy()
            stays = ~finished[alive]
            if not stays.any():
                break
            ids, mask = tokens[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            if stays.mean() < SHRINK:
                kept = torch.from_numpy(np.flatnonzero(stays))
                cache.batch_select_indices(kept)
                alive, ids, mask = alive[stays], ids[kept], mask[kept]
        return [
            Written(prompt_id=row.prompt_id, sample=row.sample, ids=text, finished=bool(end))
            for row, text, end in zip(rows, texts, finished, strict=True)
        ]

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache | None) -> torch.Tensor:
        positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions} if self.takes_positions else {}
        output = self.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=cache is not None, **extra,
            **self.last_only,
        )  # fmt: skip
        return output.logits[:, -1]

    def _draw(self, logits: torch.Tensor, keys: Any, position: int, rows: list[tuple[Question, list[int]]]) -> Any:
        uniform = torch.from_numpy(seeded.uniforms(keys, position))
        settings = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p}
        tokens, doubtful = draw(logits, uniform, **settings, border=BORDER[self.precision])
        for index in doubtful.nonzero().flatten().tolist():
            row, text = rows[index]
            if len(text) < position:
                continue
            self.redrawn += 1
            ids = torch.tensor([row.prompt_ids + text])
            alone = self._forward(ids, torch.ones_like(ids), None)
            tokens[index] = draw(alone, uniform[index : index + 1], **settings, border=0.0)[0]
        return tokens
