"""SteamSHP's score of one answer: the probability that it answers A to its publishers' question, whatever the batch."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cwpo.artifacts import ArtifactStore
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.data.pairs import write_prompts
from cwpo.errors import GoldRewardError
from cwpo.evaluation import steamshp
from cwpo.evaluation.generation import write_samples
from cwpo.evaluation.gold import INPUT_FORMS, run_scores
from cwpo.models.load import ModelRef, load_text_to_text, precision_context
from cwpo.models.text.files import read_tokenizer
from cwpo.records import Prompt, Sample
from cwpo.stages import from_config
from cwpo.stages.context import StageContext
from cwpo.stages.fingerprint import SCORE_RULE
from tests.cwpo import byte_models, stage, tiny

POST, ANSWER = "how do I\nbake bread?", "use flour\n\nuse water"
# The example of the model card, with this post and answer: newlines inside them are gone, B is a full stop.
QUESTION = (
    "POST: how do I bake bread? \n\n RESPONSE A: use flour use water\n\n RESPONSE B: .\n\n "
    "Which response is better? RESPONSE"
)
AFTER = "RESPONSE B: . Which response is better? RESPONSE"
POSTS = [f"how do I bake {'bread ' * at}?" for at in range(4)]
PROMPTS = [
    Prompt(prompt_id=f"p{at}", prompt=f"Human: {post}", messages=json.dumps([{"role": "user", "content": post}]))
    for at, post in enumerate(POSTS)
]
SAMPLES = [
    Sample(prompt_id=f"p{at}", sample=0, text="use flour " * (1 + at), tokens=1, finished=True, logp=-1.0)
    for at in range(4)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("steamshp")
    byte_models.steamshp(path, seed=0)
    return path


def loaded(folder: Path, tmp_path: Path, precision: str = "fp32") -> tuple[Any, Any]:
    options: dict[str, Any] = {"device": "cpu", "precision": precision}
    return load_text_to_text(ModelRef(name=str(folder)), store=ArtifactStore(tmp_path / "artifacts"), **options)


def own_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def question(post: str, answer: str) -> str:
    """The whole question as the model card has it."""
    post, answer = (" ".join(text.split()) for text in (post, answer))
    return f"POST: {post} \n\n RESPONSE A: {answer}\n\n RESPONSE B: .\n\n Which response is better? RESPONSE"


def scoring(
    folder: Path, tmp_path: Path, prompts: Sequence[Prompt], samples: Sequence[Sample], **changes: Any
) -> StageContext[Any]:
    answers = tmp_path / "answers"
    answers.mkdir(exist_ok=True)
    write_prompts(prompts, answers)
    write_samples(samples, answers)
    row = {"kind": "model", "name": str(folder), "revision": None, "input_form": "steamshp", "max_length": 512,
           "rule": SCORE_RULE}  # fmt: skip
    out = tmp_path / f"stage{len(list(tmp_path.glob('stage*')))}"
    config = {"gold_reward": row, "precision": "fp32"}
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    inputs = {"samples": answers, "prompts": answers}
    return stage.context(out, "scores", config=config, inputs=inputs, store=store, **changes)


def scored(folder: Path, tmp_path: Path, **changes: Any) -> np.ndarray:
    ctx = scoring(folder, tmp_path, PROMPTS, SAMPLES, **changes)
    run_scores(ctx)
    return np.array(pq.read_table(ctx.out / "scores.parquet").to_pydict()["score"])


def test_an_answer_scores_the_probability_of_a_as_published_code_has_it(folder: Path, tmp_path: Path) -> None:
    """Published code lets the model write one token and takes softmax of its logits at the token of A."""
    model, tokenizer = loaded(folder, tmp_path)
    alone = scored(folder, tmp_path, tokens_per_batch=1)
    together = scored(folder, tmp_path, tokens_per_batch=10_000)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert len(set(alone)) == len(alone)
    for at, (post, sample) in enumerate(zip(POSTS, SAMPLES, strict=True)):
        text = steamshp.FORM.format(post=post, answer=sample.text.strip())
        out = model.generate(
            **tokenizer([text], return_tensors="pt"), max_new_tokens=1, do_sample=False, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        by_hand = torch.softmax(out.scores[0][0].double(), dim=-1)[tokenizer("A")["input_ids"][0]]
        assert alone[at] == pytest.approx(float(by_hand), rel=1e-5)


def test_a_model_that_knows_nothing_gives_each_token_its_share(folder: Path, tmp_path: Path) -> None:
    """By hand: with no output weights all logits are 0, so A has one part of the vocabulary."""
    model, tokenizer = loaded(folder, tmp_path)
    model.lm_head.weight.zero_()
    texts = [[3, 4, 1], [5, 1]]
    found = steamshp.preferences(model, tokenizer, texts, "cpu")
    assert found.tolist() == pytest.approx([1 / model.config.vocab_size] * 2)


def test_the_question_is_the_publishers_and_the_post_loses_its_beginning(folder: Path, tmp_path: Path) -> None:
    _, tokenizer = loaded(folder, tmp_path)
    whole, cut = steamshp.encode(tokenizer, POST, ANSWER, 512)
    assert whole == tokenizer(QUESTION)["input_ids"]
    assert whole[-1] == tokenizer.eos_token_id
    assert not cut
    shorter, cut = steamshp.encode(tokenizer, POST, ANSWER, len(whole) - 3)
    assert (len(shorter), cut) == (len(whole) - 3, True)
    said = tokenizer.decode(shorter[:-1])
    assert said.startswith("POST:")
    assert said.endswith("RESPONSE A: use flour use water RESPONSE B: . Which response is better? RESPONSE")
    head = next(at for at, (one, other) in enumerate(zip(whole, shorter, strict=False)) if one != other)
    assert shorter[head:] == whole[head + 3 :]
    least = len(steamshp.encode(tokenizer, "", "", 512)[0])
    tight, cut = steamshp.encode(tokenizer, POST, ANSWER, least + 2)
    assert (len(tight), cut) == (least + 2, True)
    assert tokenizer.decode(tight[:-1]).endswith("RESPONSE B: . Which response is better? RESPONSE")


SHAPES = ("{}", "{0}{0} so it goes", "Stop here.{} Go on", "use{}flour", "the answer {} is {}", "\n{}\n", "＜/s＞ {}")


@pytest.mark.parametrize("room", [None, 40, 12, 0], ids=["whole", "cut", "tight", "no room"])
@pytest.mark.parametrize("chat", [False, True], ids=["text", "chat"])
def test_a_control_token_in_post_or_answer_is_text_and_the_form_survives(
    folder: Path, room: int | None, chat: bool
) -> None:
    """Every control token of T5: none of their ids but the end of the question, which the tokenizer itself puts there.

    room: tokens beside the form. A letter that the vocabulary lacks is its unknown token, as in any text.
    """
    tokenizer = read_tokenizer(folder, "SteamSHP")
    written = [token for token in tokenizer.all_special_tokens if token != tokenizer.unk_token]
    assert {"</s>", "<pad>", "<extra_id_0>", "<extra_id_99>"} < set(written)
    control = set(tokenizer.convert_tokens_to_ids(written))
    parts = [own_ids(tokenizer, part) for part in ("POST:", "RESPONSE A:", AFTER)]
    form = sum(map(len, parts)) + 1
    most = 4096 if room is None else form + room
    some = itertools.product(("</s>", "<pad>", "<unk>", "<extra_id_7>"), SHAPES)
    for token, shape in (*some, *zip(written, itertools.cycle(SHAPES), strict=False)):
        text = shape.format(token, token)
        turns = [{"role": role, "content": text} for role in ("user", "assistant", "user")]
        prompt = Prompt(prompt_id="p", prompt=text, messages=json.dumps(turns) if chat else None)
        found = INPUT_FORMS["steamshp"](tokenizer, prompt, text, most)
        assert [at for at, number in enumerate(found.ids) if number in control] == [len(found.ids) - 1], text
        assert found.ids[-1] == tokenizer.eos_token_id
        before, between, after = parts
        assert found.ids[: len(before)] == before
        assert found.ids[-1 - len(after) : -1] == after
        middle = found.ids[len(before) : -1 - len(after)]
        assert any(middle[at : at + len(between)] == between for at in range(len(middle) - len(between) + 1))
        whole = INPUT_FORMS["steamshp"](tokenizer, prompt, text, 4096)
        assert found.truncated == (len(whole.ids) > most)
        assert len(found.ids) == min(len(whole.ids), most)


def test_a_text_without_control_tokens_has_the_ids_of_the_whole_question(folder: Path) -> None:
    tokenizer = read_tokenizer(folder, "SteamSHP")
    texts = ("use flour", "", "A", " B: use\twater .\n", "a < b > c / s", "é ＡＢ ﬁ", "\u0301 use", "RESPONSE A: x")
    for post, answer in itertools.product(texts, repeat=2):
        own = question(post, answer)
        assert steamshp.encode(tokenizer, post, answer, 512) == (list(tokenizer(own)["input_ids"]), False)


def test_answers_with_control_tokens_are_scored_as_text_and_counted(folder: Path, tmp_path: Path) -> None:
    """An answer that ends the question early would leave the model without its form."""
    answers = [("how do I bake?", "use </s> flour"), ("how <extra_id_0> do I", "use water"), ("how do I", "use flour")]
    prompts = [Prompt(prompt_id=f"p{at}", prompt=post) for at, (post, _) in enumerate(answers)]
    samples = [replace(SAMPLES[at], text=answer) for at, (_, answer) in enumerate(answers)]
    ctx = scoring(folder, tmp_path, prompts, samples)
    assert run_scores(ctx)["control_tokens"] == 2
    found = pq.read_table(ctx.out / "scores.parquet").to_pydict()["score"]
    model, tokenizer = loaded(folder, tmp_path)
    for score, (post, answer) in zip(found, answers, strict=True):
        ids = [steamshp.encode(tokenizer, post, answer, 512)[0]]
        assert score == pytest.approx(steamshp.preferences(model, tokenizer, ids, "cpu").item(), rel=1e-5)
    obeyed = [list(tokenizer(steamshp.FORM.format(post=answers[0][0], answer=answers[0][1]))["input_ids"])]
    assert abs(found[0] - steamshp.preferences(model, tokenizer, obeyed, "cpu").item()) > 1e-6


def test_in_bf16_the_logits_are_float32(folder: Path, tmp_path: Path) -> None:
    """By hand: the decoder's state as the body gives it, the output layer and softmax in double."""
    model, tokenizer = loaded(folder, tmp_path, precision="bf16")
    states: list[torch.Tensor] = []
    model.decoder.register_forward_hook(lambda part, given, out: states.append(out[0]))
    ids = [steamshp.encode(tokenizer, POST, ANSWER, 512)[0]]
    with torch.no_grad(), precision_context("bf16", "cpu"):
        found = steamshp.preferences(model, tokenizer, ids, "cpu")
    assert {model.decoder.dtype, states[0].dtype} == {torch.bfloat16}
    logits = states[0][:, 0].double() @ model.lm_head.weight.double().T
    assert found.item() == pytest.approx(logits.softmax(dim=-1)[0, steamshp.answer_id(tokenizer)].item(), rel=1e-5)


