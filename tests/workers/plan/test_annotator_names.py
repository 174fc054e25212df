"""A named annotator from end to end: trained by one run, used by another, and by `cwpo label`."""

import json
import re
from pathlib import Path

import pytest

from cwpo.bounds import yaml_text
from cwpo.config.run import RunConfig, expand, merged
from cwpo.errors import ConfigError
from cwpo.report.numbers import number, percent
from cwpo.stages.graph import build
from db import queries
from db.errors import UnfitAnnotator
from tests.workers.computed import finish
from tests.workers.workplace import Workplace
from workers import api
from workers.cli import main
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job


def trained(place: Workplace, kept: Path) -> tuple[int, str]:
    """A finished run whose annotator is called helpful; its number and the annotator's fingerprint."""
    run = api.submit_run(place.config()).run_id
    finish(kept, run)
    api.name_annotator(run, "helpful", "from the test")
    return run, place.stage(run, "annotator").fingerprint


def other_data(place: Workplace) -> str:
    """The materials' pairs in another order of words: other prompts, other fingerprints."""
    rows = [json.loads(line) for line in Path(place.materials["data"]["dataset"]).read_text().splitlines()]
    path = place.home / "other.jsonl"
    path.write_text("".join(json.dumps({**row, "prompt": row["prompt"][::-1]}) + "\n" for row in rows))
    return str(path)


def test_a_run_on_other_data_labels_with_a_named_annotator(both_places: Workplace, kept: Path) -> None:
    """It trains none, its configuration carries the fingerprint, and the name learns how it did there."""
    place = both_places
    _, fingerprint = trained(place, kept)
    config = place.config(annotator={"use": "helpful"}, data={"dataset": other_data(place), "test_prompts": 12})
    run = api.submit_run(config).run_id
    job.work(0)
    assert place.run(run).status == "done"
    exported = api.export_run(run)
    assert exported["config"]["annotator"]["use"] == fingerprint
    assert "annotator" not in exported["stages"]
    assert place.run(run).annotator == place.materials["model"]["annotator"]
    with reading() as session:
        row = queries.find_annotator(session, "helpful@1")
    assert [one.dataset for one in row.figures] == [place.materials["data"]["dataset"], other_data(place)]
    assert row.figures[1].n == exported["stages"]["labels"]["summary"]["n"]
    with pytest.raises(UnfitAnnotator, match="uses an existing annotator"):
        api.name_annotator(run, "again")


