"""What people and commands do is written down with it: once for each action, and without secrets."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from cwpo.config.run import RunConfig, expand
from db import queries
from db.errors import UnknownRun
from db.records import AuditEvent
from db.repositories import runs
from db.repositories.people import who
from tests.db.make import new_run, stages_of
from tests.workers.access.acting_people import login, signed_in
from workers import api
from workers.access import sessions
from workers.access.doing import on_behalf_of
from workers.access.roles import NotAllowed, Role
from workers.api import exports, keeping
from workers.api.people import access, chats, votes
from workers.cli.main import main
from workers.machine.database import reading, writing

ME = "ada@example.org"
SMALL = {"data": {"sandbox": {"pairs": 60}, "test_prompts": 10}}


@pytest.fixture(autouse=True)
def home(sqlite_address: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = {"DATABASE_URL": sqlite_address, "REDIS_URL": redis_server, "CWPO_HOME": str(tmp_path)}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def a_run() -> int:
    with writing() as session:
        return runs.create(session, new_run(), stages_of()).run_id


def events() -> list[AuditEvent]:
    """What was done, without who came when."""
    with reading() as session:
        assert not queries.check_audit(session).problems
        return [one for one in queries.audit_events(session) if one.action != "access.sign_in"]


def test_a_sweep_is_one_event_that_names_its_runs() -> None:
    made = api.submit_sweep(expand({**SMALL, "seed": list(range(6))}), "six")
    (event,) = events()
    assert (event.action, event.what, event.source) == ("submitting.submit_sweep", "runs 1–6", "command")
    assert json.loads(event.after or "") == {"methods": ["cw"], "priority": 0, "sweep": "six"}
    assert len(made) == 6


def test_each_action_is_one_event_with_who_did_it_and_what_changed() -> None:
    run = a_run()
    with signed_in(ME, Role.RUNNER):
        keeping.rename([run], "other")
        keeping.tag([run], "word")
        keeping.tag([run], "word")  # it had it
        keeping.undo(keeping.Undo(command="untag", values={run: "word"}))
        keeping.loss([run])
        exports.export_run(run)
    found = [(one.who, one.source, one.action, one.what, one.before, one.after) for one in events()]
    assert found == [
        (ME, "login", "keeping.rename", f"run {run}", '{"name":"run"}', '{"name":"other"}'),
        (ME, "login", "keeping.tag", f"run {run}", None, '{"tag":"word"}'),
        (ME, "login", "keeping.untag", f"run {run}", None, '{"tag":"word"}'),
        (ME, "login", "exports.export_run", f"run {run}", None, None),
    ]


def test_of_several_runs_the_names_that_they_had_and_their_way_back_are_in_it() -> None:
    runs_ = [a_run(), a_run()]
    with signed_in(ME, Role.RUNNER):
        keeping.rename(runs_[:1], "other")
        keeping.rename(runs_, "third")
        keeping.cancel(runs_)
        keeping.delete(runs_)
        keeping.undelete(runs_)
        keeping.undelete(runs_)  # they were there
    found = [(one.action, one.what, one.before) for one in events()]
    what = f"runs {runs_[0]}–{runs_[1]}"
    assert found[1] == ("keeping.rename", what, f'{{"name":{{"{runs_[0]}":"other","{runs_[1]}":"run"}}}}')
    assert [(action, on) for action, on, _ in found[2:]] == [
        (f"keeping.{verb}", what) for verb in ("cancel", "delete", "undelete")
    ]


def test_what_was_refused_or_failed_is_not_in_it() -> None:
    run = a_run()
    with signed_in(ME, Role.VIEWER), pytest.raises(NotAllowed):
        keeping.tag([run], "word")
    with pytest.raises(UnknownRun):
        exports.export_run(run + 100)
    assert events() == []


def test_what_a_page_does_by_itself_is_not_in_it() -> None:
    """A vote is lent, a chat is looked at, a form keeps itself: nobody did anything."""
    run = a_run()
    with pytest.raises(Exception, match="no weak labels"):
        votes.next_pair(run, "Ada", "lowest")
    chats.look(1)
    assert events() == []


def test_secrets_are_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghij")
    run = a_run()
    keeping.rename([run], "hf_abcdefghij of https://me:word@host/x")
    keeping.note([run], "a secret of mine")
    text_ = "".join(f"{one.before}{one.after}{one.what}" for one in events())
    assert "hf_abcdefghij" not in text_
    assert "word@" not in text_
    assert "of mine" not in text_


def test_who_comes_for_the_first_time_is_written_down_once() -> None:
    for _ in range(2):
        with signed_in(ME):
            assert access.role_now() == Role.VIEWER
    with reading() as session:
        found = list(queries.audit_events(session))
    assert [(one.action, one.what, one.after) for one in found] == [
        ("access.sign_in", f"person {ME}", '{"role":"viewer"}')
    ]


def test_sessions_that_began_before_are_over_within_seconds_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process ends them; this one still believes what it read for at most fifteen seconds."""
    clock = [1_000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock[0])
    before = login(ME)
    assert not sessions.revoked(before)
    with writing() as session:
        who.revoke(session, ME, datetime.now(UTC))
    assert sessions.KEPT <= 15
    with on_behalf_of(before), pytest.raises(NotAllowed, match="was ended by an administrator"):
        chats.look(1)  # what is done is refused at once
    clock[0] += sessions.KEPT
    assert sessions.revoked(before)
    assert not sessions.revoked(login(ME))


