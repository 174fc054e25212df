"""A run's models, in a real browser over real workers: talked to side by side, exported, downloaded."""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cwpo.config.run import RunConfig, merged
from db import queries
from db.queries.people import chats as chat_rows
from tests.e2e.serving import Dashboard
from tests.e2e.test_dashboard import ready
from tests.hub_server import Hub, serve
from tests.listening import without_server
from tests.workers.conftest import materials
from tests.workers.workplace import wait_for
from workers import api
from workers.api.people import chats
from workers.machine.database import reading

TOKEN = "hf_loopback_secret_token"
ADAPTERS = {"model": {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}, "sft": {"data": "labeled", "epochs": 1}}
__all__ = ["materials"]  # the fixture of that name


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub on this machine that wants a token."""
    with serve([]) as hub:
        hub.uploads.token = TOKEN
        yield hub


@pytest.fixture(scope="module")
def variables(hub: Hub) -> dict[str, str]:
    """The stack knows that hub, and its token."""
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


@pytest.fixture(scope="module")
def run(dashboard: Dashboard, materials: dict[str, Any]) -> Iterator[int]:
    """A finished run with two adapters on a tiny model; this process sees the dashboard's database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CWPO_HOME", str(dashboard.home))
        for name in ("DATABASE_URL", "REDIS_URL"):
            patch.delenv(name, raising=False)
        run_id = api.submit_run(RunConfig.parse(merged(materials, ADAPTERS))).run_id
        wait_for(lambda: status(run_id) in ("done", "failed"), 600, every=0.5)
        assert status(run_id) == "done"
        yield run_id


def status(run_id: int) -> str:
    with reading() as session:
        return queries.get_run(session, run_id).status


def shot(page: Page, name: str) -> None:
    """Pictures for people, where somebody asks for them: wide and narrow, light and dark."""
    folder = os.environ.get("CWPO_SHOTS")
    if not folder:
        return
    for width, scheme in ((1440, "light"), (390, "light"), (1440, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(1_500)
        page.get_by_role("tabpanel").screenshot(path=str(Path(folder) / f"{name}-{width}-{scheme}.png"))
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")


def shorter(page: Page) -> None:
    """The tiny model reads 64 tokens."""
    field = page.get_by_role("spinbutton", name="Longest answer")
    field.fill("12")
    field.press("Tab")


def tab(page: Page, dashboard: Dashboard, run: int, name: str) -> None:
    page.goto(f"{dashboard.url}/run?run={run}")
    ready(page, "CW · DPO · seed 0")
    page.get_by_role("tab", name=name, exact=True).click()
    ready(page, "CW · DPO · seed 0")


def test_three_models_answer_side_by_side(page: Page, dashboard: Dashboard, run: int) -> None:
    """From the tab to the answers; a reload shows the same chat; an empty prompt and the end are sentences."""
    tab(page, dashboard, run, "Chat")
    page.get_by_role("button", name="Start a chat").click()
    expect(page.get_by_text(re.compile(r"Chat \d+: open"))).to_be_visible(timeout=240_000)
    expect(page).to_have_url(re.compile(r"[?&]chat=\d+"))
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("Prompt: write something first.")).to_be_visible()
    prompt = page.get_by_role("textbox", name="Prompt")
    shorter(page)
    prompt.fill("w3 <b>w4</b> **w5**")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("most likely tokens · at most 12 tokens", exact=True)).to_be_visible()
    expect(prompt).to_have_value("")
    chat = int(re.findall(r"chat=(\d+)", page.url)[0])
    with reading() as session:
        found = chat_rows.get(session, chat)
    assert found is not None
    answers = found.turns[0].answers
    assert set(answers) == {"aligned", "sft", "base"}
    blocks = page.get_by_role("tabpanel").get_by_test_id("stCode")
    shown = [" ".join(text.split()) for text in blocks.all_inner_texts()]
    assert shown == [" ".join(answers[name].split()) or "(empty)" for name in ("aligned", "sft", "base")]
    expect(page.get_by_text("w3 <b>w4</b> **w5**")).to_be_visible()
    shot(page, "chat")
    page.reload()
    ready(page, "CW · DPO · seed 0")
    expect(page.get_by_text("w3 <b>w4</b> **w5**")).to_be_visible()
    page.get_by_role("button", name="End chat").click()
    expect(page.get_by_text("The last chat has ended. It was ended.")).to_be_visible()


