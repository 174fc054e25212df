"""The command line: every field is explained, bad input is one sentence, and `run` needs no server."""

import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from cwpo.bounds import yaml_text
from cwpo.config.run import RunConfig
from cwpo.errors import DataError
from cwpo.report.numbers import interval, number, percent
from cwpo.stages import execute
from tests.workers.workplace import Workplace, wait_for
from workers import api
from workers.cli import config_file, console, main
from workers.queue import job, lease
from workers.queue.job import Shutdown

ROOT = Path(__file__).parents[3]


def names(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        part = config_file._part_of(field)
        found += names(part, f"{prefix}{name}.") if part else []
    return found


def test_run_help_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["run", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    lines = {line.split()[0].rstrip(":"): line for line in text.splitlines() if line.startswith("  ")}
    assert [name for name in names(RunConfig) if name not in lines] == []
    assert "must be greater" not in lines["align.beta"]
    assert "0.5" in lines["align.beta"]


def test_a_limit_of_address_space_ends_a_command_that_computes_in_its_sentence(tmp_path: Path) -> None:
    """Before torch is there, which is what would not end under it; what computes nothing is not held up."""
    limited = 'ulimit -v 2500000; exec "$0" -m workers.cli.main "$@"'

    def said(*words: str) -> tuple[int, str]:
        command = ["bash", "-c", limited, sys.executable, *words]
        environment = os.environ | {"CWPO_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr

    for verb in (["run", str(ROOT / "configs" / "demo.yaml")], ["label", "--help"]):
        code, sentence = said(*verb)
        assert (code, "of address space (`ulimit -v`), and computing takes 3 GB" in sentence) == (
            (main.FAILURE, True) if verb[0] == "run" else (0, False)
        )
        assert sentence.count("\n") <= 1


def write(folder: Path, text: str) -> str:
    path = folder / "run.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "sets", "sentence"),
    [
        ("method: wild", [], "method: 'wild' is not known; choose one of"),
        ("align: {beta: 0}", [], "align.beta: must be greater than 0"),
        ("data: {label_fraction: 1}", [], "data.label_fraction: must lie between 0 and 1"),
        ("{", [], "is not YAML"),
        ("- 1", [], "must hold fields"),
        ("method: cw", ["align.beta"], "--set: 'align.beta' is not of the form a.b=c."),
        ("method: [cw, weak]", [], "describes 2 runs"),
        ("align: {beta: .inf}", [], "align.beta: must be a finite number"),
        ("align: {lr: fast}", [], "align.lr: must be a number, not 'fast'."),
        ("data: 5", [], "data: must be a group of fields"),
        ("data: {dataset: nosuch, sandbox: {pairs: 50}}", [], "data.dataset: 'nosuch' is not known; choose one of"),
        ("data: {dataset: a/b}", [], "evaluation.gold_reward: is missing; choose one of trained,"),
        (
            "data: {dataset: /nowhere/x.jsonl}\nevaluation: {gold_reward: trained}",
            [],
            "/nowhere/x.jsonl does not exist",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    text: str, sets: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", write(tmp_path, text), "--home", str(tmp_path)]
    for value in sets:
        arguments += ["--set", value]
    assert main.main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--json", "/nowhere/out.json", "--json: /nowhere/out.json cannot be written"),
        ("--device", "cuda:99", "--device: 'cuda:99' is not on this machine; choose one of auto, cpu"),
    ],
)
def test_an_option_that_cannot_be_met_is_said_before_any_work(
    option: str, value: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, "data: {dataset: sandbox}")
    assert main.main(["run", config, "--home", str(tmp_path / "home"), option, value]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_run_refuses_a_name_for_its_result_that_is_taken_before_any_work(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out.json", tmp_path / "other.json"
    if kind != "dangling":
        other.write_text("of somebody")
    if kind == "file":
        other.rename(out)
    else:
        out.symlink_to(other)
    config = write(tmp_path, "data: {dataset: sandbox}")
    assert main.main(["run", config, "--home", str(tmp_path / "home"), "--json", str(out)]) == 2
    assert f"--json: {out} exists already and is not overwritten" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()
    assert (out if kind == "file" else other).exists() == (kind != "dangling")


def test_a_name_that_is_taken_while_the_run_computes_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out.json", tmp_path / "other.json"
    other.write_text("of somebody")

    def computed(*_: Any, **options: Any) -> SimpleNamespace:
        out.symlink_to(other)
        return SimpleNamespace(as_json=lambda: {"stages": {}}, stages={})

    monkeypatch.setattr("cwpo.stages.pipeline.run", computed)
    monkeypatch.setattr("workers.cli.console.show_run", lambda *_: None)
    config = write(tmp_path, "data: {dataset: sandbox}")
    arguments = ["run", config, "--home", str(tmp_path / "home"), "--device", "cpu", "--json", str(out)]
    assert main.main(arguments) == 2
    assert f"{out} exists already and was not overwritten" in capsys.readouterr().err
    assert other.read_text() == "of somebody"


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"cwpo {version('cwpo')}\n")


def test_a_piped_run_says_how_far_a_slow_stage_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before the stage reports anything. The interval, 30 s, is shortened; each part of the stage goes on until it
    was said five times how far it is."""
    monkeypatch.setattr(console, "SAY_EVERY", 0.1)
    said: list[str] = []
    how_far = console._how_far
    monkeypatch.setattr(console, "_how_far", lambda row: said.append(how_far(row)) or said[-1])

    def slow(ctx: Any) -> dict[str, Any]:
        began = time.monotonic()
        wait_for(lambda: sum("started" in line for line in said) >= 5)
        assert time.monotonic() - began > 0.4
        ctx.reporter.progress(3, 40, "rows")
        ctx.reporter.metrics(3, {"loss": 0.5})
        wait_for(lambda: sum("loss" in line for line in said) >= 6)  # the fifth of them is printed by now
        raise DataError("Nothing usable is left.")

    monkeypatch.setattr(execute, "executor", lambda kind: slow)
    assert main.main(["run", write(tmp_path, "data: {dataset: sandbox}"), "--home", str(tmp_path / "home")]) == 2
    lines = capsys.readouterr().out.splitlines()
    silent = [line for line in lines if re.fullmatch(r"data +started, \d+ s", line)]
    counting = [line for line in lines if re.fullmatch(r"data +3 / 40 rows, loss 0\.500, \d+ s", line)]
    assert len(silent) >= 5
    assert len(counting) >= 5


def test_a_run_that_does_not_exist_is_not_called_queued(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("retry", "cancel", "status", "export"):
        assert main.main([verb, "99"]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "There is no run 99" in shown.err


def test_missing_file_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "/nowhere.yaml"]) == 2
    assert "/nowhere.yaml: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_database_that_is_down_is_a_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main.main(["submit", write(tmp_path, "method: cw")]) == 1
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "DATABASE_URL" in error or "database" in error


def test_run_writes_everything_and_needs_neither_redis_nor_database(workplace: Workplace) -> None:
    out, config = workplace.home / "out.json", workplace.home / "run.yaml"
    config.write_text(yaml_text.written(workplace.materials))
    script = (
        "import sys\nfrom workers.cli import main\ncode = main.main(sys.argv[1:])\n"
        "print([m for m in ('rq', 'redis', 'sqlalchemy', 'streamlit') if m in sys.modules])\nsys.exit(code)"
    )
    command = [sys.executable, "-c", script, "run", str(config), "--set", "seed=3", "--json", str(out)]
    done = subprocess.run(command, env=workplace.environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    written = json.loads(out.read_text())
    assert written["config"]["seed"] == 3
    assert set(written["gra"]) >= {"gra", "wins", "ties", "losses", "prompts", "ci_low", "ci_high"}
    align = written["stages"]["align"]
    assert align["computed"] is True
    assert align["seconds"] > 0
    assert {"loss", "rewards/margins"} <= {point["name"] for point in align["metrics"]}
    assert "length alone" in done.stdout
    assert "Agreement by confidence decile" in done.stdout
    assert re.search(r"Data: [\d,]+ rows read, [\d,]+ pairs and [\d,]+ test prompts kept; .*dropped: ", done.stdout)
    assert "Prompts cut at the model's context: " in done.stdout
    _says_what_stands_beside_gra(done.stdout, written)


def _says_what_stands_beside_gra(said: str, written: dict[str, Any]) -> None:
    """Log-ratios from the written curves: rewards over β, mean of the last tenth of the steps."""
    curves, beta = written["stages"]["align"]["metrics"], written["config"]["align"]["beta"]
    last = max(point["step"] for point in curves)
    ends = []
    for name in ("rewards/chosen", "rewards/rejected"):
        values = [one["value"] for one in curves if one["name"] == name and one["step"] > 0.9 * last]
        ends.append(number(sum(values) / len(values) / beta))
    gra = written["gra"]
    stated = {
        "GRA, %": percent(gra["gra"]).removesuffix(" %"),
        "95 %": interval(gra["ci_low"], gra["ci_high"]),
        "ties lose, %": percent(gra["gra_strict"]).removesuffix(" %"),
        "KL, nats": number(gra["kl"]),
        "chosen, nats": ends[0],
        "rejected, nats": ends[1],
        "tokens": number(gra["mean_tokens"], 1),
        "baseline's tokens": number(gra["baseline_mean_tokens"], 1),
        "length ratio": number(gra["mean_tokens"] / gra["baseline_mean_tokens"]),
        "wins, ties, losses": f"{gra['wins']:g}, {gra['ties']:g}, {gra['losses']:g}",
    }
    for heading, figure in stated.items():
        assert re.search(rf"^ *{re.escape(heading)} +{re.escape(figure)} *$", said, re.MULTILINE), heading
    assert re.search(r"equal length, % +\d+\.\d", said)
    under = " ".join(said.split())
    assert "GRA: against the policy before alignment · ties count half · judged by a reward trained here" in under
    assert "at most 6 tokens, 1 answer a prompt." in under
    assert "One seed: the seed would move" in under


def test_runs_of_the_queue_reuse_what_cwpo_run_computed(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = workplace.home / "run.yaml"
    config.write_text(yaml_text.written(workplace.materials))
    assert main.main(["run", str(config)]) == 0
    assert main.main(["submit", str(config)]) == 0
    monkeypatch.setenv("CWPO_WORKER_ID", str(lease.register_worker("me", "cpu")))
    monkeypatch.setenv("CWPO_DEVICE", "cpu")
    monkeypatch.setattr(Shutdown, "listen", lambda self: None)
    job.work(0)
    capsys.readouterr()
    assert main.main(["status", "1"]) == 0
    assert "Run 1: done" in capsys.readouterr().out
    assert main.main(["status"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    found = workplace.run(1).evaluation
    assert found is not None
    share = percent(found.gra).removesuffix(" %")
    assert f" {share} {interval(found.ci_low, found.ci_high)} 12 {number(found.kl)} " in said
    assert "judged by a reward trained here on all human labels" in said
    assert "each run is one seed, so its interval covers prompts only." in said
    exported = api.export_run(1)
    assert exported["gra"]["prompts"] == 12
    assert exported["config_hash"] == RunConfig.parse(exported["config"]).hash()
    assert main.main(["cancel", "1"]) == 1
    assert "done and cannot be cancelled" in capsys.readouterr().err
