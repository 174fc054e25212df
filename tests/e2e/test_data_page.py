"""A file of one's own, from the browser to a queued run: given, counted, mapped, kept as a recipe, used.

No worker runs here: what is queued stays queued, and the database says what it is.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from cwpo.config.run import RunConfig
from db import queries
from tests.e2e.again import pick
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import ready
from tests.workers.conftest import materials
from workers.api.data import save_recipe
from workers.machine.database import reading

__all__ = ["materials"]  # the fixture of that name

ROWS = 120
COLUMNS = {"instruction": "ask <b>", "chosen": "win", "rejected": "lose"}


@pytest.fixture(scope="module")
def desk(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A dashboard without workers and hub; this process sees the same database."""
    home = tmp_path_factory.mktemp("data")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with at_home(home, redis_process, HF_HUB_OFFLINE="1"), served(Web(home=home)) as web:
        yield web


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    """Someone who has opened no page yet."""
    with visiting(browser) as page:
        yield page


def own_file() -> bytes:
    """Columns that nobody can guess, hostile names and texts, three rows that make no pair."""
    rows: list[Any] = [
        {"ask <b>": f"What is {n}? <img src=x onerror=alert(1)>", "win": f"{n} [x](http://evil)", "lose": "no"}
        for n in range(ROWS)
    ]
    rows += [{**rows[0], "win": ""}, {**rows[1], "win": "no"}]
    return "".join(json.dumps(row) + "\n" for row in rows).encode() + b"{broken\n"


def choose(page: Page, role: str, column: str) -> None:
    """The column that holds this."""
    pick(page.locator("[class*=st-key-data_column_]").get_by_role("combobox", name=role).first, column)


def test_a_file_is_given_mapped_and_used_in_a_new_run(desk: Web, visitor: Page, materials: dict[str, Any]) -> None:
    page = visitor
    page.goto(f"{desk.url}/data")
    ready(page, "Data")
    page.locator("input[type=file]").set_input_files(
        {"name": "my <i> pairs.jsonl", "mimeType": "application/jsonl", "buffer": own_file()}
    )
    expect(page.get_by_text(f"No: none of the {ROWS + 3} rows makes a pair")).to_be_visible()
    expect(page.get_by_role("button", name="Use in a new run")).to_be_disabled()

    for role, column in COLUMNS.items():
        choose(page, role, column)
    page.get_by_role("button", name="Read by these columns").click()
    expect(page.get_by_text(f"Yes: {ROWS} of {ROWS + 3} rows make pairs")).to_be_visible()
    ready(page, "Data")
    for reason in ("empty", "with equal responses", "unparsable"):
        expect(page.get_by_role("cell", name=reason, exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"of 20 test prompts have a near-duplicate"))).to_be_visible()
    expect(page.get_by_text("What is 0? <img src=x onerror=alert(1)>").first).to_be_visible()

    page.get_by_label("Keep these columns as a recipe").fill("our export")
    page.get_by_role("button", name="Save recipe").click()
    expect(page.get_by_role("combobox", name="Recipe")).to_be_visible()
    with reading() as session:
        assert {row.name: row.columns for row in queries.recipes(session)} == {"our export": COLUMNS}
    address = page.url
    page.reload()
    ready(page, "Data")
    assert page.url == address
    expect(page.get_by_text(f"Yes: {ROWS} of {ROWS + 3} rows make pairs")).to_be_visible()

    page.get_by_role("button", name="Write the pairs as used").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download pairs.jsonl")).click()
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert len(lines) == ROWS
    assert {line["split"] for line in lines} == {"test", "labeled", "unlabeled"}

    page.get_by_role("button", name="Use in a new run").click()
    ready(page, "New run")
    expect(page.locator(".st-key-new_run-dataset input, .st-key-new_run-dataset [data-baseweb]").first).to_be_visible()
    model = materials["model"]["policy"]
    more = {
        "models": "other models", "model.annotator": model, "model.policy": model, "model.lora": "false",
        "methods": "CW", "seeds": "0", "evaluation.max_new_tokens": "6",
    }  # fmt: skip
    page.goto(f"{page.url}&{urlencode(more)}")
    ready(page, "New run")
    page.get_by_role("button", name="Queue 1 run").click()
    ready(page, "CW · DPO · seed 0")
    with reading() as session:
        (row,) = queries.list_runs(session, limit=10).rows
        data = RunConfig.stored(dict(queries.get_run(session, row.id).config)).data
    assert data.columns == COLUMNS
    assert Path(data.dataset).read_bytes() == own_file()
    assert Path(data.dataset).name == "my_i_pairs.jsonl"
    assert data.test_prompts == 20


def test_a_file_of_eighty_megabytes_goes_to_disk_and_not_into_the_servers_memory(
    desk: Web, visitor: Page, tmp_path: Path
) -> None:
    page = visitor
    row = json.dumps({"prompt": "What?", "chosen": "this " * 200, "rejected": "that " * 200}).encode() + b"\n"
    large = tmp_path / "large.jsonl"
    large.write_bytes(row * (80_000_000 // len(row)))
    page.goto(f"{desk.url}/data")
    ready(page, "Data")
    assert desk.process is not None
    server = psutil.Process(desk.process.pid)
    before, most = server.memory_info().rss, 0
    page.locator("input[type=file]").set_input_files(large)
    while not page.get_by_text("large.jsonl").first.is_visible() or "source=" not in page.url:
        most = max(most, server.memory_info().rss)
        page.wait_for_timeout(20)
    ready(page, "Data")
    assert max(most, server.memory_info().rss) - before < 40e6
    (kept,) = (desk.home / "uploads").glob("*/large.jsonl")
    assert kept.stat().st_size == large.stat().st_size


def test_a_recipe_is_used_by_choosing_it_and_a_wrong_source_is_a_sentence(
    desk: Web, visitor: Page, tmp_path: Path
) -> None:
    page = visitor
    file = tmp_path / "other.jsonl"
    file.write_bytes(own_file())
    save_recipe("our export", COLUMNS)
    page.goto(f"{desk.url}/data")
    ready(page, "Data")
    page.get_by_role("textbox", name="Path on the server, or a hub id").fill(str(tmp_path / "where.jsonl"))
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("does not exist on this server")).to_be_visible()
    page.get_by_role("textbox", name="Path on the server, or a hub id").fill(str(file))
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text(f"No: none of the {ROWS + 3} rows makes a pair")).to_be_visible()
    page.get_by_role("combobox", name="Recipe").click()
    page.get_by_role("option", name="our export").click()
    expect(page.get_by_text(f"Yes: {ROWS} of {ROWS + 3} rows make pairs")).to_be_visible()
    page.get_by_role("button", name="Remove recipe").click()
    expect(page.get_by_role("combobox", name="Recipe")).to_have_count(0)
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_role("combobox", name="Recipe")).to_be_visible()
    page.get_by_role("button", name="Another dataset").click()
    expect(page.get_by_text("Give a file")).to_be_visible()
    page.get_by_role("button", name="other.jsonl").click()
    expect(page.get_by_text(f"No: none of the {ROWS + 3} rows makes a pair")).to_be_visible()
    page.goto(f"{desk.url}/data?source=owner/name")
    page.get_by_role("button", name="Read all rows").click()
    expect(page.get_by_text(re.compile("owner/name.*(could not be reached|hub|offline)", re.I)).last).to_be_visible()
    ready(page, "Data")
