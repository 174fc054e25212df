"""System: the queue page by page and what is done to several of its runs, and deleted runs that are brought back."""

from typing import Any

from streamlit.testing.v1 import AppTest

from app.components.system import deleted
from app.components.system.queue_panel import COLUMNS, TICKED, cells_of
from cwpo.config.run import RunConfig
from cwpo.stages.graph import slot_name
from db import queries
from db.records.keeping import QueuedRun
from tests.app.visits import MAIN, visit, words
from tests.workers.access.acting_people import signed_in
from workers import api
from workers.access.roles import Role
from workers.api import keeping
from workers.machine.database import reading
from workers.plan.eta import Eta
from workers.queue import lease


def queued(number: int) -> list[int]:
    return [one.run_id for one in api.submit_sweep([RunConfig(seed=seed) for seed in range(number)], "many")]


def order() -> list[int]:
    with reading() as session:
        return [run.id for run in queries.queued_runs(session, limit=99).rows]


def places(page: AppTest) -> list[int]:
    return [int(place) for place in page.dataframe[0].value["place"]]


def ticked(*runs: int, **params: str) -> AppTest:
    """The page with these runs of the queue ticked, as after clicks into its grid."""
    page = AppTest.from_file(str(MAIN), default_timeout=300).switch_page("screens/system.py")
    for name, value in params.items():
        page.query_params[name] = value
    page.session_state[TICKED] = runs
    return page.run()


def test_the_queue_is_turned_to_its_last_run(empty: None) -> None:
    ids = queued(27)
    page = visit("system")
    assert places(page) == list(range(1, 26))
    assert "1–25 of 27 runs" in words(page)
    page.button(key="queue_next").click().run()
    assert (page.query_params["queue_from"], places(page)) == ("26", [26, 27])
    assert "26–27 of 27 runs" in words(page)
    page.button(key="queue_previous").click().run()
    assert ("queue_from" in page.query_params, len(places(page))) == (False, 25)
    assert places(visit("system", queue_from="900")) == [26, 27]  # of a queue that was longer
    assert places(visit("system", queue_from="no number"))[0] == 1
    keeping.cancel(ids[:2])
    assert "of 25 runs" not in words(visit("system"))  # one page has no turns


def test_a_run_of_a_later_page_comes_to_the_front_and_several_are_cancelled_at_once(empty: None) -> None:
    """Each with its way back."""
    ids = queued(27)
    page = ticked(ids[26], queue_from="26")
    page.button(key="queue_front").click().run()
    assert f"Run {ids[26]} moved to the front of the queue." in words(page)
    assert order() == [ids[26], *ids[:26]]
    page.button(key="queue_undo").click().run()
    assert order() == ids
    page = ticked(ids[1], ids[2])
    page.button(key="queue_cancel").click().run()
    assert f"Runs {ids[1]} and {ids[2]} cancelled, what is finished stays." in words(page)
    assert order() == [ids[0], *ids[3:]]
    page.button(key="queue_undo").click().run()
    assert f"Runs {ids[1]} and {ids[2]} queued again" in words(page)
    assert order() == ids


def test_a_line_of_the_queue_says_its_place_what_is_next_and_when_it_is_done() -> None:
    values: dict[str, Any] = {
        "place": 3, "id": 7, "name": "", "method_label": "CW", "objective": "dpo", "seed": 1, "status": "queued",
        "paused": False, "priority": 2, "stages": 13, "stages_left": 4, "running": (), "next_slot": None,
        "waits_for": "labels",
    }  # fmt: skip

    def said(done_in: float | None = None, **over: Any) -> dict[str, str]:
        run = QueuedRun(**(values | over))
        return dict(zip(COLUMNS, cells_of(run, Eta(run_id=7, ahead=2, starts_in=None, done_in=done_in)), strict=True))

    assert said(190.0) == {
        "place": "3", "run": "7 · CW · DPO · seed 1", "status": "queued", "now": f"waits for {slot_name('labels')}",
        "left": "4 / 13", "done in": "3 min 10 s", "priority": "2",
    }  # fmt: skip
    begun = said(None, name="first", status="running", running=("align", "reward"))
    assert (begun["run"], begun["status"]) == ("7 · CW · DPO · seed 1 · first", "running")
    assert (begun["now"], begun["done in"]) == (f"{slot_name('align')}, {slot_name('reward')}", "–")
    assert (said(next_slot="align")["now"], said(paused=True)["status"]) == (f"next: {slot_name('align')}", "paused")


def test_a_run_says_how_many_stages_of_others_come_before_it(empty: None) -> None:
    lease.register_worker("idle", "cpu")
    first, second = (api.submit_run(RunConfig(seed=seed, salt=str(seed))).run_id for seed in (0, 1))
    with reading() as session:
        ahead = len(queries.run_stages(session, first))
    assert "other runs before it" not in words(visit("run", run=str(first)))
    assert f"{ahead} stages of other runs before it" in words(visit("run", run=str(second)))
    assert list(visit("system").dataframe[0].value["place"]) == ["1", "2"]


def opened() -> AppTest:
    """System in another session, with the part of deleted runs unfolded."""
    page = visit("system")
    page.session_state["system_deleted"] = True
    page.run()
    assert not page.exception
    return page


def test_a_deleted_run_is_brought_back_from_another_session(empty: None) -> None:
    a, b = queued(2)
    keeping.cancel([a, b])
    keeping.rename([b], "*mine*")
    assert "No deleted run is left to bring back" in words(opened())
    keeping.delete([a, b])
    page = opened()
    said = words(page)
    assert f"{b} · CW · DPO · seed 1 · *mine*" in said
    assert said.count("deleted just now") == 2
    page.button(key=f"deleted_back_{b}").click().run()
    assert f"Run {b} brought back." in words(page)
    with reading() as session:
        assert [(run.id, run.name) for run in queries.kept_runs(session, [a, b])] == [(b, "*mine*")]
    assert [one.key for one in page.button if one.key and one.key.startswith("deleted_")] == [f"deleted_back_{a}"]
    with signed_in("ada@example.org", Role.VIEWER):
        found = opened().button(key=f"deleted_back_{a}")
        assert (found.disabled, "This needs the role" in found.help) == (True, True)


def test_many_deleted_runs_are_all_there_and_come_back_at_once(empty: None) -> None:
    ids = queued(deleted.SHOWN + 2)
    keeping.cancel(ids)
    keeping.delete(ids)
    page = opened()
    assert sum(one.label == "Bring back" for one in page.button) == deleted.SHOWN
    page.button(key="deleted_show").click().run()
    assert sum(one.label == "Bring back" for one in page.button) == len(ids)
    page.button(key="deleted_back_all").click().run()
    assert f"{len(ids)} runs brought back." in words(page)
    with reading() as session:
        assert len(queries.kept_runs(session, ids)) == len(ids)
