"""The Paper page: empty, over results that workers computed under the paper's names, and in the sandbox."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from cwpo import paper
from cwpo.config import RunConfig, merged
from tests.app.conftest import Computed, visit, words

HH = {"data": {"dataset": "hh"}, "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b"}}
TINY: dict[str, Any] = {"data": {"dataset": "sandbox"}}
T10 = paper.TABLES["T10"].label


def as_if(computed: Computed, folder: Path, patch: pytest.MonkeyPatch, common: dict[str, Any]) -> None:
    """A copy of the computed database whose sweep has this configuration: as many runs, other names."""
    copy = folder / "renamed.sqlite"
    with sqlite3.connect(computed.environment["DATABASE_URL"].removeprefix("sqlite:///")) as source:
        target = sqlite3.connect(copy)
        source.backup(target)
    for row in computed.rows():
        percent = {"top_percent": 30} if row.method == "top" else {}
        values = RunConfig.parse(merged(common, {"method": row.method, "seed": row.seed, **percent})).canonical()
        model, data = values["model"], values["data"]
        target.execute(
            "UPDATE runs SET config = ?, dataset = ?, policy = ?, annotator = ? WHERE id = ?",
            (json.dumps(values), data["dataset"], model["policy"], row.annotator and model["annotator"], row.id),
        )
    target.commit()
    target.close()
    patch.setenv("DATABASE_URL", f"sqlite:///{copy}")
    st.cache_data.clear()


def answered(page: AppTest) -> list[dict[str, str]]:
    """The lines of the longest table that have a figure of ours, as read."""
    table = max((shown.value for shown in page.table), key=len)
    lines = table.map(lambda cell: str(cell).replace("\\", "").replace("\u00a0", " ")).to_dict("records")
    return [line for line in lines if line["ours"] != "–"]


def test_an_empty_installation_shows_the_paper_and_the_next_step(empty: None) -> None:
    page = visit("paper")
    said = words(page)
    assert "54 numbers · as printed · single runs" in said
    assert "No run here answers a cell yet" in said
    links = [link.proto.label for link in page.get("page_link")]
    assert links == ["Queue the sandbox version", "Set up OPT 125M → 13B", "Set up Qwen2.5 0.5B → 14B"]
    address = parse_qs(page.get("page_link")[0].proto.query_string)
    assert address == {"dataset": ["Sandbox (offline)"], "preset": ["Table 1 · main comparison · sandbox"]}
    assert "CW − WS DPO +1.6 4 of 6" in said
    assert "3.37 and 3.29 points" in said
    assert "online variant (Tables 21 and 22)" in said


@pytest.mark.parametrize("table", paper.TABLES.values(), ids=lambda table: table.name)
def test_every_table_is_shown_with_its_source_and_every_number(table: paper.Table, empty: None) -> None:
    page = visit("paper", table=table.label)
    numbers = paper.numbers_of(table.name)
    assert page.selectbox(key="table").value == table.name
    said = words(page)
    assert ("measured off the figure" if table.name.startswith("F") else "as printed") in said
    assert table.question in said
    assert table.unanswered in said
    assert max(len(shown.value) for shown in page.table) == len(numbers)


def test_runs_under_the_papers_protocol_get_verdicts(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds on twelve prompts: three of fifteen cells are answered, and nothing so small can be consistent."""
    as_if(computed, tmp_path, monkeypatch, HH)
    page = visit("paper", table=T10)
    said = words(page)
    assert re.search(r"3 of 15 cells answered by runs here: [\w, ]*(underpowered|not consistent)", said)
    assert "Differences, cell by cell" in said
    lines = answered(page)
    assert [line["method"] for line in lines] == ["Top 30 %", "Weak labels", "Human"]
    assert {(line["seeds"], line["prompts"]) for line in lines} == {("2", "12")}
    assert {line["verdict"] for line in lines} <= {"underpowered", "not consistent"}


def test_another_protocol_is_named_and_gets_no_verdict(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(computed, tmp_path, monkeypatch, merged(HH, {"align": {"beta": 0.1}}))
    said = words(visit("paper", table=T10))
    assert "3 of 15 cells answered by runs here: 3 other protocol" in said
    assert "depart from the paper's, in brackets: align.beta 0.1 (0.5)" in said


def test_the_sandbox_shows_signs_and_answers_no_cell(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(computed, tmp_path, monkeypatch, TINY)
    said = words(visit("paper", table=T10))
    assert "No run here answers a cell yet" in said
    assert re.search(r"Top 30 % − Weak labels \+3\.3 3 of 3 – (above|below|not told apart)", said)


def test_accuracy_of_an_annotator_stands_beside_the_papers(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(computed, tmp_path, monkeypatch, HH)
    (line,) = answered(visit("paper", table=paper.TABLES["T6"].label))
    assert (line["paper"], line["method"], line["seeds"]) == ("63.8", "Bradley–Terry", "2")


def test_labels_that_several_runs_share_count_once(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs of one setting on two labels stages are two seeds."""
    as_if(computed, tmp_path, monkeypatch, HH)
    with sqlite3.connect(tmp_path / "renamed.sqlite") as database:
        database.execute("UPDATE runs SET group_key = 'one' WHERE annotator IS NOT NULL")
    (line,) = answered(visit("paper", table=paper.TABLES["T6"].label))
    assert line["seeds"] == "2"
