"""Copies of runs in MLflow's and trackio's own servers: whole, each point once, whatever happened on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select

from cwpo.errors import ConfigError
from db.models import Setting
from db.repositories.keeping import mirrors
from tests.servers import free_port
from tests.workers.mirror import serving, wandb_files
from tests.workers.mirror.relay import Relay, relay
from tests.workers.mirror.trackers import MlflowTracker, Tracker, TrackioTracker
from tests.workers.mirror.written import claim, curve, finished, publish, submit
from tests.workers.workplace import Workplace, wait_for
from workers.api import keeping
from workers.cli.main import main as command_line
from workers.machine.database import reading, writing
from workers.mirror import keep, places
from workers.mirror.keep import Keeper
from workers.mirror.place import Away, Place
from workers.mirror.send import Sender

MLFLOW, TRACKIO, NOBODY = "MLFLOW_TRACKING_URI", "TRACKIO_SERVER_URL", "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def mlflow_port() -> Iterator[int]:
    with serving.mlflow() as port:
        yield port


@pytest.fixture(scope="session")
def trackio_port() -> Iterator[int]:
    with serving.trackio() as port:
        yield port


@pytest.fixture(params=["mlflow", "trackio"])
def tracker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """Each of the servers, with a project of this test alone."""
    project = f"p{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("CWPO_MIRROR_PROJECT", project)
    kind = {"mlflow": MlflowTracker, "trackio": TrackioTracker}[request.param]
    found = kind(request.getfixturevalue(f"{request.param}_port"), project)
    found.use(monkeypatch, found.port)
    return found


@pytest.fixture
def door(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The way to the server, which can be shut."""
    with relay(tracker.port) as found:
        tracker.use(monkeypatch, found.port)
        yield found


def place_of(tracker: Tracker) -> Place:
    return places.place(tracker.name, "--to")


