"""Judge cards beside a GRA: on Compare, Run and Paper, in reports, and of a further gold reward; blind spots filled."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st

from app.components.frame.address import compact
from app.components.judging import card as judging
from app.components.judging.order import SEVERAL
from app.components.run.blind_spots import TITLE
from cwpo.compare.judges.card import oracle_card
from cwpo.report.judges.cards import MODEL
from cwpo.statistics.blind_spots import blind_spots
from db import queries
from db.models.work import Run
from db.records import RescoringRow
from tests.app.test_paper import HH, T10, as_if, plain
from tests.app.visits import Computed, visit, words
from tests.cwpo.report.test_judge_cards import BY_LENGTH, GAPS, LENGTH, card
from workers import api, related_prompts
from workers.cli import main
from workers.machine.database import reading, writing

AGREES = "trained agrees with people on 75.0 % of 400 pairs (95 % 70.0 – 80.0)"
FURTHER = "skywork-qwen3-0.6b"


def stored(patch: pytest.MonkeyPatch, slots: Mapping[str, Mapping[int, Any]]) -> None:
    """As if these stages, by slot and run, had said this of themselves."""
    exact, under = queries.summaries, queries.summaries_under

    def of(run_ids: Any, slot: str) -> dict[int, Any]:
        return {run: said for run, said in slots[slot].items() if run in set(run_ids)}

    def summaries(session: Any, run_ids: Any, wanted: Any) -> dict[str, dict[int, Any]]:
        found = exact(session, run_ids, wanted)
        return found | {slot: found[slot] | of(run_ids, slot) for slot in slots if slot in found}

    def summaries_under(session: Any, run_ids: Any, beginning: str) -> dict[str, dict[int, Any]]:
        found = under(session, run_ids, beginning)
        return found | {slot: own for slot in slots if slot.startswith(beginning) and (own := of(run_ids, slot))}

    patch.setattr(queries, "summaries", summaries)
    patch.setattr(queries, "summaries_under", summaries_under)


def opened(screen: str, key: str, **params: str) -> Any:
    """A page with one of its folded sections open."""
    page = visit(screen, **params)
    page.session_state[key] = True
    page.run()
    assert not page.exception
    return page


def trials(page: Any) -> list[str]:
    """The buttons that try a judge."""
    return [one.key for one in page.button if one.label.endswith("on pairs with human labels")]


def test_compare_says_each_card_once_by_length_and_gaps_and_who_prefers_the_longer(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight runs of two seeds and one card for all of them; another judge was tried on one run alone."""
    stored(monkeypatch, {
        "card@trained": dict.fromkeys(computed.sweep, card()),
        f"card@{FURTHER}": {computed.sweep[0]: card(FURTHER, q=0.9, q_low=0.88, q_high=0.92)},
    })  # fmt: skip
    page = opened("compare", "judge_cards", runs=compact(computed.sweep))
    said = words(page)
    for sentence in (BY_LENGTH, LENGTH, GAPS, MODEL):
        assert said.count(sentence) == 1, sentence
    further = f"Tried beside it: {FURTHER} agrees with people on 90.0 % of 400 pairs (95 % 88.0 – 92.0)"
    assert further in said
    assert trials(page) == []
    run = words(opened("run", "judge_card", run=str(computed.sweep[0])))
    for sentence in (AGREES, BY_LENGTH, LENGTH, GAPS, further):
        assert sentence in run, sentence


