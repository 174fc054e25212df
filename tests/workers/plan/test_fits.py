"""On which cards stages fit, what they are given when they are submitted, and where people read it."""

from pathlib import Path
from typing import Any

import pytest

from cwpo.config.catalog import GOLD_REWARDS
from cwpo.config.run import RunConfig, merged
from cwpo.models.sizes import fits
from cwpo.report.waiting import waiting_sentence
from cwpo.stages.graph import build
from db import queries
from db.repositories import stages, workers
from tests.workers.workplace import Workplace
from tools import memory_table
from workers import api
from workers.cli import main
from workers.machine.database import reading, writing
from workers.plan import needs
from workers.plan.fits import Said, StageFit, cache_lines, catalog_fits, catalog_shapes, judge_fits, said_of, stage_fits
from workers.plan.memory import Machine

GB = fits.GIGABYTE


@pytest.fixture(scope="module")
def catalog() -> dict[str, dict[str, StageFit]]:
    return {name: {fit.kind: fit for fit in stages} for name, stages in catalog_fits()}


def fit_of(catalog: dict[str, dict[str, StageFit]], policy: str, what: str, kind: str) -> StageFit:
    return next(fits for name, fits in catalog.items() if policy in name and name.endswith(what))[kind]


@pytest.mark.parametrize("kind", ["sft", "reference", "align", "samples"])
def test_13b_and_14b_with_an_adapter_fit_48_gb(catalog: dict[str, dict[str, StageFit]], kind: str) -> None:
    """In bf16, training with gradient checkpointing; with float32 weights under the adapter it took 52 to 130 GB."""
    for policy in ("OPT 125M → 13B", "Qwen2.5 0.5B → 14B"):
        found = fit_of(catalog, policy, "LoRA", kind)
        way = found.on(48)
        assert way is not None
        assert (way.four_bits, way.cards) == (False, 1)
        assert found.before > 48 * fits.GIGABYTE
        assert way.host < 15 * fits.GIGABYTE < found.host_before


@pytest.mark.parametrize("kind", ["sft", "reference", "align", "samples"])
def test_7b_with_an_adapter_fits_24_gb_without_4_bits(catalog: dict[str, dict[str, StageFit]], kind: str) -> None:
    for policy in ("OPT 125M → 6.7B", "Qwen2.5 0.5B → 7B"):
        way = fit_of(catalog, policy, "LoRA", kind).on(24)
        assert way is not None
        assert (way.four_bits, way.cards) == (False, 1)
        assert way.checkpointing is (kind in ("sft", "align"))


def test_13b_whole_needs_several_cards(catalog: dict[str, dict[str, StageFit]]) -> None:
    """16 bytes a parameter are 206 GB."""
    found = fit_of(catalog, "OPT 125M → 13B", "whole", "align")
    assert found.ways[0].bytes > 206 * fits.GIGABYTE
    assert [way.cards for card in fits.CARDS if (way := found.on(card))] == [8, 4, 2]


def test_the_table_in_the_docs_is_what_the_estimate_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert memory_table.main(write=False) == 0, capsys.readouterr().out


def test_every_judge_of_the_catalog_has_a_line_and_a_need() -> None:
    """Llama 8B in bf16 is 2 bytes a parameter; who has no sizes would be claimed by any card."""
    found = dict(judge_fits())
    assert set(found) == {row.label for row in GOLD_REWARDS.values() if row.kind == "model"}
    llama = found["Skywork-Reward-V2 Llama-3.1 8B"].ways[0].bytes
    assert 15 * GB < llama < 17 * GB
    steam = {"data": {"dataset": "shp"}, "evaluation": {"gold_reward": "steamshp-flan-t5-xl"}}
    assert needs_of(steam, [80])["scores"] == (1, 6)


BASE: dict[str, Any] = {
    "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-13b", "precision": "bf16"},
    "data": {"dataset": "hh-harmless"},
    "evaluation": {"gold_reward": "trained"},
}


