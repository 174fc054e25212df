"""What a stage that ran out of memory is tried with once more, and what is said where nothing of it can be less."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cwpo.config.parts import ExecutionConfig
from cwpo.errors import OutOfMemory
from cwpo.models.shape import Shape, known_config, shape_of
from cwpo.models.sizes import smaller
from cwpo.models.sizes.again import once_smaller
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Computed
from tests.cwpo import stage

USUAL = ExecutionConfig()
OPT = "facebook/opt-1.3b"
LORA = {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": None}
BATCHES = {"rule": 2, "cache_gb": 3.0}


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    found = shape_of(known_config(OPT, None, tmp_path_factory.mktemp("home")) or {})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "values", "tokens", "again"),
    [
        ("align", {}, 2048, True),
        ("align", {"lora": LORA}, 2048, True),
        ("align", {"lora": {**LORA, "dropout": 0.1}}, 4096, True),  # dropout packs the same tokens always
        ("annotator", {"dropout": 0.0}, 2048, True),
        ("reference", {}, 2048, None),
        ("samples", {}, 2048, None),
    ],
)
def test_half_the_tokens_and_activations_made_again(
    kind: str, values: dict[str, Any], tokens: int, again: bool | None, shape: Shape
) -> None:
    settings = stage.settings(kind, **values)
    less = smaller.smaller(settings, USUAL, shape)
    assert less is not None
    assert (less.tokens_per_batch, less.gradient_checkpointing) == (tokens, again)
    assert less.model_dump(exclude={"tokens_per_batch", "gradient_checkpointing"}) == USUAL.model_dump(
        exclude={"tokens_per_batch", "gradient_checkpointing"}
    )


def test_nothing_can_be_less_of_what_enters_a_fingerprint(shape: Shape) -> None:
    """Answers in bf16 belong to their batch; light stages hold no model; a row stands whole."""
    fixed = stage.settings("samples", precision="bf16", batches=BATCHES)
    assert smaller.smaller(fixed, USUAL, shape) is None
    assert "lower evaluation.cache_gb" in smaller.what_would_fit(fixed, USUAL, shape, 24 * 10**9)
    assert smaller.smaller(stage.settings("data"), USUAL, None) is None
    short = USUAL.model_copy(update={"tokens_per_batch": smaller.LEAST_TOKENS})
    assert smaller.smaller(stage.settings("reference"), short, shape) is None
    told = smaller.smaller(
        stage.settings("align", lora={**LORA, "dropout": 0.1}),
        USUAL.model_copy(update={"gradient_checkpointing": False}), shape,
    )  # fmt: skip
    assert told is None  # somebody chose it


def test_what_would_fit_is_said_by_the_estimate(shape: Shape) -> None:
    whole = stage.settings("align", lora=None)
    said = smaller.what_would_fit(whole, USUAL, shape, 24 * 10**9)
    assert said.startswith("by the estimate it takes ")
    assert "which fits a card of 48 GB" in said
    assert said.endswith(": use such a one, set model.lora or choose a smaller model")
    nowhere = smaller.what_would_fit(whole, USUAL, replace(shape, layers=400), 24 * 10**9)
    assert nowhere.endswith(" GB at least: set model.lora or choose a smaller model")
    adapter = stage.settings("align", lora=LORA)
    told = smaller.what_would_fit(adapter, USUAL, shape, 10 * 10**9)
    assert told == "by the estimate execution.tokens_per_batch: 2048 fits into 10.0 GB"
    assert "that fits: close what else uses the memory" in smaller.what_would_fit(adapter, USUAL, shape, 24 * 10**9)
    assert "choose a smaller model" in smaller.what_would_fit(whole, USUAL, None, None)


def test_a_model_that_was_split_is_reckoned_with_all_its_cards(shape: Shape) -> None:
    """Four of 16 GB hold what one of 24 GB does not; what does not fit them is said of as many cards."""
    whole = stage.settings("align", lora=None)
    alone = smaller.what_would_fit(whole, USUAL, shape, 16 * 10**9)
    assert "which fits a card of 48 GB" in alone
    said = smaller.what_would_fit(whole, USUAL, shape, 16 * 10**9, cards=4)
    assert "that fits: close what else uses the memory" in said
    large = replace(shape, layers=4 * shape.layers)
    said = smaller.what_would_fit(whole, USUAL, large, 10 * 10**9, cards=4)
    assert " GB of each of 4 cards at least, which fits 4 cards of " in said
    assert ": use such cards, set model.lora" in said
    nowhere = smaller.what_would_fit(whole, USUAL, replace(shape, layers=4000), 24 * 10**9, cards=4)
    assert nowhere.endswith(" GB of each of 4 cards at least: set model.lora or choose a smaller model")
    adapter = smaller.what_would_fit(stage.settings("align", lora=LORA), USUAL, large, 10**9, cards=4)
    assert "4 cards" not in adapter


def _allocates(most: int) -> Any:
    """A stage that writes something, and takes memory that nobody has for more tokens than that."""

    def compute(context: StageContext[Any]) -> Computed:
        (context.out / "half-made").write_text(str(context.execution.tokens_per_batch))
        if context.execution.tokens_per_batch > most:
            torch.empty(2**50)
        return Computed(summary={"made": sorted(path.name for path in context.out.iterdir())}, threads=None)

    return compute


def test_a_command_computes_a_stage_once_more_with_less(tmp_path: Path) -> None:
    context = stage.context(tmp_path, "annotator", config={"dropout": 0.0, "model": OPT})
    (context.out / "old").mkdir()
    done = once_smaller(_allocates(2048))(context)
    assert done.summary == {"made": ["half-made"]}
    assert (context.out / "half-made").read_text() == "2048"
    assert context.reporter.notes == [  # type: ignore[attr-defined]
        "Out of memory: annotator is tried once more with 2,048 tokens at once and gradient checkpointing."
    ]
    with pytest.raises(OutOfMemory) as raised:
        once_smaller(_allocates(1))(context)
    tried = (
        "with 4,096 tokens at once, and again with 2,048 tokens at once and gradient checkpointing; by the estimate "
    )
    assert str(raised.value).startswith(f"Out of memory {tried}")
    with pytest.raises(OutOfMemory, match=r"^Out of memory; close what else uses memory"):
        once_smaller(_allocates(1))(stage.context(tmp_path / "light", "data", config={}))


LIMITED = """
import resource, sys
from cwpo.errors import NoRoom
from cwpo.models.sizes import machine
machine.check_left("align")
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + machine.LEFT // 2, -1))
for check in (machine.check_limit, lambda: machine.check_left("align")):
    try:
        check()
    except NoRoom as error:
        print(error)
"""


def test_a_limit_of_address_space_is_said_before_anything_is_computed() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=300, check=True
    ).stdout
    limit, left = said.splitlines()
    assert "of address space (`ulimit -v`), and computing takes 3 GB at least: raise the limit" in limit
    assert "and less than 0.5 GB of it are left for align: raise the limit" in left
