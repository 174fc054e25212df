"""Tables 17, 21 and 22 from their sandbox presets to the tables of Compare and Paper: submitted, worked through by this
process, read off the pages."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from app.components.frame.address import compact
from cwpo.config.presets import comparison
from cwpo.config.run import RunConfig, expand, merged
from cwpo.evaluation.card import CARD_FILE
from cwpo.evaluation.judges.stage import VERDICTS_FILE
from cwpo.paper import published
from cwpo.paper.presets import PAPER_PRESETS
from cwpo.training import sandbox_base
from db import queries
from tests.app.test_paper import answered, as_if, lines_of
from tests.app.visits import Computed, visit, words
from tests.workers.conftest import place, workplace
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job

__all__ = ["place", "workplace"]  # the fixtures of these names
PROMPTS = 16
TINY: dict[str, Any] = {
    "seed": 0,
    "data": {"dataset": "sandbox", "sandbox": {"pairs": 120}, "test_prompts": PROMPTS},
    "model": {"annotator": "sandbox/opt-48", "policy": "sandbox/opt-48"},  # one pretraining, and not two
    "annotator": {"epochs": 1},
    "sft": {"data": "none"},
    "align": {"epochs": 1},
    "evaluation": {"max_new_tokens": 6, "samples": 1, "baseline": "common"},
    "execution": {"device": "cpu"},
}
OPT_13B = {"data": {"dataset": "hh"}, "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-13b"}}
BY_LETTERS = {("A", "B"): 1.0, ("B", "A"): 0.0}  # straight and swapped: only an answer chosen in both orders has won


@pytest.fixture(autouse=True)
def _small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_base, "CORPUS_TEXTS", 64)


def worked(preset: str, **over: Any) -> dict[int, RunConfig]:
    """The runs of a preset's sweep, made small."""
    configs = expand(merged(merged(comparison(PAPER_PRESETS[preset]), TINY), over))
    ids = [one.run_id for one in api.submit_sweep(configs, preset)]
    job.work(0)
    return dict(zip(ids, configs, strict=True))


def won(run_id: int) -> float:
    """The win rate from the letters of every question that was asked; equal answers were not shown and tie."""
    with reading() as session:
        (judge,) = [stage for stage in queries.run_stages(session, run_id) if stage.kind == "judge"]
    rows = pd.read_parquet(store().path(judge.fingerprint) / VERDICTS_FILE).to_dict("records")
    letters = {(row["duel"], row["swapped"]): row["verdict"] for row in rows}
    found = [BY_LETTERS.get((letters[duel, False], letters[duel, True]), 0.5) for duel in {row["duel"] for row in rows}]
    assert found
    return (sum(found) + 0.5 * (PROMPTS - len(found))) / PROMPTS


def met(run_id: int) -> float:
    """How often the judge model chose what people chose, pair by pair."""
    with reading() as session:
        (card,) = [stage for stage in queries.run_stages(session, run_id) if stage.kind == "card"]
    return float(pd.read_parquet(store().path(card.fingerprint) / CARD_FILE)["agrees"].mean())


def side(gap: float) -> tuple[str, ...]:
    """What the sandbox's sign of a difference may say."""
    return ("not told apart", "above" if gap > 0 else "below")


def in_sandbox(table: str) -> dict[tuple[str, str], str]:
    """On Paper: by difference and objective on which side of 0 it lies in the sandbox, where runs answer."""
    lines = lines_of(visit("paper", table=published.TABLES[table].label), "difference", "sandbox")
    return {
        (line["difference"], line.get("objective", "")): line["sandbox"] for line in lines if line["sandbox"] != "–"
    }


def test_table_17_goes_from_its_preset_to_compare_and_paper(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Win rates are those of the letters that the judge model gave, beside how often it met people's labels; the
    paper's own cells take them as those of another judge than GPT-4."""
    runs = worked("t17-sandbox", method=["human", "ws", "cw"], objective="dpo")
    rates = {config.method: won(run_id) for run_id, config in runs.items()}
    page = visit("compare", runs=compact(tuple(runs)), further="Judge model")
    assert "Win rate by the judge model" in words(page)
    lines = lines_of(page, "setting", "win rate, %")
    named = {"Human": rates["human"], "WS": rates["ws"], "CW": rates["cw"]}
    assert {line["setting"]: float(line["win rate, %"]) for line in lines} == pytest.approx(
        {name: 100 * rate for name, rate in named.items()}, abs=0.06
    )
    people = [float(line["agrees with people, %"]) for line in lines]
    assert people == pytest.approx([100 * met(run_id) for run_id in runs], abs=0.06)
    signs = in_sandbox("T17")
    assert set(signs) == {("CW − WS", "DPO"), ("CW − Human", "DPO")}
    for other in ("WS", "Human"):
        assert signs[f"CW − {other}", "DPO"] in side(named["CW"] - named[other])

    as_if(Computed(environment=place.environment, sweep=tuple(runs), failed=0), tmp_path, monkeypatch, OPT_13B)
    page = visit("paper", table=published.TABLES["T17"].label)
    lines = answered(page)
    assert {line["method"]: float(line["ours"]) for line in lines} == pytest.approx(
        {name: 100 * rate for name, rate in named.items()}, abs=0.06
    )
    assert {line["verdict"] for line in lines} == {"other protocol"}
    assert "judge simulated (GPT-4)" in words(page)


def test_online_runs_go_from_their_preset_to_compare_and_paper(place: Workplace) -> None:
    """Beside the same methods on stored pairs: Table 21 asks for CW against WS online, Table 22 for online against
    offline."""
    runs = worked("t21-sandbox", method=["ws", "cw"])
    gra = {}
    for run_id, config in runs.items():
        evaluation = place.run(run_id).evaluation
        assert evaluation is not None
        gra[config.method_label] = evaluation.gra
    lines = lines_of(visit("compare", runs=compact(tuple(runs))), "setting", "ties lose, %")
    assert {line["setting"]: float(line["GRA, %"]) for line in lines} == pytest.approx(
        {name: 100 * value for name, value in gra.items()}, abs=0.06
    )
    assert set(gra) == {"WS", "WS · online", "CW", "CW · online"}
    (online,) = in_sandbox("T21").values()
    assert online in side(gra["CW · online"] - gra["WS · online"])
    (against,) = in_sandbox("T22").values()
    assert against in side(gra["CW · online"] - gra["CW"])
