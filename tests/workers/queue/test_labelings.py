"""A file labeled at the push of a button: a process of its own, which says what it did, can be stopped and goes on."""

import json
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cwpo.annotation import label_file, label_paths
from cwpo.annotation.labeling import read_window, write_window
from cwpo.artifacts import ArtifactStore
from cwpo.errors import CwpoError
from cwpo.files import write_whole
from cwpo.stages.plain import to_plain
from tests.cwpo import small_world, stage
from tests.workers.workplace import wait_for
from workers import api
from workers.queue import labeling_end, labelings
from workers.queue.labelings import DONE, FAILED, RUNNING, STOPPED, Labeling

MINE = "a" * 64
OTHER = "b" * 64


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_address: str) -> Path:
    """A home with two annotators in its store. Where they are named by fingerprint the database has only the log."""
    monkeypatch.setenv("CWPO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    meta = {"kind": "annotator", "config": to_plain(stage.settings("annotator", model="tiny"))}
    for fingerprint in (MINE, OTHER):
        with ArtifactStore(tmp_path / "home" / "artifacts").build(fingerprint, meta) as out:
            small_world.annotator_artifact(out)
    return tmp_path


def pairs(path: Path, count: int) -> Path:
    """Word salad whose responses differ."""
    rows = [
        {"prompt": pair.prompt, "response_a": f"w3 {pair.response_a}", "response_b": f"w4 {pair.response_b}"}
        for pair in small_world.word_pairs(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def newest() -> Labeling:
    return labelings.newest(MINE)[0]


def ended() -> Labeling:
    wait_for(lambda: newest().status != RUNNING)
    return newest()


def test_a_stopped_labeling_goes_on_after_its_finished_windows(place: Path) -> None:
    """What a finished window says is marked after the stop: the whole file says it, so that window was kept."""
    source = pairs(place / "pairs.jsonl", 3 * label_paths.WINDOW)
    out = place / "pairs.labeled.jsonl"
    started = api.label_file(MINE, str(source))
    assert (started.status, started.out) == (RUNNING, out)
    with pytest.raises(CwpoError, match=r"pairs\.labeled\.jsonl is being written by another labeling"):
        api.label_file(MINE, str(source))
    first = label_paths.parts_of(out) / "000000.sealed"
    wait_for(first.exists, every=0.01)
    process = psutil.Process(json.loads(labelings._record_of(out).read_text())["pid"])
    process.suspend()  # it would be done, where this process is kept waiting
    assert "2,048 rows so far" in newest().said or "4,096 rows so far" in newest().said
    process.resume()
    api.stop_labeling(str(out))
    wait_for(lambda: newest().status == STOPPED)
    assert not out.exists()
    assert "are kept; it goes on there." in newest().said
    table = read_window(first)
    marked = table.set_column(table.schema.get_field_index("margin"), "margin", pa.array([7.5] * len(table)))
    write_window(marked, first)
    api.label_file(MINE, str(source))
    done = ended()
    assert (done.status, done.out) == (DONE, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3 * label_paths.WINDOW
    assert {row["margin"] for row in rows[: label_paths.WINDOW]} == {7.5}
    assert 7.5 not in {row["margin"] for row in rows[2 * label_paths.WINDOW :]}
    assert not label_paths.parts_of(out).exists()
    assert done.said.startswith("6,144 of 6,144 rows labeled, mean confidence ")


def test_the_button_writes_what_the_command_writes_and_says_what_was_left_out(place: Path) -> None:
    """Also into a file of another name, and from a path that begins at the home folder."""
    source = pairs(place / "pairs.jsonl", 20)
    source.write_text(source.read_text() + '{"prompt": "w5", "response_a": "w6", "response_b": "w6"}\n')
    known = label_file.labeler(MINE, home=place / "home", fingerprint=MINE)
    plain = label_file.label_file(source, place / "plain.parquet", known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        started = api.label_file(MINE, " ~/pairs.jsonl ", "~/mine.parquet")
    assert (started.source, started.out) == (source, place / "mine.parquet")
    done = ended()
    assert done.status == DONE
    assert pq.read_table(done.out).equals(pq.read_table(plain.out))
    sure = plain.report["mean_confidence"]
    assert done.said == (
        f"20 of 21 rows labeled, mean confidence {sure:.3f}; left out: 1 equal; "
        "prompts cut at the annotator's context: 0."
    )
    assert labelings.newest(OTHER) == []
    with pytest.raises(CwpoError, match=r"mine\.parquet exists and is not from this labeling"):
        api.label_file(OTHER, str(source), str(done.out))
    done.out.unlink()
    assert newest().said == "It was finished, and its file is gone or another one since."


def test_what_only_the_process_finds_is_its_sentence(place: Path) -> None:
    source = place / "pairs.jsonl"
    source.write_text('{"text": "x"}\n')
    api.label_file(MINE, str(source))
    failed = ended()
    assert failed.status == FAILED
    assert failed.said.startswith("None of the 1 rows of pairs.jsonl is a usable pair (1 unparsable): give columns")


@pytest.mark.parametrize(
    ("annotator", "path", "out", "sentence"),
    [
        (MINE, " ", "", "FILE: give the path of a JSONL, JSONL.gz, Parquet or CSV file."),
        (MINE, "nowhere.jsonl", "", "FILE: {}/nowhere.jsonl does not exist; give a JSONL"),
        (MINE, "~nobody-here/x.jsonl", "", "x.jsonl does not exist"),
        (MINE, f"{'x' * 300}.jsonl", "", "does not exist"),
        (MINE, "nul\0.jsonl", "", "does not exist"),
        (MINE, ".", "", "FILE: {} is a folder or no plain file; give one of .jsonl"),
        (MINE, "notes.txt", "", "notes.txt has an ending that cannot be read: use one of .jsonl"),
        (MINE, "pairs.jsonl", "out.txt", "out.txt has an ending that cannot be written: use one of .jsonl"),
        (MINE, "pairs.jsonl", "no/out.jsonl", "--out: the folder {}/no does not exist; make it"),
        (MINE, "pairs.jsonl", "pairs.jsonl", "--out: {}/pairs.jsonl exists and is not from this labeling"),
        ("c" * 64, "pairs.jsonl", "", "ANNOTATOR: the files of cccccccccccc are gone from the store"),
    ],
)
def test_what_cannot_be_labeled_is_one_sentence_and_starts_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, annotator: str, path: str, out: str, sentence: str
) -> None:
    """Relative paths begin at the working directory, and the sentence says where that is."""
    monkeypatch.chdir(place)
    pairs(place / "pairs.jsonl", 3)
    (place / "notes.txt").write_text("x")
    with pytest.raises(CwpoError) as error:
        api.label_file(annotator, path, out)
    assert sentence.format(place) in str(error.value)
    assert labelings.newest(annotator) == []


def test_a_labeling_from_a_terminal_is_not_disturbed(place: Path) -> None:
    """It holds the lock of its file."""
    source, out = pairs(place / "pairs.jsonl", 3), place / "out.jsonl"
    with label_paths.alone(out), pytest.raises(CwpoError, match=r"out\.jsonl is being written by another labeling"):
        api.label_file(MINE, str(source), str(out))
    assert labelings.newest(MINE) == []


def recorded(place: Path, pid: int) -> Path:
    """The record of a labeling into out.jsonl by this process number."""
    out = place / "out.jsonl"
    record = labelings.Record(
        annotator="mine@1", fingerprint=MINE, source=str(place / "pairs.jsonl"), out=str(out), pid=pid,
        started_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    labelings.labelings(place / "home").mkdir()
    write_whole(labelings._record_of(out), json.dumps(record.__dict__))
    return out


def test_a_process_number_that_somebody_else_has_now_is_not_our_labeling(place: Path) -> None:
    """As after a restart of the machine: it is not stopped, and the labeling counts as ended."""
    out = recorded(place, psutil.Process().pid)
    (labelings.labelings(place / "home") / "broken.json").write_text("{")
    assert newest().status == STOPPED
    assert newest().said == "It was stopped before its end. Nothing of it was finished yet."
    api.stop_labeling(str(out))


def test_what_a_log_says_is_never_read(place: Path) -> None:
    """Neither a traceback nor a line that looks like an end: only what the process wrote of its end counts."""
    out = recorded(place, psutil.Process().pid)
    log = labelings._log_of(out)
    log.parent.mkdir()
    log.write_text("Traceback (most recent call last):\n  File x\nValueError: secret\ncwpo: also secret\n")
    assert newest().status == STOPPED
    labeling_end.write(labelings._end_of(out), labeling_end.FAILED, "The disk is full: free some.")
    assert (newest().status, newest().said) == (FAILED, "The disk is full: free some.")


def test_a_new_labeling_of_the_same_file_forgets_how_the_last_one_ended(place: Path) -> None:
    source = place / "pairs.jsonl"
    source.write_text('{"text": "x"}\n')
    api.label_file(MINE, str(source))
    assert ended().status == FAILED
    pairs(source, 5)
    api.label_file(MINE, str(source))
    assert ended().status == DONE
