"""Marks, deletion with a way back, the order of the queue and its pauses, on both databases."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from db import queries
from db.engine import Engines, now, read_scope, session_scope
from db.errors import FinishedRun, UnfitWord, UnknownRun
from db.models import Artifact, Notice, Run, RunNote, RunTag
from db.queries.people import keeping as reads
from db.records import RunFilters
from db.records.keeping import DueNotice, KeptRun, QueuePage
from db.repositories import cards, runs, stages
from db.repositories.keeping import marks, notices, queue, removal
from tests.db.make import add_worker, claim, new_run, publish, submit, work_off


def kept(engines: Engines, *run_ids: int) -> list[KeptRun]:
    with read_scope(engines) as session:
        return queries.kept_runs(session, run_ids)


def listed(engines: Engines, filters: RunFilters = RunFilters()) -> list[int]:  # noqa: B008
    with read_scope(engines) as session:
        return [row.id for row in queries.list_runs(session, filters=filters).rows]


def order(engines: Engines) -> list[int]:
    with read_scope(engines) as session:
        return [row.id for row in queries.queued_runs(session).rows]


def page(engines: Engines) -> QueuePage:
    with read_scope(engines) as session:
        return queries.queued_runs(session)


def kinds(engines: Engines, worker: int, most: int = 99) -> list[str]:
    """Fingerprints in the order in which a worker claims and publishes."""
    found: list[str] = []
    while len(found) < most:
        with session_scope(engines) as session:
            claimed = stages.claim(session, worker, "cpu", 45)
            if claimed is None:
                return found
            publish(session, claimed)
            found.append(claimed.fingerprint)
    return found


def test_tags_are_given_taken_counted_and_filtered_by(database: Engines) -> None:
    a, b, c = (submit(database, "data").run_id for _ in range(3))
    with session_scope(database) as session:
        assert marks.tag(session, [a, b], "  for   the paper ") == (a, b)
        assert marks.tag(session, [a, b, c, 99], "for the paper") == (c,)
        assert marks.tag(session, [b], "به‌روز") == (b,)
        assert marks.untag(session, [a, c], "for the paper") == (a, c)
    with read_scope(database) as session:
        assert queries.tags_of(session, [a, b, c]) == {b: ("for the paper", "به‌روز")}
        assert [(one.tag, one.runs) for one in queries.all_tags(session)] == [("for the paper", 1), ("به‌روز", 1)]
    assert listed(database, RunFilters(tags=("for the paper",))) == [b]
    assert listed(database, RunFilters(tags=("for the paper", "other"))) == []
    with read_scope(database) as session:
        found = queries.list_groups(session, filters=RunFilters(tags=("به‌روز",)))
    assert [group.run_ids for group in found.groups] == [(b,)]


@pytest.mark.parametrize(("word", "sentence"), [("  ", "at least one"), ("x" * 41, "at most 40"), ("a,b", "no comma")])
def test_a_tag_that_cannot_be_kept_says_why_and_nothing_changes(
    sqlite_database: Engines, word: str, sentence: str
) -> None:
    run = submit(sqlite_database, "data").run_id
    with pytest.raises(UnfitWord, match=sentence), session_scope(sqlite_database) as session:
        marks.tag(session, [run], word)
    assert kept(sqlite_database, run)[0].tags == ()


def test_notes_names_and_pins_say_what_was_there_before(database: Engines) -> None:
    a, b = (submit(database, "data").run_id for _ in range(2))
    with session_scope(database) as session:
        assert marks.note(session, {a: "looks *good*\n", b: ""}) == {a: ""}
        assert marks.note(session, {a: "worse", b: "new"}) == {a: "looks *good*", b: ""}
        assert marks.note(session, {a: "", b: "new"}) == {a: "worse"}
        assert marks.rename(session, {a: "  first \n try ", b: "run"}) == {a: "run"}
        assert marks.pin(session, [a, b]) == (a, b)
        assert marks.pin(session, [b], False) == (b,)
    one, two = kept(database, a, b)
    assert (one.name, one.pinned, one.note) == ("first try", True, "")
    assert (two.name, two.pinned, two.note) == ("run", False, "new")
    assert listed(database, RunFilters(pinned=True)) == [a]


def test_live_runs_are_not_archived_with_the_others(database: Engines) -> None:
    done = submit(database, "data").run_id
    work_off(database, add_worker(database))
    live = submit(database, "data", "annotator").run_id
    with session_scope(database) as session:
        assert marks.archive(session, [done, live]) == (done,)
    assert listed(database) == [live]
    with session_scope(database) as session:
        assert marks.archive(session, [done], False) == (done,)
    assert listed(database) == [live, done]


def test_the_queue_is_read_from_any_place_in_it(database: Engines) -> None:
    ids = [submit(database, "data").run_id for _ in range(5)]
    with read_scope(database) as session:
        middle, behind = (queries.queued_runs(session, limit=2, skip=skip) for skip in (2, 9))
    assert ([(row.place, row.id) for row in middle.rows], middle.total) == ([(3, ids[2]), (4, ids[3])], 5)
    assert (behind.rows, behind.total) == ((), 5)


def test_deleted_runs_are_found_until_they_are_removed(database: Engines) -> None:
    first, second, third = (submit(database, "data").run_id for _ in range(3))
    work_off(database, add_worker(database))

    def found() -> list[int]:
        with read_scope(database) as session:
            return [run.id for run in queries.deleted_lately(session)]

    assert found() == []
    with session_scope(database) as session:
        removal.hide(session, [first, second, third])
        for minutes, run in enumerate((second, first, third)):
            ago = now(session) - timedelta(minutes=minutes)
            session.execute(update(Run).where(Run.id == run).values(deleted_at=ago))
    assert found() == [second, first, third]
    with session_scope(database) as session:
        removal.show(session, [first])
        assert removal.remove(session, third, -60) is not None
    assert found() == [second]


def test_a_deleted_run_is_nowhere_and_comes_back_whole(database: Engines) -> None:
    run = submit(database).run_id
    worker = add_worker(database)
    work_off(database, worker)
    with read_scope(database) as session:  # what is asked below has an answer before
        assert queries.runs_like(session, ["c" * 64]).keys() == {"c" * 64}
        assert [row.id for row in queries.compared_runs(session, run_ids=[run], limit=9)] == [run]
        assert [row.id for row in queries.newest_evaluated(session, 10)] == [run]
    with session_scope(database) as session:
        marks.tag(session, [run], "keep")
        marks.note(session, {run: "why"})
        assert removal.hide(session, [run]) == (run,)
    with read_scope(database) as session:
        assert queries.list_runs(session).total == 0
        assert queries.list_groups(session).groups == ()
        assert queries.kept_runs(session, [run]) == []
        assert queries.all_tags(session) == []
        assert queries.list_annotators(session) == []
        assert queries.runs_by_config_hash(session, ["c" * 64]) == {}
        assert queries.runs_like(session, ["c" * 64]) == {}
        assert queries.compared_runs(session, run_ids=[run], limit=9) == []
        assert queries.newest_evaluated(session, 10) == []
        assert queries.queue_health(session).runs["done"] == 0
        with pytest.raises(UnknownRun):
            queries.get_run(session, run)
    for change in (runs.retry, runs.cancel, runs.archive, runs.delete):
        with pytest.raises(UnknownRun), session_scope(database) as session:
            change(session, run)
    with session_scope(database) as session:
        assert removal.show(session, [run, 99]) == (run,)
        assert removal.show(session, [run]) == ()
    assert listed(database) == [run]
    assert (kept(database, run)[0].tags, kept(database, run)[0].note) == (("keep",), "why")
    with read_scope(database) as session:
        assert len(queries.run_stages(session, run)) == 6


def test_a_deleted_run_is_removed_when_its_time_is_over_and_not_before(database: Engines) -> None:
    run = submit(database).run_id
    other = submit(database, align="-b").run_id
    work_off(database, add_worker(database))
    with session_scope(database) as session:
        marks.tag(session, [run], "keep")
        marks.note(session, {run: "why"})
        removal.hide(session, [run])
        assert removal.overdue(session) == []
        assert removal.remove(session, run) is None
    with session_scope(database) as session:
        session.execute(update(Run).where(Run.id == run).values(deleted_at=now(session) - timedelta(minutes=11)))
    with session_scope(database) as session:
        assert removal.overdue(session) == [run]
        removed = removal.remove(session, run)
        assert removed is not None
        assert set(removed.fingerprints) == {"align", "samples", "evaluation"}
        assert removal.remove(session, run) is None
    assert listed(database) == [other]
    with read_scope(database) as session:
        assert session.scalar(select(func.count()).select_from(RunTag)) == 0
        assert session.scalar(select(func.count()).select_from(RunNote)) == 0


def test_live_runs_are_not_deleted(database: Engines) -> None:
    run = submit(database, "data").run_id
    with session_scope(database) as session:
        assert removal.hide(session, [run]) == ()
    assert listed(database) == [run]


def test_a_deleted_run_is_not_queued_again_with_another_one(database: Engines) -> None:
    a, b = submit(database).run_id, submit(database, align="-b").run_id
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        stages.fail(session, claimed.stage_id, claimed.token, error="broken")
        removal.hide(session, [a])
    with session_scope(database) as session:
        assert runs.retry(session, b) == (b,)


def test_what_a_deletion_frees_is_what_it_frees(database: Engines) -> None:
    """Ten bytes for each of align, samples and evaluation; data, annotator and labels stay for the other run."""
    a, b = submit(database).run_id, submit(database, align="-b").run_id
    work_off(database, add_worker(database))
    with read_scope(database) as session:
        one, both = removal.loss(session, [a]), removal.loss(session, [a, b])
    assert (one.artifacts, one.bytes, one.kept) == (3, 30, 3)
    assert (both.artifacts, both.bytes, both.kept) == (9, 90, 0)
    with session_scope(database) as session:
        runs.delete(session, a)
    with read_scope(database) as session:
        gone = session.scalar(select(func.sum(Artifact.bytes)).where(Artifact.deleted_at.is_not(None)))
    assert gone == one.bytes


@pytest.mark.parametrize(
    ("where", "which", "expected"),
    [("up", 2, [0, 2, 1, 3]), ("down", 0, [1, 0, 2, 3]), ("front", 3, [3, 0, 1, 2]), ("up", 0, [0, 1, 2, 3]),
     ("down", 3, [0, 1, 2, 3])],
)  # fmt: skip
def test_a_run_moves_in_the_queue_and_is_computed_in_that_place(
    database: Engines, where: queue.Where, which: int, expected: list[int]
) -> None:
    ids = [submit(database, "data", data=f"-{number}").run_id for number in range(4)]
    with session_scope(database) as session:
        before = queue.move(session, [ids[which]], where)
    assert order(database) == [ids[number] for number in expected]
    assert kinds(database, add_worker(database)) == [f"data-{number}" for number in expected]
    assert all(value == 0 for value in before.values())


def test_moves_follow_each_other_and_are_taken_back(database: Engines) -> None:
    ids = [submit(database, "data", data=f"-{number}", run=new_run(priority=3 - n)).run_id
           for n, number in enumerate("abcd")]  # fmt: skip
    a, b, c, d = ids
    with session_scope(database) as session:
        back = queue.move(session, [b, d], "front")
    assert order(database) == [b, d, a, c]
    with session_scope(database) as session:
        queue.move(session, [d], "down")
        queue.move(session, [d], "down")
    assert order(database) == [b, a, c, d]
    with session_scope(database) as session:
        queue.set_priorities(session, {**back, d: 0})
    assert order(database)[0] == a
    with pytest.raises(FinishedRun, match="Run 99 is not in the queue"), session_scope(database) as session:
        queue.move(session, [99], "up")


def test_nothing_is_claimed_while_the_queue_is_paused(database: Engines) -> None:
    submit(database)
    worker = add_worker(database)
    held = claim(database, worker)
    with session_scope(database) as session:
        assert queue.pause_queue(session)
        assert not queue.pause_queue(session)
    assert page(database).paused
    with session_scope(database) as session:
        publish(session, held)  # what ran ends as usual
    assert kinds(database, worker) == []
    with read_scope(database) as session:
        assert cards.startable_by_device(session) == {}
        assert queries.queue_health(session).ready == 0
    with session_scope(database) as session:
        assert queue.resume_queue(session)
        assert not queue.resume_queue(session)
    assert kinds(database, worker) == ["annotator", "labels", "align", "samples", "evaluation"]


def test_a_paused_run_waits_and_what_another_one_wants_goes_on(database: Engines) -> None:
    a, b = submit(database).run_id, submit(database, align="-b").run_id
    worker = add_worker(database)
    with session_scope(database) as session:
        assert queue.pause(session, [a]) == (a,)
        assert queue.pause(session, [a, 99]) == ()
    shared = ["data", "annotator", "labels"]
    assert kinds(database, worker) == [*shared, "align-b", "samples-b", "evaluation-b"]
    (one,) = [row for row in page(database).rows if row.id == a]
    assert (one.paused, one.stages_left, one.next_slot) == (True, 3, "align")
    with session_scope(database) as session:
        assert queue.pause(session, [a], False) == (a,)
    assert kinds(database, worker) == ["align", "samples", "evaluation"]
    assert [run.status for run in kept(database, a, b)] == ["done", "done"]


def test_a_paused_run_does_not_hurry_what_it_shares(database: Engines) -> None:
    """It was the urgent one: while it waits, its stages are as urgent as the others that want them."""
    calm = submit(database, "data").run_id
    between = submit(database, "data", data="-b", run=new_run(priority=2)).run_id
    urgent = submit(database, "data", run=new_run(priority=5)).run_id
    with session_scope(database) as session:
        queue.pause(session, [urgent])
    assert kinds(database, add_worker(database), most=1) == ["data-b"]
    with session_scope(database) as session:
        queue.pause(session, [urgent], False)
    assert kinds(database, add_worker(database, "w2"), most=1) == ["data"]
    assert [run.status for run in kept(database, calm, between, urgent)] == ["done"] * 3


def test_cancelling_another_run_leaves_the_stages_of_a_paused_one(database: Engines) -> None:
    paused, other = submit(database).run_id, submit(database).run_id
    with session_scope(database) as session:
        queue.pause(session, [paused])
        runs.cancel(session, other)
    with session_scope(database) as session:
        queue.pause(session, [paused], False)
    assert len(kinds(database, add_worker(database))) == 6


def test_a_run_that_is_retried_is_not_paused_any_more(database: Engines) -> None:
    run = submit(database, "data").run_id
    with session_scope(database) as session:
        queue.pause(session, [run])
        runs.cancel(session, run)
        runs.retry(session, run)
    assert kinds(database, add_worker(database)) == ["data"]


def test_the_queue_says_what_is_left(database: Engines) -> None:
    submit(database, "data", "annotator", data="-0")
    worker = add_worker(database)
    work_off(database, worker)
    run = submit(database, "data", "annotator").run_id
    (row,) = page(database).rows
    assert (row.place, row.id, row.stages_left, row.next_slot) == (1, run, 2, "data")
    held = claim(database, worker)
    with session_scope(database) as session:
        stages.heartbeat(session, held.stage_id, held.token, 45, done=3, total=4, unit="rows")
    (row,) = page(database).rows
    assert (row.running, row.next_slot, row.waits_for) == (("data",), None, "data")


def take(engines: Engines) -> DueNotice | None:
    with session_scope(engines) as session:
        return notices.take(session, ["t"])


def later(engines: Engines, seconds: float) -> None:
    """As if so much time had gone by for every message."""
    with session_scope(engines) as session:
        for row in session.scalars(select(Notice)):
            row.created_at -= timedelta(seconds=seconds)
            if row.next_at is not None:
                row.next_at -= timedelta(seconds=seconds)


def test_a_message_is_written_once_and_taken_by_one(database: Engines) -> None:
    with session_scope(database) as session:
        assert notices.add(session, {"run:1": {"text": "done"}}, ["t", "u"]) == 2
        assert notices.add(session, {"run:1": {"text": "done again"}}, ["t", "u"]) == 0
    first = take(database)
    assert first is not None
    assert (first.body, first.tries) == ({"text": "done"}, 1)
    assert take(database) is None  # somebody tries it
    with session_scope(database) as session:
        notices.sent(session, first.id)
    later(database, 7_200)
    assert take(database) is None


def test_what_did_not_arrive_is_tried_more_and_more_seldom_and_given_up_after_a_day(database: Engines) -> None:
    with session_scope(database) as session:
        notices.add(session, {"run:1": {}}, ["t"])
    waits = []
    for _ in range(40):
        found = take(database)
        if found is None:
            break
        with session_scope(database) as session:
            notices.failed(session, found, "the server answered 500")
            row = session.scalars(select(Notice)).one()
            if row.next_at is None:
                break
            waits.append(round((row.next_at - now(session)).total_seconds()))
        later(database, waits[-1] + 1)
    assert waits[:4] == [5, 10, 20, 40]
    assert max(waits) == 3600
    assert 80_000 < sum(waits) <= 86_400
    with read_scope(database) as session:
        counts = reads.notice_counts(session, "t")
    assert (counts.sent, counts.waiting) == (0, 0)


def test_a_message_whose_sender_died_is_taken_again(database: Engines) -> None:
    with session_scope(database) as session:
        notices.add(session, {"run:1": {}}, ["t"])
    assert take(database) is not None
    later(database, 61)
    again = take(database)
    assert again is not None
    assert again.tries == 2


def test_what_ended_while_nobody_looked_for_long_is_old_news(database: Engines) -> None:
    def begin(ago: Callable[[], timedelta] | None = None) -> float:
        with session_scope(database) as session:
            if ago is not None:
                notices.looked(session)
                row = session.get_one(notices.Setting, notices.LOOKED_AT)
                row.value = (now(session) - ago()).isoformat()
            return (now(session) - notices.looked_since(session)).total_seconds()

    assert begin() < 300
    assert 1_700 < begin(lambda: timedelta(minutes=30)) < 2_100
    assert begin(lambda: timedelta(minutes=61)) < 300
