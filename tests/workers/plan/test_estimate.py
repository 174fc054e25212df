"""What a plan says: counts by kind, seconds scaled by size, human labels."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from cwpo.bounds import yaml_text
from cwpo.config.run import RunConfig, expand, merged
from cwpo.models import shape as model_shape
from cwpo.stages.graph import build
from cwpo.stages.kinds import KINDS
from db import queries
from db.records import MeasuredStage
from tests.workers.workplace import Workplace
from workers import api
from workers.cli import main
from workers.machine import devices
from workers.machine.database import reading
from workers.plan import estimate, memory, submission, words

ANNOTATOR, POLICY = "sandbox/opt-48", "sandbox/opt-64"
BASE: dict[str, Any] = {"method": "cw", "data": {"sandbox": {"pairs": 1000}, "test_prompts": 100}}


def known(*measured: MeasuredStage, gpu: bool = False, **over: Any) -> estimate.PlanInputs:
    nothing: dict[str, Any] = {"status": {}, "pairs": {}, "workers": {"gpu": 0, "cpu": 2}}
    return estimate.PlanInputs(**(nothing | over), measured=measured, gpu=gpu)


def planned(values: dict[str, Any], about: estimate.PlanInputs) -> estimate.Plan:
    return estimate.make([(config, build(config)) for config in expand(merged(BASE, values))], about)


def measured_run(seconds: float, device: str = "cpu", **over: Any) -> list[MeasuredStage]:
    """Every stage of a run with 1,000 pairs took as long."""
    config = RunConfig.parse(merged(BASE, over))
    return [
        MeasuredStage(
            kind=spec.kind, model=submission.model_of(config, spec) or "", device=device, seconds=seconds,
            stage_config=spec.config, config=config.canonical(), pairs=1000,
        )
        for spec in build(config).values()
    ]  # fmt: skip


def seconds_of(found: estimate.Plan) -> dict[str, float | None]:
    return {kind.kind: kind.seconds for kind in found.kinds}


def test_finished_stages_are_read_once_for_all_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks; a stage of another run is another one."""
    read: list[object] = []
    stored = RunConfig.stored
    monkeypatch.setattr(RunConfig, "stored", lambda values: (read.append(values), stored(values))[1])
    estimate._stored_work.cache_clear()
    first = planned({"method": "cw"}, known(*measured_run(10.0)))
    once = len(read)
    assert once > 5
    assert planned({"method": "cw"}, known(*measured_run(10.0))) == first
    assert len(read) == once
    planned({"method": "cw"}, known(*measured_run(10.0, salt="another")))
    assert len(read) == 2 * once


def test_training_seconds_grow_with_pairs_and_epochs() -> None:
    """6 s for 300 pairs × 5 epochs: 500 pairs × 10 epochs of twice the data take 6 · 10,000 / 1,500 = 40 s."""
    over = {"data": {"sandbox": {"pairs": 2000}, "label_fraction": 0.5}, "annotator": {"epochs": 10}}
    found = seconds_of(planned(over, known(*measured_run(6.0))))
    assert found["annotator"] == pytest.approx(40)
    assert found["labels"] == pytest.approx(6 * (2000 * 0.5) / (1000 * 0.7))
    assert found["reference"] == pytest.approx(6 * (2000 * 0.5) / (1000 * 0.7))
    assert found["evaluation"] == pytest.approx(6)