def test_a_run_is_there_whole_and_once_however_often_it_is_sent(
    tracker: Tracker, workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, points = finished("a", 1_100)
    keeping.tag([run_id], "good")
    keeping.tag([run_id], "mine")
    keeping.note([run_id], "as hoped")
    assert command_line(["mirror", "--to", tracker.name, str(run_id)]) == 0
    seen = tracker.run()
    assert seen.points == points
    assert seen.title == f"{run_id} mine"
    tracker.is_told(seen, status="done", tags=("good", "mine"), note="as hoped")
    assert seen.config.items() >= {"align.beta": "0.1", "align.objective": "dpo", "seed": "3"}.items()
    assert command_line(["mirror", "--to", tracker.name, str(run_id), str(run_id)]) == 0
    assert tracker.run() == seen
    assert f"run {run_id}: {len(points):,} points sent to {tracker.name}" in capsys.readouterr().out


def test_a_killed_process_or_a_lost_answer_leaves_nothing_twice_and_nothing_out(
    tracker: Tracker, door: Relay, workplace: Workplace
) -> None:
    run_id, points = finished("a", 700)
    door.loses, door.holds = tracker.writes, True
    command = [sys.executable, "-m", "workers.cli.main", "mirror", "--to", tracker.name, str(run_id)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_for(lambda: door.lost)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    door.holds = False
    sender = Sender(place_of(tracker))
    assert sender.take_turn() is None  # who was killed has it for two minutes
    with writing() as session:
        session.execute(delete(Setting).where(Setting.key == f"mirror:{sender.place.key}"))
    for _ in range(2):
        assert sender.take_turn() is not None
        with pytest.raises(Away):
            sender.send(run_id)
    door.loses = ""
    assert sender.take_turn() is not None
    assert 0 < sender.send(run_id) < len(points)
    assert tracker.run().points == points


def test_a_live_run_is_followed_and_waits_for_nobody_while_the_place_is_away(
    tracker: Tracker, door: Relay, workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(place_of(tracker), first_wait=0.5)
    finished("b", 3)
    time.sleep(0.05)
    assert keeper.once() == 0  # from now on
    run_id = submit("a")
    publish(claim())
    claimed = claim()
    points = curve(claimed, range(1, 11))
    assert keeper.once() > 0
    newest = [point for point in points if point[1] == 10]
    assert tracker.run().points == [point for point in points if point not in newest]
    door.down()
    points = sorted(points + curve(claimed, range(11, 21)))
    assert keeper.once() == 0
    publish(claimed)
    asked = len(door.asked)
    assert workplace.run(run_id).status == "running"
    assert keeper.once() == 0
    assert len(door.asked) == asked
    assert "cannot be reached" in caplog.text
    door.up()
    time.sleep(0.55)
    assert keeper.once() > 0
    assert tracker.run().points == points
    tracker.is_told(tracker.run(), status="running")
    keeping.cancel([run_id])
    keeper.once()
    tracker.is_told(tracker.run(), status="cancelled")
    assert Keeper(place_of(tracker)).once() == 0 or tracker.run().points == points
    assert serving.TOKEN not in caplog.text


def test_threads_keep_every_chosen_place_up_to_date(
    tracker: Tracker, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_MIRROR", tracker.name)
    monkeypatch.setattr(keep, "EVERY", 0.1)
    stop = threading.Event()
    threads = keep.start(places.chosen(), stop)
    try:
        wait_for(looked)
        _, points = finished("a", 3)
        wait_for(lambda: is_complete(tracker))
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)
    assert tracker.run().points == points


def looked() -> bool:
    """Whether somebody keeps a place up to date."""
    with reading() as session:
        return any('"since"' in (row.value or "") for row in session.scalars(select(Setting)))


def is_complete(tracker: Tracker) -> bool:
    try:
        return any("done" in (seen.about.get("cwpo.status"), seen.about.get("status")) for seen in tracker.runs())
    except urllib.error.HTTPError:  # nothing is there yet
        return False


def test_a_sweep_is_a_parent_or_a_group(tracker: Tracker, workplace: Workplace) -> None:
    made = [finished(own, 2, sweep_id="it's two", seed=seed)[0] for seed, own in enumerate("ab")]
    assert command_line(["mirror", "--to", tracker.name, *map(str, made)]) == 0
    assert [seen.group for seen in tracker.runs()] == ["it's two", "it's two"]


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ("--to tensorboard 1", {}, "--to: 'tensorboard' is no place for mirrors: choose mlflow, trackio, wandb."),
        ("--to mlflow 1", {}, f"{MLFLOW}: is not set: give it a server's address, as http://127.0.0.1:5000."),
        ("--to mlflow 1", {MLFLOW: "sqlite:///x"}, f"{MLFLOW}: must begin with http:// or https:// and name a host."),
        ("--to trackio 1", {}, f"{TRACKIO}: is not set: give it the address that `trackio show` prints."),
        ("--to mlflow", {MLFLOW: NOBODY}, "run: name the runs to send: `cwpo mirror --to mlflow 7`."),
        ("--to mlflow --follow", {MLFLOW: NOBODY}, "run: none is queued or running; name the runs to send."),
    ],
)
def test_what_is_missing_is_one_sentence(
    arguments: str, variables: dict[str, str], sentence: str, workplace: Workplace, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in (MLFLOW, TRACKIO):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command_line(["mirror", *arguments.split()]) == 2
    assert capsys.readouterr().err == f"cwpo: {sentence}\n"


def test_a_place_that_is_away_is_one_sentence_without_what_is_secret(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, _ = finished("a", 2)
    monkeypatch.setenv("TRACKIO_SERVER_URL", f"http://127.0.0.1:{free_port()}/?write_token={serving.TOKEN}")
    assert command_line(["mirror", "--to", "trackio", str(run_id)]) == 1
    assert capsys.readouterr().err == "cwpo: 127.0.0.1 cannot be reached (Connection refused).\n"
    with reading() as session:
        assert serving.TOKEN not in str([(row.key, row.value) for row in session.scalars(select(Setting))])


def test_one_process_at_a_time_sends_to_a_place(both_workplaces: Workplace) -> None:
    with writing() as session:
        first = mirrors.take_turn(session, "there", "one")
    with writing() as session:
        assert mirrors.take_turn(session, "there", "two") is None
        assert mirrors.take_turn(session, "elsewhere", "two") is not None
    with writing() as session:
        again = mirrors.take_turn(session, "there", "one")
        assert first is not None
        assert again is not None
        assert (first.again, first.since, again.again) == (False, None, True)
        mirrors.give_turn_back(session, "there", "one", since=first.at)
    with writing() as session:
        other = mirrors.take_turn(session, "there", "two")
    assert other is not None
    assert (other.again, other.since) == (False, first.at)


def test_nothing_is_sent_unless_somebody_asks_for_it(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CWPO_MIRROR", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert places.chosen() == ()
    monkeypatch.setenv("CWPO_MIRROR", "mlflow, mlflow")
    assert [place.shown for place in places.chosen()] == ["mlflow at http://127.0.0.1:9, experiment cwpo"]
    monkeypatch.setenv("CWPO_MIRROR", "neptune")
    with pytest.raises(ConfigError, match="CWPO_MIRROR: 'neptune' is no place for mirrors"):
        places.chosen()


def test_wandb_writes_offline_what_it_would_send(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("CWPO_MIRROR_PROJECT", "mine")
    run_id, points = finished("a", 40, sweep_id="two seeds")
    keeping.tag([run_id], "good")
    assert command_line(["mirror", "--to", "wandb", str(run_id)]) == 0
    (file,) = workplace.home.glob("wandb/offline-run-*/*.wandb")
    told, seen = [], []
    for record in wandb_files.records(file):
        if record.HasField("run"):
            told.append(record.run)
        if record.HasField("history"):
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            seen += [
                (name, int(row[f"{name.partition('/')[0]}/step"]), float(value))
                for name, value in row.items()
                if not name.startswith("_") and not name.endswith("/step")
            ]
    assert sorted(seen) == points
    assert {(run.project, run.run_group) for run in told} == {("mine", "two seeds")}
    assert told[-1].run_id.startswith(f"cwpo-{run_id}-")
    assert (list(told[-1].tags), told[-1].display_name) == (["good"], f"{run_id} mine")
