"""How much of the writing is said to be done, against a clock that is set by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from cwpo.evaluation import generation
from cwpo.evaluation.engines.contract import Question

ASKED = (0.0, 4.0, 7.0, 9.0)  # seconds of a batch of 10 s at which its tokens are asked for: the last ones take less


def told(monkeypatch: pytest.MonkeyPatch, batches: list[list[Question]]) -> list[tuple[float, float]]:
    """(second, share) of everything that is said while these batches are written, 10 s each."""
    now, found = [0.0], list[tuple[float, float]]()
    monkeypatch.setattr(generation, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ctx: Any = SimpleNamespace(
        settings=SimpleNamespace(engine=None, decoding=SimpleNamespace(max_new_tokens=8)),
        reporter=SimpleNamespace(share=lambda value: found.append((now[0], value))),
        should_stop=lambda: False,
    )
    watch = generation._Watch(ctx, 0.0, batches)
    for number, batch in enumerate(batches):
        now[0] = 10.0 * number
        watch.begin(batch)
        for second in ASKED:
            now[0] = 10.0 * number + second
            assert not watch.should_stop()
    return found


def questions(count: int, tokens: int) -> list[Question]:
    return [Question(prompt_id=str(at), sample=0, prompt_ids=[1] * tokens) for at in range(count)]


def test_shares_of_writing_grow_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of many short and of few long prompts take as long: (8 + 8) · 6 = (24 + 8) · 3 tokens with padding. Of
    the first nothing is said before its end; later ones go as the one before went."""
    batches = [questions(6, 8), questions(6, 8), questions(3, 24), questions(3, 24), questions(3, 24)]
    found = told(monkeypatch, batches)
    assert {share for second, share in found if second < 10} == {0.0}
    for second, share in found:
        if second >= 10:
            assert share == pytest.approx(second / 50), second


def test_of_few_batches_the_first_one_is_told_by_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most tokens of an answer are 8: after each a ninth, and the batch is not done before its end."""
    shares = [share for _, share in told(monkeypatch, [questions(2, 4)])]
    assert shares == pytest.approx([0, 0, 1 / 9, 2 / 9, 3 / 9, 4 / 9])
