"""Out of memory: tried once more with less, with the same result; then a sentence, and the queue goes on."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cwpo.config.environment import settings
from cwpo.config.parts import ExecutionConfig
from cwpo.errors import OutOfMemory, is_out_of_memory
from cwpo.parallel.killed import Cause
from cwpo.stages import execute
from db import queries
from db.records import AttemptRow
from tests.cwpo import stage
from tests.workers.workplace import Workplace
from workers import api
from workers.api import keeping
from workers.machine.database import reading
from workers.queue import job, lease
from workers.queue.ends import memory

WISHED = 512  # tokens: more than a batch of these rows holds, and half of them less
TRAINED = ("annotator", "align")


@contextmanager
def memory_for(tokens: int, *kinds: str) -> Iterator[None]:
    """Stages of these kinds find memory for so many tokens at once; where they want more, torch's allocator refuses."""
    real = execute.executor

    def fitted(kind: Any) -> Any:
        def stage(ctx: Any) -> Any:
            if kind.name in kinds and ctx.execution.tokens_per_batch > tokens:
                import torch

                torch.empty(2**50)
            return real(kind)(ctx)

        return stage

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "executor", fitted)
        yield


def work_through() -> None:
    """As job processes do one after the other: each ends with the stage that ran out."""
    while True:
        with contextlib.suppress(RuntimeError):
            job.work()
            return


def attempts(place: Workplace, run_id: int, slot: str) -> list[AttemptRow]:
    with reading() as session:
        return queries.attempts(session, place.stage(run_id, slot).stage_id)


def submit(place: Workplace, salt: str, **over: Any) -> int:
    wished = {"execution": {"tokens_per_batch": WISHED}, "annotator": {"dropout": 0.0}}
    return api.submit_run(place.config(salt=salt, **wished, **over)).run_id


def test_a_stage_that_runs_out_is_done_with_half_the_tokens_and_finds_the_same(place: Workplace) -> None:
    undisturbed, disturbed = submit(place, "a"), submit(place, "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "WORK_SECONDS", 3600.0)
        keeping.pause([disturbed])
        work_through()
        keeping.resume([disturbed])
        with memory_for(WISHED // 2, *TRAINED):
            work_through()
    assert (place.run(undisturbed).status, place.run(disturbed).status) == ("done", "done")
    for slot in TRAINED:
        first, second = attempts(place, disturbed, slot)
        assert (first.status, second.status) == ("lost", "published")
        words = "256 tokens at once and gradient checkpointing"
        assert first.cause == f"Out of memory with 512 tokens at once: tried once more with {words}."
        assert second.cause == f"An earlier attempt ran out of memory: this one computes with {words}."
        assert [one.status for one in attempts(place, undisturbed, slot)] == ["published"]
    tables = [dict(place.stage(run_id, "evaluation").summary or {}) for run_id in (undisturbed, disturbed)]
    divergences = [table.pop("kl") for table in tables]  # sums are rounded in another order
    assert tables[0] == tables[1] != {}
    assert divergences[0] == pytest.approx(divergences[1], rel=1e-4)


def test_one_that_runs_out_again_fails_in_a_sentence_and_other_runs_go_on(place: Workplace) -> None:
    run_id = submit(place, "a")
    other = submit(place, "a", method="human")
    with memory_for(0, "annotator"):
        work_through()
        assert (place.run(run_id).status, place.run(other).status) == ("failed", "done")
        assert [one.status for one in attempts(place, run_id, "annotator")] == ["lost", "failed"]
        said = str(place.run(run_id).error)
        tried = "with 512 tokens at once, and again with 256 tokens at once and gradient checkpointing"
        assert said.startswith(f"Stage annotator failed: Out of memory {tried}; by the estimate that fits: ")
        assert said.endswith(", then retry; finished stages are kept.")
        api.retry_run(run_id)  # what somebody asks for is tried with less than what failed
        work_through()
    assert [one.status for one in attempts(place, run_id, "annotator")] == ["lost", "failed", "failed"]
    assert "and again with 128 tokens at once" in str(place.run(run_id).error)
    with memory_for(128, "annotator"):
        api.retry_run(run_id)
        work_through()
    assert place.run(run_id).status == "done"


def test_a_process_that_the_kernel_ended_for_memory_counts_as_one_that_ran_out(both_places: Workplace) -> None:
    run_id = submit(both_places, "a")
    me = settings.own_worker
    for status in ("queued", "failed"):
        while True:  # light stages depend on no tokens: they are done before
            claimed = job._claim(me, "cpu", wait=0.0)
            assert claimed is not None
            if claimed.kind == "annotator":
                break
            job._perform(me, "cpu", claimed, job.Shutdown())
        assert lease.give_up_stages(me, cause=Cause.MEMORY) == 1
        assert both_places.stage(run_id, "annotator").status == status
    assert "Out of memory with 512 tokens at once, and again with 256" in str(both_places.run(run_id).error)


def test_a_stage_that_no_smaller_batch_helps_is_not_tried_again(place: Workplace) -> None:
    run_id = submit(place, "a")
    me = settings.own_worker
    claimed = job._claim(me, "cpu", wait=0.0)
    assert claimed is not None
    assert claimed.kind == "data"
    assert lease.give_up_stages(me, cause=Cause.MEMORY) == 1
    said = str(place.run(run_id).error)
    assert said.startswith("Stage data failed: Out of memory; close what else uses memory")


@pytest.mark.parametrize(("split", "parts"), [(True, 4), (None, 4), (False, 1)], ids=["split", "unknown", "repeated"])
def test_the_remedy_counts_the_cards_that_a_model_was_split_over(
    split: bool | None, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def remedy(*of: Any, cards: int) -> str:
        asked.append(cards)
        return "use other cards"

    used = ExecutionConfig(tokens_per_batch=128, gradient_checkpointing=True)
    monkeypatch.setattr(memory, "execution_of", lambda *of: used)
    monkeypatch.setattr(memory, "_wished", lambda *of: used)
    monkeypatch.setattr(memory, "splits", lambda *of: split)
    monkeypatch.setattr(memory, "gpu_memory", lambda: 24 * 10**9)
    monkeypatch.setattr(memory.leases, "mark_ran_out", lambda *of: None)
    monkeypatch.setattr(memory.leases, "ran_out", lambda *of: [])
    monkeypatch.setattr(memory.stages, "fail", lambda *of, error: None)
    monkeypatch.setattr(memory.smaller, "what_would_fit", remedy)
    session: Any = None
    cards = ("0", "1", "2", "3")
    said = memory.ran_out(session, 1, 1, stage.settings("align"), where=memory.Where.CARD, gpu=True, cards=cards)
    assert "use other cards" in said
    assert asked == [parts]


def test_what_a_server_says_of_its_memory_is_not_ours() -> None:
    from cwpo.errors import JudgeError

    assert is_out_of_memory(OutOfMemory("Rank 1 was ended."))
    assert is_out_of_memory(RuntimeError("can't start new thread"))
    assert not is_out_of_memory(JudgeError("The judge answered 500: CUDA out of memory."))
