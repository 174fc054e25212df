"""What is true of every engine: the same tests for our sampler, for vLLM's side of the seam, and for a fake."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from cwpo.errors import Cancelled
from cwpo.evaluation.engines.contract import Engine, Written, batches_of
from tests.cwpo.evaluation.engines_under_test import DECODING, STOP, engine_named, fake_vllm, questions


class Opens(Protocol):
    def __call__(self, seed: int = 0) -> Engine: ...


@pytest.fixture(params=["native-fp32", "native-bf16", "vllm", "fake"])
def opens(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opens]:
    with ExitStack() as stack:
        if request.param == "vllm":
            stack.enter_context(fake_vllm(tmp_path, monkeypatch))

        def engine(seed: int = 0) -> Engine:
            found: AbstractContextManager[Engine] = engine_named(request.param, seed, tmp_path / "m", monkeypatch)
            return stack.enter_context(found)

        yield engine


def test_batches_hold_every_question_once_and_answers_come_in_their_order(opens: Opens) -> None:
    engine, asked = opens(), questions()
    batches = engine.batches(asked, frozenset())
    assert sorted(item.key for batch in batches for item in batch) == sorted(item.key for item in asked)
    for batch in batches:
        found = engine.answers(batch, lambda: False)
        assert [answer.key for answer in found] == [item.key for item in batch]
        for answer in found:
            assert 1 <= len(answer.ids) <= DECODING.max_new_tokens
            assert STOP not in answer.ids[:-1]
            assert answer.finished == (answer.ids[-1] == STOP)
            assert answer.finished or len(answer.ids) == DECODING.max_new_tokens


def test_a_batch_has_the_same_answers_whatever_was_asked_before(opens: Opens) -> None:
    engine = opens()
    batches = engine.batches(questions(), frozenset())
    forwards = [engine.answers(batch, lambda: False) for batch in batches]
    assert [engine.answers(batch, lambda: False) for batch in reversed(batches)] == forwards[::-1]
    anew = opens()
    assert anew.batches(questions(), frozenset()) == batches
    assert anew.answers(batches[-1], lambda: False) == forwards[-1]


def test_what_is_done_is_not_asked_again_and_what_is_left_has_the_same_answers(opens: Opens) -> None:
    """As after a kill: some batches whole, and of another one half."""
    engine, asked = opens(), questions()
    batches = engine.batches(asked, frozenset())
    every = {answer.key: answer for batch in batches for answer in engine.answers(batch, lambda: False)}
    first = [item.key for batch in batches[: len(batches) // 2] for item in batch]
    done = frozenset([*first, *(item.key for item in batches[-1][::2])])
    left = engine.batches(asked, done)
    again = {answer.key: answer for batch in left for answer in engine.answers(batch, lambda: False)}
    assert again.keys() >= every.keys() - done
    assert not again.keys() & set(first)
    assert all(every[key] == answer for key, answer in again.items())
    assert engine.batches(asked, frozenset(every)) == []


def test_several_processes_ask_every_question_once_and_have_the_answers_of_one(opens: Opens) -> None:
    """Three of them, going on where some answers are done."""
    asked, done = questions(), frozenset(item.key for item in questions()[5:12])
    alone = opens()
    one = {answer.key: answer for batch in alone.batches(asked, done) for answer in alone.answers(batch, lambda: False)}
    found: list[Written] = []
    for rank in range(3):
        engine = opens()
        for batch in batches_of(engine, asked, done, rank=rank, ranks=3):
            found += engine.answers(batch, lambda: False)
    assert len({answer.key for answer in found}) == len(found)
    assert {answer.key: answer for answer in found} == one


def test_another_evaluation_seed_has_other_answers(opens: Opens) -> None:
    engine, other = opens(0), opens(1)
    batch = engine.batches(questions(), frozenset())[0]
    assert engine.answers(batch, lambda: False) != other.answers(batch, lambda: False)


def test_an_engine_stops_when_it_is_asked_to(opens: Opens) -> None:
    engine = opens()
    with pytest.raises(Cancelled):
        engine.answers(engine.batches(questions(), frozenset())[0], lambda: True)
