"""Gold rewards: the right input form, the last real token, whatever the batch; what cannot score says so."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from cwpo.artifacts import ArtifactStore
from cwpo.config import catalog
from cwpo.data.filtering import to_candidate
from cwpo.data.pairs import write_pairs, write_prompts
from cwpo.data.rows import RawPair
from cwpo.errors import Cancelled, GoldRewardError, SettingsError
from cwpo.evaluation.generation import write_samples
from cwpo.evaluation.gold import INPUT_FORMS, SCORERS, run_gold, run_scores, to_messages
from cwpo.models.load import ModelRef, load_annotator, load_reward_model, precision_context
from cwpo.records import Prompt, Sample
from cwpo.stages.context import StageContext
from cwpo.stages.fingerprint import SCORE_RULE
from tests.cwpo import byte_models, families, stage, tiny

TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
PROMPTS = [Prompt(prompt_id=f"p{at}", prompt=" ".join(tiny.WORDS[at : at + 3])) for at in range(6)]
SAMPLES = [
    Sample(
        prompt_id=prompt.prompt_id,
        sample=sample,
        text=" ".join(tiny.WORDS[(5 * at + sample) % 30 :][: 1 + at]),
        tokens=1 + at,
        finished=True,
        logp=-1.0,
    )
    for at, prompt in enumerate(PROMPTS)
    for sample in range(2)
]


_OTHER = {"name": "none", "revision": None, "input_form": "chat_template", "max_length": 64}


def context(
    tmp_path: Path, kind: str, config: dict[str, Any], inputs: dict[str, Path], **changes: Any
) -> StageContext[Any]:
    folder = tmp_path / f"stage{len(list(tmp_path.glob('stage*')))}"
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    return stage.context(folder, kind, config=config, inputs=inputs, store=store, **changes)


@pytest.fixture
def answered(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "answers"
    folder.mkdir()
    write_prompts(PROMPTS, folder)
    write_samples(SAMPLES, folder)
    return {"samples": folder, "prompts": folder}


def reward_folder(tmp_path: Path, family: str, *, template: str | None = TEMPLATE) -> Path:
    """A reward model with one output, as a repository would hold it."""
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    base = ModelRef(name=str(tiny.save(tmp_path / f"base-{family}", family)))
    model, tokenizer = load_annotator(base, store=store, device="cpu", seed=1, dropout=None)
    tokenizer.chat_template = template
    model.save_pretrained(tmp_path / f"reward-{family}")
    tokenizer.save_pretrained(tmp_path / f"reward-{family}")
    return tmp_path / f"reward-{family}"


def gold(folder: Path, **changes: Any) -> dict[str, Any]:
    row = {"kind": "model", "name": str(folder), "revision": None, "input_form": "chat_template", "max_length": 64}
    return {"gold_reward": row | changes, "precision": "fp32"}


def scores(ctx: StageContext[Any]) -> np.ndarray:
    run_scores(ctx)
    table = pq.read_table(ctx.out / "scores.parquet").to_pydict()
    assert list(zip(table["prompt_id"], table["sample"], strict=True)) == [(s.prompt_id, s.sample) for s in SAMPLES]
    return np.array(table["score"])


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama"])
def test_a_reward_model_scores_the_last_real_token_in_any_batch(
    tmp_path: Path, answered: dict[str, Path], family: str
) -> None:
    """By hand: one text at a time, no padding, the head on the last hidden state. Llama here has no pad token."""
    folder = reward_folder(tmp_path, family)
    alone = scores(context(tmp_path, "scores", gold(folder), answered, tokens_per_batch=1))
    together = scores(context(tmp_path, "scores", gold(folder), answered, tokens_per_batch=10_000))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    stored = {"store": store, "device": "cpu", "seed": 1, "dropout": None}
    model, tokenizer = load_annotator(ModelRef(name=str(tmp_path / f"base-{family}")), **stored)  # type: ignore[arg-type]
    for at in (0, 7):
        ids = tokenizer(f"user {PROMPTS[at // 2].prompt} assistant {SAMPLES[at].text}").input_ids
        with torch.no_grad():
            by_hand = model.score(model.eval().base_model(torch.tensor([ids])).last_hidden_state[0, -1])
        assert alone[at] == pytest.approx(float(by_hand), rel=1e-4)


def test_text_pairs_lose_the_left_of_the_prompt_never_the_answer(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer("qwen2")
    prompt = Prompt(prompt_id="p", prompt="w1 w2 w3 w4")
    text = INPUT_FORMS["text_pair"](tokenizer, prompt, "w9 w8", 5)
    assert tokenizer.decode(text.ids) == "w2 w3 w4 w9 w8"
    assert text.truncated
    assert not INPUT_FORMS["text_pair"](tokenizer, prompt, "w9", 5).truncated
    assert len(INPUT_FORMS["text_pair"](tokenizer, prompt, "w9 w8 w7 w6 w5 w4 w3", 5).ids) == 5


@pytest.mark.parametrize(
    ("family", "form"),
    [pair for pair in itertools.product(families.NAMES, INPUT_FORMS) if pair != ("opt", "chat_template")],
)
@pytest.mark.parametrize("most", [512, 60], ids=["whole", "cut"])
def test_a_control_token_in_a_prompt_or_answer_is_text_in_every_input_form(family: str, form: str, most: int) -> None:
    """Those of the ids are the form's own: as many as with letters in place of the token, and no more where a text is
    cut."""
    tokenizer = families.tokenizer(family)
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    control -= {tokenizer.unk_token_id}

    def held(word: str) -> list[int]:
        prompt = Prompt(prompt_id="p", prompt=f"Why {word} is that so?")
        ids = INPUT_FORMS[form](tokenizer, prompt, f"Because. {word} A", most).ids
        return [number for number in ids if number in control]

    ordinary = held("x")
    for written in (*tokenizer.all_special_tokens, "<|im_end|>", "<|endoftext|>", "</s>", "<extra_id_0>"):
        found = held(written)
        cut = ordinary[len(ordinary) - len(found) :] if form == "chat_template" and most < 512 else ordinary
        assert found == cut, (written, tokenizer.convert_ids_to_tokens(found))


def bf16_stored(family: str, tmp_path: Path) -> tuple[Path, str]:
    """A reward model, decoder or encoder, with scores around 10 or more, and the input form that it is asked in."""
    form = "text_pair" if family == "deberta" else "chat_template"
    folder = tmp_path / family
    if family == "deberta":
        byte_models.deberta(folder, seed=0)
    else:
        folder = reward_folder(tmp_path, family)
    weights = load_file(folder / "model.safetensors")
    head = "classifier.bias" if family == "deberta" else "score.weight"
    weights[head] = weights[head] + 10 if family == "deberta" else weights[head] * 30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder, form


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama", "deberta"])
def test_scores_in_bf16_come_from_a_float32_head(tmp_path: Path, answered: dict[str, Path], family: str) -> None:
    """By hand: what the body gives, in bf16, under the head as the file has it, in float32. Rounded to bf16, the
    encoder's scores near 10 stand on steps of 0.06, and answers tie that do not."""
    folder, form = bf16_stored(family, tmp_path)
    settings = gold(folder, input_form=form, rule=SCORE_RULE) | {"precision": "bf16"}
    found = scores(context(tmp_path, "scores", settings, answered, tokens_per_batch=1))
    rounded = torch.tensor(found).bfloat16().double().numpy()
    assert (found != rounded).all()
    assert len(set(found)) == len(SAMPLES)
    assert len(set(rounded)) < len(SAMPLES) or family != "deberta"
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    model, tokenizer = load_reward_model(ModelRef(name=str(folder)), store=store, device="cpu", precision="bf16")
    body, exact = model.base_model, AutoModelForSequenceClassification.from_pretrained(folder).eval()
    outside = [name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")]
    assert {model.get_parameter(name).dtype for name in outside} == {torch.float32}
    assert {value.dtype for value in body.parameters()} == {torch.bfloat16}
    for at, sample in enumerate(SAMPLES[:4]):
        text = INPUT_FORMS[form](tokenizer, PROMPTS[at // 2], sample.text, 64)
        with torch.no_grad(), precision_context("bf16", "cpu"):
            hidden = body(torch.tensor([text.ids])).last_hidden_state
        with torch.no_grad():
            last = hidden.float()
            score = exact.classifier(exact.pooler(last)) if family == "deberta" else exact.score(last[:, -1])
        assert found[at] == pytest.approx(score.item(), rel=1e-5)


def test_a_text_pair_model_scores_through_its_own_forward(tmp_path: Path, answered: dict[str, Path]) -> None:
    """An encoder as OpenAssistant's: the pooled first token, token types, padding masked."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    config = DebertaV2Config(
        vocab_size=43, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=1
    )
    torch.manual_seed(0)
    model = DebertaV2ForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "deberta")
    tiny.tokenizer("qwen2").save_pretrained(tmp_path / "deberta")
    settings = gold(tmp_path / "deberta", input_form="text_pair")
    found = scores(context(tmp_path, "scores", settings, answered))
    ids = tiny.tokenizer("qwen2")(PROMPTS[2].prompt, SAMPLES[4].text).input_ids
    with torch.no_grad():
        by_hand = model(input_ids=torch.tensor([ids])).logits
    assert found[4] == pytest.approx(float(by_hand), abs=1e-4)


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nd\n\nAssistant:", ["user a", "assistant b", "user c\n\nd"]),
        ("SUBREDDIT: r/x\n\nTL;DR:", ["user SUBREDDIT: r/x\n\nTL;DR:"]),
    ],
)
def test_prompts_become_chat_messages(prompt: str, messages: list[str]) -> None:
    found = to_messages(Prompt(prompt_id="p", prompt=prompt))
    assert [f"{message['role']} {message['content']}" for message in found] == messages
    kept = [{"role": "user", "content": "own"}]
    assert to_messages(Prompt(prompt_id="p", prompt=prompt, messages=json.dumps(kept))) == kept


def test_what_cannot_score_is_a_sentence(tmp_path: Path, answered: dict[str, Path]) -> None:
    with pytest.raises(GoldRewardError, match=r"gold reward cannot be loaded: .* not a model folder"):
        scores(context(tmp_path, "scores", gold(tmp_path / "nowhere"), answered))
    plain = reward_folder(tmp_path, "opt", template=None)
    with pytest.raises(GoldRewardError, match="no chat template"):
        scores(context(tmp_path, "scores", gold(plain), answered))


def test_scores_by_a_rule_of_another_version_are_not_computed(tmp_path: Path, answered: dict[str, Path]) -> None:
    """Submitted before logits of bf16 models were float32: its fingerprint means the scores of then."""
    with pytest.raises(SettingsError, match="The scores of this run go by rule 1, and this program computes them by"):
        scores(context(tmp_path, "scores", gold(tmp_path) | {"precision": "bf16"}, answered))


def test_scoring_stops_when_asked(tmp_path: Path, answered: dict[str, Path]) -> None:
    settings = gold(reward_folder(tmp_path, "opt"))
    with pytest.raises(Cancelled, match="while answers were scored"):
        scores(context(tmp_path, "scores", settings, answered, should_stop=lambda: True))


def test_the_oracle_scores_and_marks_garbage(tmp_path: Path) -> None:
    from cwpo.sandbox.oracle import utility
    from cwpo.sandbox.world import make_pairs

    rows = list(make_pairs(3, noise=0.0, near_ties=0.0, pool_seed=0))
    folder = tmp_path / "answers"
    folder.mkdir()
    common = {"tokens": 1, "finished": True, "logp": 0.0}
    write_prompts([Prompt(prompt_id=str(at), prompt=row["prompt"]) for at, row in enumerate(rows)], folder)
    texts = [*[row["response_a"] for row in rows[:2]], "the the of of"]
    write_samples([Sample(prompt_id=str(at), sample=0, text=text, **common) for at, text in enumerate(texts)], folder)
    config = {"gold_reward": {**_OTHER, "kind": "oracle"}, "precision": "fp32"}
    ctx = context(tmp_path, "scores", config, {"samples": folder, "prompts": folder})
    summary = run_scores(ctx)
    table = pq.read_table(ctx.out / "scores.parquet").to_pydict()
    assert table["score"] == [utility(row["prompt"], text) for row, text in zip(rows, texts, strict=True)]
    assert table["ungrammatical"][-1] is True
    assert summary["ungrammatical"] >= 1 / 3


def test_a_gold_reward_trained_here_learns_and_scores(tmp_path: Path, answered: dict[str, Path]) -> None:
    """Every human label prefers answers that begin with w1: so does the trained reward, on answers it never saw."""
    data = tmp_path / "pairs"
    data.mkdir()
    raw = [
        RawPair(
            prompt=tiny.WORDS[at % 40],
            messages=None,
            chosen=f"w1 {tiny.WORDS[at % 37]}",
            rejected=f"w2 {tiny.WORDS[at % 31]}",
        )
        for at in range(80)
    ]
    write_pairs([to_candidate(item) for item in raw], data)
    train = {"epochs": 4, "lr": 5e-3, "batch_size": 16, "warmup_steps": 0, "schedule": "constant"}
    config = {
        "model": str(tiny.save(tmp_path / "base", "qwen2")),
        "revision": None,
        "precision": "fp32",
        "max_length": None,
        "seed": 0,
        "train": {**train, "weight_decay": 0.0, "max_grad_norm": 1.0},
        "dropout": None,
    }
    trained = context(tmp_path, "gold", config, {"data": data})
    summary = run_gold(trained)
    assert summary["pairs"] == 80
    folder = tmp_path / "new"
    folder.mkdir()
    write_prompts(PROMPTS[:1], folder)
    texts = ["w1 w39", "w2 w39"]
    rows = [Sample(prompt_id="p0", sample=k, text=texts[k], tokens=2, finished=True, logp=0.0) for k in range(2)]
    write_samples(rows, folder)
    settings = {"gold_reward": {**_OTHER, "kind": "trained"}, "precision": "fp32"}
    ctx = context(tmp_path, "scores", settings, {"samples": folder, "prompts": folder, "gold": trained.out})
    run_scores(ctx)
    first, second = pq.read_table(ctx.out / "scores.parquet").to_pydict()["score"]
    assert first > second + 1


def test_catalog_rows_and_functions_agree() -> None:
    assert {row.kind for row in catalog.GOLD_REWARDS.values()} == SCORERS.keys()
    assert {row.input_form for row in catalog.GOLD_REWARDS.values()} == INPUT_FORMS.keys()
