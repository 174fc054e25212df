"""How a run is executed takes one road: defaults stand in one place, and every stage gets what the run asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.parts import ExecutionConfig
from cwpo.config.run import RunConfig
from cwpo.errors import Cancelled, SettingsError
from cwpo.stages import execute, pipeline
from cwpo.stages.context import Execution, StageContext, WorkContext
from cwpo.stages.graph import build, slot_name
from cwpo.stages.kinds import KINDS, Kind, label_of
from cwpo.stages.plain import to_plain

ASKED = {"tokens_per_batch": 77, "gradient_checkpointing": True, "checkpoint_seconds": 3.0}


def test_defaults_are_those_of_the_configuration() -> None:
    assert Execution.of(ExecutionConfig(), "cpu") == Execution()
    assert WorkContext().execution == Execution()


def test_every_stage_of_a_run_gets_its_execution_and_its_typed_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the stages do is replaced; what they are given is not. Manifests keep the plain form."""
    given: dict[str, StageContext[Any]] = {}

    def executor(kind: Kind) -> Any:
        def function(ctx: StageContext[Any]) -> dict[str, Any]:
            assert type(ctx.settings) is kind.settings
            given[ctx.kind] = ctx
            return {}

        return function

    monkeypatch.setattr(execute, "executor", executor)
    config = RunConfig.parse({"method": "cw", "execution": ASKED})
    result = pipeline.run(config, home=tmp_path, device="meta")
    assert given.keys() == {spec.kind for spec in build(config).values()}
    assert {ctx.execution for ctx in given.values()} == {Execution(device="meta", **ASKED)}
    store = ArtifactStore(tmp_path / "artifacts")
    for slot, spec in result.specs.items():
        meta = store.info(spec.fingerprint).meta
        assert meta == {"kind": spec.kind, "config": json.loads(json.dumps(spec.config)), "inputs": meta["inputs"]}
        assert meta["config"] == to_plain(spec.settings), slot
    assert not any(again.computed for again in pipeline.run(config, home=tmp_path).stages.values())


def test_another_version_of_a_kind_is_found_and_never_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "executor", lambda kind: lambda ctx: {})
    spec = build(RunConfig.parse({"method": "cw"}))["data"]
    store = ArtifactStore(tmp_path)

    def at(version: int) -> execute.StageResult:
        return execute.execute(
            store=store, fingerprint=spec.fingerprint, settings=spec.settings, inputs={}, version=version
        )

    with pytest.raises(
        SettingsError, match="The results of this run go by version 8, and this program computes them by version 1"
    ):
        at(8)
    assert store.find(spec.fingerprint) is None
    assert at(KINDS["data"].version).computed
    assert not at(8).computed


def test_a_stop_is_raised_with_its_sentence_only_when_asked() -> None:
    WorkContext().stop_if_asked("never said")
    with pytest.raises(Cancelled, match="said now"):
        WorkContext(should_stop=lambda: True).stop_if_asked("said now")


def test_people_read_a_name_for_every_kind_and_every_slot() -> None:
    """None of them is the bare identifier; a kind of another version keeps its own."""
    runs = ({"method": "cw", "sft": {"data": "pool"}, "evaluation": {"baseline": "common"}}, {"method": "ws"})
    slots = {slot for values in runs for slot in build(RunConfig.parse(values))}
    assert {label_of(kind) for kind in KINDS} == {kind.label for kind in KINDS.values()}
    assert all(slot_name(slot)[0].isupper() for slot in slots if not slot.startswith("annotator_"))
    assert slot_name("baseline_samples") == "Baseline answers"
    assert slot_name("annotator") == "Weak annotator"
    assert slot_name("scores@other-gold") == "Scores · other-gold"
    assert label_of("distill_twice") == "Distill twice"
