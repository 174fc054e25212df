"""Reproduce bundles: what workers computed comes out again elsewhere, byte for byte; hostile files are one sentence."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cwpo.artifacts import ArtifactStore, content_hash
from cwpo.bundle import read, rerun, write
from cwpo.bundle.read import BundleError, Rows
from cwpo.config.run import RunConfig, expand, merged
from cwpo.errors import ConfigError
from tests.workers.workplace import Workplace, installation
from workers import api
from workers.cli import main

SWEEP = {
    "name": "again",
    "method": ["weak", "cw"],
    "seed": [0, 1],
    "data": {"dataset": "sandbox", "sandbox": {"pairs": 120}, "test_prompts": 16},
    "model": {"annotator": "sandbox/opt-48", "policy": "sandbox/opt-48"},  # one pretraining, and not two
    "annotator": {"epochs": 1},
    "align": {"epochs": 1},
    "evaluation": {"max_new_tokens": 6, "samples": 1, "baseline": "common"},
}


@dataclass(frozen=True)
class Made:
    """A bundle of 2 methods × 2 seeds, and what it says."""

    file: Path
    tables: Mapping[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, redis_process: str) -> Made:
    """Computed by workers in a home of their own, bundled by `cwpo bundle` in a process of its own."""
    home = tmp_path_factory.mktemp("first")
    with installation(home, redis_process) as own, pytest.MonkeyPatch.context() as patch:
        patch.delenv("CWPO_PARENT_PID", raising=False)
        place = Workplace(environment={**os.environ, **own}, home=home, materials={})
        runs = [one.run_id for one in api.submit_sweep(expand(SWEEP), "again")]
        with place.supervisor(workers=1):
            place.wait_done(*runs)
        file = home / "again.zip"
        done = command(own, "bundle", *map(str, runs), "--out", str(file))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(file) as archive:
        return Made(file=file, tables={name: archive.read(f"tables/{name}.json") for name in write.TABLES})


def command(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cwpo …` in a fresh process."""
    return subprocess.run(
        [sys.executable, "-m", "workers.cli.main", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=800,
    )  # fmt: skip


@pytest.fixture(scope="module")
def again(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Computed again in an empty home, without database and Redis, with another hash seed."""
    home = tmp_path_factory.mktemp("second")
    nothing = {"CWPO_HOME": str(home / "unused"), "DATABASE_URL": "none://", "REDIS_URL": "none://"}
    return home, command({**nothing, "PYTHONHASHSEED": "7"}, "reproduce", str(made.file), "--home", str(home))


def test_a_rerun_in_a_fresh_process_gives_the_same_tables_byte_for_byte(
    made: Made, again: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    home, done = again
    assert done.returncode == 0, done.stdout + done.stderr
    for name in write.TABLES:
        assert (home / "tables" / f"{name}.json").read_bytes() == made.tables[name]
    rows = {name: json.loads(text) for name, text in made.tables.items()}
    assert [(row["label"], row["n_seeds"], row["n_prompts"]) for row in rows["gra"]] == [
        ("Weak labels", 2, 16),
        ("CW", 2, 16),
    ]
    assert [row["label"] for row in rows["differences"]] == ["CW − Weak labels"]
    assert "Identical: all " in done.stdout
    assert not (home / "unused").exists()


def test_a_rerun_computes_shared_stages_once_and_every_output_again(
    made: Made, again: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    found = read.read(made.file)
    stages = rerun.distinct_stages(found)
    assert stages < sum(len(entry.stages) for entry in found.manifest.runs)
    assert f"{stages} stages computed, 0 were there already" in again[1].stdout
    assert f"Outputs of {stages} of {stages} stages are the recorded ones" in again[1].stdout


def test_a_changed_number_is_named(
    made: Made, again: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(made.tables["gra"])
    true = rows[1]["estimate"]
    rows[1]["estimate"] = true + 1 / 32
    file = rewritten(made.file, tmp_path, {"tables/gra.json": json.dumps(rows)})
    assert main.main(["reproduce", str(file), "--home", str(again[0])]) == 1
    shown = capsys.readouterr()
    assert f"gra, 'CW', 'estimate': recorded {true + 1 / 32!r}, computed {true!r}" in shown.out
    assert "Different: 1 of " in shown.err


def test_a_bundle_says_what_it_needs_and_check_runs_nothing(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(made.file) as archive:
        lock = archive.read("requirements.lock").decode()
        readme = archive.read("README.txt").decode()
    assert "CW: GRA " in readme
    assert "2 seed(s) · against the policy before alignment · ties count half · judged by the sandbox oracle" in readme
    assert "cwpo reproduce" in readme
    older = rewritten(made.file, tmp_path, {"requirements.lock": lock.replace("numpy==", "numpy==0.")})
    assert main.main(["reproduce", str(older), "--home", str(tmp_path / "home"), "--check"]) == 0
    said = capsys.readouterr().out
    assert "4 runs, " in said
    assert "Other versions than the recorded ones: numpy 0." in said
    assert not (tmp_path / "home").exists()


def test_runs_of_a_bundle_are_whole_configurations_with_their_fingerprints(made: Made) -> None:
    found = read.read(made.file)
    assert [(config.method, config.seed) for config in found.configs] == [
        ("weak", 0), ("weak", 1), ("cw", 0), ("cw", 1),
    ]  # fmt: skip
    assert found.settings == ["setting-1", "setting-1", "setting-2", "setting-2"]
    assert rerun.changed_stages(found) == []
    evaluation = found.stages[found.manifest.runs[0].stages["evaluation"]]
    assert set(evaluation.files) == {"outcomes.parquet", "summary.json"}
    assert evaluation.summary is not None
    assert evaluation.summary["prompts"] == 16


def test_settings_of_two_judges_are_named_and_not_paired_in_a_bundle() -> None:
    """The tables of a bundle are those of the page: same names, same refusals."""
    golds = ("oracle", "trained")
    configs = [RunConfig.parse({"method": "cw", "evaluation": {"gold_reward": gold}}) for gold in golds]
    prompts = [f"p{number}" for number in range(8)]
    beside = {"tokens": 9.0, "baseline_tokens": 9.0, "logratio": 1.0}
    frames = [pd.DataFrame({"prompt_id": prompts, "outcome": won, **beside}) for won in (1.0, 0.0)]
    made = write.tables_of(configs, golds, frames, reference="trained")
    assert [row["label"] for row in json.loads(made["gra"])] == ["CW · gold reward oracle", "CW · gold reward trained"]
    (row,) = json.loads(made["differences"])
    assert (row["reason"], row["estimate"]) == ("different gold rewards", None)


def test_a_run_with_another_runs_annotator_is_not_bundled() -> None:
    """Nothing in the zip could train it."""
    config = RunConfig.parse({"method": "cw", "annotator": {"use": "a" * 64}})
    run = write.FinishedRun(config=config, group="g", outcomes=pd.DataFrame(), stages={})
    with pytest.raises(ConfigError, match="names an annotator of another run, which a bundle cannot train again"):
        write.write(io.BytesIO(), [run], store=ArtifactStore(Path("nowhere")))


def test_a_run_that_is_not_evaluated_is_not_bundled(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    run = api.submit_run(workplace.config()).run_id
    file = workplace.home / "out.zip"
    assert main.main(["bundle", str(run), "--out", str(file)]) == 2
    assert f"run: {run} is queued and not evaluated" in capsys.readouterr().err
    config = workplace.home / "run.yaml"
    config.write_text(json.dumps(workplace.config().canonical()))
    assert main.main(["bundle", str(config), "--out", str(file)]) == 2
    assert "is not finished here (data is missing)" in capsys.readouterr().err
    assert [path.name for path in workplace.home.iterdir() if "zip" in path.name] == []


@pytest.fixture(scope="module")
def local(materials: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two finished runs over local files, run.yaml and other.yaml."""
    home = tmp_path_factory.mktemp("local")
    copy = home / "copy" / "pairs.jsonl"  # the same content under another path
    copy.parent.mkdir()
    shutil.copy(materials["data"]["dataset"], copy)
    (home / "run.yaml").write_text(json.dumps(materials))
    (home / "other.yaml").write_text(json.dumps(merged(materials, {"seed": 1, "data": {"dataset": str(copy)}})))
    mask = os.umask(0o022)  # of this process, which is a program meanwhile
    for name in ("run.yaml", "other.yaml"):
        assert main.main(["run", str(home / name), "--home", str(home)]) == 0
    os.umask(mask)
    return home


@pytest.mark.parametrize("included", [True, False], ids=["included", "beside"])
def test_local_files_travel_by_content(
    included: bool, local: Path, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A model folder and a pairs file: in the bundle, or put beside it; the machine's paths are in neither."""
    monkeypatch.setenv("CWPO_HOME", str(local))
    file = tmp_path / "elsewhere" / "own.zip"
    file.parent.mkdir()
    source = Path(workplace.materials["data"]["dataset"]).parent
    options = ["--include-data"] if included else []
    configs = [str(local / name) for name in ("run.yaml", "other.yaml")]
    assert main.main(["bundle", *configs, "--out", str(file), *options]) == 0
    found = read.read(file)
    assert sorted(Path(one.name).name for one in found.manifest.files) == ["model", "pairs.jsonl"]
    with zipfile.ZipFile(file) as archive:
        texts = b"".join(archive.read(name) for name in archive.namelist() if not name.startswith("files/"))
    assert str(source).encode() not in texts
    arguments = ["reproduce", str(file), "--home", str(tmp_path / "second")]
    capsys.readouterr()
    if not included:
        assert main.main(arguments) == 2
        assert "is needed and not in the bundle: put it beside own.zip" in capsys.readouterr().err
        shutil.copy(source / "pairs.jsonl", file.parent)
        shutil.copytree(source / "model", file.parent / "model")
    assert main.main(arguments) == 0
    assert "Identical: all " in capsys.readouterr().out


def rewritten(file: Path, folder: Path, changes: Mapping[str, str | bytes | None]) -> Path:
    """A copy of a bundle with other members; None takes one out."""
    target = folder / "changed.zip"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            if info.filename not in changes:
                new.writestr(info.filename, old.read(info))
        for name, content in changes.items():
            if content is not None:
                new.writestr(name, content)
    return target


def config_with(over: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def change(values: Mapping[str, Any]) -> dict[str, Any]:
        return {"runs/0001.json": json.dumps(merged(values, over))}

    return change


def labels_file(text: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A set of labels whose name is the hash of its content."""
    return lambda _: {f"relabels/{hashlib.sha256(text.encode()).hexdigest()}.jsonl": text}


SHA = "0" * 64
HOSTILE: Mapping[str, tuple[Callable[[Mapping[str, Any]], dict[str, Any]], str]] = {
    "outside": (lambda _: {"../evil.txt": "x"}, "'../evil.txt', which has no place there"),
    "absolute": (lambda _: {"/etc/evil": "x"}, "'/etc/evil', which has no place there"),
    "nested": (lambda _: {f"files/{SHA}/a/../../../evil": "x"}, "which has no place there"),
    "backslash": (lambda _: {f"files/{SHA}/..\\evil": "x"}, "which has no place there"),
    "a file and a folder": (
        lambda _: {f"files/{SHA}/a": "x", f"files/{SHA}/a/b": "x"},
        "it holds a file and a folder of one name",
    ),
    "another run's annotator": (
        config_with({"annotator": {"use": "a" * 64}}),
        "annotator.use names an annotator that is not in the bundle",
    ),
    "labels that are not there": (
        config_with({"data": {"relabels": SHA}}),
        "data.relabels names a set of labels that is not in the bundle",
    ),
    "labels of another name": (
        lambda _: {f"relabels/{SHA}.jsonl": "{}\n"},
        f"the content of relabels/{SHA}.jsonl is not",
    ),
    "labels that are no JSON": (labels_file("{"), ".jsonl is not JSON"),
    "labels without a side": (labels_file('{"pair_id": "p"}\n'), ".jsonl: 'prompt_id': Field required"),
    "code": (lambda _: {"conftest.py": "raise SystemExit"}, "'conftest.py', which has no place there"),
    "missing": (lambda _: {"stages.json": None}, "stages.json is missing"),
    "not JSON": (lambda _: {"bundle.json": "{"}, "bundle.json is not JSON"),
    "deep": (lambda _: {"bundle.json": "[" * 100_000}, "bundle.json is not JSON"),
    "other format": (lambda _: {"bundle.json": "{}"}, "bundle.json: 'format': Field required"),
    "bomb": (lambda _: {"runs/0001.json": " " * (2**20 + 1)}, "runs/0001.json is larger than 1,048,576 bytes"),
    "wild method": (config_with({"method": "wild"}), "runs/0001.json: method: 'wild' is not known"),
    "unknown field": (config_with({"command": "rm"}), "runs/0001.json: command: is not a field of the configuration"),
    "secret": (
        config_with({"evaluation": {"gold_reward": "/etc"}}),
        "evaluation.gold_reward names '/etc', a file of this machine; it is not run",
    ),
    "long name": (config_with({"evaluation": {"gold_reward": "/" * 5_000}}), "a file of this machine; it is not run"),
    "table": (lambda _: {"tables/gra.json": '[{"label": ["x"]}]'}, "tables/gra.json: '0.label"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_refused_in_one_sentence(
    case: str, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = HOSTILE[case]
    with zipfile.ZipFile(made.file) as archive:
        values = json.loads(archive.read("runs/0001.json"))
    file = rewritten(made.file, tmp_path, change(values))
    home = tmp_path / "inner" / "home"
    assert main.main(["reproduce", str(file), "--home", str(home)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["changed.zip"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip at all"])
def test_what_is_no_zip_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"x\.zip is not a reproduce bundle: it is damaged or no zip"):
        read.read(file)
    with pytest.raises(BundleError, match="cannot be read"):
        read.read(tmp_path / "nothing.zip")


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_compression_of_bundles_is_opened(way: int, made: Made, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(made.file) as old, zipfile.ZipFile(file, "w", way) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    with pytest.raises(BundleError, match="is compressed in a way that no bundle is"):
        read.read(file)


def test_the_limit_counts_all_files_together(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of six bytes each are refused where ten are allowed, and taken where twelve are."""
    members, entries = {}, []
    for number in range(2):
        own = tmp_path / f"own{number}.txt"
        own.write_text(f"text {number}")
        revision = content_hash(own)
        name = f"files/{revision.removeprefix('sha256:')}/{own.name}"
        members[name] = own.read_text()[:6]
        entries.append({"name": f"./{name}", "revision": revision, "included": True})
        own.unlink()
    with zipfile.ZipFile(made.file) as archive:
        manifest = json.loads(archive.read("bundle.json"))
    file = rewritten(made.file, tmp_path, {**members, "bundle.json": json.dumps({**manifest, "files": entries})})
    found = read.read(file)
    monkeypatch.setattr(read, "MOST_DATA", 10)
    with pytest.raises(BundleError, match="its files are larger than 10 bytes"):
        read.place_files(found, tmp_path / "small")
    monkeypatch.setattr(read, "MOST_DATA", 12)
    assert len(read.place_files(found, tmp_path / "large")) == 2


def test_included_files_are_taken_only_with_the_content_that_their_name_says(made: Made, tmp_path: Path) -> None:
    """The name is the hash: a file with other content is thrown away again."""
    name = f"./files/{SHA}/pairs.jsonl"
    with zipfile.ZipFile(made.file) as archive:
        manifest = json.loads(archive.read("bundle.json"))
    manifest["files"] = [{"name": name, "revision": f"sha256:{SHA}", "included": True}]
    file = rewritten(made.file, tmp_path, {"bundle.json": json.dumps(manifest), name[2:]: "x"})
    home = tmp_path / "home"
    with pytest.raises(BundleError, match=r"the content of 'pairs\.jsonl' is not what its name says"):
        read.place_files(read.read(file), home)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_cells_are_compared_exactly_and_rows_by_place() -> None:
    """1 is not 1.0, None is not 0; a row that is gone is one difference, whatever it held."""
    old: dict[str, Rows] = {"gra": [{"label": "CW", "estimate": 0.5, "n": 1}, {"label": "Top 30 %", "estimate": 0.4}]}
    new: dict[str, Rows] = {"gra": [{"label": "CW", "estimate": 0.5, "n": 1.0}]}
    found, cells = rerun.compare(old, new)
    assert [(one.row, one.column) for one in found] == [("CW", "n"), ("Top 30 %", "")]
    assert cells == 3
    assert rerun.compare(old, old) == ([], 5)


def test_equal_runs_make_equal_files(made: Made, tmp_path: Path) -> None:
    """No clock, no path and no random name enters a bundle."""
    configs = [RunConfig.parse(config.canonical()) for config in read.read(made.file).configs]
    store = ArtifactStore(made.file.parent / "artifacts")
    first, second = (write.to_bytes(write.from_store(configs, store), store=store) for _ in range(2))
    assert first == second
    with zipfile.ZipFile(made.file) as archive:
        (tmp_path / "x.zip").write_bytes(first)
        with zipfile.ZipFile(tmp_path / "x.zip") as other:
            seconds = {"stages.json"}  # a worker's own clock and the artifact's differ
            assert [n for n in archive.namelist() if n not in seconds and archive.read(n) != other.read(n)] == []
