"""Ranks: what comes back from them, and that however one of them ends, all of them do."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cwpo.errors import Cancelled, ConfigError, CwpoError, DataError, OutOfMemory, RankError, RanksLost
from cwpo.parallel import process
from cwpo.parallel.killed import memory_kills
from cwpo.parallel.launch import compute_in_ranks
from cwpo.stages.execute import Computed
from tests import clocks
from tests.cwpo import stage
from tests.cwpo.recording import RecordingReporter

PROGRAM = "tests.cwpo.parallel.odd_rank"


def ranks_of(pid: int) -> list[psutil.Process]:
    """The ranks that a process started and what they started."""
    return [one for one in psutil.Process(pid).children(recursive=True) if one.is_running()]


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def compute(folder: Path, act: str, *, size: int = 2, **options: Any) -> Computed:
    """What the ranks find; none of them may be left."""
    context = stage.context(folder, config={}, **options)
    before = set(ranks_of(os.getpid()))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACT", act)
            return compute_in_ranks(context, places=("",) * size, program=PROGRAM)
    finally:
        assert not set(ranks_of(os.getpid())) - before
        assert {path.name for path in folder.iterdir()} <= {"out", "checkpoints", "artifacts"}


def test_the_first_rank_writes_and_reports_and_its_summary_counts(tmp_path: Path) -> None:
    heard = RecordingReporter()
    done = compute(tmp_path, "writes", size=3, reporter=heard)
    assert done.summary == {"rank": 0, "third": 1 / 3, "device": "cpu"}
    assert done.ranks == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rank0.txt"]
    assert heard.lines == ["rank 0 says"]
    assert heard.progresses == [(1, 2, "steps")]
    ((step, values),) = heard.points
    assert (step, values["accuracy"]) == (1, 0.1)
    assert values["loss"] != values["loss"]


def test_a_rank_waits_for_a_full_disk_and_says_so_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    heard = RecordingReporter()
    assert compute(tmp_path / "a", "writes_on_a_full_disk", reporter=heard).summary == {"wrote": 7}
    assert heard.lines[0].startswith("The disk is full: waiting until 3.0 GB are free under ")
    assert [line[:28] for line in heard.lines[1:]] == ["The disk has room again, aft"]
    heard = RecordingReporter()
    with pytest.raises(Cancelled, match="while the disk was full"):
        compute(tmp_path / "b", "finds_no_room", reporter=heard, should_stop=lambda: len(heard.progresses) > 1)


def test_fifty_megabytes_on_stderr_neither_block_nor_stay_in_memory(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    with clocks.lasting(60):
        assert compute(tmp_path / "a", "is_loud").ranks == 2
        with pytest.raises(DataError) as raised:
            compute(tmp_path / "b", "fails_loudly")
    assert str(raised.value) == "No pair is left."
    assert psutil.Process().memory_info().rss - before < 20 * 2**20
    notes = "\n".join(raised.value.__notes__)
    assert "and the last line" in notes
    assert "Traceback" in notes
    assert len(notes) < 2**16


@pytest.mark.parametrize(
    ("act", "kind", "sentence"),
    [
        ("second_fails", ConfigError, "align.beta: must be above 0."),
        ("second_has_a_bug", RankError, "IndexError: list index out of range. The log holds the technical text"),
        ("second_is_killed", RanksLost, "Rank 1 of 2 was ended by SIGKILL"),
        ("second_has_no_memory", OutOfMemory, "Out of memory"),
    ],
)
def test_one_rank_ends_all_and_its_reason_is_the_one_that_is_told(
    tmp_path: Path, act: str, kind: type[CwpoError], sentence: str
) -> None:
    with clocks.lasting(60), pytest.raises(kind) as raised:
        compute(tmp_path, act)
    assert str(raised.value).startswith(sentence)
    assert type(raised.value) is kind
    if act == "second_is_killed" and memory_kills() is not None:
        assert getattr(raised.value, "outside", False)
    if act == "second_has_a_bug":
        assert "odd_rank.py" in "\n".join(raised.value.__notes__)


@pytest.mark.parametrize(("place", "several"), [("1", "true"), ("", "false")], ids=["card", "CPU"])
def test_a_rank_reads_texts_on_several_cores_where_it_has_a_card_and_numbers_cards_as_listed(
    place: str, several: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    given = process._environment(place, 2)
    assert given["CUDA_VISIBLE_DEVICES"] == place
    assert given["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert given["TOKENIZERS_PARALLELISM"] == several


def test_a_rank_that_is_stopped_is_noticed_by_its_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWPO_RANK_SILENCE", "20")
    with pytest.raises(RanksLost, match=r"^Rank 1 of 2 gave no sign of life for 20 s"):
        compute(tmp_path, "second_is_stopped")


class Asks:
    """A wish to stop that comes when the stage has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def progress(self, done: int, total: int, unit: str) -> None:
        self.begun.set()

    def __getattr__(self, name: str) -> Any:
        return lambda *values: None


@pytest.mark.parametrize(
    ("act", "sentence"),
    [("obeys", "Stopped after step "), ("waits_for_the_other", "The stage did not stop within 1 s and was ended")],
)
def test_ranks_stop_when_asked_and_are_ended_where_they_cannot_hear_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, sentence: str
) -> None:
    """The second waits in a collective for a rank that never comes."""
    monkeypatch.setenv("CWPO_RANK_GRACE", "1" if act == "waits_for_the_other" else "60")
    asks = Asks()
    with pytest.raises(Cancelled) as raised:
        compute(tmp_path, act, reporter=asks, should_stop=asks.begun.is_set)
    assert str(raised.value).startswith(sentence)


SCRIPT = f"""
import sys
from pathlib import Path
from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.parallel.launch import compute_in_ranks
from cwpo.stages.context import StageContext
from cwpo.stages.graph import build
folder = Path(sys.argv[1])
spec = build(RunConfig.parse({{"method": "cw"}}))["align"]
context = StageContext(
    kind=spec.kind, settings=spec.settings, inputs={{}}, out=folder / "out", checkpoints=folder,
    store=ArtifactStore(folder),
)
compute_in_ranks(context, places=("", ""), program={PROGRAM!r})
"""


def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "ACT": "starts_a_child"}
    )
    deadline = clocks.monotonic() + 300
    while len(children := ranks_of(parent.pid)) < 4:  # two ranks, and what each of them started
        assert clocks.monotonic() < deadline
        time.sleep(0.05)
    ranks = [child for child in children if child.name() != "sleep"]
    parent.kill()
    parent.wait(60)
    deadline = clocks.monotonic() + 60
    while any(map(lives, ranks)):
        assert clocks.monotonic() < deadline
        time.sleep(0.02)
    for child in children:
        if lives(child):
            child.kill()
