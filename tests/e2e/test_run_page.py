"""One run in a real browser: its time, curves, answers, first batch, log and command, each as the address says."""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from cwpo.config.run import RunConfig
from cwpo.evaluation.chat import Asked, Speaker
from db import queries
from db.repositories.people import chats
from tests.cwpo import recorded
from tests.e2e.again import saved, take_effect
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import drawn, ready
from tests.workers.working import be_the_worker
from workers import api
from workers.machine.database import reading, writing
from workers.queue import job, lease
from workers.queue.chat import process


@pytest.fixture(scope="module")
def desk(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run 1 is computed in this process, run 2 waits; a worker of ours is alive and idle."""
    home = tmp_path_factory.mktemp("desk")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with pytest.MonkeyPatch.context() as patch, at_home(home, redis_process):
        be_the_worker(patch)
        config = recorded.config(home)
        api.submit_run(config)
        job.work(0)
        api.submit_run(RunConfig.parse({**config.canonical(), "seed": 1}))
        with served(Web(home=home)) as web:
            yield web.url


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    """Someone in Berlin."""
    with visiting(browser, timezone_id="Europe/Berlin") as page:
        yield page


def toggle(page: Page, key: str) -> None:
    field = page.locator(f".st-key-{key} input").first
    wanted = not field.is_checked()
    take_effect(page, page.locator(f".st-key-{key} label").first.click, lambda: field.is_checked() == wanted)


def has(page: Page, words: str) -> None:
    """The address says it."""
    expect(page).to_have_url(re.compile(words))


def test_a_run_is_looked_at_from_its_curves_to_its_command(visitor: Page, desk: str) -> None:
    page = visitor
    page.goto(f"{desk}/run?run=1&curve_smoothing=0.9")
    ready(page, "CW · DPO · seed 0")
    drawn(page)
    expect(page.locator(".st-key-curve_smoothing")).to_contain_text("0.9")
    toggle(page, "curve_log")
    has(page, "curve_log=true")
    toggle(page, "curve_wide")
    has(page, "curve_wide=true")
    expect(page.get_by_text("loss, log", exact=True).first).to_be_visible()

    page.get_by_text("largest change", exact=True).click()
    has(page, "answers=largest")
    toggle(page, "answers_diff")
    expect(page.get_by_text(re.compile(r"\d+ own words")).first).to_be_visible()
    expect(page.get_by_text("1–10 of 20")).to_be_visible()
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("11–20 of 20")).to_be_visible()
    page.get_by_role("button", name="Previous", exact=True).click()
    expect(page.get_by_text("1–10 of 20")).to_be_visible()
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("11–20 of 20")).to_be_visible()
    field = page.get_by_placeholder("Search in prompts and answers")
    field.fill("nothing like this")
    field.press("Enter")
    expect(page.get_by_text("0 of 20 held-out prompts with “nothing like this” in prompt or answer")).to_be_visible()
    page.reload()
    ready(page, "CW · DPO · seed 0")
    expect(field).to_have_value("nothing like this")
    expect(page.locator(".st-key-curve_smoothing")).to_contain_text("0.9")

    page.get_by_role("tab", name="First batch").click()
    expect(
        page.get_by_text(re.compile(r"The first step reads 16 pairs, [\d,]+ tokens; its loss counts"))
    ).to_be_visible()
    page.locator(".st-key-batch_of").get_by_text("SFT", exact=True).click()
    expect(page.get_by_text("The loss counts the blue tokens")).to_be_visible()
    has(page, "batch_of=")


def test_a_log_is_searched_and_saved_and_the_command_reproduces_the_run(visitor: Page, desk: str) -> None:
    """The file that the page gives is the run: its configuration has the same hash."""
    page = visitor
    page.goto(f"{desk}/run?run=1&tab=Log&log_text=Trained")
    ready(page, "CW · DPO · seed 0")
    log = page.get_by_role("tabpanel").locator("code").first
    expect(log).to_contain_text("final loss")
    expect(log).not_to_contain_text("Started")
    _, content = saved(page, page.get_by_role("button", name="Download", exact=True))
    assert content
    assert all("trained" in line.lower() for line in content.decode().splitlines())
    toggle(page, "log_problems")
    expect(page.get_by_text("No line fits.")).to_be_visible()

    page.get_by_role("tab", name="Configuration").click()
    expect(page.get_by_text("cwpo run run-1.yaml")).to_be_visible()
    expect(page.get_by_text("# cwpo ")).to_be_visible()
    _, content = saved(page, page.get_by_role("button", name="Download run-1.yaml"))
    given = RunConfig.parse(yaml.safe_load(content))
    with reading() as session:
        assert given.hash() == queries.get_run(session, 1).config_hash


@dataclass(frozen=True, kw_only=True)
class Patient(Speaker):
    """A model that says nothing before somebody has looked at the page."""

    look: Callable[[], None]

    def answer(self, asked: Asked) -> Iterator[str]:
        self.look()
        yield from super().answer(asked)


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """A sign of life, again and again while the block lasts."""
    ended = threading.Event()

    def pulse() -> None:
        while not ended.wait(1):
            beat()

    beat()
    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def chat_process(chat: int) -> Iterator[dict[str, Speaker]]:
    """This process is that of the chat; its models."""

    def beat() -> None:
        with writing() as session:
            chats.beat(session, chat)

    with writing() as session:
        assert chats.claim(session, chat, host="here", pid=os.getpid(), device="cpu")
    with beating(beat):
        speakers = process._loaded(chat)
        with writing() as session:
            chats.opened(session, chat, template=False)
        yield speakers


def test_an_answer_is_seen_while_it_is_written(visitor: Page, desk: str) -> None:
    """The first tokens of the first model, before the second one has said anything; then the whole of all three."""
    page, asked = visitor, Asked(prompt="w3 w4", max_new_tokens=12)
    with beating(lambda: lease.beat_idle({1: os.getpid()})):
        page.goto(f"{desk}/run?run=1&tab=Chat")
        ready(page, "CW · DPO · seed 0")
        page.get_by_role("button", name="Start a chat").click()
        has(page, r"chat=\d+")
    with chat_process(chat := int(re.findall(r"chat=(\d+)", page.url)[0])) as models:
        whole = {name: " ".join(list(model.answer(asked))[-1].split()) for name, model in models.items()}
        begun = list(models["aligned"].answer(asked))[3]
        assert begun != whole["aligned"]
        expect(page.get_by_text(f"Chat {chat}: open")).to_be_visible()
        field = page.get_by_role("spinbutton", name="Longest answer")
        field.fill(str(asked.max_new_tokens))
        field.press("Tab")
        page.get_by_role("textbox", name="Prompt").fill(asked.prompt)
        page.get_by_role("button", name="Ask", exact=True).click()
        said, answering = page.get_by_role("tabpanel").get_by_test_id("stCode"), page.get_by_text("· answering")
        expect(said).to_have_text(["…"] * 3)

        def look() -> None:
            expect(said).to_have_text([begun, "…", "…"])
            expect(answering).to_be_visible()

        process._one_turn(chat, {**models, "sft": Patient(**vars(models["sft"]), look=look)})
        expect(said).to_have_text([whole[name] for name in models])
        expect(answering).to_have_count(0)
    page.get_by_role("button", name="End chat").click()
    expect(page.get_by_text("The last chat has ended. It was ended.")).to_be_visible()


def test_a_run_that_waits_says_when_it_will_be_done(visitor: Page, desk: str) -> None:
    lease.beat_idle({1: os.getpid()})
    page = visitor
    page.goto(f"{desk}/run?run=2")
    ready(page, "CW · DPO · seed 1")
    expect(page.get_by_text(re.compile(r"Done at about \d\d:\d\d\."))).to_be_visible()
    expect(page.get_by_role("table").first).to_contain_text("about")
