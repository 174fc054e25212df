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

from app.components.frame.address import CompareView
from cwpo.compare.gra import differences
from cwpo.compare.head_to_head import head_to_head
from cwpo.config.run import RunConfig, merged
from cwpo.paper import published
from cwpo.report.numbers import interval, number
from cwpo.statistics import simultaneous
from db import queries
from tests.app.visits import Computed, visit, words
from workers import related_prompts
from workers.machine.database import reading

HH = {"data": {"dataset": "hh"}, "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b"}}
TINY: dict[str, Any] = {"data": {"dataset": "sandbox"}}
QWEN = {"annotator": "Qwen/Qwen2.5-0.5B", "policy": "Qwen/Qwen2.5-7B"}
T10 = published.TABLES["T10"].label


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
    """The lines of the table of all numbers that have a figure of ours, as read."""
    return [line for line in lines_of(page, "method", "paper") if line["ours"] != "–"]


def lines_of(page: AppTest, *columns: str) -> list[dict[str, str]]:
    """The lines of the table that has these columns, as read."""
    frames = [shown.value.rename(columns=plain).map(plain) for shown in page.table]
    (table,) = [frame for frame in frames if set(columns) <= set(frame.columns)]
    found: list[Any] = table.to_dict("records")
    return found


def plain(text: Any) -> str:
    """Without what is there for the browser alone."""
    return str(text).replace("\\", "").replace("\u00a0", " ").replace("\u2060", "")


def test_an_empty_installation_shows_the_paper_and_the_next_step(empty: None) -> None:
    page = visit("paper")
    said = words(page)
    assert "54 numbers · as printed · single runs" in said
    assert "No run here answers a cell yet" in said
    links = [link.proto.label for link in page.get("page_link")]
    assert links == ["Queue the sandbox version", "Set up OPT 125M → 13B", "Set up Qwen2.5 0.5B → 14B"]
    address = parse_qs(page.get("page_link")[0].proto.query_string)
    assert address == {"data.dataset": ["Sandbox (offline)"], "preset": ["Table 1 · main comparison · sandbox"]}
    assert "CW − WS DPO +1.6 4 of 6" in said
    assert "3.37 and 3.29 points" in said
    assert "online DPO with a reward model from elsewhere" in said


@pytest.mark.parametrize("table", published.TABLES.values(), ids=lambda table: table.name)
def test_every_table_is_shown_with_its_source_and_every_number(table: published.Table, empty: None) -> None:
    page = visit("paper", table=table.label)
    numbers = published.numbers_of(table.name)
    assert page.selectbox(key="table").value == table.name
    said = words(page)
    assert ("measured off the figure" if table.name.startswith("F") else "as printed") in said
    assert table.question in said
    assert table.unanswered in said
    assert table.aside in said
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
    assert all(re.fullmatch(r"−?\d+\.\d\d", line["KL, nats"]) for line in lines)
    assert all(re.fullmatch(r"\d+\.\d\d", line["length ratio"]) for line in lines)
    assert "2 seeds: the seed moved the split into labeled and unlabeled pairs, the annotator, SFT" in said
    assert re.search(r"GRA: against .* · ties count half · judged by .* · temperature 0\.95, top-p 1, at most ", said)
    assert "hold the truth in 94 to 100 % of cases with 2 seeds; in 83 %" in said
    assert "6 runs planned for these settings: 6 in the table, 0 failed or cancelled" in said
    assert re.search(r"evaluated but left out\. \d differences? looked at", said), re.findall(r".{30}looked at", said)


