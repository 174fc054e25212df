"""SteamSHP: a text-to-text model that is asked which of two responses is better, as the score of a single one.

Its publishers' way to score one response is to leave the other empty (a full stop): the score is the probability that
the model answers A, in [0, 1].
"""

from collections.abc import Sequence
from typing import Any

import torch

from cwpo.errors import GoldRewardError

HEAD, TAIL = "POST: ", " \n\n RESPONSE A: {answer}\n\n RESPONSE B: .\n\n Which response is better? RESPONSE"
ANSWER = "A"


def encode(tokenizer: Any, post: str, answer: str, max_length: int) -> tuple[list[int], bool]:
    """Ids of the question about one answer, and whether something was left out to keep to `max_length` tokens.

    The post loses its beginning; an answer that leaves no room for any post loses its end. The question stays whole.
    """
    post, answer = (" ".join(text.split()) for text in (post, answer))
    whole = list(tokenizer(HEAD + post + TAIL.format(answer=answer))["input_ids"])
    if len(whole) <= max_length:
        return whole, False
    end = [tokenizer.eos_token_id] if whole[-1] == tokenizer.eos_token_id else []
    head, body, tail = (_ids(tokenizer, text) for text in (HEAD, post, TAIL.format(answer=answer)))
    room = max_length - len(head) - len(tail) - len(end)
    if room < 0:
        words = _ids(tokenizer, answer)
        before, after = (_ids(tokenizer, text) for text in TAIL.split("{answer}"))
        tail = before + words[: max(0, max_length - len(head) - len(before) - len(after) - len(end))] + after
    return head + (body[-room:] if room > 0 else []) + tail + end, True


def preferences(model: Any, tokenizer: Any, texts: Sequence[list[int]], device: str) -> torch.Tensor:
    """The probability of the answer A, (B,) float64, as the first token that the decoder writes."""
    width = max(len(ids) for ids in texts)
    ids = torch.full((len(texts), width), model.config.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for at, text in enumerate(texts):
        ids[at, : len(text)] = torch.tensor(text)
        mask[at, : len(text)] = 1
    start = torch.full((len(texts), 1), model.config.decoder_start_token_id, device=device)
    inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
    logits: torch.Tensor = model(**inputs, decoder_input_ids=start, use_cache=False).logits[:, 0]
    return logits.double().softmax(dim=-1)[:, answer_id(tokenizer)]


def answer_id(tokenizer: Any) -> int:
    """The token that says A."""
    found = _ids(tokenizer, ANSWER)
    if len(found) != 1 or found[0] == tokenizer.unk_token_id:
        raise GoldRewardError("The gold reward has no token for A: the input form steamshp needs a SteamSHP model.")
    return found[0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
