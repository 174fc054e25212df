"""Another gold reward scores stored answers: what is computed, what is shared, and what is never generated again."""

from pathlib import Path

import pytest

from cwpo.compare.gra import differences, labels_of
from cwpo.config.run import RunConfig
from cwpo.config.stored import read_stored
from cwpo.errors import ConfigError
from cwpo.stages.graph import build, gold_key, rescoring
from db import queries
from db.errors import LiveRun
from db.records import RunFilters
from tests.workers.computed import finish
from tests.workers.judges import judge
from tests.workers.working import be_the_worker
from tests.workers.workplace import Workplace
from workers import api
from workers.cli.main import main
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job


@pytest.fixture
def place(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace in which this process is the worker."""
    be_the_worker(monkeypatch)
    return workplace


def executions(run_id: int) -> dict[str, int]:
    with reading() as session:
        return {stage.slot: stage.attempts for stage in queries.run_stages(session, run_id)}


def test_two_gold_rewards_are_never_paired_as_one(place: Workplace, tmp_path: Path) -> None:
    """Two runs that differ in their gold reward alone share every answer; what the database says keeps them apart."""
    names = (judge(tmp_path / "judge"), "trained")
    made = [api.submit_run(place.config(evaluation={"gold_reward": name})).run_id for name in names]
    same = api.submit_run(place.config(method="weak", evaluation={"gold_reward": "trained"})).run_id
    job.work(0)
    with reading() as session:
        rows = queries.list_runs(session, filters=RunFilters(ids=(*made, same)), order="oldest").rows
        outcomes = queries.outcomes(session, [row.id for row in rows])
        configs = read_stored(queries.configs(session, made)).configs
    first, second, third = rows
    assert first.baseline == second.baseline == third.baseline
    assert first.judge != second.judge == third.judge
    pairs = [(first.group_key, second.group_key), (third.group_key, second.group_key)]
    found = differences(rows, outcomes, pairs=pairs)
    assert [row.reason for row in found] == ["different gold rewards", None]
    labels = labels_of(rows[:2], configs)
    assert [labels[row.group_key] for row in rows[:2]] == ["CW · gold reward judge", "CW · gold reward trained"]


def test_nothing_is_generated_again(place: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs that share their baseline: three new stages each, one of them shared; all others keep one attempt."""
    over = {"evaluation": {"baseline": "common"}}
    first, second = (api.submit_run(place.config(method=method, **over)).run_id for method in ("cw", "weak"))
    job.work(0)
    before = {run: executions(run) for run in (first, second)}
    name = judge(tmp_path / "judge")
    assert main(["rescore", str(first), str(second), "--gold", name]) == 0
    assert "3 stages, 0 of them shared" in capsys.readouterr().out
    key = gold_key(name)
    assert place.run(first).status == "queued"
    assert place.run(first).evaluation is not None
    assert job.work(0) == 5
    assert place.run(first).status == place.run(second).status == "done"
    for run in (first, second):
        after = executions(run)
        assert set(after) - set(before[run]) == {
            f"{slot}@{key}" for slot in ("scores", "baseline_scores", "evaluation")
        }
        assert set(after.values()) == {1}
    with reading() as session:
        found = queries.rescorings(session, [first, second])
        own, other = queries.outcomes(session, [first]), queries.outcomes(session, [first], slot=f"evaluation@{key}")
        assert set(queries.evaluations(session, [first], slot=f"evaluation@{key}")) == {first}
    assert [(row.run_id, row.key, row.status) for row in found] == [(first, key, "done"), (second, key, "done")]
    assert other["prompt_id"].tolist() == own["prompt_id"].tolist()
    assert other["tokens"].tolist() == own["tokens"].tolist()
    assert other["score"].tolist() != own["score"].tolist()
    assert api.export_run(first)["rescored"][key]["prompts"] == len(own)


def test_a_rescored_run_shares_its_stages_with_a_run_of_that_gold_reward(
    place: Workplace, kept: Path, tmp_path: Path
) -> None:
    run = api.submit_run(place.config()).run_id
    finish(kept, run)
    name = judge(tmp_path / "judge")
    api.rescore([run], name)
    job.work(0)
    same = api.submit_run(place.config(evaluation={"gold_reward": name}))
    assert same.reused == same.stages
    with reading() as session:
        scores = queries.scores(session, [run, same.run_id])
    assert scores.groupby("run_id")["judge"].nunique().tolist() == [1, 1]
    assert scores["judge"].nunique() == 2


def test_cancelling_takes_the_files_of_what_only_the_rescoring_used(
    place: Workplace, kept: Path, tmp_path: Path
) -> None:
    run = api.submit_run(place.config()).run_id
    finish(kept, run)
    name = judge(tmp_path / "judge")
    api.rescore([run], name)
    scores, own = place.stage(run, f"scores@{gold_key(name)}").fingerprint, place.stage(run, "samples").fingerprint
    with store().build(scores) as folder:
        (folder / "summary.json").write_text("{}")
    api.cancel_run(run)
    assert place.run(run).status == "done"
    assert store().find(scores) is None
    assert store().find(own) is not None


def test_answers_that_are_not_there_yet_cannot_be_scored(place: Workplace, tmp_path: Path) -> None:
    run = api.submit_run(place.config()).run_id
    with pytest.raises(LiveRun, match="is queued and cannot be scored again"):
        api.rescore([run], judge(tmp_path / "judge"))


def test_the_same_gold_reward_is_refused_in_words(place: Workplace) -> None:
    run = api.submit_run(place.config()).run_id
    with pytest.raises(ConfigError, match="is 'trained' already; choose another one"):
        api.rescore([run], "trained")
    with pytest.raises(ConfigError, match="the oracle knows only the sandbox"):
        api.rescore([run], "oracle")


def test_a_gold_reward_trained_here_brings_its_own_stages_and_keeps_every_fingerprint_of_the_run() -> None:
    """A human run of the sandbox has no annotator: its backbone comes along. Old fingerprints are taken as they are."""
    config = RunConfig(method="human")
    finished = {slot: f"old {spec.fingerprint}" for slot, spec in build(config).items()}
    judged = RunConfig.parse({**config.canonical(), "evaluation": {"gold_reward": "trained"}})
    specs = rescoring(judged, finished)
    assert list(specs) == [
        "base_annotator@trained", "gold@trained", "scores@trained", "baseline_scores@trained", "evaluation@trained",
    ]  # fmt: skip
    scores = specs["scores@trained"]
    assert scores.inputs == {"samples": "samples", "prompts": "prompts", "gold": "gold@trained"}
    assert scores.input_fingerprints["samples"] == finished["samples"]
    assert specs["evaluation@trained"].inputs["scores"] == "scores@trained"


@pytest.mark.parametrize(
    "name", ["oracle", "openassistant-deberta", "someone/a-reward-model-with-a-long-name", "/a/b c"]
)
def test_the_name_in_a_slot_fits_its_column_and_is_its_own(name: str) -> None:
    key = gold_key(name)
    assert len(f"baseline_scores@{key}") <= 40
    assert "@" not in key
    assert key == name or gold_key(f"other{name}") != key
