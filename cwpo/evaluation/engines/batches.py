"""Which answers are sampled together, and how many fit.

In fp32 an answer is the same in any batch, so a batch is as large as memory allows and what is done leaves it. In bf16
the batch is part of the result: it follows from the prompts, the model's configuration and the stage's settings alone.
What is changed here, or in steps.py, for bf16 changes answers: raise BATCH_RULE of cwpo/stages/fingerprint.py.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cwpo.errors import ConfigError
from cwpo.evaluation.engines.contract import Key, Question
from cwpo.models.memory import free_memory
from cwpo.models.memory_estimate import PROMPT_TOKENS, ROOM, answer_cache
from cwpo.stages.fingerprint import BATCH_RULE, known_rule
from cwpo.stages.settings import BatchSettings

MOST_ROWS = 256  # of one batch
FILLED = (
    0.5  # share of the free memory for keys and values in fp32; beside them stand what attention repeats, and logits
)
_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How large a batch is. `together`: its answers belong to it, so that it is sampled whole or not at all."""

    tokens: int  # padded prompts and full answers
    prompt_tokens: int  # that are read in one forward pass
    together: bool
    rows: int = MOST_ROWS

    def batches(self, questions: Sequence[Question], done: Collection[Key], new_tokens: int) -> list[list[Question]]:
        """Neighbours in length, shortest first."""
        asked = questions if self.together else [item for item in questions if item.key not in done]
        asked = sorted(asked, key=lambda item: (len(item.prompt_ids), item.prompt_id, item.sample))
        found = _cut(asked, self, new_tokens)
        return [list(batch) for batch in found if any(item.key not in done for item in batch)]

    def parts(self, batch: Sequence[Question]) -> Iterator[tuple[int, int]]:
        """The rows of a batch, from … to, whose prompts are read in one forward pass."""
        rows = max(1, self.prompt_tokens // max(len(item.prompt_ids) for item in batch))
        for first in range(0, len(batch), rows):
            yield first, min(first + rows, len(batch))


def fixed(config: Any, settings: BatchSettings) -> Batching:
    """Of bf16: what a share of the model's size, or what is asked for, holds of keys and values."""
    known_rule("The answers", settings.rule, BATCH_RULE)
    text = config.get_text_config(decoder=True)
    size = answer_cache(
        layers=int(text.num_hidden_layers),
        hidden=int(text.hidden_size),
        vocabulary=int(text.vocab_size),
        cache_gb=settings.cache_gb,
    )
    return Batching(tokens=size // bytes_per_token(config, "bf16"), prompt_tokens=PROMPT_TOKENS, together=True)


def by_memory(config: Any, *, device: str, tokens_per_batch: int) -> Batching:
    """Of fp32: what fits into the memory that is free. A CPU gains nothing from more than a few thousand tokens."""
    fits = int(FILLED * free_memory(device)) // bytes_per_token(config, "fp32")
    most = fits if device.startswith("cuda") else min(fits, ROOM * tokens_per_batch)
    return Batching(tokens=most, prompt_tokens=tokens_per_batch, together=False)


def bytes_per_token(config: Any, precision: str) -> int:
    """Keys and values of one token in all layers."""
    text = config.get_text_config(decoder=True)
    size = int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    return 2 * int(text.num_hidden_layers) * _stored_heads(text) * size * (2 if precision == "bf16" else 4)


def _stored_heads(text: Any) -> int:
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


def _repeated(text: Any) -> float:
    """Share of all keys and values that attention holds once more: one layer's, repeated for every head."""
    groups = text.num_attention_heads / _stored_heads(text)
    return float(groups / text.num_hidden_layers) if groups > 1 else 0.0


def check_room(config: Any, batch: Sequence[Question], new_tokens: int, device: str) -> None:
    """A batch of bf16 is never made smaller than its settings say: where it does not fit, a sentence."""
    width = max(len(item.prompt_ids) for item in batch) + new_tokens
    stored, have = len(batch) * width * bytes_per_token(config, "bf16"), free_memory(device)
    need = stored * (1 + _repeated(config.get_text_config(decoder=True)))
    if need > have:
        raise ConfigError(
            "evaluation.cache_gb",
            f"a batch of answers needs {need / _GB:.1f} GB on {device}, where {have / _GB:.1f} GB are free: "
            "lower it (answers in bf16 belong to their batch, so it is not made smaller silently).",
        )


def _cut(rows: Sequence[Question], sizes: Batching, new_tokens: int) -> Iterator[Sequence[Question]]:
    """Neighbouring rows whose padded prompts and full answers hold at most as many tokens; one row always fits."""
    start = 0
    for stop in range(1, len(rows) + 1):
        full = stop == len(rows) or stop - start == sizes.rows
        if full or (stop + 1 - start) * (len(rows[stop].prompt_ids) + new_tokens) > sizes.tokens:
            yield rows[start:stop]
            start = stop
