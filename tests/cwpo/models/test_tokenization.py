"""One BOS, prompts cut from the left, responses that end, and packing without padding."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cwpo.models.tokenization import encode_pairs, encode_prompt, pack, start_ids
from cwpo.records import CandidatePair, Prompt
from tests.cwpo import random_models as tiny

WORDS = ["<pad>", "<s>", "</s>", "a", "b", "c", "d", "e", "f", "user:", "assistant:"]


def words_tokenizer(*, bos: str | None, added: bool, template: str | None = None) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if added:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, WORDS.index(bos))]
        )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = template
    return tokenizer


def pair(prompt: str, a: str, b: str, messages: str | None = None) -> CandidatePair:
    return CandidatePair(
        pair_id="0" * 16, prompt_id="1" * 16, prompt=prompt, response_a=a, response_b=b, messages=messages
    )


@pytest.mark.parametrize(
    ("tokenizer", "start"),
    [
        (words_tokenizer(bos="</s>", added=True), [2]),  # OPT: </s> starts and ends
        (words_tokenizer(bos="<s>", added=True), [1]),  # Llama
        (words_tokenizer(bos="<s>", added=False), [1]),  # a Llama file whose tokenizer forgets it
        (words_tokenizer(bos=None, added=False), []),  # Qwen has none
        (words_tokenizer(bos="</s>", added=False), []),  # GPT-2: its BOS is its EOS and is not added
    ],
)
def test_a_text_starts_with_its_bos_once_and_responses_carry_none(tokenizer, start):
    encoded = encode_pairs([pair("a b", "c", "d e")], tokenizer, max_length=20).rows[0]
    assert start_ids(tokenizer) == start
    assert encoded.prompt_ids.tolist() == [*start, 3, 4]
    assert [ids.tolist() for ids in encoded.responses] == [[5, 2], [6, 7, 2]]


def test_an_empty_prompt_without_bos_still_has_a_token_that_predicts():
    tokenizer = words_tokenizer(bos=None, added=False)
    assert encode_prompt(Prompt(prompt_id="0" * 16, prompt=""), tokenizer, 10) == [2]


def test_prompts_lose_their_left_side_but_not_their_bos_and_long_responses_drop_the_pair():
    """Context 6, longest response 3 tokens: 3 are left for the prompt <s> a b c d e -> <s> d e."""
    tokenizer = words_tokenizer(bos="<s>", added=True)
    rows = [pair("a b c d e", "a", "a b"), pair("a", "a b c d e f", "a")]
    encoded = encode_pairs(rows, tokenizer, max_length=6)
    assert (encoded.truncated, encoded.dropped) == (1, 1)
    assert [row.prompt_ids.tolist() for row in encoded.rows] == [[1, 6, 7]]


def test_chat_messages_go_through_the_template_when_there_is_one():
    turns = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    template = turns + "{% if add_generation_prompt %}assistant:{% endif %}"
    messages = json.dumps([{"role": "user", "content": "a b"}])
    row = pair("plain", "c", "d", messages)
    templated = encode_pairs([row], words_tokenizer(bos="<s>", added=True, template=template), max_length=20).rows[0]
    assert templated.prompt_ids.tolist() == [9, 3, 4, 10]
    plain = encode_pairs([row], words_tokenizer(bos="<s>", added=True), max_length=20).rows[0]
    assert plain.prompt_ids.tolist() == [1, 0]


@pytest.mark.parametrize("budget", [1, 50, 100, 10_000])
def test_packing_keeps_every_row_once_without_padding_and_within_the_budget(budget):
    rows = tiny.pairs(20, seed=3)
    batches = pack(rows, budget)
    assert sorted(index for batch in batches for index in batch.indices.tolist()) == list(range(20))
    assert sum(batch.tokens for batch in batches) == sum(row.tokens for row in rows)
    assert all(batch.tokens <= budget or len(batch.indices) == 1 for batch in batches)


def test_the_last_prompt_token_predicts_the_first_token_of_both_responses():
    (row,) = tiny.pairs(1, seed=4)
    (batch,) = pack([row], 1000)
    prompt, (a, b) = len(row.prompt_ids), (len(ids) for ids in row.responses)
    assert batch.predictors.tolist() == [
        prompt - 1, *range(prompt, prompt + a - 1), prompt - 1, *range(prompt + a, prompt + a + b - 1)
    ]  # fmt: skip
    assert batch.position_ids[0].tolist() == [*range(prompt + a), *range(prompt, prompt + b)]
    assert batch.targets.tolist() == np.concatenate(row.responses).tolist()
    assert batch.ends.tolist() == [prompt + a - 1, prompt + a + b - 1]
    assert batch.lengths.tolist() == [a, b]