def needs_of(values: dict[str, Any], *hosts: list[int | None], gpu: bool = True) -> dict[str, tuple[int, int | None]]:
    """Cards and whole GB of each stage, with hosts of cards of so many GB."""
    found = _needs(values, *hosts, gpu=gpu)
    return {slot: (one.cards, one.card_bytes and round(one.card_bytes / GB)) for slot, one in found.items()}


def memory_of(values: dict[str, Any], *hosts: list[int | None], gpu: bool = True) -> dict[str, int | None]:
    """Whole GB of the machine's own memory that each stage needs."""
    found = _needs(values, *hosts, gpu=gpu)
    return {slot: one.host_bytes and round(one.host_bytes / GB) for slot, one in found.items()}


def _needs(values: dict[str, Any], *hosts: list[int | None], gpu: bool) -> dict[str, needs.StageNeed]:
    config = RunConfig.parse(merged(BASE, values))
    cards = [[None if size is None else size * GB for size in host] for host in hosts]
    return needs.of_run(config, build(config), Machine(shapes=catalog_shapes(), hosts=cards), gpu=gpu)


def test_a_stage_is_stored_with_the_least_that_it_can_be_computed_with() -> None:
    """With gradient checkpointing, unless the run forbids it; what shuffles rows needs no card."""
    found = needs_of({}, [48])
    assert found["align"] == (1, 30)
    assert found["data"] == found["evaluation"] == (1, None)
    assert needs_of({"execution": {"gradient_checkpointing": False}}, [80])["align"] == (1, 55)


def test_no_need_is_stored_where_no_gpu_computes() -> None:
    assert set(needs_of({}, gpu=False).values()) == {(1, None)}
    assert needs_of({"execution": {"device": "cpu", "gpus": 2}}, gpu=False)["align"] == (2, None)


def test_a_stage_is_stored_with_what_it_needs_of_the_machine() -> None:
    """Beside its cards each process takes 2.5 GB, all together the largest file; a checkpoint of all weights 12 bytes a
    parameter, however many cards share it. On a CPU everything is there, weights and moments with 16 bytes."""
    found = memory_of({}, [48])
    assert found["align"] == found["reference"] == 12
    assert found["data"] is found["evaluation"] is None
    assert memory_of({"execution": {"gpus": 4}}, [48] * 4)["align"] == 20
    whole = {"model": {"lora": None}, "execution": {"gpus": 8}}
    assert memory_of(whole, [48] * 8)["align"] == 8 * 2.5 + 154
    on_cpu = {"model": {"policy": "facebook/opt-1.3b", "lora": None, "precision": "fp32"}}
    assert memory_of({**on_cpu, "execution": {"device": "cpu"}}, gpu=False)["align"] == 24
    assert memory_of(on_cpu, gpu=False)["align"] == 18  # whoever comes: the less of CPU and card


@pytest.mark.parametrize(
    ("host", "expected"),
    [([141] * 8, (2, 115)), ([80] * 8, (4, 63)), ([48] * 8, (8, 38)), ([None] * 4, (1, 213)), ([80] * 2, (2, 115))],
)
def test_auto_takes_the_fewest_cards_that_fit_and_no_more_than_a_host_has(
    host: list[int | None], expected: tuple[int, int]
) -> None:
    whole = {"model": {"lora": None}, "execution": {"gpus": "auto"}}
    assert needs_of(whole, host, [24])["align"] == expected
    assert needs_of(whole, host, [24])["reference"][0] == 1


def test_what_one_process_computes_wants_one_card() -> None:
    """An unsteady annotator's noise is drawn batch after batch; a light stage has no model."""
    found = needs_of({"execution": {"gpus": 4}, "annotator": {"label_dropout": 0.1}}, [80] * 4)
    assert found["align"][0] == found["annotator"][0] == 4
    assert found["labels"][0] == found["data"][0] == 1


def test_answers_on_a_cpu_need_no_room_for_the_largest_batch() -> None:
    """It is made as large as there is room, or is smaller by itself."""
    found = [
        memory_of({"execution": {"device": "cpu"}, "model": {"precision": "bf16"}, "evaluation": {"cache_gb": size}})
        for size in (1, 60)
    ]
    assert found[0]["samples"] == found[1]["samples"]
    assert found[0]["samples"] is not None
    assert found[0]["samples"] > 1