def test_differences_show_what_they_could_have_found(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Top 30 % − weak labels, paired on the prompts that both answered, among the differences of the table. Of so few
    prompts nothing is said, unless they count as enough."""
    as_if(computed, tmp_path, monkeypatch, HH)
    without = lines_of(visit("paper", table=T10), "difference", "detectable, points")
    assert without[0]["detectable, points"] == "–"
    monkeypatch.setattr(simultaneous, "FEW", 0.0)
    st.cache_data.clear()
    st.cache_resource.clear()
    gaps = lines_of(visit("paper", table=T10), "difference", "detectable, points")
    rows = [row for row in computed.rows() if row.method in ("top", "weak")]
    with reading() as session:
        outcomes = related_prompts.outcomes(session, [row.id for row in rows])
    keys = {row.method: row.group_key for row in rows}
    (found,) = differences(rows, outcomes, pairs=[(keys["top"], keys["weak"])])
    assert gaps[0]["difference"] == "Top 30 % − Weak labels"
    assert found.detectable is not None
    assert float(gaps[0]["detectable, points"]) > 100 * found.detectable  # alone; the page's table has more differences


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
    page = visit("paper", table=published.TABLES["T6"].label)
    line, timed = answered(page)
    assert (line["paper"], line["method"], line["seeds"]) == ("63.8", "Bradley–Terry", "2")
    assert (timed["paper"], timed["figure"], timed["verdict"]) == ("2,450", "seconds", "no verdict")
    assert (timed["95 %"], timed["pairs"], timed["seeds"]) == ("–", "–", "2")
    said = words(page)
    assert "Seconds depend on the machine" in said
    assert re.search(r"Ours are of Bradley–Terry, OPT 125M · HH · \S+\.", said)


def test_labels_that_several_runs_share_count_once(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs of one setting on two labels stages are two seeds."""
    as_if(computed, tmp_path, monkeypatch, HH)
    with sqlite3.connect(tmp_path / "renamed.sqlite") as database:
        database.execute("UPDATE runs SET group_key = 'one' WHERE annotator IS NOT NULL")
    lines = answered(visit("paper", table=published.TABLES["T6"].label))
    assert [line["seeds"] for line in lines] == ["2", "2"]


def test_another_judge_than_the_papers_is_another_protocol(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 23 under another judge than the paper's: runs stand beside its cells without a verdict."""
    judged = {"evaluation": {"gold_reward": "skywork-qwen3-0.6b"}, "model": QWEN}
    as_if(computed, tmp_path, monkeypatch, {"data": {"dataset": "shp", "subset": "askbaking"}, **judged})
    page = visit("paper", table=published.TABLES["T23"].label)
    said = words(page)
    assert "2 of 24 cells answered by runs here: 2 other protocol." in said
    assert "evaluation.gold_reward skywork-qwen3-0.6b (steamshp-flan-t5-large)" in said
    assert not re.search(r"\d (not consistent|consistent|underpowered)", said)


def test_two_aligned_models_meet_as_in_figure_5(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CW against human labels on the same prompts, by the stored scores of one gold reward."""
    as_if(computed, tmp_path, monkeypatch, {"data": {"dataset": "hh"}, "model": QWEN})
    (line,) = answered(visit("paper", table=published.TABLES["F5"].label))
    sides = [[row for row in computed.rows() if row.method == method] for method in ("cw", "human")]
    with reading() as session:
        scores = queries.scores(session, [row.id for side in sides for row in side])
    met = head_to_head(sides[0], sides[1], scores, labels=("CW", "Human"))
    assert met.share is not None
    assert (line["paper"], line["ours"]) == ("54.6", number(100 * met.share, 1))
    assert line["95 %"] == interval(met.low, met.high)
    assert (line["prompts"], line["seeds"]) == ("12", "2")
    assert line["verdict"] in ("underpowered", "not consistent")


def test_models_judged_by_two_gold_rewards_do_not_meet(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(computed, tmp_path, monkeypatch, {"data": {"dataset": "hh"}, "model": QWEN})
    with sqlite3.connect(tmp_path / "renamed.sqlite") as database:
        scored = "SELECT stage_id FROM run_stages JOIN runs ON runs.id = run_id WHERE slot = 'scores' AND method = ?"
        changed = f"UPDATE stages SET config = json_set(config, '$.other', 1) WHERE id IN ({scored})"
        assert database.execute(changed, ("human",)).rowcount == 2
    page = visit("paper", table=published.TABLES["F5"].label)
    assert answered(page) == []
    assert "CW and Human not compared, different gold rewards." in words(page)


def test_confidence_stands_beside_the_papers_outlines_without_a_verdict(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(computed, tmp_path, monkeypatch, merged(HH, {"data": {"dataset": "hh-harmless"}}))
    page = visit("paper", table=published.TABLES["F7"].label)
    lines = answered(page)
    assert [line["figure"] for line in lines][:2] == ["mean C", "median C"]
    assert {line["verdict"] for line in lines} == {"no verdict"}
    labels = {row.seed: row.id for row in computed.rows() if row.method == "weak"}
    with reading() as session:
        summaries = queries.label_summaries(session, list(labels.values())).values()
    mean = sum(summary.mean_confidence or 0.0 for summary in summaries) / len(labels)
    assert (lines[0]["paper"], lines[0]["ours"], lines[0]["seeds"]) == ("0.66", f"{mean:.2f}", "2")
    assert "5 of 25 cells answered by runs here: 5 without a verdict" in words(page)


def test_runs_that_answer_no_cell_are_one_link_away(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 24: harmless and helpful prompts together; CW and its control, two seeds each."""
    mixed = {"dataset": "hh", "mix": {"harmless": 0.8, "helpful": 0.2}, "unlabeled_fraction": 0.5}
    as_if(computed, tmp_path, monkeypatch, {"data": mixed, "model": QWEN})
    page = visit("paper", table=published.TABLES["T24"].label)
    (link,) = [one.proto for one in page.get("page_link") if one.proto.label.startswith("Compare")]
    assert link.label == "Compare the 4 runs here that ask this"
    wanted = [row.id for row in computed.rows() if row.method in ("weak", "cw")]
    shown = CompareView.from_params({name: values[0] for name, values in parse_qs(link.query_string).items()})
    assert sorted(shown.runs) == sorted(wanted)