def test_labels_of_a_used_annotator_are_those_that_it_gave_itself(place: Workplace, kept: Path) -> None:
    """On its own data and split: the same margins from the same weights, whatever the run says of kind and training."""
    run, fingerprint = trained(place, kept)
    over = {"use": fingerprint, "kind": "joint", "lr": 9.0}
    again = api.submit_run(place.config(annotator=over, model={"precision": "fp32"})).run_id
    job.work(0)
    own, used = (place.stage(each, "labels") for each in (run, again))
    assert own.fingerprint != used.fingerprint
    files = [store().path(stage.fingerprint) / "annotations.parquet" for stage in (own, used)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_sweep_may_hold_methods_that_ask_no_annotator(place: Workplace, kept: Path) -> None:
    _, fingerprint = trained(place, kept)
    over = {"method": ["human", "weak", "cw"], "annotator": {"use": "helpful@1"}, "name": "three"}
    configs = expand(merged(place.materials, over))
    assert api.plan(configs).runs == 3
    api.submit_sweep(configs, "three")
    job.work(0)
    with reading() as session:
        rows = [row for row in queries.list_runs(session).rows if row.sweep_id == "three"]
    assert {row.status for row in rows} == {"done"}
    assert {row.method: row.annotator is None for row in rows} == {"human": True, "weak": False, "cw": False}
    assert store().find(fingerprint) is not None


def test_deleting_the_run_leaves_the_annotator_and_says_so(both_places: Workplace, kept: Path) -> None:
    place = both_places
    run, fingerprint = trained(place, kept)
    deleted = api.delete_run(run)
    assert deleted.kept_annotators == ("helpful@1",)
    assert store().find(fingerprint) is not None
    used = api.submit_run(place.config(annotator={"use": "helpful"})).run_id
    job.work(0)
    assert place.run(used).status == "done"
    api.delete_run(used)
    assert api.forget_annotator("helpful", 1) == 2  # the annotator and its data
    assert store().find(fingerprint) is None


def test_the_command_line_takes_a_name_back(place: Workplace, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only with its version; the annotator goes when neither a run nor another name holds it."""
    run, fingerprint = trained(place, kept)
    api.name_annotator(run, "twice")
    assert main.main(["forget", "helpful"]) == 2
    assert "names no version" in capsys.readouterr().err
    assert main.main(["forget", "helpful@1"]) == 0
    assert "a run or another name holds the annotator" in capsys.readouterr().out
    api.delete_run(run)
    assert store().find(fingerprint) is not None
    assert main.main(["forget", "twice@1"]) == 0
    assert "artifacts deleted: 2" in capsys.readouterr().out
    assert store().find(fingerprint) is None
    assert main.main(["forget", "twice@1"]) == 1
    assert "There is no annotator twice@1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("hlepful", r"annotator\.use: there is no annotator named 'hlepful'; choose one of helpful"),
        ("helpful@7", r"annotator\.use: helpful has no version 7; it has 1"),
        ("f" * 64, r"annotator\.use: The annotator ffffffffffff is not in the store"),
    ],
)
def test_an_annotator_that_is_not_there_is_said_at_submission(
    use: str, sentence: str, place: Workplace, kept: Path
) -> None:
    trained(place, kept)
    with pytest.raises(ConfigError, match=sentence):
        api.submit_run(place.config(annotator={"use": use}))


def test_files_that_are_gone_or_something_else_are_said_at_submission(place: Workplace, kept: Path) -> None:
    run, fingerprint = trained(place, kept)
    align = place.stage(run, "align").fingerprint
    with pytest.raises(ConfigError, match="is no annotator but align"):
        api.submit_run(place.config(annotator={"use": align}))
    store().delete(fingerprint)
    with pytest.raises(ConfigError, match="the files of helpful@1 are gone from the store"):
        api.submit_run(place.config(annotator={"use": "helpful"}))
    with pytest.raises(ConfigError, match="is not in the store"):
        api.submit_run(place.config(annotator={"use": fingerprint}))


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"method": "ws"}, "annotator.use: ws labels by a weak model that it trains itself"),
        ({"annotator": {"members": 3}}, "annotator.members: an existing annotator is one"),
        (
            {"annotator": {"calibrate": True}},
            "a temperature is fitted for annotators with a scalar head that are trained",
        ),
    ],
)
def test_what_an_existing_annotator_cannot_be(over: dict[str, object], sentence: str, place: Workplace) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RunConfig.parse(merged(merged(place.materials, {"annotator": {"use": "x"}}), over))


def test_cwpo_run_takes_a_fingerprint_and_explains_a_name(
    place: Workplace, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, fingerprint = trained(place, kept)
    config = place.home / "run.yaml"
    config.write_text(yaml_text.written(place.materials))
    assert main.main(["run", str(config), "--set", "annotator.use=helpful"]) == 2
    assert "'helpful' is a name, which the database knows" in capsys.readouterr().err
    out = place.home / "out.json"
    assert main.main(["run", str(config), "--set", f"annotator.use={fingerprint}", "--json", str(out)]) == 0
    assert "annotator" not in json.loads(out.read_text())["stages"]


def test_an_existing_annotator_of_the_sandbox_needs_no_base_model_of_the_run() -> None:
    slots = build(RunConfig.parse({"method": "cw", "annotator": {"use": "f" * 64}}))
    assert {"labels", "base_policy"} <= set(slots)
    assert not {"annotator", "base_annotator"} & set(slots)


def test_cwpo_label_takes_a_name_a_fingerprint_and_a_folder(
    place: Workplace, kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three are the same weights, so all files are the same; the terminal says what was left out."""
    run, fingerprint = trained(place, kept)
    rows = [json.loads(line) for line in Path(place.materials["data"]["dataset"]).read_text().splitlines()]
    source = place.home / "mine.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "w1"}]))
    capsys.readouterr()
    folder = str(store().path(fingerprint))
    outs = [place.home / f"{number}.jsonl" for number in range(4)]
    for asked, out in zip(("helpful", "helpful@1", fingerprint, folder), outs, strict=True):
        assert main.main(["label", asked, str(source), "--out", str(out), "--device", "cpu", "--threads", "1"]) == 0
        said = capsys.readouterr().out
        assert f"{len(rows)} of {len(rows) + 1} rows labeled" in said
        assert "left out: 1 unparsable" in said
    assert len({out.read_bytes() for out in outs}) == 1
    assert main.main(["label", "helpful", str(source), "--out", str(outs[0]), "--device", "cpu"]) == 0
    assert "was there already" in capsys.readouterr().out
    assert main.main(["annotators"]) == 0
    said = capsys.readouterr().out
    assert "helpful@1" in said
    with reading() as session:
        found = queries.find_annotator(session, "helpful").judged
    assert found is not None
    assert found.accuracy_human is not None
    fair = number(2 * found.accuracy_human - 1)
    figures = [percent(found.accuracy_human), fair, number(found.mean_confidence), number(found.ece, 3)]
    assert re.search(r"\s+".join(map(re.escape, figures)), said), said
    assert main.main(["name", str(run), "second"]) == 0
    assert capsys.readouterr().out.strip() == "second@1"


@pytest.mark.parametrize(
    ("asked", "file", "sentence"),
    [
        ("nobody", "pairs.jsonl", "ANNOTATOR: there is no annotator named 'nobody'; none has a name yet"),
        ("models", "pairs.jsonl", "ANNOTATOR: no annotator has this name; write ./models for the folder."),
        ("./nowhere", "pairs.jsonl", "ANNOTATOR: ./nowhere is not a model folder"),
        ("f" * 64, "pairs.jsonl", "The annotator ffffffffffff is not in the store"),
    ],
)
def test_an_annotator_that_cannot_label_is_one_sentence(
    asked: str, file: str, sentence: str, place: Workplace, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(place.home)
    (place.home / "models").mkdir()
    (place.home / file).write_text("{}\n")
    assert main.main(["label", asked, file]) in (1, 2)
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
