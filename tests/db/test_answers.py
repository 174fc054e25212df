"""What is read of answers: pages of both sides, by the change of their scores, searched, and side by side."""

from functools import partial
from typing import Any

import pytest

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.records import Cursor, NewStage
from db.repositories import evaluations, runs
from tests.db.done import done
from tests.db.make import add_worker, claim, new_run, publish, submit
from tests.db.turning import there_and_back

__all__ = ["done"]  # the fixture of that name


@pytest.mark.parametrize("order", ["prompt", "worst", "best"])
def test_answers_of_both_sides_in_pages(done: tuple[Engines, int], order: str) -> None:
    engines, run_id = done
    rows = []
    after: Cursor | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.answers(session, run_id, order=order, after=after, limit=7)
        rows += page.rows
        if page.next is None:
            break
        after = Cursor.decode(page.next.encode(), value=None if order == "prompt" else float, key=str)
    assert page.total == 20
    assert sorted(row.prompt_id for row in rows) == sorted(f"t{number}" for number in range(20))
    outcomes = [row.outcome for row in rows if row.outcome is not None]
    assert order == "prompt" or outcomes == sorted(outcomes, reverse=order == "best")
    row = next(row for row in rows if row.prompt_id == "t4")
    assert (row.prompt, row.outcome, [answer.text for answer in row.aligned]) == ("Ask t4", 0.5, ["t4/0", "t4/1"])
    assert row.baseline == ()


@pytest.mark.parametrize(
    ("order", "first", "last"), [("best", "t17", "t18"), ("worst", "t18", "t17"), ("change", "t18", None)]
)
def test_answers_by_the_change_of_their_gold_score(
    done: tuple[Engines, int], order: str, first: str, last: str | None
) -> None:
    """t17 gains ½ · 18/10, t18 loses ½ · 19/10; pages of 6 go on where the last one ended."""
    engines, run_id = done
    found: list[str] = []
    places: list[int] = []
    after: Cursor | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.answers(session, run_id, order=order, after=after, limit=6)
        found += [row.prompt_id for row in page.rows]
        places.append(page.first)
        if page.next is None:
            break
        after = Cursor.decode(page.next.encode(), value=float, key=str)
    assert len(found) == len(set(found)) == 20
    assert places == [1, 7, 13, 19]
    assert (found[0], last or found[-1]) == (first, found[-1])
    assert (page.total, page.prompts, page.better, page.worse) == (20, 20, 6, 7)


def test_the_same_answer_is_neither_better_nor_worse(database: Engines) -> None:
    """Two samples a prompt. Of p both are the baseline's, of q one is: scored in another batch, both gain 1e-7."""
    slots = {"samples": "samples", "baseline_samples": "samples", "evaluation": "evaluation"}
    made = [
        NewStage(slot=slot, fingerprint=slot, kind=kind, version=1, config={}, inputs={})
        for slot, kind in slots.items()
    ]
    with session_scope(database) as session:
        run_id = runs.create(session, new_run(), made).run_id
    worker = add_worker(database)
    for slot in slots:
        claimed = claim(database, worker)
        with session_scope(database) as session:
            if slot == "evaluation":
                outcome = {"outcome": 0.5, "score": 1 + 1e-7, "baseline_score": 1.0}
                evaluations.add_outcomes(session, claimed, [{"prompt_id": name, **outcome} for name in "pq"])
            else:
                said = {("p", 0): "Yes.", ("p", 1): "No.", ("q", 0): "Yes.", ("q", 1): slot}
                rows = [
                    {"prompt_id": name, "sample": at, "text": text, "tokens": 2} for (name, at), text in said.items()
                ]
                evaluations.add_samples(session, claimed, rows)
            publish(session, claimed)
    with read_scope(database) as session:
        page = queries.answers(session, run_id, order="best")
    assert (page.total, page.better, page.worse) == (2, 1, 0)


@pytest.mark.parametrize("order", ["prompt", "worst", "best", "change"])
def test_the_way_back_through_answers_meets_the_same_pages(done: tuple[Engines, int], order: str) -> None:
    engines, run_id = done

    def page_of(after: Cursor | None, before: Cursor | None) -> Any:
        with read_scope(engines) as session:
            return queries.answers(session, run_id, order=order, after=after, before=before, limit=6)

    decode = partial(Cursor.decode, value=None if order == "prompt" else float, key=str)
    pages = there_and_back(page_of, decode, lambda page: [row.prompt_id for row in page.rows])
    assert [first for _, first in pages] == [1, 7, 13, 19]


def test_answers_are_searched_in_prompts_and_answers(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        in_prompt = queries.answers(session, run_id, text="ask T7")
        in_answer = queries.answers(session, run_id, text="t1/", order="best", limit=5)
        nothing = queries.answers(session, run_id, text="100%")
    assert [row.prompt_id for row in in_prompt.rows] == ["t7"]
    assert [row.prompt_id for row in in_answer.rows] == ["t1"]
    assert (in_answer.total, in_answer.prompts, in_answer.better, in_answer.worse) == (1, 20, 0, 0)
    assert (nothing.rows, nothing.total, nothing.prompts) == ((), 0, 20)


def test_the_same_prompt_in_several_runs(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    waiting = submit(engines, align="-b").run_id
    with read_scope(engines) as session:
        (row,) = queries.same_prompt_answers(session, [run_id, waiting], "t3")
        assert (row.run_id, row.aligned[1].text) == (run_id, "t3/1")
        assert queries.shared_prompts(session, [run_id, waiting]) == []
        prompts = queries.shared_prompts(session, [run_id], text="ask T1", limit=3)
    assert [(prompt.prompt_id, prompt.prompt) for prompt in prompts][:2] == [("t1", "Ask t1"), ("t10", "Ask t10")]