def test_a_database_that_is_away_ends_no_session_at_once_and_is_believed_no_longer_than_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock[0])
    somebody = login(ME)
    assert not sessions.revoked(somebody)

    def away() -> None:
        raise sessions.DatabaseError("away")

    monkeypatch.setattr(sessions, "reading", away)
    clock[0] += 59
    assert not sessions.revoked(somebody)
    clock[0] += 2
    with pytest.raises(sessions.DatabaseError):
        sessions.revoked(somebody)


def test_the_command_line_lists_people_and_gives_roles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "role", ME, "runner"]) == 0
    assert f"{ME} has the role runner: queues runs," in capsys.readouterr().out
    assert main(["people"]) == 0
    assert ME in capsys.readouterr().out
    assert main(["people", "role", ME, "king"]) == 2
    assert "'king' is none: choose one of viewer, annotator, runner, admin." in capsys.readouterr().err
    assert main(["people", "revoke", ME]) == 0
    assert f"The sessions of {ME} are over within a minute" in capsys.readouterr().out
    assert main(["people", "revoke", "eve"]) == 1
    assert "Nobody called 'eve' has signed in here" in capsys.readouterr().err
    assert [one.action for one in events()] == ["people.access.set_role", "people.access.revoke"]


def test_the_command_line_shows_verifies_and_writes_the_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = a_run()
    keeping.tag([run], "word")
    assert main(["cancel", str(run)]) == 0
    capsys.readouterr()
    assert main(["audit"]) == 0
    assert "runs.cancel_run" in capsys.readouterr().out
    assert main(["audit", "--verify"]) == 0
    assert capsys.readouterr().out == "Chain verified: 2 events.\n"
    assert main(["audit", "--out", str(tmp_path / "log.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["keeping.tag", "runs.cancel_run", "people.access.log_file"]
    with writing() as session:
        session.execute(text("DROP TRIGGER audit_events_no_delete"))
        session.execute(text("DELETE FROM audit_events WHERE number = 1"))
    assert main(["audit", "--verify"]) == 1
    assert "Event 1 is missing." in capsys.readouterr().err


def test_runs_of_a_configuration_that_cannot_be_used_leave_no_trace() -> None:
    with pytest.raises(Exception, match="describes no run"):
        api.submit_sweep([], "none")
    assert events() == []
    assert RunConfig.parse(SMALL).seed == 0