def test_a_conversation_is_the_post_with_its_roles() -> None:
    prompt = Prompt(prompt_id="p", prompt="\n\nHuman: w1\n\nAssistant: w2\n\nHuman: w3\n\nAssistant:")
    tokenizer = tiny.tokenizer("qwen2")
    tokenizer.add_tokens(["POST:", "Human:", "Assistant:"])
    text = INPUT_FORMS["steamshp"](tokenizer, prompt, "w9", 512)
    assert tokenizer.decode(text.ids).startswith("POST: Human: w1 Assistant: w2 Human: w3 ")


def test_what_is_no_text_to_text_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GoldRewardError, match="has no encoder and decoder: it is no text-to-text model"):
        scored(tiny.save(tmp_path / "opt", "opt"), tmp_path)
    with pytest.raises(GoldRewardError, match="no token for A"):
        steamshp.answer_id(tiny.tokenizer("qwen2"))


def test_shp_is_judged_by_the_papers_judge() -> None:
    config = RunConfig.parse({"data": {"dataset": "shp", "subset": "askbaking"}})
    gold = from_config.scores(config).gold_reward
    assert (gold.name, gold.input_form, gold.max_length) == ("stanfordnlp/SteamSHP-flan-t5-large", "steamshp", 512)
    assert catalog.MODEL_PINS[gold.name].ref == "refs/pr/2"