def test_a_killed_web_process_loses_no_answer(page: Page, dashboard: Dashboard, run: int) -> None:
    """What is being answered is answered to its end in the database, and the page shows it when it is back."""
    chat = chats.start(run, on_cpu=True)
    wait_for(lambda: chat_of(chat).state == "open")
    page.goto(f"{dashboard.url}/run?run={run}&tab=Chat&chat={chat}")
    ready(page, "CW · DPO · seed 0")
    shorter(page)
    page.get_by_role("textbox", name="Prompt").fill("w7 w8")
    page.get_by_role("button", name="Ask", exact=True).click()
    wait_for(lambda: chat_of(chat).turns)
    with without_server(page):
        dashboard.web_process().kill()
        wait_for(lambda: chat_of(chat).turns[0].state == "done")
        expect(page.get_by_text("most likely tokens · at most 12 tokens", exact=True)).to_be_visible()
    chats.end(chat)


def chat_of(chat: int) -> chat_rows.ChatRow:
    with reading() as session:
        found = chat_rows.get(session, chat)
    assert found is not None
    return found


def test_a_model_is_exported_downloaded_and_sent_to_the_hub(
    page: Page, dashboard: Dashboard, run: int, hub: Hub
) -> None:
    """Its path and how it is loaded, the export that says what was compared, the file with weights and card; the hub
    gets the same weights, private, once there is a name for them. The token is nowhere on the page."""
    tab(page, dashboard, run, "Model")
    expect(page.get_by_role("heading", name="Aligned model")).to_be_visible()
    expect(page.get_by_text("model + adapter of SFT + adapter of Alignment", exact=False)).to_be_visible()
    page.get_by_role("button", name="Export", exact=True).last.click()
    expect(page.get_by_text(re.compile(r"Logits on \d prompts differ"))).to_be_visible(timeout=180_000)
    button = page.get_by_role("tabpanel").get_by_role("link", name=re.compile("^Download "))
    expect(button).to_be_visible()
    shot(page, "model")
    with page.expect_download() as download:
        button.click()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    names = {Path(name).name for name in archive.namelist()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    card = archive.read(next(name for name in archive.namelist() if name.endswith("README.md"))).decode()
    assert "GRA (gold reward accuracy)" in card
    assert str(dashboard.home) not in card
    page.get_by_text("Push to the hub").click()
    page.get_by_label("Repository").fill("no name")
    page.get_by_role("button", name="Push", exact=True).click()
    expect(page.get_by_text(re.compile("^Repository: .* is no name of a repository"))).to_be_visible()
    page.get_by_label("Repository").fill("me/aligned")
    page.get_by_role("button", name="Push", exact=True).click()
    expect(page.get_by_text(re.compile("me/aligned is on the hub"))).to_be_visible(timeout=180_000)
    repo = hub.find("model", "me/aligned")
    assert repo is not None
    weights = next(name for name in archive.namelist() if name.endswith("model.safetensors"))
    assert repo.revisions["main"]["model.safetensors"] == archive.read(weights)
    assert hub.uploads.private == {"me/aligned": True}
    assert TOKEN not in page.content()
    for left in (1, 0):
        page.get_by_role("button", name="Remove").first.click()
        expect(page.get_by_role("button", name="Remove")).to_have_count(left)
    expect(page.get_by_text(re.compile(r"Logits on \d prompts differ"))).to_have_count(0)
