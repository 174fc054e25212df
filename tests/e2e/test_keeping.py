"""What people do with runs that they have: mark, put away, bring back, and arrange the queue."""

import functools
import os
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from cwpo.config.run import RunConfig
from db import queries
from db.records.keeping import KeptRun
from db.repositories import stages
from tests.e2e.again import take_effect
from tests.e2e.test_dashboard import go, ready
from tests.e2e.test_journeys import LINE, TICK, grid_with
from workers import api
from workers.machine.database import reading, writing
from workers.queue import lease

HOSTILE = '**bold** <img src=x onerror="alert(1)"> :red[x]'


def kept(run_id: int) -> KeptRun | None:
    with reading() as session:
        return next(iter(queries.kept_runs(session, [run_id])), None)


def look(page: Page, name: str) -> None:
    """A picture, where somebody wants to see what these journeys see."""
    if folder := os.environ.get("LOOK_AT"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def ticked(grid: Locator, line: int) -> bool:
    return grid.locator('[data-testid="data-grid-canvas"] tr').nth(line).get_attribute("aria-selected") == "true"


def tick(page: Page, *lines: int) -> None:
    """Click into the first column of these lines of the grid."""
    for line in lines:
        grid = grid_with(page, line)
        click = functools.partial(grid.click, position={"x": TICK, "y": line * LINE + LINE / 2})
        take_effect(page, click, functools.partial(ticked, grid, line))


def press(page: Page, name: str) -> None:
    """Once nothing is drawn any more and no list lies over the page."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.get_by_role("button", name=name, exact=True).click()


def says(page: Page, text: str) -> None:
    expect(page.get_by_text(text).first).to_be_visible()


def finished(seed: int, **over: object) -> int:
    run_id = api.submit_run(RunConfig.parse({"seed": seed, **over})).run_id
    api.cancel_run(run_id)
    return run_id


def test_ticked_runs_are_marked_put_away_and_brought_back(stranger: Page, desk: str) -> None:
    """Tag, name, note, pin, archive and delete from the list, each with its way back."""
    run = finished(1, name="first")
    page = stranger
    page.goto(desk)
    ready(page, "Runs")
    tick(page, 1)
    says(page, "1 run ticked")
    press(page, "Tag")
    page.get_by_role("combobox", name="Tags").fill("for the paper")
    page.keyboard.press("Enter")
    says(page, f"Run {run} tagged “for the paper”.")
    look(page, "tagged")
    page.keyboard.press("Escape")
    press(page, "Pin")
    says(page, f"Run {run} pinned.")
    press(page, "Rename")
    page.get_by_role("textbox", name="Name", exact=True).fill("second")
    page.locator("[class*=st-key-bulk_name] button").click()
    says(page, f"Run {run} is called “second”.")
    page.keyboard.press("Escape")
    press(page, "Note")
    page.get_by_role("textbox", name="Note", exact=True).fill(HOSTILE)
    press(page, "Save note")
    says(page, f"Run {run} has its note.")
    page.keyboard.press("Escape")
    marked = kept(run)
    assert marked is not None
    assert (marked.name, marked.pinned, marked.tags, marked.note) == ("second", True, ("for the paper",), HOSTILE)
    press(page, "Undo")
    says(page, "the note is as before")
    look(page, "undone")
    assert kept(run) == KeptRun(**{**marked.__dict__, "note": ""})
    press(page, "Archive")
    says(page, f"Run {run} archived.")
    press(page, "Undo")
    says(page, f"Run {run} restored.")
    says(page, "1 run ticked")  # still
    press(page, "Delete…")
    says(page, "Undo brings everything back for ten minutes.")
    look(page, "delete")
    press(page, "Delete")
    says(page, f"Run {run} deleted.")
    assert kept(run) is None
    look(page, "deleted")
    press(page, "Undo")
    says(page, f"Run {run} brought back.")
    assert kept(run) == KeptRun(**{**marked.__dict__, "note": ""})
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()


def test_a_run_carries_its_marks_and_what_is_written_stays_text(stranger: Page, desk: str) -> None:
    run = finished(2)
    page = stranger
    page.goto(f"{desk}/run?run={run}")
    ready(page, "seed 2")
    press(page, "Note")
    page.get_by_role("textbox", name="Note", exact=True).fill(HOSTILE)
    press(page, "Save note")
    says(page, "has its note")
    page.keyboard.press("Escape")
    expect(page.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    press(page, "Tags")
    page.get_by_role("combobox", name="Tags").fill("baseline")
    page.keyboard.press("Enter")
    says(page, f"Run {run} tagged “baseline”.")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stMarkdownContainer").filter(has_text=re.compile("^baseline$")).first).to_be_visible()
    look(page, "run")
    page.reload()
    ready(page, "seed 2")
    expect(page.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    press(page, "Retry")
    says(page, f"Run {run} queued again")
    press(page, "More")
    expect(page.get_by_role("button", name="Archive")).to_be_disabled()
    press(page, "Pause")
    says(page, "no further stage is started for this run")
    look(page, "run-paused")


def test_the_queue_is_arranged_and_paused_as_a_whole(visitor: Page, desk: str) -> None:
    """Three queued runs; a worker that asks meanwhile gets nothing, and then the run that was moved to the front."""
    ids = [api.submit_run(RunConfig.parse({"seed": seed, "salt": str(seed)})).run_id for seed in (1, 2, 3)]
    page = visitor
    go(page, "System", "System")

    def order() -> list[int]:
        with reading() as session:
            return [run.id for run in queries.queued_runs(session).rows]

    assert order() == ids
    tick(page, 3)
    press(page, "To the front")
    says(page, f"Run {ids[2]} moved to the front of the queue.")
    assert order() == [ids[2], ids[0], ids[1]]
    press(page, "Down")  # it is ticked still, where it stands now
    says(page, f"Run {ids[2]} moved down in the queue.")
    assert order() == [ids[0], ids[2], ids[1]]
    look(page, "queue")
    press(page, "Undo")
    says(page, "back in the old place")
    assert order() == [ids[2], ids[0], ids[1]]
    press(page, "Pause the queue")
    says(page, "The queue is paused")
    worker = lease.register_worker("asks", "cpu")
    with writing() as session:
        assert stages.claim(session, worker, "cpu", 45) is None
    look(page, "queue-paused")
    press(page, "Resume the queue")
    expect(page.get_by_role("button", name="Pause the queue", exact=True)).to_be_visible()
    with writing() as session:
        claimed = stages.claim(session, worker, "cpu", 45)
        assert claimed is not None
    with reading() as session:
        assert claimed.fingerprint in {stage.fingerprint for stage in queries.run_stages(session, ids[2])}
