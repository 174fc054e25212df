"""Every engine that must keep the contract, over the same tiny model: ours in both precisions, vLLM's side, a fake."""

import random
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from cwpo.errors import Cancelled
from cwpo.evaluation.engines.contract import Engine, Key, Question, Written
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.engines.vllm import Opening, VllmEngine
from cwpo.stages.settings import BatchSettings, DecodingSettings, EngineSettings
from tests.cwpo import tiny

VERSION, STOP, CONTEXT = "9.9.9", 1, 64
DECODING = DecodingSettings(temperature=1.0, top_p=1.0, max_new_tokens=12, samples=2)
SMALL = BatchSettings(rule=2, cache_gb=4e-5)  # some 150 tokens of the tiny models


def questions(count: int = 30) -> list[Question]:
    """Prompts of one to nine words, two answers to each."""
    tokenizer = tiny.tokenizer("opt")
    texts = [" ".join(tiny.WORDS[(at * 7 + k) % 40] for k in range(1 + at % 9)) for at in range(count)]
    return [
        Question(prompt_id=f"p{at}", sample=sample, prompt_ids=tokenizer(text).input_ids)
        for at, text in enumerate(texts)
        for sample in range(DECODING.samples)
    ]


class Fake:
    """The shortest engine that keeps the contract."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    together = False

    def batches(self, questions: Sequence[Question], done: Collection[Key]) -> list[list[Question]]:
        return [[item] for item in questions if item.key not in done]

    def answers(self, batch: Sequence[Question], should_stop: Callable[[], bool]) -> list[Written]:
        if should_stop():
            raise Cancelled("stopped")
        return [self._written(item) for item in batch]

    def _written(self, item: Question) -> Written:
        dice, ids = random.Random(f"{self.seed}{item}"), list[int]()
        while len(ids) < DECODING.max_new_tokens and STOP not in ids:
            ids.append(dice.randrange(1, 43))
        return Written(prompt_id=item.prompt_id, sample=item.sample, ids=ids, finished=ids[-1] == STOP)


@contextmanager
def fake_vllm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in installed as vllm, for this process and for those that it starts."""
    package, described = folder / "site" / "vllm", folder / "site" / f"vllm-{VERSION}.dist-info"
    (package / "lora").mkdir(parents=True)
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n")
    (package / "__init__.py").write_text(Path(__file__).with_name("fake_vllm.py").read_text())
    (package / "lora" / "__init__.py").touch()
    (package / "lora" / "request.py").write_text(
        "from dataclasses import dataclass\n\n\n"
        "@dataclass\nclass LoRARequest:\n    lora_name: str\n    lora_int_id: int\n    lora_path: str\n"
    )
    assert find_spec("vllm") is None, "the real one is installed: this test would hide it"
    monkeypatch.syspath_prepend(folder / "site")
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"))
    yield
    assert "vllm" not in sys.modules  # it lives in its own process


def opening(folder: Path, *, seed: int = 0, adapters: Sequence[Path] = ()) -> Opening:
    return Opening(
        folder=folder, adapters=adapters, stops={STOP}, context=CONTEXT, precision="bf16", device="cpu",
        decoding=DECODING, evaluation_seed=seed, scratch=folder,
    )  # fmt: skip


@contextmanager
def engine_named(name: str, seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """native-fp32, native-bf16, vllm (over the stand-in) or fake."""
    if name == "fake":
        yield Fake(seed)
    elif name == "vllm":
        if not (folder / "config.json").exists():
            tiny.save(folder, "opt")
        settings = EngineSettings(name="vllm", version=VERSION, batch_invariant=True)
        with VllmEngine(opening=opening(folder, seed=seed), settings=settings) as engine:
            yield engine
    else:
        precision = name.removeprefix("native-")
        yield bf16_or_not(tiny.causal_lm("opt"), precision, seed)


def bf16_or_not(model: Any, precision: str, seed: int = 0, **options: Any) -> Engine:
    """Our sampler over a model whose weights have that precision."""
    model = model.eval().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    given: dict[str, Any] = {"tokens_per_batch": 20, "fixed": SMALL, **options}
    return native(model, tiny.tokenizer("opt"), DECODING, seed, precision=precision, **given)
