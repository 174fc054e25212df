"""Token ids of pairs: made once for all stages, equal to what each stage would have made, made again where damaged."""

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cwpo.artifacts import TOKENS
from cwpo.data import tokens
from cwpo.data.pairs import load_pairs, write_pairs
from cwpo.errors import Cancelled
from cwpo.models.tokenization import EncodedSet, encode_pairs, encode_rows, fit
from cwpo.records import CandidatePair
from cwpo.stages.pipeline import run
from tests.cwpo import families, recorded, stage

TEXTS = (
    "",
    "yes",
    "Write a short story about it.",
    "so </s> it <|im_end|> goes<|eot_id|><bos>",
    "a [SEP] b",
    "one\n\n\ntwo",
    "é",
)


def pairs() -> list[CandidatePair]:
    """Short and empty texts, control tokens, and chats beside plain prompts."""
    made = []
    for at, (prompt, a, b) in enumerate(itertools.product(TEXTS, repeat=3)):
        chat = json.dumps([{"role": "user", "content": prompt}]) if at % 3 else None
        made.append(
            CandidatePair(
                pair_id=f"{at:016x}", prompt_id=f"{at:016x}", prompt=prompt, response_a=a, response_b=b, messages=chat
            )
        )
    return made


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    data = tmp_path / "data"
    data.mkdir()
    write_pairs(pairs(), data)
    return stage.context(tmp_path, "reference", config={}, inputs={"data": data})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that texts of a data artifact were turned into ids."""
    write = tokens._write
    times: list[str] = []

    def counted(*arguments: Any) -> None:
        times.append(str(arguments[0]))
        write(*arguments)

    monkeypatch.setattr(tokens, "_write", counted)
    return times


def same(found: EncodedSet, expected: EncodedSet) -> bool:
    assert found[1:] == expected[1:]
    for one, other in zip(found.rows, expected.rows, strict=True):
        assert one.pair_id == other.pair_id
        for left, right in zip((one.prompt_ids, *one.responses), (other.prompt_ids, *other.responses), strict=True):
            assert left.dtype == right.dtype == np.int64
            assert left.tolist() == right.tolist()
    return True


@pytest.mark.parametrize("family", families.NAMES)
def test_stored_rows_are_those_that_texts_give(ctx: Any, family: str) -> None:
    """In any order and part, for any context, both responses or one."""
    tokenizer, some = families.tokenizer(family), pairs()[::-2]
    stored = tokens.pair_tokens(ctx, tokenizer)
    for length in (12, 30, 1000):
        found = fit(stored.pairs(some), tokenizer, length)
        assert same(found, encode_pairs(some, tokenizer, max_length=length))
        winners = fit(stored.rows((pair.pair_id, ("b",)) for pair in some), tokenizer, length)
        texts = ((pair, pair.pair_id, (pair.response_b,)) for pair in some)
        assert same(winners, encode_rows(texts, tokenizer, length))
    assert found.control_tokens > 0


def test_batches_do_not_change_the_rows(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_BATCH", 10)
    tokenizer = families.tokenizer("qwen")
    stored = fit(tokens.pair_tokens(ctx, tokenizer).pairs(pairs()), tokenizer, 1000)
    assert same(stored, encode_pairs(pairs(), tokenizer, max_length=1000))


def test_a_run_turns_its_texts_into_tokens_once_for_each_tokenizer(tmp_path: Path, made: list[str]) -> None:
    """Annotator, calibration, labels and gold share one; SFT, reference and alignment share the other."""
    result = run(recorded.config(tmp_path), home=tmp_path / "home")
    assert {"annotator", "labels", "sft", "reference", "align"} <= {spec.kind for spec in result.specs.values()}
    assert len(made) == 2


def test_what_is_damaged_is_made_again(ctx: Any, made: list[str]) -> None:
    tokenizer = families.tokenizer("opt")
    expected = fit(tokens.pair_tokens(ctx, tokenizer).pairs(pairs()), tokenizer, 1000)
    (file,) = (ctx.store.root / TOKENS).glob(f"??/*/{tokens.IDS}")
    ids = np.fromfile(file, dtype=np.int32)
    ids[5] += 1
    ids.tofile(file)
    assert same(fit(tokens.pair_tokens(ctx, tokenizer).pairs(pairs()), tokenizer, 1000), expected)
    assert len(made) == 2
    tokens.pair_tokens(ctx, tokenizer)
    assert len(made) == 2


def test_stages_that_start_together_make_them_once(ctx: Any, made: list[str]) -> None:
    tokenizer, found = families.tokenizer("llama3"), []
    threads = [threading.Thread(target=lambda: found.append(tokens.pair_tokens(ctx, tokenizer))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({bytes(one.ids) for one in found}) == 1
    assert len(found) == 4


def test_another_template_or_tokenizer_or_text_has_ids_of_its_own(ctx: Any, made: list[str]) -> None:
    tokenizer = families.qwen()
    tokens.pair_tokens(ctx, tokenizer)
    tokens.pair_tokens(ctx, families.qwen())
    assert len(made) == 1
    tokenizer.chat_template = families.DEBERTA
    tokens.pair_tokens(ctx, tokenizer)
    assert len(made) == 2
    write_pairs(load_pairs(ctx.inputs["data"])[:5], ctx.inputs["data"])
    tokens.pair_tokens(ctx, tokenizer)
    assert len(made) == 3


def test_a_run_that_is_stopped_leaves_no_half_of_them(
    tmp_path: Path, ctx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_BATCH", 10)
    asked = stage.context(tmp_path, "reference", config={}, inputs=ctx.inputs, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        tokens.pair_tokens(asked, families.tokenizer("opt"))
    assert not list((ctx.store.root / TOKENS).glob("??/*"))
