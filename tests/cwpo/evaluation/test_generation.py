"""Answers depend on (seed, prompt, sample, position) alone, follow the model's distribution, and survive a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cwpo import seeded
from cwpo.artifacts import ArtifactStore
from cwpo.data.pairs import write_prompts
from cwpo.errors import Cancelled, ConfigError
from cwpo.evaluation.engines.contract import Question, Written
from cwpo.evaluation.engines.draws import draw, row_key
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.generation import PARTIAL_FILE, read_samples, run_samples
from cwpo.models.adapters import add_adapter
from cwpo.models.load import ModelRef, load_policy, save_model
from cwpo.records import Prompt
from cwpo.stages.context import StageContext
from cwpo.stages.settings import DecodingSettings
from tests.cwpo import stage, tiny

DECODING = DecodingSettings(temperature=1.0, top_p=1.0, max_new_tokens=20, samples=2)


def prompts(count: int = 30) -> list[Prompt]:
    return [
        Prompt(prompt_id=f"p{at}", prompt=" ".join(tiny.WORDS[(at * 7 + k) % 40] for k in range(1 + at % 9)))
        for at in range(count)
    ]


def answers(
    model: Any, asked: list[Prompt], decoding: DecodingSettings = DECODING, **options: Any
) -> dict[Any, Written]:
    tokenizer, seed = tiny.tokenizer("opt"), options.pop("seed", 0)
    engine = native(model, tokenizer, decoding, seed, **{"tokens_per_batch": 4096, **options})
    questions = [
        Question(prompt_id=prompt.prompt_id, sample=sample, prompt_ids=tokenizer(prompt.prompt).input_ids)
        for prompt in asked
        for sample in range(decoding.samples)
    ]
    batches = engine.batches(questions, frozenset())
    return {answer.key: answer for batch in batches for answer in engine.answers(batch, lambda: False)}


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama"])
def test_answers_do_not_depend_on_batch_or_order(family: str) -> None:
    """One row at a time, several of unlike length, all at once and backwards: the same tokens."""
    model = tiny.causal_lm(family).eval()
    asked = prompts()
    alone = answers(model, asked, tokens_per_batch=1)
    assert len(alone) == 60
    assert answers(model, asked, tokens_per_batch=30) == alone
    assert answers(model, asked[::-1], tokens_per_batch=100_000) == alone
    assert answers(model, asked[3:5], tokens_per_batch=100_000).items() <= alone.items()
    assert answers(model, asked, seed=1) != alone
    assert len({tuple(answer.ids) for answer in alone.values()}) > 55


def test_answers_end_at_the_end_token_and_finished_rows_leave() -> None:
    found = answers(tiny.causal_lm("opt").eval(), prompts(), tokens_per_batch=100_000)
    finished = [answer for answer in found.values() if answer.finished]
    assert 5 < len(finished) < 60
    assert all(answer.ids[-1] == 1 and 1 not in answer.ids[:-1] for answer in finished)
    assert all(len(answer.ids) == 20 and 1 not in answer.ids for answer in found.values() if not answer.finished)


def test_the_first_token_follows_the_model(tmp_path: Path) -> None:
    """4,000 samples of one prompt: each frequency within 5 standard errors of the softmax at the temperature."""
    model = tiny.causal_lm("opt").eval()
    one = DecodingSettings(temperature=0.7, top_p=1.0, max_new_tokens=1, samples=4000)
    found = answers(model, prompts(1), one, tokens_per_batch=100_000)
    ids = tiny.tokenizer("opt")(prompts(1)[0].prompt).input_ids
    with torch.no_grad():
        shares = (model(input_ids=torch.tensor([ids])).logits[0, -1].double() / 0.7).softmax(0).numpy()
    counts = np.bincount([answer.ids[0] for answer in found.values()], minlength=len(shares))
    error = np.sqrt(shares * (1 - shares) / 4000) + 1e-4
    assert (np.abs(counts / 4000 - shares) < 5 * error).all()


def test_noise_is_uniform_and_differs_by_row_and_position() -> None:
    keys = np.array([row_key(0, f"p{at}", 0) for at in range(2000)], dtype=np.uint64)
    table = np.stack([seeded.uniforms(keys, position) for position in range(10)])
    assert 0 <= table.min() < table.max() < 1
    assert abs(table.mean() - 0.5) < 5 * (1 / 12**0.5) / 20_000**0.5
    assert np.abs(np.corrcoef(table) - np.eye(10)).max() < 0.12
    assert len(np.unique(table)) == table.size
    assert row_key(0, "p1", 0) != row_key(0, "p1", 1) != row_key(1, "p1", 0)


def test_draw_by_hand() -> None:
    """Shares .5, .3, .2: u = .55 falls on token 1, u = .79999 too but close to its border at .8."""
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().repeat(4, 1)
    uniform = torch.tensor([0.0, 0.55, 0.79999, 0.9], dtype=torch.float64)
    tokens, doubtful = draw(logits, uniform, temperature=1.0, top_p=1.0, border=2e-5)
    assert tokens.tolist() == [0, 1, 1, 2]
    assert doubtful.tolist() == [True, False, True, False]
    nucleus, _ = draw(logits, uniform, temperature=1.0, top_p=0.75, border=0.0)  # .5 and .3 remain: border at .625
    assert nucleus.tolist() == [0, 0, 1, 1]


def test_a_prompt_that_leaves_no_room_names_the_field_and_a_long_one_is_cut(tmp_path: Path, asked: Path) -> None:
    folder = tiny.save(tmp_path / "m", "opt", context=16)
    with pytest.raises(ConfigError, match=r"evaluation\.max_new_tokens: 20 leaves no room"):
        run_samples(context(tmp_path, "no-room", {"prompts": asked}, folder))
    write_prompts([Prompt(prompt_id="long", prompt=" ".join(tiny.WORDS))], asked)
    short = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "samples": 1}
    cut = context(tmp_path, "cut-left", {"prompts": asked}, folder, decoding=short)
    run_samples(cut)
    assert [item.tokens <= 8 for item in read_samples(cut.out)] == [True]


def context(
    tmp_path: Path,
    name: str,
    inputs: dict[str, Path],
    folder: Path,
    *,
    decoding: Any = None,
    stage_of: Any = None,
    **changes: Any,
) -> StageContext[Any]:
    config = {
        "model": str(folder),
        "revision": None,
        "precision": "fp32",
        "max_length": None,
        "decoding": decoding or {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 20, "samples": 2},
        "evaluation_seed": 0,
        "with_reference": True,
    }
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    config |= stage_of or {}
    return stage.context(tmp_path / name, "samples", config=config, inputs=inputs, store=store, **changes)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_prompts(prompts(), folder)
    return folder


def test_samples_of_the_reference_itself_have_logratio_zero(tmp_path: Path, asked: Path) -> None:
    """And their log-probability is what the model says, token by token."""
    folder = tiny.save(tmp_path / "m", "opt")
    ctx = context(tmp_path, "same", {"prompts": asked}, folder)
    summary = run_samples(ctx)
    samples = read_samples(ctx.out)
    assert [(item.prompt_id, item.sample) for item in samples] == [(f"p{at}", k) for at in range(30) for k in range(2)]
    assert all(item.logp == item.reference_logp for item in samples)
    assert summary["kl"] == 0.0
    model, own = tiny.causal_lm("opt").eval(), answers(tiny.causal_lm("opt").eval(), prompts())
    tokenizer = tiny.tokenizer("opt")
    for item in samples[:6]:
        answer = own[item.prompt_id, item.sample]
        start = tokenizer(prompts()[int(item.prompt_id[1:])].prompt).input_ids
        ids = torch.tensor([start + answer.ids])
        with torch.no_grad():
            logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        by_hand = logps[range(len(start) - 1, ids.shape[1] - 1), answer.ids].sum()
        assert item.logp == pytest.approx(float(by_hand), abs=1e-4)
        assert (item.tokens, item.finished) == (len(answer.ids), answer.finished)
        assert item.text == tokenizer.decode(answer.ids, skip_special_tokens=True)
        assert "</s>" not in item.text


def test_an_adapter_answers_differently_and_its_kl_is_positive(tmp_path: Path, asked: Path) -> None:
    folder = tiny.save(tmp_path / "m", "qwen2")
    ctx = context(tmp_path, "adapter", {"prompts": asked}, folder)
    base = load_policy(
        ModelRef(name=str(folder)), store=ctx.store, device="cpu", precision="fp32", trainable=False, lora=None, seed=0
    )
    model = add_adapter(base.model, stage.lora(), seed=0)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(value.data, 0.2)
    with ctx.store.build("e" * 64) as out:
        save_model(model, base.tokenizer, out, form="adapter", parent={"model": str(folder), "revision": None})
    changed = context(tmp_path, "adapter", {"prompts": asked, "model": ctx.store.path("e" * 64)}, folder)
    assert run_samples(changed)["kl"] > 0.01


def test_killed_and_resumed_in_bf16_with_other_execution_the_answers_are_the_same(tmp_path: Path, asked: Path) -> None:
    """Killed between batches and within the lines of one, going on with other tokens_per_batch: no answer differs."""
    folder = tiny.save(tmp_path / "m", "llama")
    bf16 = {"precision": "bf16", "batches": {"rule": 2, "cache_gb": 6e-5}}
    whole = context(tmp_path, "whole", {"prompts": asked}, folder, stage_of=bf16)
    run_samples(whole)
    lines = (whole.checkpoints / PARTIAL_FILE).read_text().splitlines(keepends=True)
    for kept in (7, 23, 59):
        cut = context(tmp_path, f"cut{kept}", {"prompts": asked}, folder, stage_of=bf16, tokens_per_batch=kept)
        (cut.checkpoints / PARTIAL_FILE).write_text("".join(lines[:kept]) + lines[kept][:20])
        run_samples(cut)
        said = [[(item.prompt_id, item.text, item.tokens) for item in read_samples(ctx.out)] for ctx in (cut, whole)]
        assert said[0] == said[1]
        assert (cut.checkpoints / PARTIAL_FILE).read_text() == "".join(lines)


def test_answers_finished_before_a_kill_are_not_sampled_again(tmp_path: Path, asked: Path) -> None:
    folder = tiny.save(tmp_path / "m", "opt")
    whole = context(tmp_path, "whole", {"prompts": asked}, folder)
    run_samples(whole)
    calls = 0

    def stop_later() -> bool:
        nonlocal calls
        calls += 1
        return calls > 60

    stopped = context(tmp_path, "cut", {"prompts": asked}, folder, should_stop=stop_later, tokens_per_batch=30)
    with pytest.raises(Cancelled):
        run_samples(stopped)
    partial = stopped.checkpoints / PARTIAL_FILE
    saved = partial.read_text()
    assert 0 < saved.count("\n") < 60
    partial.write_text(saved + '{"prompt_id": "p1", "sam')  # the line a kill cuts short
    resumed = context(tmp_path, "cut", {"prompts": asked}, folder)
    run_samples(resumed)
    assert partial.read_text().startswith(saved)
    assert partial.read_text().count("\n") == 60
    assert read_samples(resumed.out) == read_samples(whole.out)
