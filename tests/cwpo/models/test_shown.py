"""The first batch as it is shown: its tokens are the model's, and what is marked is what the loss sums over."""

from typing import Any

import numpy as np
import pytest
import torch

from cwpo.models.text.shown import MOST_TOKENS, SHOWN_PAIRS, counted, first_batch
from cwpo.models.tokenization import Encoded, encode_pairs, pack
from cwpo.records import CandidatePair
from tests.cwpo import tiny


def pair(number: int, prompt: str, a: str, b: str) -> CandidatePair:
    return CandidatePair(
        pair_id=f"p{number}", prompt_id=f"q{number}", prompt=prompt, messages=None, response_a=a, response_b=b,
        human_label="a",
    )  # fmt: skip


PAIRS = [
    pair(0, "w1 w2 w3", "w4 w5", "w6"),
    pair(1, "w1", "w7 w8 w9 w10", "w11 w12"),
    pair(2, "w2 w3 w4 w5 w6", "w1", "w2 w3 w4"),
    pair(3, "w9", "w9", "w9 w9"),
]


@pytest.fixture(params=["opt", "llama", "qwen2"])
def encoded(request: pytest.FixtureRequest) -> tuple[list[Encoded], Any]:
    tokenizer = tiny.tokenizer(request.param)
    return encode_pairs(PAIRS, tokenizer, max_length=64).rows, tokenizer


@pytest.mark.parametrize("budget", [1, 14, 1_000])
def test_what_is_marked_are_the_targets_of_the_loss(encoded: tuple[list[Encoded], Any], budget: int) -> None:
    """However the pairs are packed: the marked tokens are the targets in their order, and none else."""
    rows, _ = encoded
    for batch in pack(rows, budget):
        mask = torch.from_numpy(counted(batch, "answers"))
        assert batch.input_ids[0][mask].tolist() == batch.targets.tolist()
        assert int(counted(batch, "scores").sum()) == len(batch.ends)
        assert np.flatnonzero(counted(batch, "scores")).tolist() == sorted(batch.ends.tolist())


def test_the_first_pairs_are_shown_token_by_token(encoded: tuple[list[Encoded], Any]) -> None:
    rows, tokenizer = encoded
    names = dict.fromkeys(range(4), ("chosen", "rejected"))
    halves = dict.fromkeys(range(4), 0.5)
    seen = first_batch(rows, [2, 0, 1, 3], tokenizer, counts="answers", names=names, weights=halves)
    assert [row["pair_id"] for row in seen["rows"]] == ["p2", "p0", "p1"][:SHOWN_PAIRS]
    prompt, chosen, rejected = seen["rows"][1]["parts"]
    assert (prompt["name"], chosen["name"], rejected["name"]) == ("prompt", "chosen", "rejected")
    assert prompt["ids"] == rows[0].prompt_ids.tolist()
    assert chosen["ids"] == rows[0].responses[0].tolist()
    assert not any(prompt["counted"])
    assert all(chosen["counted"])
    assert all(rejected["counted"])
    assert chosen["markers"][-1]  # the end-of-text token, which is learned too
    assert chosen["markers"][:-1] == [False] * (len(chosen["ids"]) - 1)
    assert [token.strip() for token in chosen["tokens"][:-1]] == ["w4", "w5"]
    assert seen["counted"] == sum(len(ids) for row in rows for ids in row.responses)
    assert seen["tokens"] == sum(row.tokens for row in rows)


def test_a_long_text_is_cut_and_says_so(encoded: tuple[list[Encoded], Any]) -> None:
    _, tokenizer = encoded
    ids = np.full(MOST_TOKENS + 5, 7)
    row = Encoded(pair_id="long", prompt_ids=ids, responses=(ids,))
    seen = first_batch([row], [0], tokenizer, counts="answers", names={0: ("answer",)})
    prompt, answer = seen["rows"][0]["parts"]
    assert (len(prompt["tokens"]), prompt["left_out"], len(answer["counted"])) == (MOST_TOKENS, 5, MOST_TOKENS)
    assert answer["counted_in_all"] == MOST_TOKENS + 5
