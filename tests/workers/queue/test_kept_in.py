"""What an installation keeps to itself: secrets of its environment, and files that nobody else may open."""

import io
import json
import logging
import os
import sqlite3
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cwpo.stages import execute
from db import queries
from tests.workers.workplace import Workplace, descendants
from workers import api
from workers.machine import logs
from workers.machine.database import reading
from workers.queue import job

PLANTED = {
    "HF_TOKEN": "planted-hub-1", "OPENAI_API_KEY": "planted-key-2", "WANDB_API_KEY": "planted-key-3",
    "CWPO_JUDGE_KEY": "planted-judge-4", "AWS_SECRET_ACCESS_KEY": "planted/aws+5",
    "CWPO_WEBHOOK": "http://127.0.0.1:9/planted-hook-6", "PROXY_URL": "http://u:planted-proxy-7@localhost",
}  # fmt: skip
FORMS = (
    "rediss://:planted-form-1@host, https://planted-form-2@host/x, password=planted-form-3, ghp_plantedform4"
    + "x" * 20,
    "Authorization: Bearer planted-form-5-long, hf_plantedform6" + "y" * 20 + ", sk-plantedform7" + "z" * 20,
)


def secretive(*_: Any, **__: Any) -> Any:
    """A stage that fails with everything in its message."""
    raise RuntimeError("; ".join((*FORMS, *PLANTED.values())))


def files_with(home: Path, word: bytes) -> list[str]:
    return [str(file) for file in home.rglob("*") if file.is_file() and word in file.read_bytes()]


def test_secrets_of_a_failing_run_are_in_no_file_row_line_or_export(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(os.environ, "CWPO_WEBHOOK", PLANTED["CWPO_WEBHOOK"])
    real = execute.executor
    monkeypatch.setattr(execute, "executor", lambda kind: secretive if kind.name == "align" else real(kind))
    run = api.submit_run(place.config()).run_id
    with caplog.at_level(logging.INFO), pytest.raises(RuntimeError):
        job.work()
    logging.getLogger("workers").error("said again", exc_info=RuntimeError(FORMS[0]))
    lines = [logs.formatter().format(record) for record in caplog.records]
    (place.home / "own.log").write_text("\n".join(lines))
    with reading() as session:
        told = [line.text for line in queries.log_tail(session, run, 1_000)]
    assert any("RuntimeError: " in line for line in told)  # the traceback is there
    assert any("RuntimeError" in line for line in lines)
    assert place.run(run).status == "failed"
    dumped = "\n".join(sqlite3.connect(place.environment["DATABASE_URL"].removeprefix("sqlite:///")).iterdump())
    for text in (dumped, json.dumps(api.export_run(run), default=str), "\n".join(told)):
        assert "planted" not in text
    assert files_with(place.home, b"planted") == []


def test_a_home_after_a_run_is_its_owners_alone_and_ps_shows_no_secret(workplace: Workplace) -> None:
    """With processes as they are started, under the mask that most machines have."""
    workplace.environment |= PLANTED
    before = os.umask(0o022)
    try:
        with workplace.supervisor(workers=1) as supervisor:
            run = api.submit_run(workplace.config(method="human")).run_id
            seen: set[str] = set()
            while workplace.run(run).status not in ("done", "failed"):
                seen |= {word for one in descendants(supervisor.pid) for word in _words(one)}
                time.sleep(0.3)
            workplace.wait_done(run)
    finally:
        os.umask(before)
    assert any("horse" in word for word in seen)
    assert not [word for word in seen if "planted" in word]
    ours = (workplace.home / "artifacts", workplace.home / "logs")
    written = [path for folder in ours if folder.exists() for path in (folder, *folder.rglob("*"))]
    assert len(written) > 20
    assert [str(path) for path in written if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
    with zipfile.ZipFile(io.BytesIO(api.reproduce_bundle([run]))) as bundle:
        assert not [name for name in bundle.namelist() if b"planted" in bundle.read(name)]
    assert files_with(workplace.home, b"planted") == []


def _words(process: Any) -> list[str]:
    try:
        words: list[str] = process.cmdline()
    except Exception:  # it has ended
        return []
    return words
