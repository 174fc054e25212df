"""SteamSHP: a text-to-text model that is asked which of two responses is better, as the score of a single one.

Its publishers' way to score one response is to leave the other empty (a full stop): the score is the probability that
the model answers A, in [0, 1].
"""

import re
from collections.abc import Sequence
from typing import Any

import torch

from cwpo.errors import GoldRewardError
from cwpo.models.text.reader import reader_of

FORM = "POST: {post} \n\n RESPONSE A: {answer}\n\n RESPONSE B: .\n\n Which response is better? RESPONSE"
ANSWER = "A"


def encode(tokenizer: Any, post: str, answer: str, max_length: int) -> tuple[list[int], bool]:
    """Ids of the question about one answer, and whether something was left out to keep to `max_length` tokens.

    The post loses its beginning; an answer that leaves no room for any post loses its end. The question stays whole.
    Newlines become spaces, as the publishers ask. What post and answer say is text, also where it is written like a
    control token: only the form is read with those of the tokenizer. Both stand between spaces in the form, where a
    model that reads words splits anyway, so the ids are those of the whole question.
    """
    post_ids, answer_ids = reader_of(tokenizer).ids([" ".join(text.split()) for text in (post, answer)])
    before, between, after = (_ids(tokenizer, part.strip()) for part in re.split(r"{post}|{answer}", FORM))
    end = [tokenizer.eos_token_id] if tokenizer(ANSWER)["input_ids"][-1] == tokenizer.eos_token_id else []
    room = max(0, max_length - len(before) - len(between) - len(after) - len(end))
    kept = answer_ids[:room]
    left = room - len(kept)
    cut = len(kept) < len(answer_ids) or left < len(post_ids)
    return before + (post_ids[-left:] if left else []) + between + kept + after + end, cut


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
    if len(found) != 1 or tokenizer.decode(found).strip() != ANSWER:
        raise GoldRewardError("The gold reward has no token for A: the input form steamshp needs a SteamSHP model.")
    return found[0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