def test_a_trial_is_offered_where_only_the_oracles_choice_is_known(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Compare and on Run; nothing is offered once the card has its lengths."""
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(api, "check_judge", lambda ids, _: asked.append(tuple(ids)) or ids)
    known = oracle_card({"human_accuracy": 0.75, "kept": 400, "longer_wins": 0.5})
    first, *others = computed.sweep
    stored(monkeypatch, {"card@trained": {first: known} | dict.fromkeys(others, card())})
    page = opened("compare", "judge_cards", runs=compact(computed.sweep))
    assert judging.UNTRIED in words(page)
    assert trials(page) == ["try_judges"]
    page.button(key="try_judges").click().run()
    page = opened("run", "judge_card", run=str(first))
    assert judging.UNTRIED in words(page)
    page.button(key="try_judge").click().run()
    assert asked == [(first,), (first,)]
    assert trials(opened("run", "judge_card", run=str(others[0]))) == []


def test_runs_with_different_gold_rewards_are_told_why_no_order_is_shown(computed: Computed) -> None:
    first, second = (row.id for row in computed.rows() if row.seed == 0 and row.method in ("human", "cw"))
    page = opened("compare", "judge_cards", runs=f"{first},{second}")
    assert SEVERAL not in words(page)
    assert "The same order under every judge?" in words(page)
    with reading() as session:
        config = dict(session.get_one(Run, second).config)
    try:
        _store(second, {**config, "evaluation": {**config["evaluation"], "gold_reward": FURTHER}})
        said = words(opened("compare", "judge_cards", runs=f"{first},{second}"))
    finally:
        _store(second, config)
    assert f"{SEVERAL} {FURTHER} and trained." in said
    assert "The same order under every judge?" not in said


def _store(run: int, config: dict[str, Any]) -> None:
    with writing() as session:
        session.get_one(Run, run).config = config
    st.cache_data.clear()
    st.cache_resource.clear()


def test_a_further_gold_reward_has_its_agreement_and_its_gra_without_errors(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It calls 7 of every 12 prompts won: 58.3 %, and with q = 75 % (7/12 + 3/4 − 1)/(2 · 3/4 − 1) = 66.7 %."""
    real = related_prompts.outcomes

    def outcomes(session: Any, run_ids: Any, slot: str = "evaluation") -> Any:
        found = real(session, run_ids)
        won = (found.groupby("run_id").cumcount() < 7).astype(float)
        return found if slot == "evaluation" else found.assign(outcome=won)

    monkeypatch.setattr(related_prompts, "outcomes", outcomes)
    slot = f"evaluation@{FURTHER}"
    scored = [RescoringRow(run_id=run, key=FURTHER, slot=slot, status="done") for run in computed.sweep]
    monkeypatch.setattr(queries, "rescorings", lambda *_: scored)
    runs = {"runs": compact(computed.sweep), "further": "Another gold reward"}
    page = visit("compare", **runs)
    assert trials(page) == ["try_further"]
    asked: list[Any] = []
    monkeypatch.setattr(api, "check_judge", lambda ids, name: asked.append((sorted(ids), name)) or [])
    page.button(key="try_further").click().run()
    assert asked == [(sorted(computed.sweep), FURTHER)]
    stored(monkeypatch, {f"card@{FURTHER}": dict.fromkeys(computed.sweep, card(FURTHER))})
    page = visit("compare", **runs)
    said = words(page)
    table = next(one.value for one in page.table if any("corrected GRA" in str(name) for name in one.value.columns))
    cells = [[plain(cell) for cell in row] for row in table.to_numpy()]
    assert len(cells) == 4
    for row in cells:
        assert {"58.3", "75.0", "70.0 – 80.0", "400", "66.7"} <= set(row), row
    assert BY_LENGTH in said
    assert trials(page) == []


def test_a_report_has_the_card_with_its_figures_and_words(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of the terminal and the one of the page."""
    bare, full = tmp_path / "bare.html", tmp_path / "full.html"
    runs = [str(run) for run in computed.sweep]
    assert main.main(["report", *runs, "--out", str(bare)]) == 0
    assert "Can the judge be believed?" not in bare.read_text(encoding="utf-8")
    stored(monkeypatch, {"card@trained": dict.fromkeys(computed.sweep, card())})
    assert main.main(["report", *runs, "--out", str(full)]) == 0
    made: list[Any] = []
    handing_on = "app.components.compare.handing_on"
    monkeypatch.setattr(f"{handing_on}.of_what_is_shown", lambda name, make: made.append((name, make)) or b"")
    opened("compare", "report", runs=compact(computed.sweep))
    page = next(make() for name, make in made if name.endswith(".html"))
    for text in (full.read_text(encoding="utf-8"), page):
        for wanted in ("Can the judge be believed?", "agrees with people, %", "70.0 – 80.0", BY_LENGTH, LENGTH, GAPS):
            assert wanted in text, wanted


def test_paper_says_how_often_the_judge_of_our_figures_agrees_with_people(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renamed runs have the dataset's own gold reward; nothing is said where it was not tried."""
    as_if(computed, tmp_path, monkeypatch, HH)
    assert "agrees with people" not in words(visit("paper", table=T10))
    with reading() as session:
        (name,) = {config["evaluation"]["gold_reward"] for config in queries.configs(session, computed.sweep).values()}
    stored(monkeypatch, {f"card@{name}": dict.fromkeys(computed.sweep, card(name))})
    assert f"{AGREES.replace('trained', name)}." in words(visit("paper", table=T10))


def test_a_filled_panel_of_blind_spots_says_the_shares_by_tenths(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty pairs, two in each tenth, C = 0, 0.1, … 0.9. The policy prefers the wrong answer of pairs 0, 1 and 19 by
    2 nats (σ = 88 %, confident) and of pair 10 by half a nat (62 %, not confident), else the right one by 2. The weak
    labels of pairs 4 and 5 are wrong, and the model before alignment is wrong on the first ten."""
    policy = np.full(20, 2.0)
    policy[[0, 1, 19]], policy[10] = -2.0, -0.5
    weak, reference = np.ones(20), np.where(np.arange(20) < 10, -1.0, 1.0)
    weak[[4, 5]] = 0.0
    found = blind_spots(
        np.arange(20) // 2 / 10, weak=weak, human=np.ones(20), policy=policy, reference=reference,
        clusters=[str(place) for place in range(20)],
    )  # fmt: skip
    run = next(row.id for row in computed.rows() if row.method == "cw")
    stored(monkeypatch, {"blind_spots": {run: {"blind_spots": found}}})
    page = opened("run", "blind_spots", run=str(run))
    said = words(page)
    assert re.search(
        r"confident and wrong on 100\.0 % of the tenth of pairs that the annotator was least sure of .*, on 50\.0 % of "
        r"the tenth that it was most sure of .*, and on 15\.0 % of all\.",
        said,
    )
    assert TITLE in [chart.proto.alt for chart in page.get("plotly_chart")]
    assert [one.key for one in page.button if one.key == "look_for_spots"] == []
    table = next(one.value for one in page.table if "tenth by C" in one.value.columns)
    lines = [[plain(cell) for cell in row][:8] for row in table.to_numpy()]
    assert lines[0] == ["1", "2", "0.00", "100.0", "100.0", "100.0", "0.0", "100.0"]
    assert lines[2] == ["3", "2", "0.20", "0.0", "100.0", "0.0", "100.0", "100.0"]
    assert lines[5] == ["6", "2", "0.50", "0.0", "50.0", "50.0", "0.0", "0.0"]
    assert lines[9] == ["10", "2", "0.90", "50.0", "100.0", "50.0", "0.0", "0.0"]
    assert lines[10] == ["all", "20", "0.45", "15.0", "95.0", "20.0", "10.0", "50.0"]
