"""What people do with several runs at once: what is done, what is refused in words, and the way back."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from cwpo.errors import ConfigError
from db import queries
from db.errors import UnfitWord, UnknownRun
from db.records.keeping import KeptRun
from tests.workers.workplace import Workplace
from workers import api
from workers.api import keeping
from workers.cli.follow import watch
from workers.cli.main import main as command_line
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job
from workers.queue.reaper import remove_deleted


def kept(*run_ids: int) -> list[KeptRun]:
    with reading() as session:
        return queries.kept_runs(session, run_ids)


def submitted(place: Workplace, number: int) -> list[int]:
    return [api.submit_run(place.config(salt=str(salt))).run_id for salt in range(number)]


def test_every_command_is_taken_back(workplace: Workplace) -> None:
    """Each one over a queued and a cancelled run; its way back gives both as they were."""
    a, b = submitted(workplace, 2)
    keeping.cancel([b])
    keeping.tag([a], "mine")
    keeping.note([a], "first")
    keeping.rename([a], "one of two")
    start = kept(a, b)
    for command in (
        lambda: keeping.tag([a, b], "mine"),
        lambda: keeping.untag([a, b], "mine"),
        lambda: keeping.retag([a, b], ["x", "y"], ["mine"]),
        lambda: keeping.note([a, b], "other"),
        lambda: keeping.rename([a, b], "other"),
        lambda: keeping.pin([a, b]),
        lambda: keeping.archive([b]),
        lambda: keeping.delete([b]),
        lambda: keeping.pause([a]),
        lambda: keeping.cancel([a]),
        lambda: keeping.retry([b]),
        lambda: keeping.pause_queue(),
    ):
        done = command()
        assert done.undo is not None, done
        if done.undo.command != "resume_queue":
            assert kept(a, b) != start, done
        assert keeping.undo(done.undo)
        assert kept(a, b) == start, done
    with reading() as session:
        assert not queries.queue_paused(session)


def test_what_cannot_be_done_is_said_and_hinders_no_other_run(workplace: Workplace) -> None:
    live, ended = submitted(workplace, 2)
    assert keeping.cancel([live, ended]).sentence == f"Runs {live} and {ended} cancelled, what is finished stays."
    api.retry_run(live)
    archived = keeping.archive([live, ended])
    assert archived.said == f"Run {ended} archived. Run {live} is queued and cannot be archived: cancel it first."
    deleted = keeping.delete([live, ended])
    assert deleted.said == f"Run {ended} deleted. Run {live} is queued and cannot be deleted: cancel it first."
    again = keeping.cancel([ended, live, 99])
    assert again.run_ids == (live,)
    assert [sentence.partition(":")[0] for sentence in again.refused] == [
        f"There is no run {ended}",
        "There is no run 99",
    ]
    nothing = keeping.unpin([live])
    assert (nothing.said, nothing.undo) == (f"Run {live} was not pinned.", None)
    with pytest.raises(UnfitWord):
        keeping.tag([live], "a,b")


def test_a_deleted_run_comes_back_whole_and_is_removed_with_its_files_later(workplace: Workplace) -> None:
    stays, goes = (api.submit_run(workplace.config(method=method)).run_id for method in ("cw", "weak"))
    own, shared = workplace.stage(goes, "align").fingerprint, workplace.stage(goes, "annotator").fingerprint
    for fingerprint in (own, shared):
        with store().build(fingerprint) as folder:
            (folder / "summary.json").write_text("{}")
    keeping.cancel([goes])
    done = keeping.delete([goes])
    assert remove_deleted() == 0
    with pytest.raises(UnknownRun):
        api.retry_run(goes)
    assert done.undo is not None
    assert keeping.undo(done.undo) == f"Run {goes} brought back."
    assert store().find(own) is not None
    api.retry_run(goes)
    keeping.cancel([goes])
    late = keeping.delete([goes])
    assert remove_deleted(seconds=0) == 1
    assert store().find(own) is None
    assert store().find(shared) is not None
    assert late.undo is not None
    assert keeping.undo(late.undo) == f"No run brought back. Run {goes} was removed for good meanwhile."
    assert workplace.run(stays).status == "queued"


def test_a_deleted_run_is_brought_back_by_whoever_finds_it(workplace: Workplace) -> None:
    """Nothing of the session that deleted it is needed, and what that one does later is told as it is."""
    a, b = submitted(workplace, 2)
    keeping.cancel([a, b])
    start = kept(a, b)
    deleted = keeping.delete([a, b])
    with reading() as session:
        assert [run.id for run in queries.deleted_lately(session)] == [b, a]
    assert keeping.undelete([a]).said == f"Run {a} brought back."
    assert deleted.undo is not None
    assert keeping.undo(deleted.undo) == f"Run {b} brought back. Run {a} is there already."
    assert kept(a, b) == start
    keeping.delete([a, b])
    assert remove_deleted(seconds=0) == 2
    assert keeping.undelete([a, b]).said == f"No run brought back. Runs {a} and {b} were removed for good meanwhile."
    with reading() as session:
        assert queries.deleted_lately(session) == []


def test_the_queue_is_shown_moved_and_paused_from_a_terminal(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c = submitted(workplace, 3)

    def said(*words: str) -> str:
        code = command_line(["queue", *words])
        out = capsys.readouterr()
        return out.out if code == 0 else f"{code}: {out.err or out.out}"

    assert said("move", str(c), "front") == f"Run {c} moved to the front of the queue.\n"
    assert said("pause", str(b)) == f"Run {b} paused.\n"
    assert said("pause") == "The queue is paused; running stages end as usual.\n"
    table = said()
    lines = [line.split() for line in table.splitlines() if line.strip()[:1].isdigit()]
    assert [line[1] for line in lines] == [str(c), str(a), str(b)]
    assert "paused" in lines[2]
    assert "cwpo queue resume" in table
    assert said("resume").startswith("The queue goes on")
    assert said("resume", str(b), str(a)).startswith(f"Run {b} resumed")
    assert said("move", str(a)).startswith("2: cwpo: cwpo queue: move needs runs and where to")
    assert said("pause", "x").startswith("2: cwpo: cwpo queue: 'x' is no number")
    assert said("move", "99", "up").startswith("1: cwpo: Run 99 is not in the queue")


def test_watching_ends_with_the_runs_while_paused_ones_wait(place: Workplace) -> None:
    """A real job starts nothing of the paused run before it is resumed; the code says how runs ended."""
    with pytest.raises(ConfigError, match="none is queued or running"):
        watch.main([])
    paused, run = submitted(place, 2)
    keeping.pause([paused])
    out = io.StringIO()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(job.work)
        code = watch.main([run], console=Console(file=out, width=160))
        working.result()
    assert code == 0
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(f"run {run}: ")
    assert "GRA" in lines[-1]
    assert place.stage(paused, "evaluation").status == "queued"
    keeping.pause_queue()
    assert job.work() == 0
    keeping.resume_queue()
    keeping.cancel([paused])
    keeping.archive([paused])
    assert watch.main([run, paused], console=Console(file=out, width=160, force_terminal=True)) == 1
    with pytest.raises(UnknownRun, match="no run 99"):
        watch.main([99])
