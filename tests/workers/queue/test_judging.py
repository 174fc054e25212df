"""Judge models and judge cards from a command to the tables: what is computed, what is shared, and what pages say."""

from pathlib import Path

import pytest

from app.reads import judges, results
from cwpo.config.parts import JudgeConfig
from cwpo.config.presets import comparison
from cwpo.config.run import RunConfig, expand
from cwpo.errors import ConfigError
from cwpo.paper import published
from cwpo.paper.presets import PAPER_PRESETS
from cwpo.stages.graph import build, gold_key
from db import queries
from db.records import RunRow
from tests.app.visits import visit, words
from tests.cwpo.judge_models import judge_folder
from tests.workers.judges import judge
from tests.workers.workplace import Workplace
from workers import api
from workers.api import models
from workers.cli.main import main
from workers.judge_cards import further_cards
from workers.machine.database import reading
from workers.plan import judging
from workers.queue import job


def rows_of(*run_ids: int) -> list[RunRow]:
    with reading() as session:
        return results.runs_by_id(session, list(run_ids))


def test_a_judge_model_and_a_card_from_a_command_to_the_tables(
    place: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two methods, one baseline: the pairs that people labeled are judged once for both, no answer is written again."""
    over = {"evaluation": {"baseline": "common"}}
    ids = [api.submit_run(place.config(method=method, **over)).run_id for method in ("cw", "weak")]
    job.work(0)
    with reading() as session:
        before = {slot.slot: slot.attempts for slot in queries.run_stages(session, ids[0])}
    name = str(judge_folder(tmp_path / "judge"))
    command = ["judge", *map(str, ids), "--kind", "local", "--model", name, "--set", "verdicts=logits", "--set",
               "human_labels=true"]  # fmt: skip
    assert main([*command, "--plan"]) == 0
    assert "questions" in capsys.readouterr().out
    assert place.run(ids[0]).status == "done"
    assert main(command) == 0
    assert job.work(0) == 3
    assert main(["card", *map(str, ids)]) == 0
    assert job.work(0) == 2
    rows = rows_of(*ids)
    (key,) = {one.key for one in judges.judge_models(rows) if one.status == "done"}
    table = judges.judge_table_of(rows, key)
    assert [row.method for row in table] == ["weak", "cw"]
    for row in table:
        assert row.low <= row.estimate <= row.high
        assert (row.n_prompts, row.calls <= 24, row.unread) == (12, True, 0)
        assert row.human is not None
        assert row.human_pairs > 50
    difference = judges.judge_differences_of(rows, key, table[0].group_key)
    assert [(one.first_method, one.second_method, one.n_prompts) for one in difference] == [("cw", "weak", 12)]
    cards = judges.card_table_of(rows, results.table_of(rows), judges.cards_of(rows))
    assert [(card.judge, card.q is not None) for card in cards] == [("trained", True)] * 2
    with reading() as session:
        after = {slot.slot: slot.attempts for slot in queries.run_stages(session, ids[0])}
    assert {slot: after[slot] for slot in before} == before
    assert sorted(set(after) - set(before)) == sorted(
        [f"evaluation@{key}", f"card@{key}", "card@trained", "gold_twin@trained"]
    )
    reward = judge(tmp_path / "rm")
    assert main(["card", str(ids[0]), "--gold", reward]) == 0
    assert job.work(0) == 1
    with reading() as session:
        beside = further_cards(session, results.configs_of(rows))
    assert {name: list(cards) for name, cards in beside.items()} == {
        gold_key(reward): [ids[0]], key: ids,
    }  # fmt: skip
    about, _, _ = models.trained(ids[0], "align")
    assert about.judge is not None
    assert (about.judge["judge"], about.judge["q"]) == ("trained", cards[0].q)
    again = api.judging_cost(ids, JudgeConfig(kind="local", model=name, verdicts="logits", human_labels=True))
    assert again.calls == 0
    _pages(ids)


def _pages(ids: list[int]) -> None:
    """What is said of it on Compare and on Run."""
    page = visit("compare", runs=",".join(map(str, ids)), further="Judge model")
    assert "Win rate by the judge model" in words(page)
    assert "only an answer that it chooses in both has won" in words(page)
    page.session_state["judge_cards"] = True
    compared = words(page.run())
    assert "GRA with its judge" in compared
    run = visit("run", run=str(ids[0]))
    run.session_state["judge_card"] = True
    alone = words(run.run())
    assert "trained agrees with people on" in alone
    for said in (compared, alone):
        assert "Agreement by length: short " in said
        assert "It chose the longer response of " in said
        assert "Gaps between its scores of both responses" in said
        assert "Tried beside it: rm agrees with people on " in said


def test_a_judge_of_the_configuration_is_a_stage_of_the_run_and_changes_no_other(place: Workplace) -> None:
    plain = RunConfig.parse({})
    asked = RunConfig.parse({"evaluation": {"judge": {"kind": "simulated", "repeats": 3, "prompts": 100}}})
    own, with_it = build(plain), build(asked)
    assert {slot: with_it[slot].fingerprint for slot in own} == {slot: spec.fingerprint for slot, spec in own.items()}
    (slot,) = set(with_it) - set(own)
    assert with_it[slot].kind == "judge"
    assert "judge" not in plain.canonical()["evaluation"]
    plan = api.plan([asked])
    assert plan.judging is not None
    assert plan.judging.calls == 2 * 3 * 100 * plain.evaluation.samples
    assert api.plan([plain]).judging is None


def test_a_server_that_nobody_named_is_said_before_anything_is_queued(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one the cost is said in money: of answers that are not written it is the most that it can be."""
    over = {"evaluation": {"judge": {"kind": "endpoint", "model": "gpt-4"}}}
    monkeypatch.delenv("CWPO_JUDGE_URL", raising=False)
    with pytest.raises(ConfigError, match="set CWPO_JUDGE_URL"):
        api.submit_run(place.config(**over))
    monkeypatch.setenv("CWPO_JUDGE_URL", "https://judge.example")
    monkeypatch.setenv("CWPO_JUDGE_PRICE", "2.5,10")
    found = api.plan([place.config(**over)]).judging
    assert found is not None
    assert (found.calls, found.server, found.completion_tokens) == (24, 24, 24 * 200)
    assert found.cost == pytest.approx((found.prompt_tokens * 2.5 + found.completion_tokens * 10) / 1e6)
    assert "at most 24 questions" in judging.sentence(found)
    assert "at 2.5" in judging.sentence(found)
    assert "judge.example" not in str(place.config(**over).canonical())


@pytest.mark.parametrize(("preset", "answers", "people"), [("t17-sandbox", 76_800, 8_000), ("t17-opt", 151_200, 6_000)])
def test_the_presets_of_table_17_ask_about_human_labels_and_the_cost_before_launch_counts_them(
    preset: str, answers: int, people: int
) -> None:
    """Both orders of the answers: of 48 runs × 400 prompts × 2 answers, and of 108 × 700. Beside them both orders of
    1,000 pairs for each set of pairs, whatever method and objective: 4, as the sandbox draws its own under each seed,
    and those of 3 datasets."""
    stages = {
        spec.fingerprint: (config, spec.settings)
        for config in expand(comparison(PAPER_PRESETS[preset]))
        for spec in build(config).values()
    }
    found = judging.of_plan(list(stages.values()), None)
    assert found is not None
    assert found.calls == answers + people
    assert found.server == (0 if preset == "t17-sandbox" else found.calls)


def test_table_17_is_answered_by_runs_with_a_judge_model() -> None:
    assert not published.TABLES["T17"].unanswered
    assert len(published.numbers_of("T17")) == 54
