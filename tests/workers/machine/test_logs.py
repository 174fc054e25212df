"""Logs: time, level, worker, run and stage of every line, as text or as JSON; threads and libraries included."""

import contextvars
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisAway

from cwpo.errors import sentence_of
from db.errors import DatabasePasses
from tests.workers.workplace import Workplace
from workers import api
from workers.machine import logs, patience

log = logging.getLogger("workers.tests")


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before, level


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_of_text_says_when_how_bad_and_about_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(worker="host-cpu-1")
    with logs.about(run=7, stage="align#12"):
        log.warning("%d steps", 3)
    log.info("idle")
    first, second = said(capsys)
    fields = "worker=host-cpu-1 run=7 stage=align#12"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z WARNING workers\.tests {fields}: 3 steps", first)
    assert second.endswith("Z INFO workers.tests worker=host-cpu-1: idle")


def test_json_is_one_object_a_line_with_every_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_LOG", "json")
    logs.configure()
    with logs.about(stage="align#12"):
        try:
            raise ValueError("a\nb")
        except ValueError:
            log.exception("two\nlines")
    (line,) = said(capsys)
    found = json.loads(line)
    assert datetime.fromisoformat(found["time"]).tzinfo is not None
    assert (found["level"], found["logger"], found["message"]) == ("ERROR", "workers.tests", "two\nlines")
    assert (found["worker"], found["run"], found["stage"]) == (None, None, "align#12")
    assert found["traceback"].endswith("ValueError: a\nb")


def test_an_error_with_a_sentence_is_a_line_and_not_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    for error in (DatabasePasses("The database is away."), RedisAway("Error 111 connecting"), MemoryError()):
        try:
            raise error
        except Exception:
            log.exception("worker a: quits.")
    lines = said(capsys)
    assert [line.partition(" workers.tests: ")[2] for line in lines] == [
        "worker a: quits: The database is away.",
        "worker a: quits: Redis does not answer (Error 111 connecting).",
        f"worker a: quits: {sentence_of(MemoryError())}",
    ]


def test_that_something_is_away_is_said_once_and_that_it_answers_again_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    for _ in range(3):
        patience.say_away(log, "tried again: %s", DatabasePasses("The disk is full."))
        patience.say_away(log, "Redis does not answer (%s).", RedisAway("gone"))
        patience.answered(patience.DATABASE, wrote=False)  # it can be read all the time
    patience.answered(patience.DATABASE)
    patience.answered(patience.REDIS)
    patience.answered(patience.REDIS)
    ends = [re.sub(r"\d+ s", "", line).partition(": ")[2] for line in said(capsys)]
    assert ends == [
        "tried again: The disk is full.",
        "Redis does not answer (gone).",
        "The database answers again, after .",
        "Redis answers again, after .",
    ]


def test_what_a_block_is_about_ends_with_it_and_goes_along_into_threads(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    with logs.about(run=1):
        with logs.about(stage="data#2"):
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(log.info, "in the thread"))
            thread.start()
            thread.join()
        log.info("outer")
    log.info("outside")
    ends = [line.partition(" workers.tests")[2] for line in said(capsys)]
    assert ends == [" run=1 stage=data#2: in the thread", " run=1: outer", ": outside"]


def test_a_second_configuration_doubles_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.configure(worker="w")
    log.info("once")
    assert len(said(capsys)) == 1


def test_libraries_say_warnings_and_no_chatter(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(worker="w")
    logging.getLogger("rq.worker").info("chatter")
    logging.getLogger("rq.worker").warning("trouble")
    (line,) = said(capsys)
    assert line.endswith("Z WARNING rq.worker worker=w: trouble")


def test_a_librarys_own_console_handler_gives_way_to_ours(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("some_server.part")
    logger.propagate = False
    logger.own_console = logging.StreamHandler(sys.stdout)  # type: ignore[attr-defined]
    logger.addHandler(logger.own_console)  # type: ignore[attr-defined]
    logs.configure()
    logs.take_over("own_console")
    logger.warning("trouble")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("Z WARNING some_server.part: trouble\n")


def test_a_worker_logs_what_its_stages_come_to(workplace: Workplace) -> None:
    """Supervisor, worker and job process over one run, as JSON lines: each stage is claimed and published."""
    workplace.environment = {**workplace.environment, "CWPO_LOG": "json"}
    with workplace.supervisor(workers=1):
        run_id = api.submit_run(workplace.config(method="human")).run_id
        workplace.wait_done(run_id)
    written = (workplace.home / "supervisor.log").read_text().splitlines()
    lines = [json.loads(line) for line in written]
    published = [line for line in lines if line["message"].startswith("published, ")]
    claimed = [line for line in lines if line["message"] == "claimed, attempt 1"]
    align = workplace.stage(run_id, "align").stage_id
    assert f"align#{align}" in [line["stage"] for line in published]
    assert [line["stage"] for line in published] == [line["stage"] for line in claimed]
    assert {line["run"] for line in published} == {run_id}
    assert all(line["worker"] and line["level"] == "INFO" for line in published)


def test_the_launchers_output_is_json_too_whatever_a_service_prints(tmp_path: Path) -> None:
    """A line that is JSON passes as it is; what Redis or Streamlit print is wrapped."""
    script = (
        "import sys\nfrom datetime import datetime\nfrom honcho.printer import Message\n"
        "from workers.cli.launch.honcho_json import JsonPrinter\nprinter = JsonPrinter(sys.stdout)\n"
        "for data in (b'{\"message\": \"ours\"}\\n', b'plain\\nlines\\n', 'started\\n'):\n"
        "    printer.write(Message(type='line', data=data, time=datetime.now(), name='redis', colour=None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "CWPO_LOG": "json"}, capture_output=True, text=True,
        timeout=300, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in found] == ["ours", "plain", "lines", "started"]
    assert {line["logger"] for line in found[1:]} == {"redis"}
