"""Every command of workers.api says what it needs, and whoever has less is refused: by each command for itself."""

import importlib
import io
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from cwpo.config.parts import JudgeConfig
from cwpo.config.run import RunConfig
from cwpo.data.profile.job import Job
from db import queries
from db.records import Shown
from db.repositories import runs
from db.repositories.keeping import marks
from tests.db.make import new_run, stages_of
from tests.workers.access.acting_people import give, login, signed_in
from workers import api
from workers.access import acting, doing
from workers.access.doing import NEEDS, needs, record
from workers.access.roles import NotAllowed, Role
from workers.api import annotators, changes, data, disk, exports, keeping, models, submitting, webhooks
from workers.api import runs as api_runs
from workers.api.keeping import Done, Undo
from workers.api.models import Wanted
from workers.api.people import access, chats, drafts, views, votes
from workers.machine import profiles
from workers.machine.database import reading, writing

ME, OTHER = "ada@example.org", "bo@example.org"
SMALL = {"data": {"sandbox": {"pairs": 60}, "test_prompts": 10}}


@pytest.fixture
def home(sqlite_address: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without workers, in which nothing is started."""
    own = {"DATABASE_URL": sqlite_address, "REDIS_URL": redis_server, "CWPO_HOME": str(tmp_path)}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(profiles, "start_apart", lambda *args, **values: 4_199_999)  # nobody's
    return tmp_path


def a_run(owner: str | None) -> int:
    """A queued run of this person."""
    with writing() as session:
        return runs.create(session, new_run(owner=owner), stages_of("data")).run_id


def modules() -> Iterator[ModuleType]:
    yield api
    for found in pkgutil.walk_packages(api.__path__, "workers.api."):
        yield importlib.import_module(found.name)


def public(module: ModuleType) -> dict[str, FunctionType]:
    """Functions that a module defines for others, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def undeclared(module: ModuleType) -> list[str]:
    return [f"{module.__name__}.{name}" for name, function in public(module).items() if not hasattr(function, NEEDS)]


def commands() -> dict[str, Role]:
    """Every command by its name in the log, with the role that it needs."""
    found = [getattr(function, NEEDS) for module in modules() for function in public(module).values()]
    return {need.action: need.role for need in found if need is not None}


def test_every_public_function_of_the_api_says_what_it_needs() -> None:
    assert [name for module in modules() for name in undeclared(module)] == []
    assert len(commands()) > 60


def test_a_function_that_says_nothing_is_found() -> None:
    module = ModuleType("workers.api.new")
    exec("def delete_everything() -> None: ...", vars(module))
    assert undeclared(module) == ["workers.api.new.delete_everything"]


def test_parts_of_commands_are_called_by_commands_alone(home: Path) -> None:
    with pytest.raises(RuntimeError, match="is a part of commands"):
        changes.delete_artifacts(["ab" * 32])


SHOWN = Shown(
    token="t", run_id=1, pair_id="p", person=ME, queue="lowest", left="a", prompt="", response_a="", response_b=""
)
CONFIG = RunConfig.parse(SMALL)
JUDGE = JudgeConfig(kind="simulated")
WANTED = Wanted(run=1, stage="align", form="merged", dtype="fp32")
JOB = Job(kind="profile", source="sandbox", content="")
# By its name in the log: how it is called, given a run; whose run it is matters to those in OF_RUNS.
CALLS: dict[str, Callable[[int], Any]] = {
    "annotators.name_annotator": lambda run: annotators.name_annotator(run, "helpful"),
    "annotators.forget_annotator": lambda run: annotators.forget_annotator("helpful", 1),
    "annotators.label_file": lambda run: annotators.label_file("helpful", "pairs.jsonl"),
    "annotators.stop_labeling": lambda run: annotators.stop_labeling("out.jsonl"),
    "data.keep_upload": lambda run: data.keep_upload("pairs.jsonl", io.BytesIO(b"{}\n")),
    "data.remove_upload": lambda run: data.remove_upload("nowhere"),
    "data.start": lambda run: data.start(JOB),
    "data.stop": lambda run: data.stop(JOB),
    "data.save_recipe": lambda run: data.save_recipe(f"mine {run}", {"prompt": "q", "chosen": "c", "rejected": "r"}),
    "data.remove_recipe": lambda run: data.remove_recipe("mine"),
    "disk.delete": lambda run: disk.delete([]),
    "exports.export_run": exports.export_run,
    "exports.handed_out": lambda run: exports.handed_out("report", "pair.html", [run]),
    "exports.file_taken": lambda run: exports.file_taken("pairs.jsonl"),
    "exports.shown_taken": lambda run: exports.shown_taken("gra.csv"),
    "exports.reproduce_bundle": lambda run: exports.reproduce_bundle([run]),
    "keeping.tag": lambda run: keeping.tag([run], "word"),
    "keeping.untag": lambda run: keeping.untag([run], "word"),
    "keeping.retag": lambda run: keeping.retag([run], ["other"], []),
    "keeping.note": lambda run: keeping.note([run], "text"),
    "keeping.rename": lambda run: keeping.rename([run], "name"),
    "keeping.pin": lambda run: keeping.pin([run]),
    "keeping.unpin": lambda run: keeping.unpin([run]),
    "keeping.archive": lambda run: keeping.archive([run]),
    "keeping.restore": lambda run: keeping.restore([run]),
    "keeping.delete": lambda run: keeping.delete([run]),
    "keeping.undelete": lambda run: keeping.undelete([run]),
    "keeping.cancel": lambda run: keeping.cancel([run]),
    "keeping.retry": lambda run: keeping.retry([run]),
    "keeping.pause": lambda run: keeping.pause([run]),
    "keeping.resume": lambda run: keeping.resume([run]),
    "keeping.pause_queue": lambda run: keeping.pause_queue(),
    "keeping.resume_queue": lambda run: keeping.resume_queue(),
    "keeping.move": lambda run: keeping.move([run], "up"),
    "keeping.undo": lambda run: keeping.undo(Undo(command="note", values={run: ""})),
    "models.export_model": lambda run: models.export_model(WANTED),
    "models.push_model": lambda run: models.push_model(WANTED),
    "models.stop_export": lambda run: models.stop_export(WANTED),
    "models.remove_export": lambda run: models.remove_export(WANTED),
    "people.access.set_role": lambda run: access.set_role("cy@example.org", "viewer"),
    "people.access.revoke": lambda run: access.revoke(OTHER),
    "people.access.log_file": lambda run: list(access.log_file()),
    "people.chats.start": chats.start,
    "people.chats.ask": lambda run: chats.ask(1, "hello"),
    "people.chats.stop": lambda run: chats.stop(1),
    "people.chats.end": lambda run: chats.end(1),
    "people.chats.look": lambda run: chats.look(1),
    "people.chats.as_jsonl": lambda run: chats.as_jsonl(1),
    "people.drafts.save_draft": lambda run: drafts.save_draft(f"d{run}", name="", content={}, revision=0),
    "people.drafts.mark_draft_queued": lambda run: drafts.mark_draft_queued("d"),
    "people.drafts.delete_draft": lambda run: drafts.delete_draft("d"),
    "people.views.save_view": lambda run: views.save_view(f"view {run}", {}),
    "people.views.replace_view": lambda run: views.replace_view(1, {}),
    "people.views.rename_view": lambda run: views.rename_view(1, "other"),
    "people.views.delete_view": lambda run: views.delete_view(1),
    "people.views.set_default_view": lambda run: views.set_default_view(None),
    "people.votes.next_pair": lambda run: votes.next_pair(run, ME, "lowest"),
    "people.votes.put_aside": lambda run: votes.put_aside(SHOWN),
    "people.votes.cast_vote": lambda run: votes.cast_vote(SHOWN, "a"),
    "people.votes.undo_vote": lambda run: votes.undo_vote(run, ME),
    "people.votes.make_set": lambda run: votes.make_set(run, "set"),
    "people.votes.set_file": lambda run: votes.set_file("ab" * 32),
    "people.votes.votes_file": lambda run: list(votes.votes_file(run)),
    "people.votes.import_votes": lambda run: votes.import_votes(run, [], ME),
    "runs.cancel_run": api_runs.cancel_run,
    "runs.retry_run": api_runs.retry_run,
    "runs.reprioritise": lambda run: api_runs.reprioritise(run, 3),
    "runs.archive_run": api_runs.archive_run,
    "runs.delete_run": api_runs.delete_run,
    "submitting.submit_run": lambda run: submitting.submit_run(CONFIG),
    "submitting.submit_sweep": lambda run: submitting.submit_sweep([], "sweep"),
    "submitting.submit_missing": lambda run: submitting.submit_missing([], "sweep"),
    "submitting.rescore": lambda run: submitting.rescore([run], "trained"),
    "submitting.judge": lambda run: submitting.judge([run], JUDGE),
    "submitting.check_judge": lambda run: submitting.check_judge([run]),
    "submitting.look_for_blind_spots": lambda run: submitting.look_for_blind_spots([run]),
    "webhooks.send_test": lambda run: webhooks.send_test(),
}
OF_RUNS = {
    *(name for name in CALLS if name.startswith(("keeping.", "runs."))),
    *(f"submitting.{name}" for name in ("rescore", "judge", "check_judge", "look_for_blind_spots")),
} - {"keeping.pause_queue", "keeping.resume_queue"}


def refused(call: Callable[[int], Any], run: int) -> bool:
    """Whether the command would not do it for whoever acts; what else goes wrong came after that."""
    try:
        result = call(run)
    except NotAllowed:
        return True
    except Exception:
        return False
    said = result.refused if isinstance(result, Done) else ()
    return any("belongs to" in sentence for sentence in said)


def test_the_matrix_has_every_command() -> None:
    assert set(CALLS) == set(commands())


@pytest.mark.parametrize("role", list(Role))
def test_each_command_is_done_for_those_with_its_role_and_their_own_runs_alone(role: Role, home: Path) -> None:
    """Every command × own run, run of somebody else, run of nobody. A runner changes all but those of others."""
    theirs = {owner: a_run(owner) for owner in (ME, OTHER, None)}
    with signed_in(ME, role):
        found, expected = {}, {}
        for name, needed in commands().items():
            for owner, run in theirs.items() if name in OF_RUNS else [(None, theirs[None])]:
                found[name, owner] = refused(CALLS[name], a_run(owner) if name == "runs.delete_run" else run)
                expected[name, owner] = not role.covers(needed) or (owner == OTHER and role is not Role.ADMIN)
    assert {place: was for place, was in found.items() if was != expected[place]} == {}


def test_who_has_the_installation_does_everything(home: Path) -> None:
    """On the command line, and in a browser on this machine; nobody asks the database for it."""
    run = a_run(OTHER)
    assert [name for name in commands() if refused(CALLS[name], run)] == []


def test_a_role_that_was_lowered_between_page_and_click_counts(home: Path) -> None:
    run = a_run(None)
    with signed_in(ME, Role.RUNNER):
        assert access.why_not(Role.RUNNER) == ""  # the page offers it
        with writing() as session:
            doing.who.set_role(session, ME, Role.VIEWER)
        assert access.why_not(Role.RUNNER) == ""  # and still does
        with pytest.raises(NotAllowed, match=r"^This needs the role runner, and ada@example.org has the role viewer: "):
            keeping.pin([run])
    with reading() as session:
        assert not queries.get_run(session, run).row.pinned


def test_a_role_that_was_lowered_while_something_is_done_counts_and_nothing_is_written(home: Path) -> None:
    run = a_run(None)

    @needs(Role.RUNNER)
    def slow() -> None:
        give(ME, Role.VIEWER)
        with writing() as session:
            marks.pin(session, [run])
            record(session, "run")

    with signed_in(ME, Role.RUNNER), pytest.raises(NotAllowed):
        slow()
    with reading() as session:
        assert not queries.get_run(session, run).row.pinned


def test_who_signs_in_for_the_first_time_has_the_role_of_the_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(None)
    for name, setting, may in ((ME, "", False), (OTHER, "runner", True)):
        monkeypatch.setenv("CWPO_DEFAULT_ROLE", setting)
        with signed_in(name):
            assert (access.role_now(), refused(CALLS["keeping.tag"], run)) == (setting or "viewer", not may)
    monkeypatch.setenv("CWPO_DEFAULT_ROLE", "viewer")
    with reading() as session:
        assert [(one.name, one.role) for one in queries.people(session)] == [(ME, "viewer"), (OTHER, "runner")]
    monkeypatch.setenv("CWPO_ADMINS", f"cy@x, {ME}")
    with signed_in(ME):
        assert not refused(CALLS["keeping.pause_queue"], run)
        with pytest.raises(NotAllowed, match=f"CWPO_ADMINS names {ME}"):
            access.set_role(ME, "viewer")


def test_a_run_belongs_to_whoever_queued_it(home: Path) -> None:
    with signed_in(ME, Role.RUNNER):
        run = api.submit_run(CONFIG).run_id
    with reading() as session:
        assert queries.get_run(session, run).row.owner == ME
    with signed_in(OTHER, Role.RUNNER):
        done = keeping.cancel([run])
        assert done.said == f"Run {run} belongs to {ME}: only they, or an administrator, can change it."
    with signed_in(ME):
        assert keeping.cancel([run]).run_ids == (run,)


def test_views_and_drafts_are_changed_by_who_made_them(home: Path) -> None:
    with signed_in(ME, Role.ANNOTATOR):
        view = views.save_view("mine", {"q": "small"})
        drafts.save_draft("one", name="", content={}, revision=0)
    with signed_in(OTHER, Role.RUNNER):
        for change in (
            lambda: views.replace_view(view, {}),
            lambda: views.delete_view(view),
            lambda: drafts.save_draft("one", name="", content={}, revision=1),
            lambda: drafts.delete_draft("one"),
        ):
            with pytest.raises(NotAllowed, match=f"belongs to {ME}"):
                change()
    with signed_in(ME):
        views.delete_view(view)
        drafts.delete_draft("one")


def test_who_signed_in_votes_under_their_own_name(home: Path) -> None:
    with signed_in(ME, Role.ANNOTATOR):
        assert votes.voter("somebody else") == ME
    assert votes.voter("typed") == "typed"


def test_what_is_done_later_is_done_by_whoever_asked_for_it(home: Path) -> None:
    """A file is made when the browser asks for it, where nobody knows any more whose browser it is."""
    with signed_in(ME, Role.VIEWER):
        later = doing.bound(lambda: keeping.pin([1]))
    assert acting.acting().owner
    with pytest.raises(NotAllowed, match=ME):
        later()
    with doing.on_behalf_of(login(OTHER)), pytest.raises(NotAllowed, match=OTHER):
        keeping.pin([1])
