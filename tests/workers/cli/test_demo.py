"""`cwpo demo` over a small comparison: the table, exit codes, and a second call that computes nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from cwpo.bounds import yaml_text
from cwpo.config.run import merged
from tests.workers.workplace import lives
from workers.cli.stack import free_port


def run_demo(home: Path, config: Path, **own: str) -> "subprocess.CompletedProcess[str]":
    hidden = ("REDIS_URL", "DATABASE_URL", "CWPO_PARENT_PID")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {
        "CWPO_HOME": str(home), "DEMO_EXIT": "1", "WORKERS": "2", "PORT": str(free_port(18900)[0]), **own,
    }  # fmt: skip
    command = [sys.executable, "-m", "workers.cli.main", "demo", "--config", str(config)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)


def home_of(process: psutil.Process) -> str | None:
    """The CWPO_HOME of a process; None where it may not be read."""
    try:
        return process.environ().get("CWPO_HOME")
    except psutil.Error:
        return None


@pytest.mark.timeout(1_800)
def test_demo_ends_with_the_table_and_reuses_everything_when_called_again(
    tmp_path: Path, materials: dict[str, Any]
) -> None:
    config = tmp_path / "comparison.yaml"
    config.write_text(yaml_text.written(merged(materials, {"method": ["human", "weak", "cw"], "seed": [0, 1]})))
    first = run_demo(tmp_path, config)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = [line for line in first.stdout.splitlines() if re.match(r"\s*(Human|Weak labels|CW)\s+−?\d", line)]
    assert [line.split()[0] for line in rows] == ["Human", "Weak", "CW"] * 2  # GRA, then distance and length
    assert "rejected, nats" in first.stdout
    under = " ".join(first.stdout.split())
    assert "GRA: against the policy before alignment · ties count half · judged by a reward trained here" in under
    assert "2 seeds: the seed moved" in under
    assert "CW − Weak labels" in first.stdout
    assert "CW − Human" in first.stdout
    assert re.search(r"cannot be told apart|stands|is above|is below", first.stdout)
    assert "Dashboard: http://127.0.0.1:" in first.stdout
    second = run_demo(tmp_path, config)
    assert second.returncode == 0, second.stdout + second.stderr
    work = [re.findall(r"runs are (\d+) different ones, executed (\d+) times", out.stdout) for out in (first, second)]
    assert work[0] == work[1]
    assert work[0][0][0] == work[0][0][1]
    assert [process for process in psutil.process_iter() if lives(process) and home_of(process) == str(tmp_path)] == []


def test_demo_with_a_failed_stage_ends_with_an_error(tmp_path: Path, materials: dict[str, Any]) -> None:
    config = tmp_path / "comparison.yaml"
    broken = merged(materials, {"method": ["human"], "align": {"lr": 1e18}})
    config.write_text(yaml_text.written(broken))
    done = run_demo(tmp_path, config)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: Stage align failed: The loss is" in done.stdout.replace("\n", " ")


def test_demo_says_why_the_stack_did_not_start(tmp_path: Path) -> None:
    """The launcher's sentence, whatever stands in its log, and without the log's time and level."""
    done = run_demo(tmp_path, tmp_path / "none.yaml", PORT="99999", CWPO_LOG="json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "PORT: must be a number between 1 and 65535, not '99999'.\n"