def test_the_plan_says_how_stages_fit_the_gpu_that_is_known() -> None:
    config = RunConfig.parse(BASE)
    machine = Machine(shapes=catalog_shapes(), memory={"gpu": 48 * GB})
    said = said_of([(config, build(config))], machine)
    assert said.fits.startswith("On cards of 48 GB: Annotator, Labels, Reference, Answers, Gold reward")
    assert said.fits.endswith("SFT, Alignment with gradient checkpointing.")
    assert said.caches == "Answers: the largest evaluation.cache_gb for a card of 48 GB is 18.5."
    assert said_of([(config, build(config))], Machine(shapes=catalog_shapes())) == Said()


def test_the_verb_plan_needs_neither_database_nor_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("model: {policy: facebook/opt-13b}\ndata: {dataset: hh-harmless}\n")
    assert main.main(["plan", str(config), "--gpu", "48"]) == 0
    said = capsys.readouterr().out
    assert "On a card of 48 GB" in said
    assert "with gradient checkpointing, 30 GB" in said
    assert "Answers: the largest evaluation.cache_gb for a card of 48 GB is 18.5." in said
    assert main.main(["plan", "--gpu", "24"]) == 0
    assert "in 4 bits, with gradient checkpointing" in " ".join(capsys.readouterr().out.split())
    assert main.main(["plan", "--gpu", "0"]) == 2


