"""vLLM's side of the seam, against a stand-in with its documented names; the real one was never met here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from peft import PeftModel

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.data.pairs import write_prompts
from cwpo.errors import Cancelled, ModelError
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.vllm import PARTS, TOGETHER, VllmEngine, request_seed, stacked, together
from cwpo.evaluation.generation import PARTIAL_FILE, read_samples, run_samples
from cwpo.models.adapters import add_adapter
from cwpo.models.load import ModelRef, lineage, load_policy, save_model
from cwpo.records import Prompt
from cwpo.stages.from_config import _engine
from cwpo.stages.plain import from_plain, to_plain
from cwpo.stages.settings import EngineSettings
from tests import clocks
from tests.cwpo import stage, tiny
from tests.cwpo.evaluation.engines_under_test import VERSION, fake_vllm, opening, questions

SETTINGS = EngineSettings(name="vllm", version=VERSION, batch_invariant=True)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in installed; what it wrote about its calls."""
    file = tmp_path / "calls.jsonl"
    monkeypatch.setenv("FAKE_VLLM_LOG", str(file))
    with fake_vllm(tmp_path, monkeypatch):
        yield lambda: [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def adapter_on(parent: dict[str, Any], ref: ModelRef, store: ArtifactStore, name: str, seed: int, **lora: Any) -> Path:
    """A stored adapter that says something, on that parent."""
    base = load_policy(ref, store=store, device="cpu", precision="fp32", trainable=False, lora=None, seed=0)
    model = add_adapter(base.model, stage.lora(**lora), seed=seed)
    torch.manual_seed(seed)
    for weight, value in model.named_parameters():
        if "lora_B" in weight:
            torch.nn.init.normal_(value.data, std=0.1)
    with store.build(name * 64) as out:
        save_model(model, base.tokenizer, out, form="adapter", parent=parent)
    return store.path(name * 64)


@pytest.fixture
def chain(tmp_path: Path) -> tuple[ArtifactStore, Path, Path]:
    """A whole model, an adapter on it, and on that another one of another rank and other layers."""
    store, folder = ArtifactStore(tmp_path / "artifacts"), tiny.save(tmp_path / "m", "opt")
    first = adapter_on({"model": str(folder), "revision": None}, ModelRef(name=str(folder)), store, "a", 1)
    second = adapter_on(
        {"artifact": "a" * 64}, ModelRef(artifact=first), store, "b", 2, r=3, alpha=5, target_modules=("q_proj", "fc1")
    )
    return store, folder, second


def test_a_chain_of_adapters_as_one_is_the_chain(chain: tuple[ArtifactStore, Path, Path], tmp_path: Path) -> None:
    """peft reads the file that vLLM is given, and its logits are those of both adapters merged in float32."""
    store, folder, top = chain
    found, adapters = lineage(ModelRef(artifact=top), store=store)
    assert (found, [path.name for path in adapters]) == (folder, ["a" * 64, "b" * 64])
    assert stacked(adapters, tmp_path / "one") == 4 + 3
    options: dict[str, Any] = {"store": store, "device": "cpu", "precision": "fp32", "trainable": False}
    merged = load_policy(ModelRef(artifact=top), **options, lora=None, seed=0).model
    base = load_policy(ModelRef(name=str(folder)), **options, lora=None, seed=0).model
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        plain, expected = base(input_ids=ids).logits, merged(input_ids=ids).logits
        one = PeftModel.from_pretrained(base, tmp_path / "one").eval()(input_ids=ids).logits
    assert (plain - expected).abs().max() > 0.1
    torch.testing.assert_close(one, expected, atol=1e-4, rtol=1e-4)


def test_a_stage_samples_with_vllm_and_scores_with_our_own_scorer(
    chain: tuple[ArtifactStore, Path, Path], tmp_path: Path, log: Any
) -> None:
    """With the stacked adapter, a seed per answer, the mode in its environment; resumed without asking again."""
    store, folder, top = chain
    asked = tmp_path / "prompts"
    asked.mkdir()
    write_prompts([Prompt(prompt_id=f"p{at}", prompt=tiny.WORDS[at]) for at in range(9)], asked)
    config = {
        **{"model": str(folder), "revision": None, "precision": "bf16", "max_length": None, "evaluation_seed": 4},
        "decoding": {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 10, "samples": 2},
        "with_reference": True,
        "engine": {"name": "vllm", "version": VERSION, "batch_invariant": True},
    }
    ctx = stage.context(
        tmp_path / "s", "samples", config=config, inputs={"prompts": asked, "model": top, "reference_model": top},
        store=store,
    )  # fmt: skip
    summary = run_samples(ctx)
    (call,) = log()
    samples = read_samples(ctx.out)
    assert (len(samples), summary["samples"], call["invariant"], call["rank"]) == (18, 18, "1", 8)
    assert all(item.logp < 0 and item.logp == item.reference_logp for item in samples)
    assert call["first"] == {
        **{"temperature": 0.7, "top_p": 0.9, "max_tokens": 10, "stop_token_ids": [1], "detokenize": False},
        "seed": call["seeds"][0],
    }
    at = Question(prompt_id="p0", sample=1, prompt_ids=[])
    assert call["seeds"][1] == request_seed(4, at) < 1 << 63
    assert len(set(call["seeds"])) == 18
    assert "adapter" in call["adapter"]
    run_samples(ctx)  # every answer is in the file of an earlier attempt
    assert len(log()) == 1
    assert (ctx.checkpoints / PARTIAL_FILE).read_text().count("\n") == 18


@pytest.mark.parametrize(
    ("answers", "size"), [(1, 64), (500, 64), (1_000, 125), (4_096, 512), (4_104, 257), (9_000, 375)]
)
def test_as_many_cards_as_a_host_has_are_given_something_to_do(answers: int, size: int) -> None:
    """By settings and number of answers alone, whatever is done; batches of one round are of one size."""
    settings = EngineSettings(name="vllm", version=VERSION, batch_invariant=False, rule=2)
    assert together(settings, answers) == together(SETTINGS, answers) == size <= TOGETHER
    asked = [Question(prompt_id=f"p{at}", sample=0, prompt_ids=[5]) for at in range(answers)]
    engine = VllmEngine(opening=opening(Path()), settings=settings)
    batches = engine.batches(asked, frozenset())
    assert [item for batch in batches for item in batch] == asked
    assert len(batches) % PARTS == 0 or answers < 8 * 64
    assert engine.batches(asked, {item.key for item in batches[0]}) == batches[1:]


def test_answers_that_were_made_before_keep_the_batches_that_they_belong_to() -> None:
    """Stored settings name no rule; where vLLM promises that batches do not matter, the fingerprint stays."""
    before = {"name": "vllm", "version": VERSION, "batch_invariant": False}
    assert together(from_plain(EngineSettings, before), 1_000) == 512
    vllm = {"engine": "vllm", "engine_version": VERSION}
    own = [_engine(RunConfig.parse({"evaluation": {**vllm, "batch_invariant": how}})) for how in (False, True)]
    assert [to_plain(one) for one in own] == [{**before, "rule": 2}, {**before, "batch_invariant": True}]


def test_another_version_and_a_missing_one_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match=r"this worker does not have: install the extra \(pip install 'cwpo\[vllm\]'\)"
    ):
        VllmEngine(opening=opening(tmp_path), settings=SETTINGS).__enter__()
    other = EngineSettings(name="vllm", version="0.1", batch_invariant=False)
    with fake_vllm(tmp_path, monkeypatch), pytest.raises(ModelError, match=r"vllm 0\.1, and this worker has 9\.9\.9"):
        VllmEngine(opening=opening(tmp_path), settings=other).__enter__()


