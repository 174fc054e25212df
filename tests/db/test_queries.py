"""What the pages read: filters, keyset pages, published rows only, and plans that use the index."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from db import queries, status
from db.engine import Engines, now, read_scope, session_scope
from db.errors import UnknownRun
from db.models import Annotation, Stage
from db.queries.examples import ORDERS, View, _keys
from db.records import ClaimedStage, Cursor, RunFilters
from db.repositories import annotations, runs, stages, workers
from tests.db.done import done, finish
from tests.db.labels import PAIRS, SUMMARY, annotated_pair
from tests.db.make import add_worker, claim, new_run, publish, stages_of, submit
from tests.db.plans import query_plan
from tests.db.turning import there_and_back

__all__ = ["done"]  # the fixture of that name


@contextmanager
def counted(engines: Engines) -> Iterator[list[str]]:
    """The statements that the reader sends."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            sent.append(statement)

    event.listen(engines.read, "before_cursor_execute", note)
    yield sent
    event.remove(engines.read, "before_cursor_execute", note)


def test_runs_come_in_pages_with_their_gra(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    second = submit(engines, align="-b", run=new_run(name="second")).run_id
    with read_scope(engines) as session:
        page = queries.list_runs(session, limit=1)
        rest = queries.list_runs(session, limit=1, after=page.next)
    assert (page.total, page.rows[0].id, rest.rows[0].id, rest.next) == (2, second, run_id, None)
    assert (page.rows[0].stages, page.rows[0].stages_done, page.rows[0].stages_reused) == (6, 3, 3)
    graded = rest.rows[0].evaluation
    assert graded is not None
    assert (graded.gra, graded.ci_low, graded.kl, graded.baseline_ungrammatical) == (0.6, 0.4, 0.2, None)
    assert page.rows[0].evaluation is None


def test_the_running_stage_stands_in_the_row(database: Engines) -> None:
    submit(database)
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        stages.heartbeat(session, claimed.stage_id, claimed.token, 45, done=2, total=8, unit="rows")
    with read_scope(database) as session:
        (row,) = queries.list_runs(session).rows
    assert (row.current_slot, row.current_done, row.current_total, row.current_unit) == ("data", 2, 8, "rows")


def test_filters_and_search(database: Engines) -> None:
    submit(database, "data", run=new_run(name="alpha 100%", method="weak", seed=1, sweep_id="s1"))
    submit(database, "data", run=new_run(name="beta_1", method="cw", seed=2, objective="ipo", group_key="other"))
    submit(database, "data", run=new_run(name="BETA 1000", method="top", method_label="top 30 %", label_fraction=0.5))

    def names(**filters: Any) -> list[str]:
        with read_scope(database) as session:
            page = queries.list_runs(session, filters=RunFilters(**filters), order="oldest")
            assert page.total == len(page.rows)
            return [row.name for row in page.rows]

    assert names(method=("weak", "cw")) == ["alpha 100%", "beta_1"]
    assert names(objective=("ipo",), seed=(2,)) == ["beta_1"]
    assert names(label_fraction=(0.5,)) == ["BETA 1000"]
    assert names(sweep_id=("s1",)) == ["alpha 100%"]
    assert names(text="beta") == ["beta_1", "BETA 1000"]
    assert names(text="100%") == ["alpha 100%"]
    assert names(text="a_1") == ["beta_1"]
    assert names(text="beta 30") == ["BETA 1000"]
    assert names(text="nothing like it") == []
    assert names(status=("done",)) == []
    with read_scope(database) as session, pytest.raises(ValueError, match="choose one of newest, oldest, name"):
        queries.list_runs(session, order="random")


@pytest.mark.parametrize("order", ["newest", "oldest", "name"])
def test_every_order_visits_each_run_once(done: tuple[Engines, int], order: str) -> None:
    engines, _ = done
    for number in range(10):
        submit(engines, "data", run=new_run(name=f"name {number % 3}"))
    seen: list[int] = []
    after: Cursor | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.list_runs(session, order=order, after=after, limit=3)
        seen += [row.id for row in page.rows]
        if page.next is None:
            break
        after = Cursor.decode(page.next.encode(), value=str if order == "name" else float, key=int)
    assert sorted(seen) == list(range(1, 12))


def test_groups_hold_the_seeds_of_one_config(database: Engines) -> None:
    for seed in (2, 0, 1):
        submit(database, "data", run=new_run(seed=seed, group_key="one"))
    submit(database, "data", run=new_run(group_key="two"))
    with read_scope(database) as session:
        page = queries.list_groups(session, limit=1)
        rest = queries.list_groups(session, limit=1, after=page.next)
    assert (page.total, page.groups[0].group_key, rest.next) == (2, "two", None)
    assert (rest.groups[0].seeds, rest.groups[0].run_ids) == ((0, 1, 2), (2, 3, 1))


def test_lists_need_a_handful_of_queries_whatever_their_size(done: tuple[Engines, int]) -> None:
    engines, _ = done
    ids = [submit(engines, align=f"-{number}").run_id for number in range(30)]
    for read, most in (
        (lambda session: queries.list_runs(session, limit=50), 1),
        (lambda session: queries.list_groups(session, limit=50), 3),
        (lambda session: queries.get_run(session, ids[0]), 1),
        (lambda session: queries.labeled_run(session, ids[0]), 1),
        (lambda session: queries.stages_of_runs(session, ids), 1),
        (lambda session: queries.same_prompt_answers(session, ids, "t1"), 5),
        (lambda session: queries.active_stages(session), 1),
        (lambda session: queries.workers(session), 1),
        (lambda session: queries.queue_health(session), 1),
        (lambda session: queries.queued_runs(session, limit=50), 1),
        (lambda session: queries.outcomes(session, ids), 1),
    ):
        with counted(engines) as sent, read_scope(engines) as session:
            read(session)
        assert 0 < len(sent) <= most


def test_no_list_reads_configs_or_texts_before_the_page_is_chosen(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with counted(engines) as sent, read_scope(engines) as session:
        queries.list_runs(session)
    assert not [statement for statement in sent if "runs.config " in statement or "summary" in statement]
    with counted(engines) as sent, read_scope(engines) as session:
        queries.annotations(session, run_id, limit=5)
    reading = [statement for statement in sent if "response_a" in statement]
    assert len(reading) == 1
    assert "IN (" in reading[0]


def test_one_run_and_its_config(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        record = queries.get_run(session, run_id)
        assert (record.config, record.status, record.failed_slot) == ({"seed": 0}, "done", None)
        assert queries.configs(session, [run_id]) == {run_id: {"seed": 0}}
        assert queries.runs_by_config_hash(session, ["c" * 64, "none"]) == {"c" * 64: [run_id]}
        with pytest.raises(UnknownRun, match="Runs page"):
            queries.get_run(session, 99)


def walk(engines: Engines, run_id: int, insert_at: int = -1, **filters: Any) -> list[float]:
    """Confidences met page by page; before page `insert_at` 40 more rows are written to the same attempt."""
    met: list[tuple[float, str]] = []
    after: Cursor | None = None
    number = 0
    while True:
        if number == insert_at:
            with session_scope(engines) as session:
                sample = session.scalars(select(Annotation).limit(1)).one()
                keys = {"stage_id": sample.stage_id, "attempt_id": sample.attempt_id}
                for extra in range(40):
                    row = Annotation(
                        **keys, pair_id=f"p{extra:03d}x", data_stage_id=sample.data_stage_id, score_a=0.0, score_b=0.0,
                        margin=0.0, confidence=(extra % 10) / 10, label="a", agrees_human=True,
                    )  # fmt: skip
                    session.add(row)
        with read_scope(engines) as session:
            page = queries.annotations(session, run_id, after=after, limit=7, **filters)
        met += [(row.confidence, row.pair_id) for row in page.rows]
        number += 1
        if page.next is None:
            break
        after = Cursor.decode(page.next.encode(), value=float, key=int)
    names = [pair_id for _, pair_id in met]
    assert len(names) == len(set(names))
    return [confidence for confidence, _ in met]


@pytest.mark.parametrize("order", ["lowest", "highest"])
def test_walking_all_pages_meets_each_pair_once(done: tuple[Engines, int], order: str) -> None:
    engines, run_id = done
    met = walk(engines, run_id, order=order)
    assert len(met) == PAIRS
    assert met == sorted(met, reverse=order == "highest")


def test_rows_written_during_the_walk_neither_repeat_nor_hide_others(done: tuple[Engines, int]) -> None:
    """The new rows have no texts, so only those that were there are shown; each of them exactly once."""
    engines, run_id = done
    with session_scope(engines) as session:
        labels = session.scalars(select(Stage).where(Stage.kind == "labels")).one()
        data = session.scalars(select(Stage).where(Stage.kind == "data")).one()
        claimed = claim_again(session, data)
        pairs = [{**annotated_pair(number), "pair_id": f"p{number:03d}x"} for number in range(40)]
        annotations.add_pairs(session, claimed, pairs)
        session.execute(update(Stage).where(Stage.id == data.id).values(status=status.DONE))
    assert labels.status == "done"
    met = walk(engines, run_id, insert_at=3)
    assert met == sorted(met)
    assert len(met) >= PAIRS
    old = [number * 7 % 10 / 10 for number in range(PAIRS)]
    assert all(met.count(value) >= old.count(value) for value in old)


def claim_again(session: Any, stage: Stage) -> Any:
    """Hold a published stage once more, to write texts into it."""
    session.execute(update(Stage).where(Stage.id == stage.id).values(status=status.RUNNING))
    return ClaimedStage(
        stage_id=stage.id, attempt_id=stage.current_attempt_id or 0, token=stage.token, kind=stage.kind, version=1,
        fingerprint=stage.fingerprint, config={}, inputs={}, input_stage_ids={}, priority=0,
    )  # fmt: skip


def test_examples_filter_by_confidence_agreement_and_text(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        low = queries.annotations(session, run_id, c_low=0.2, c_high=0.4, limit=100)
        assert {row.confidence for row in low.rows} == {0.2, 0.3, 0.4}
        assert low.total == len(low.rows) == 18
        disagree = queries.annotations(session, run_id, agreement="disagree", limit=100)
        assert disagree.total == len(disagree.rows) == 20
        assert all(row.human_label != row.label for row in disagree.rows)
        assert queries.annotations(session, run_id, agreement="agree").total == 40
        wrong = queries.annotations(session, run_id, order="confident_wrong", limit=3)
        assert [row.confidence for row in wrong.rows] == [0.9, 0.9, 0.8]
        assert wrong.rows[0].agrees_human is False
        counts = {"pandas_X": 60, "ABOUT 100% p": 60, "p_ndas": 0, "PRÜFUNG": 60, "yes 7": 1, "no 1": 11, "1%0": 0}
        for text, count in counts.items():
            page = queries.annotations(session, run_id, text=text, limit=100)
            assert (len(page.rows), page.total, page.next) == (count, None, None), text
        with pytest.raises(ValueError, match="any, agree, disagree"):
            queries.annotations(session, run_id, agreement="maybe")


def test_a_search_gives_up_after_its_budget_and_says_where_to_go_on(
    done: tuple[Engines, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, run_id = done
    monkeypatch.setattr("db.queries.examples.SEARCH_STEPS", (5, 10))
    found: list[str] = []
    after: Cursor | None = None
    pages = 0
    while True:
        with read_scope(engines) as session:
            page = queries.annotations(session, run_id, text="no 1", limit=2, after=after)
        found += [row.pair_id for row in page.rows]
        assert page.searched is not None
        assert page.searched <= 15
        pages += 1
        if page.next is None:
            break
        after = page.next
    assert sorted(found) == ["p001", *(f"p0{number}" for number in range(10, 20))]
    assert pages > 5


@pytest.mark.parametrize(("order", "text"), [("lowest", ""), ("highest", ""), ("lowest", "no 1"), ("highest", "no 1")])
def test_the_way_back_through_pairs_meets_the_same_pages(done: tuple[Engines, int], order: str, text: str) -> None:
    """Eleven of sixty pairs hold the text; of a search nobody knows the places."""
    engines, run_id = done

    def page_of(after: Cursor | None, before: Cursor | None) -> Any:
        with read_scope(engines) as session:
            return queries.annotations(session, run_id, order=order, text=text, after=after, before=before, limit=4)

    pages = there_and_back(
        page_of, partial(Cursor.decode, value=float, key=int), lambda page: [row.pair_id for row in page.rows]
    )
    assert [first for _, first in pages] == ([None] * 3 if text else list(range(1, 60, 4)))
    assert sum(len(rows) for rows, _ in pages) == (11 if text else 60)


def test_a_search_that_gives_up_on_the_way_back_says_where_to_go_on(
    done: tuple[Engines, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, run_id = done
    monkeypatch.setattr("db.queries.examples.SEARCH_STEPS", (5, 10))
    found: set[str] = set()
    before: Cursor | None = Cursor(value=1.0, id=2**62)
    for _ in range(20):
        with read_scope(engines) as session:
            page = queries.annotations(session, run_id, text="no 1", limit=2, before=before)
        found |= {row.pair_id for row in page.rows}
        if page.previous is None:
            break
        before = Cursor.decode(page.previous.encode(), value=float, key=int)
    assert found == {"p001", *(f"p0{number}" for number in range(10, 20))}


def test_a_pair_can_be_linked(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        row = queries.get_annotation(session, run_id, "p007")
        assert row is not None
        assert (row.prompt, row.confidence, row.run_id) == ("Prompt 7 about 100% PANDAS_x Prüfung", 0.9, run_id)
        assert queries.get_annotation(session, run_id, "none") is None
        assert queries.get_annotation(session, 99, "p007") is None


def test_labels_are_seen_only_once_they_are_published(database: Engines) -> None:
    run_id = submit(database).run_id
    worker = add_worker(database)
    finish(database, worker, "data")
    finish(database, worker, "annotator")
    claimed = claim(database, worker)
    with session_scope(database) as session:
        data = claimed.input_stage_ids["data"]
        annotations.add_annotations(session, claimed, [annotated_pair(1)], data_stage_id=data)
    with read_scope(database) as session:
        assert queries.annotations(session, run_id).total == 0
        assert queries.label_summary(session, run_id) is None
    with session_scope(database) as session:
        publish(session, claimed, **SUMMARY)
    with read_scope(database) as session:
        assert queries.annotations(session, run_id).total == 1


def test_label_summaries_of_several_runs(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    other = submit(engines, align="-b").run_id
    with read_scope(engines) as session:
        summaries = queries.label_summaries(session, [run_id, other, 99])
    assert set(summaries) == {run_id, other}
    summary = summaries[other]
    assert (summary.run_id, summary.n, summary.accuracy_human) == (other, PAIRS, 0.7)
    assert summary.histogram.agree_counts == (15, 25)
    assert (summary.deciles[0].n, summary.deciles[0].agree_truth) == (30, None)


def test_outcomes_evaluations_and_seconds_for_compare(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    same = submit(engines).run_id
    waiting = submit(engines, align="-b").run_id
    with read_scope(engines) as session:
        frame = queries.outcomes(session, [run_id, same, waiting])
        graded = queries.evaluations(session, [run_id, same, waiting])
        seconds = queries.stage_seconds(session, [run_id, waiting])
        empty = queries.outcomes(session, [waiting])
    assert frame.groupby("run_id").size().to_dict() == {run_id: 20, same: 20}
    assert frame["outcome"].mean() == pytest.approx(19 / 40)
    assert frame["score"].notna().all()
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0
    assert set(graded) == {run_id, same}
    assert set(seconds[seconds.run_id == waiting].slot) == {"data", "annotator", "labels"}
    assert seconds[seconds.run_id == waiting].reused.all()


def test_the_newest_finished_stages_are_measured_with_a_run_of_theirs(database: Engines) -> None:
    submit(database, run=new_run(config={"data": {"test_prompts": 3}}))
    later = submit(database, align="-b", run=new_run(config={"data": {"test_prompts": 4}})).run_id
    worker = add_worker(database)
    for kind in ("data", "annotator", "labels"):
        finish(database, worker, kind)
    with session_scope(database) as session:
        session.execute(update(Stage).where(Stage.kind == "data").values(summary={"train_pairs": 70}))
    with read_scope(database) as session:
        there = queries.plan_reuse(session, ["data", "annotator", "new"])
        assert {name: stage.pairs for name, stage in there.items()} == {"data": 70, "annotator": None}
        (found,) = queries.measured_stages(session, ["labels", "align"])
        assert (found.kind, found.device, found.seconds, found.pairs) == ("labels", "cpu", 2.0, 70)
        assert found.config["data"]["test_prompts"] == 3
        assert len(queries.measured_stages(session, ["data", "annotator", "labels"], newest=1)) == 3
        assert queries.measured_stages(session, ["data"], newest=0) == []
    assert later > 1


def test_what_a_new_run_would_reuse_and_how_long_it_takes(done: tuple[Engines, int]) -> None:
    engines, _ = done
    run_id = submit(engines, align="-b").run_id
    with read_scope(engines) as session:
        there = queries.plan_reuse(session, ["data", "align-b", "new"])
        assert {name: stage.status for name, stage in there.items()} == {"data": "done", "align-b": "queued"}
        like = queries.measured_like(session, {("align", "tiny"), ("data", ""), ("sft", "tiny")})
        align = next(row for row in queries.run_stages(session, run_id) if row.slot == "align")
    assert {(row.kind, row.model): row.seconds for row in like} == {("data", ""): 2.0, ("align", "tiny"): 2.0}
    assert (align.seconds, align.status) == (None, "queued")


def test_the_system_page(done: tuple[Engines, int]) -> None:
    engines, _ = done
    run_id = submit(engines, align="-b", run=new_run(priority=2)).run_id
    worker = add_worker(engines, "busy")
    claimed = claim(engines, worker)
    with session_scope(engines) as session:
        workers.beat(session, worker, state="busy", stage_id=claimed.stage_id, rss_mb=123.0)
        workers.stop(session, add_worker_in(session, "gone"))
        past = now(session) - timedelta(seconds=1)
        session.execute(update(Stage).where(Stage.id == claimed.stage_id).values(lease_expires_at=past))
    with read_scope(engines) as session:
        health = queries.queue_health(session)
        rows = queries.workers(session)
        active = queries.active_stages(session)
        database = queries.database_health(session)
    assert (health.stages["running"], health.stages["queued"], health.ready, health.waiting) == (1, 2, 0, 2)
    assert (health.expired_leases, health.runs["done"], health.oldest_ready_at) == (1, 1, None)
    assert [(row.name, row.alive, row.stage_kind) for row in rows] == [
        ("busy", True, "align"), ("w1", True, None), ("gone", False, None),
    ]  # fmt: skip
    assert [(row.kind, row.status, row.runs, row.run_id) for row in active] == [
        ("align", "running", 1, run_id), ("samples", "queued", 1, run_id), ("evaluation", "queued", 1, run_id),
    ]  # fmt: skip
    assert active[0].worker == "busy"
    assert {row.kind: (row.artifacts, row.bytes) for row in health.artifacts}["data"] == (1, 10)
    assert database.product in ("SQLite", "PostgreSQL")
    assert "postgres:" not in database.location
    assert database.current


def add_worker_in(session: Any, name: str) -> int:
    return workers.register(session, name=name, host="h", pid=2, device="cpu")


def test_workers_register_again_under_their_name_and_silent_ones_stop(database: Engines) -> None:
    first, again = add_worker(database), add_worker(database)
    assert first == again
    with session_scope(database) as session:
        assert workers.stop_silent(session) == 0
        assert workers.stop_silent(session, seconds=-60) == 1
        assert workers.forget_stopped(session) == 0
        assert workers.forget_stopped(session, seconds=-60) == 1
    with read_scope(database) as session:
        assert queries.workers(session) == []


BY_CONFIDENCE: dict[str, Any] = {"value": float, "key": int}
BY_NUMBER: dict[str, Any] = {"value": None, "key": int}
BY_PROMPT: dict[str, Any] = {"value": None, "key": str}


def test_cursors_survive_the_url_and_nonsense_means_the_first_page() -> None:
    for cursor, order in (
        (Cursor(value=0.1 + 0.2, id=7), BY_CONFIDENCE),
        (Cursor(value=None, id=3), BY_NUMBER),
        (Cursor(value=None, id="t1"), BY_PROMPT),
        (Cursor(value="a,b", id="t1"), {"value": str, "key": str}),
    ):
        assert Cursor.decode(cursor.encode(), **order) == cursor
    for nonsense in ("", "x", "[]", "[1]", "[[1],2]", "[1,null]", "{}", "[true,1]", "[1,2,3]", "null", "[" * 100_000):
        assert Cursor.decode(nonsense, **BY_CONFIDENCE) is None


@pytest.mark.parametrize(
    ("edited", "order"),
    [
        (f"[0.5,{2**63}]", BY_CONFIDENCE),
        (f"[{-(2**63) - 1},1]", BY_CONFIDENCE),
        ("[NaN,1]", BY_CONFIDENCE),
        ("[1e999,1]", BY_CONFIDENCE),
        ('["0.5",1]', BY_CONFIDENCE),
        ('[0.5,"p1"]', BY_CONFIDENCE),
        ("[0.5,1.5]", BY_CONFIDENCE),
        ("[null,1]", BY_CONFIDENCE),
        ("[0.5,1]", BY_NUMBER),
        ('[null,"1"]', BY_NUMBER),
        (f"[null,{10**30}]", BY_NUMBER),
        ("[null,1]", BY_PROMPT),
        ('[null,"t\\u0000"]', BY_PROMPT),
        ('[null,"t\\ud800"]', BY_PROMPT),
    ],
)
def test_an_edited_cursor_that_no_database_takes_is_the_first_page(edited: str, order: dict[str, Any]) -> None:
    assert Cursor.decode(edited, **order) is None


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_any_cursor_that_is_read_can_be_asked_for(done: tuple[Engines, int], number: int) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        queries.annotations(session, run_id, after=Cursor.decode(f"[{number},{number}]", **BY_CONFIDENCE))
        queries.list_groups(session, after=Cursor.decode(f"[null,{number}]", **BY_NUMBER))
        assert queries.answers(session, run_id, after=Cursor.decode('[null,"t5"]', **BY_PROMPT)).rows


def test_plans_use_the_index(done: tuple[Engines, int]) -> None:
    """With 20,000 rows of statistics behind them, pages in every order come out of an index without sorting."""
    engines, run_id = done
    with session_scope(engines) as session:
        sample = session.scalars(select(Annotation).limit(1)).one()
        keys = {
            name: getattr(sample, name)
            for name in ("stage_id", "attempt_id", "data_stage_id", "score_a", "score_b", "margin", "label")
        }
        rows = [
            {
                **keys, "pair_id": f"x{number}", "confidence": number % 997 / 997, "agrees_human": number % 3 > 0,
                "spread": number % 991 / 991,
            }
            for number in range(20_000)
        ]  # fmt: skip
        session.execute(Annotation.__table__.insert(), rows)  # type: ignore[attr-defined]
        session.execute(text("ANALYZE"))
    view = View(stage_id=keys["stage_id"], attempt_id=keys["attempt_id"], low=0.1, high=0.9)
    with read_scope(engines) as session:
        for name, order in ORDERS.items():
            page = _keys(view, order, Cursor(value=0.5, id=5)).limit(20)
            plan = query_plan(session, page)
            assert ("ix_annotations_spread" if name == "unsure" else "ix_annotations_browse") in plan
            assert "Sort" not in plan
            assert "TEMP B-TREE" not in plan
    assert run_id == 1


def test_runs_with_reversed_stages_work_too(database: Engines) -> None:
    with session_scope(database) as session:
        created = runs.create(session, new_run(), list(reversed(stages_of())))
    with read_scope(database) as session:
        assert queries.run_stages(session, created.run_id)[0].slot == "data"


@pytest.mark.parametrize("order", ["lowest", "confident_wrong"])
def test_going_back_meets_the_same_pages_and_each_says_where_it_stands(done: tuple[Engines, int], order: str) -> None:
    engines, run_id = done
    there: list[tuple[int | None, list[str]]] = []
    page = None
    with read_scope(engines) as session:
        while page is None or page.next is not None:
            after = None if page is None else page.next
            page = queries.annotations(session, run_id, order=order, after=after, limit=7)
            there.append((page.first, [row.pair_id for row in page.rows]))
        back = [there[-1]]
        while page.previous is not None:
            page = queries.annotations(session, run_id, order=order, before=page.previous, limit=7)
            back.append((page.first, [row.pair_id for row in page.rows]))
    assert back == there[::-1]
    assert [first for first, _ in there] == list(range(1, (page.total or 0) + 1, 7))


def test_less_than_a_page_in_front_is_the_first_page(done: tuple[Engines, int]) -> None:
    engines, run_id = done
    with read_scope(engines) as session:
        second = queries.annotations(session, run_id, limit=3).next
        page = queries.annotations(session, run_id, before=second, limit=10)
        assert page.rows == queries.annotations(session, run_id, limit=10).rows
        assert (page.first, page.previous) == (1, None)