def test_adapters_go_by_adapters_and_whole_models_by_whole_ones() -> None:
    """Aligning took 20 s with adapters and 50 s without; of a kind that was measured in one way, that has to do."""
    ways: dict[str, Any] = {"with": {"model": {"lora": {"r": 4}}}, "without": {"model": {"lora": None}}}
    rows = [*measured_run(20.0, **ways["with"]), *measured_run(50.0, **ways["without"])]
    assert [seconds_of(planned(way, known(*rows)))["align"] for way in ways.values()] == [20, 50]
    assert [seconds_of(planned(way, known(*rows[: len(rows) // 2])))["align"] for way in ways.values()] == [20, 20]


def test_only_the_work_of_a_stage_grows_with_its_size() -> None:
    """Of 10 s that 1,000 pairs took, 6.5 were loading and half a one writing: 4,000 pairs take 6.5 + 4 · 3 + 0.5 s."""
    told = [dataclasses.replace(row, work_began=6.5, work_ended=9.5) for row in measured_run(10.0)]
    found = seconds_of(planned({"data": {"sandbox": {"pairs": 4000}}}, known(*told)))
    assert found["reference"] == pytest.approx(6.5 + 4 * 3 + 0.5)
    assert found["evaluation"] == pytest.approx(10)


def test_what_a_process_loads_before_the_stage_is_no_part_of_it() -> None:
    """The attempt began 20 s before the stage's own 10 s, of which the work took 3."""
    told = [dataclasses.replace(row, work_began=25.0, work_ended=28.0) for row in measured_run(10.0)]
    found = seconds_of(planned({"data": {"sandbox": {"pairs": 4000}}}, known(*told)))
    assert found["reference"] == pytest.approx(7 + 4 * 3)


def test_a_stage_whose_settings_another_version_wrote_counts_with_its_seconds_alone() -> None:
    rows = [dataclasses.replace(row, stage_config={"rounds": 3}) for row in measured_run(6.0)]
    found = seconds_of(planned({"annotator": {"epochs": 10}}, known(*rows)))
    assert found["annotator"] == found["align"] == pytest.approx(6)


def test_a_stage_whose_run_another_version_wrote_counts_with_its_seconds_alone() -> None:
    rows = [dataclasses.replace(row, config={**row.config, "rounds": 3}) for row in measured_run(6.0)]
    found = seconds_of(planned({"annotator": {"epochs": 10}}, known(*rows)))
    assert found["annotator"] == found["align"] == pytest.approx(6)


def test_top_trains_on_its_share_of_the_pairs() -> None:
    found = seconds_of(planned({"method": "top:30"}, known(*measured_run(10.0))))
    assert found["align"] == pytest.approx(3)


def test_top_as_many_steps_as_the_pool_takes_as_long_as_the_pool() -> None:
    found = seconds_of(planned({"method": "random:30", "align": {"steps": "pool"}}, known(*measured_run(10.0))))
    assert found["align"] == pytest.approx(10)


def test_each_member_of_an_ensemble_is_trained_and_all_label() -> None:
    """Three annotators of 6 s each; labeling reads every pair with each of them, twice."""
    over = {"annotator": {"members": 3, "passes": 2, "label_dropout": 0.1}}
    found = seconds_of(planned(over, known(*measured_run(6.0))))
    assert (found["annotator"], found["labels"]) == (pytest.approx(18), pytest.approx(36))


def test_answers_grow_with_prompts_and_samples() -> None:
    """Two answer stages of 100 prompts × 2 samples took 5 s each; 300 prompts × 4 take six times that."""
    over = {"data": {"test_prompts": 300}, "evaluation": {"samples": 4}}
    found = seconds_of(planned(over, known(*measured_run(5.0))))
    assert found["samples"] == found["scores"] == pytest.approx(2 * 30)


def test_what_one_process_computes_is_said_where_more_cards_are_asked_for() -> None:
    """Noise of an unsteady annotator is drawn batch after batch; answers and what trains are shared."""
    over = {"execution": {"gpus": 4}, "annotator": {"label_dropout": 0.1}, "evaluation": {"along": {}}}
    found = planned(over, known(gpu=True))
    assert found.single == ("base", "labels", "along", "best_of")
    said = "By one process on one card, whatever execution.gpus says: Base, Labels, Along training, Best of n."
    assert words.single_sentence(found.single) == said
    alone = planned({**over, "execution": {"gpus": 1}}, known(gpu=True))
    assert words.single_sentence(alone.single) == ""


def test_the_docs_name_every_kind_that_one_process_computes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "parallel.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"^\| ([^|]+) \| one process on one card", page, re.MULTILINE)
    titles = {kind.title or kind.label for kind in KINDS.values() if not kind.shared}
    assert set(named.split(", ")) == {"Best of n" if "Best of n" in title else title for title in titles}


def test_over_optimisation_is_planned_by_its_answers_and_its_best_of_n_once() -> None:
    """Two methods keep four models before the final one, which answer 50 prompts twice; the common baseline writes 8
    answers to each. Measured: one model, 100 prompts × 2 in 5 s, and 16 answers to each in 5 s."""
    before = measured_run(5.0, evaluation={"along": {"checkpoints": 2}})
    over = {"method": ["cw", "weak"], "evaluation": {"along": {"prompts": 50, "best_of": 8}}}
    found = planned(over, known(*before))
    assert found.along == (2 * 4 * 50 * 2, 8 * 50)
    assert "800 answers of models kept along the alignments and 400 answers of baselines" in words.along_sentence(found)
    seconds = seconds_of(found)
    assert seconds["along"] == pytest.approx(2 * 5 * (4 * 50 * 2) / (100 * 2))
    assert seconds["best_of"] == pytest.approx(5 * (8 * 50) / (16 * 100))
    assert words.along_sentence(planned({}, known())) == ""


def test_another_model_or_device_was_not_measured() -> None:
    other = planned({"model": {"policy": "sandbox/opt-48"}}, known(*measured_run(1.0)))
    assert set(other.unmeasured) == {"reference", "align", "samples"}
    assert (other.seconds, other.wall_seconds) == (None, None)
    assert "unknown until one stage of each kind" in words.time_sentence(other)
    moved = planned({}, known(*measured_run(1.0), gpu=True))
    assert "align" in moved.unmeasured
    assert "evaluation" not in moved.unmeasured  # light work is the same everywhere


def test_scores_of_another_judge_say_nothing_of_these() -> None:
    """A reward model that was trained here takes seconds a prompt, the sandbox's oracle next to none."""
    trained = measured_run(100.0, evaluation={"gold_reward": "trained"})
    assert seconds_of(planned({}, known(*trained)))["scores"] is None
    both = known(*trained, *measured_run(1.0))
    assert seconds_of(planned({}, both))["scores"] == pytest.approx(2)
    own = planned({"evaluation": {"gold_reward": "trained"}}, both)
    assert seconds_of(own)["scores"] == pytest.approx(200)
    larger = planned({"evaluation": {"gold_reward": "trained", "gold_model": "sandbox/opt-96"}}, both)
    assert seconds_of(larger)["scores"] is None


def test_work_that_other_runs_have_queued_is_waited_for_and_said() -> None:
    """Nothing of it is new, and its time is not none: the tiles and the sentence say the same."""
    measured = known(*measured_run(1.0))
    stages = [spec.fingerprint for spec in build(RunConfig.parse(BASE)).values()]
    queued = planned({}, dataclasses.replace(measured, status=dict.fromkeys(stages, "queued")))
    assert (queued.stages_new, queued.stages_left) == (0, len(stages))
    assert queued.wall_seconds == pytest.approx(7)
    assert "13 s on CPU, 2 workers alive, all of it queued for other runs." in words.time_sentence(queued)
    some = planned({}, dataclasses.replace(measured, status={stages[0]: "queued"}))
    assert ", what other runs have queued included." in words.time_sentence(some)
    done = planned({}, dataclasses.replace(measured, status=dict.fromkeys(stages, "done")))
    assert (done.stages_left, words.time_sentence(done)) == (0, "Nothing is left to compute.")


def test_work_is_split_by_device_and_divided_by_its_workers() -> None:
    """A run's longest chain: data, annotator, labels, align, samples, scores, evaluation; 13 stages of 1 s in all."""
    one = planned({}, known(*measured_run(1.0)))
    assert one.device_seconds == {"gpu": 0.0, "cpu": pytest.approx(13)}
    assert one.wall_seconds == pytest.approx(max(13 / 2, 7))
    many = planned({"seed": [0, 1, 2, 3, 4, 5]}, known(*measured_run(1.0)))
    assert many.wall_seconds == pytest.approx((many.seconds or 0) / 2)
    card = planned({}, known(*measured_run(36.0, device="gpu"), gpu=True, workers={"gpu": 1, "cpu": 1}))
    assert card.device_seconds["cpu"] == pytest.approx(3 * 36)  # pairs, prompts and the evaluation
    assert "6 min 00 s (0.10 GPU-hours) on GPU, 1 worker alive" in words.time_sentence(card)


def test_a_fixed_unlabeled_part_is_planned_and_measured() -> None:
    """Labels and alignment see half of the pairs whatever is labeled; a finished run of that kind serves others."""
    fixed = {"data": {"label_fraction": 0.1, "unlabeled_fraction": 0.5}}
    found = seconds_of(planned(fixed, known(*measured_run(7.0))))
    assert found["align"] == found["labels"] == found["reference"] == pytest.approx(7 * 0.5 / 0.7)
    assert found["annotator"] == pytest.approx(7 * 0.1 / 0.3)
    found = seconds_of(planned({}, known(*measured_run(5.0, **fixed))))
    assert found["align"] == found["labels"] == pytest.approx(5 * 0.7 / 0.5)


def test_what_is_done_takes_no_time_and_what_is_queued_is_shared() -> None:
    graph = build(RunConfig.parse(BASE))
    status = {graph["annotator"].fingerprint: "done", graph["labels"].fingerprint: "queued"}
    found = planned({}, known(*measured_run(1.0), status=status))
    kinds = {kind.kind: (kind.to_compute, kind.shared, kind.done, kind.seconds) for kind in found.kinds}
    assert kinds["annotator"] == (0, 0, 1, 0.0)
    assert kinds["labels"] == (0, 1, 0, pytest.approx(1))
    assert (found.stages_new, found.stages_shared, found.stages_done) == (11, 1, 1)
    assert found.stages_reused == 2


def test_stages_that_runs_of_one_plan_share_are_not_reused() -> None:
    """Nothing was there before: a second seed shares what it can, and the table of kinds says so."""
    found = planned({"seed": [0, 1]}, known(*measured_run(1.0)))
    assert (found.stages_reused, found.stages_done) == (0, 0)
    assert found.stages_shared == found.stages - found.stages_new > 0
    assert sum(int(row[2]) for row in words.rows(found)) == found.stages_shared
    assert {row[3] for row in words.rows(found)} == {"0"}


def test_an_estimate_is_said_in_its_largest_unit() -> None:
    assert [words.about(seconds) for seconds in (None, 42, 635, 8_640)] == ["unknown", "42 s", "11 min", "2.4 h"]


@pytest.mark.parametrize(
    ("over", "labels"),
    [
        ({"method": ["weak", "cw"], "seed": [0, 1]}, 2 * 300),
        ({"method": ["cw", "human"]}, 300 + 700),
        ({"method": "human_labeled", "data": {"label_fraction": [0.1, 0.2]}}, 100 + 200),
        ({"method": ["human_100", "human", "cw"]}, 1000),
        ({"method": "oracle"}, 0),
        ({"method": "oracle", "sft": {"data": "labeled"}}, 300),
        (
            {"method": ["human", "cw"], "data": {"label_fraction": [0.1, 0.2], "unlabeled_fraction": 0.5}},
            500 + 100 + 200,
        ),
    ],
)
def test_human_labels_are_counted_once_per_split(over: dict[str, Any], labels: int) -> None:
    assert planned(over, known()).human_labels == labels


def test_human_labels_of_a_file_are_never_more_than_it_has() -> None:
    """The same 1,000 pairs under every seed: 600 in two splits, 1,000 in four; unknown before they were counted."""
    base = {"data": {"dataset": "owner/pairs"}, "evaluation": {"gold_reward": "trained"}, "method": "cw"}

    def labels(seeds: list[int], *, read: bool = True) -> int | None:
        runs = [(config, build(config)) for config in expand({**base, "seed": seeds})]
        pairs = {runs[0][1]["data"].fingerprint: 1000} if read else {}
        return estimate.make(runs, known(pairs=pairs)).human_labels

    assert (labels([0, 1]), labels([0, 1, 2, 3]), labels([0], read=False)) == (600, 1000, None)


OPT_CONFIG = {"model_type": "opt", "ffn_dim": 8192, "hidden_size": 2048, "num_hidden_layers": 24,
              "num_attention_heads": 32, "word_embed_proj_dim": 2048, "vocab_size": 50272}  # fmt: skip
LARGE: dict[str, Any] = {
    "method": "human_100",
    "data": {"dataset": "owner/pairs"},
    "sft": {"data": "none"},
    "evaluation": {"gold_reward": "trained"},
}


def memory_of(over: dict[str, Any], gpu_memory: int | None) -> estimate.Plan:
    """The plan of a run with OPT 1.3B on a machine with a GPU of that size."""
    runs = [(config, build(config)) for config in expand(merged(LARGE, over))]
    shape = model_shape.shape_of(OPT_CONFIG)
    machine = memory.Machine(shapes={("facebook/opt-1.3b", None): shape}, memory={"cpu": None, "gpu": gpu_memory})
    return estimate.make(runs, known(gpu=True, machine=machine))


def test_an_estimate_of_memory_has_two_digits() -> None:
    assert [words.about_size(size) for size in (47_123_456, 5_263_032_320, 20_046_286_848, 128_400_000)] == [
        "47 MB", "5.3 GB", "20 GB", "130 MB"
    ]  # fmt: skip


def test_memory_is_unknown_until_a_model_is_here() -> None:
    found = planned({}, known())
    assert (found.memory.largest, words.memory(found)) == (None, "unknown")
    assert "Alignment" in words.memory_sentence(found)
    assert words.memory_warning(found) == ""


def test_memory_of_the_sandbox_is_known_before_its_models_are_built(tmp_path: Path) -> None:
    """Never less than the 16 bytes per parameter that training all of opt-64's 130,000 weights takes."""
    runs = [(config, build(config)) for config in expand(BASE)]
    found = estimate.make(runs, known(machine=memory.this_machine(runs, tmp_path)))
    assert found.memory.unknown == ()
    assert found.memory.largest is not None
    assert 16 * 130_000 < found.memory.largest.bytes < 10**9
    assert words.memory(found) not in ("unknown", "none")
    done = {spec.fingerprint: "done" for _, graph in runs for spec in graph.values()}
    assert words.memory(estimate.make(runs, known(status=done))) == "none"


def test_training_all_of_a_large_model_is_warned_about_and_an_adapter_is_not() -> None:
    """OPT 1.3B has 1,315,758,080 parameters: 21 GB of weights, gradients and AdamW, 5.3 GB of frozen weights."""
    whole = memory_of({"model": {"lora": None}}, 16 * 2**30)
    assert whole.memory.largest is not None
    assert (whole.memory.largest.kind, whole.memory.largest.checkpointing) == ("align", True)
    assert whole.memory.largest.bytes > 16 * 1_315_758_080
    warning = words.memory_warning(whole)
    assert warning.startswith("The largest stage, Alignment, needs about ")
    assert "even with gradient checkpointing, this machine has 17.2 GB of GPU memory" in warning
    assert "train a LoRA adapter (model.lora), lower execution.tokens_per_batch" in warning
    nothing = dataclasses.replace(whole.memory, largest=dataclasses.replace(whole.memory.largest, remedies=()))
    assert words.memory_warning(dataclasses.replace(whole, memory=nothing)).endswith(
        "GPU memory: choose a smaller model."
    )
    adapter = memory_of({"model": {"precision": "bf16"}}, 16 * 2**30)
    assert adapter.memory.largest is not None
    assert 4 * 1_315_758_080 < adapter.memory.largest.bytes < 16 * 2**30
    assert words.memory_warning(adapter) == ""


def test_the_largest_cache_is_named_where_a_gpu_is_known() -> None:
    bf16 = {"model": {"precision": "bf16"}}
    said = memory_of(bf16, 16 * 2**30).caches
    assert said.startswith("Answers: the largest evaluation.cache_gb for a card of 17.18 GB is 1")
    assert memory_of(bf16, None).caches == memory_of({"model": {"precision": "fp32"}}, 16 * 2**30).caches == ""


def test_keys_and_values_of_a_whole_batch_of_answers_are_counted() -> None:
    """Eight times 4,096 tokens of 24 layers, each 2 rows of 2,048 in float32: 12.9 GB beside 5.3 GB of weights."""
    largest = memory_of({"model": {"precision": "fp32"}}, None).memory.largest
    assert largest is not None
    assert (largest.kind, largest.remedies) == ("samples", ("tokens",))
    assert largest.bytes > 4 * 1_315_758_080 + 8 * 4096 * 24 * 2 * 2048 * 4


def test_checkpointing_is_counted_as_asked_else_where_the_device_is_too_small() -> None:
    base = {"model": {"lora": None}}
    roomy, unsaid = memory_of(base, 80 * 2**30), memory_of(base, None)
    asked = memory_of({**base, "execution": {"gradient_checkpointing": True}}, 80 * 2**30)
    never = memory_of({**base, "execution": {"gradient_checkpointing": False}}, 16 * 2**30)
    needs = [found.memory.largest for found in (roomy, unsaid, asked, never)]
    assert [need.checkpointing for need in needs if need] == [False, False, True, False]
    sizes = [need.bytes for need in needs if need]
    assert sizes[0] == sizes[1] == sizes[3] > sizes[2]
    assert words.memory_warning(unsaid) == ""
    assert "let execution.gradient_checkpointing follow the estimate" in words.memory_warning(never)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0, GPU-1f, 81559, 70000\n1, GPU-2e, 24564, 24000\n", 24564 * 2**20),
        ("0, GPU-1f, [N/A], [N/A]\n", None),
        ("", None),
    ],
)
def test_the_smallest_gpu_counts(
    said: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi answers in MiB, one line per GPU: number, name, all of its memory and what is free."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    devices.visible_gpus.cache_clear()
    devices.gpu_memory.cache_clear()
    assert devices.gpu_memory() == expected
    devices.visible_gpus.cache_clear()
    devices.gpu_memory.cache_clear()


def test_the_command_line_prints_the_plan_and_submits_nothing(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = workplace.home / "sweep.yaml"
    file.write_text(yaml_text.written({**workplace.materials, "method": ["weak", "cw"], "seed": [0, 1]}))
    assert main.main(["sweep", str(file), "--plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "4 runs: 2 methods × 2 seeds." in said
    assert "Alignment 4 0 0" in said
    assert "The time is unknown" in said
    assert "assumed, as this dataset has too few runs of several methods under the same seeds" in said
    assert api.plan(workplace.sweep(method=["weak", "cw"], seed=[0, 1])).stages_done == 0
    with reading() as session:
        assert queries.list_runs(session).rows == ()