def test_what_vllm_cannot_do_is_a_sentence_and_its_process_ends(tmp_path: Path, log: Any) -> None:
    folder = tiny.save(tmp_path / "m", "opt")
    long = Question(prompt_id="long", sample=0, prompt_ids=[5] * 60)
    with VllmEngine(opening=opening(folder), settings=SETTINGS) as engine:
        engine.answers(questions(1), lambda: False)
        with pytest.raises(ModelError, match=r"vLLM cannot answer with this model \(AssertionError"):
            engine.answers([long], lambda: False)
    assert ended(log()[0]["pid"])


def test_its_process_ends_with_the_stage_and_when_it_is_cancelled(
    tmp_path: Path, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.save(tmp_path / "m", "opt")
    with VllmEngine(opening=opening(folder), settings=SETTINGS) as engine:
        engine.answers(questions(1), lambda: False)
        assert psutil.pid_exists(log()[0]["pid"])
    assert ended(log()[0]["pid"])
    monkeypatch.setenv("FAKE_VLLM_SLOW", "600")
    with VllmEngine(opening=opening(folder), settings=SETTINGS) as engine, pytest.raises(Cancelled):
        engine.answers(questions(1), lambda: len(log()) == 2)
    assert ended(log()[1]["pid"])


def test_its_process_ends_when_the_stage_is_killed(tmp_path: Path, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed without a word, while vLLM computes."""
    folder = tiny.save(tmp_path / "m", "opt")
    monkeypatch.setenv("FAKE_VLLM_SLOW", "600")
    code = (
        "from pathlib import Path\n"
        "from tests.cwpo.evaluation.engines_under_test import opening, questions\n"
        "from tests.cwpo.evaluation.test_vllm import SETTINGS, VllmEngine\n"
        f"VllmEngine(opening=opening(Path({str(folder)!r})), settings=SETTINGS).answers(questions(1), lambda: False)\n"
    )
    root = Path(__file__).resolve().parents[3]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ["PYTHONPATH"]])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env, cwd=root)
    try:
        wait_for(lambda: bool(log()))
        assert not ended(log()[0]["pid"], within=0.0)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert ended(log()[0]["pid"])


def ended(pid: int, within: float = 120.0) -> bool:
    """Whether the process is gone, or will be within these seconds."""

    def gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return wait_for(gone, within)


def wait_for(what: Any, within: float = 300.0) -> bool:
    until = clocks.monotonic() + within
    while not what():
        if clocks.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