def test_the_verb_plan_says_which_stages_use_one_card_whatever_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("data: {dataset: hh-harmless}\nevaluation: {along: {}}\nexecution: {gpus: 4}\n")
    assert main.main(["plan", str(config), "--gpu", "48"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "By one process on one card, whatever execution.gpus says: Along training, Best of n." in said


def test_a_wait_is_a_sentence() -> None:
    one = waiting_sentence("Alignment", cards=1, card_bytes=41 * GB, largest=24 * GB, together=0)
    assert one == "Alignment waits for a card of 41 GB: the largest here has 24 GB."
    several = waiting_sentence("SFT", cards=4, card_bytes=20 * GB, largest=24 * GB, together=2)
    assert several == "SFT waits for 4 cards of 20 GB on one host: no host has more than 2 that large."
    unknown = waiting_sentence("SFT", cards=2, card_bytes=None, largest=None, together=1)
    assert unknown == "SFT waits for 2 cards on one host: no host has more than 1."


def test_a_wait_for_memory_of_a_machine_is_a_sentence() -> None:
    card = {"cards": 1, "card_bytes": 41 * GB, "largest": 80 * GB, "together": 1}
    memory = {"host_bytes": 94 * GB, "largest_host": 64 * GB}
    alone = waiting_sentence("SFT", **card, **memory)
    assert alone == "SFT waits for a machine with 94 GB of memory: the largest here has 64 GB."
    none = {"cards": 1, "card_bytes": None, "largest": None, "together": 1}
    close = waiting_sentence("SFT", **none, host_bytes=64_300_000_000, largest_host=64_200_000_000)
    assert close == "SFT waits for a machine with 64.3 GB of memory: the largest here has 64.2 GB."
    both = waiting_sentence("SFT", **{**card, "largest": 24 * GB, "together": 0}, **memory)
    assert both == (
        "SFT waits for a card of 41 GB: the largest here has 24 GB. "
        "It also needs a machine with 94 GB of memory: the largest here has 64 GB."
    )
    apart = waiting_sentence("SFT", **card, host_bytes=94 * GB, largest_host=128 * GB)
    assert apart == "SFT waits for a card of 41 GB in a machine with 94 GB of memory: none here has both."


def test_a_run_that_no_worker_is_large_enough_for_says_so_and_waits(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until a large worker is there; light stages go on meanwhile."""
    with writing() as session:
        workers.register(session, name="small", host="a", pid=1, device="gpu", card="0", card_bytes=24 * GB)
    run = _submitted()
    with reading() as session:
        (wait,) = queries.card_waits(session, [run])
    assert (wait.slot, wait.largest, wait.together) == ("base_policy", 24 * GB, 0)
    assert main.main(["status"]) == main.main(["status", str(run)]) == 0
    assert capsys.readouterr().out.count("waits for a card of 41 GB: the largest here has 24 GB.") == 2
    with writing() as session:
        workers.register(session, name="large", host="b", pid=1, device="gpu", card="0", card_bytes=48 * GB)
    with reading() as session:
        assert queries.card_waits(session, [run]) == []


def test_a_run_that_no_machine_has_the_memory_for_says_so_and_waits(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The card alone would do; a machine with more memory is enough."""
    card = {"pid": 1, "device": "gpu", "card": "0", "card_bytes": 80 * GB}
    with writing() as session:
        small = workers.register(session, name="small", host="a", host_bytes=64 * GB, **card)
    run = _submitted(host_bytes=94 * GB)
    with writing() as session:
        claimed = stages.claim(session, small, "gpu", 60.0)
    assert claimed is None or claimed.kind != "base"
    assert main.main(["status", str(run)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Base policy waits for a machine with 94 GB of memory: the largest here has 64 GB." in said
    with writing() as session:
        workers.register(session, name="large", host="b", host_bytes=128 * GB, **card)
    with reading() as session:
        assert queries.card_waits(session, [run]) == []


def _submitted(**needs: int) -> int:
    """A sandbox run whose base models claim to need 41 GB of a card, or this."""
    from sqlalchemy import update

    from db.models import Stage

    run = api.submit_run(RunConfig.parse({"data": {"sandbox": {"pairs": 60}, "test_prompts": 10}})).run_id
    own = {"card_bytes": 41 * GB, **needs, "device": "gpu"}
    with writing() as session:
        session.execute(update(Stage).where(Stage.kind == "base").values(own))
    return run


@pytest.mark.parametrize("card", fits.CARDS)
@pytest.mark.parametrize("policy", ["facebook/opt-13b", "Qwen/Qwen2.5-7B"])
def test_the_plan_names_the_largest_cache_that_fits(card: int, policy: str) -> None:
    """With it the answers fit in the same way, with a tenth of a GB more they do not."""

    def answers(size: float | None) -> StageFit:
        config = RunConfig.parse(merged(BASE, {"model": {"policy": policy}, "evaluation": {"cache_gb": size}}))
        return next(fit for fit in stage_fits(config, build(config), catalog_shapes()) if fit.kind == "samples")

    found = answers(None).largest_cache(card)
    assert found is not None
    size, way = found
    number = answers(None).ways.index(way)
    taken = [answers(tried).ways[number].bytes + fits.CONTEXT for tried in (size, round(size + fits.CACHE_STEP, 1))]
    assert taken[0] <= card * GB < taken[1]
    how = " in 4 bits" if way.four_bits else ""
    line = f"Answers: the largest evaluation.cache_gb for a card of {card} GB is {size:.1f}{how}."
    assert cache_lines([answers(None)], card) == [line]


def test_a_cache_that_is_too_large_is_told_the_largest_and_a_model_that_is_too_large_that_none_fits() -> None:
    """What is asked for does not fit 48 GB in any way; 13B takes 7 GB in 4 bits, without any cache."""
    config = RunConfig.parse(merged(BASE, {"evaluation": {"cache_gb": 60.0}}))
    found = stage_fits(config, build(config), catalog_shapes())
    assert next(fit for fit in found if fit.kind == "samples").on(48) is None
    assert cache_lines(found, 48) == ["Answers: the largest evaluation.cache_gb for a card of 48 GB is 18.5."]
    assert cache_lines(found, 6) == ["Answers: no evaluation.cache_gb is small enough for a card of 6 GB."]


@pytest.mark.parametrize("values", [{"model": {"precision": "fp32"}}, {"evaluation": {"engine": "vllm"}}])
def test_no_cache_is_named_where_none_is_chosen(values: dict[str, Any]) -> None:
    """In fp32 batches follow from what is free; vLLM makes its own."""
    config = RunConfig.parse(merged(BASE, values))
    assert cache_lines(stage_fits(config, build(config), catalog_shapes()), 80) == []
