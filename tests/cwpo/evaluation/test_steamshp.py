"""SteamSHP's score of one answer: the probability that it answers A to its publishers' question, whatever the batch."""

import json
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
from cwpo.models.load import ModelRef, load_text_to_text
from cwpo.records import Prompt, Sample
from cwpo.stages import from_config
from tests.cwpo import byte_models, stage, tiny

POST, ANSWER = "how do I\nbake bread?", "use flour\n\nuse water"
# The example of the model card, with this post and answer: newlines inside them are gone, B is a full stop.
QUESTION = (
    "POST: how do I bake bread? \n\n RESPONSE A: use flour use water\n\n RESPONSE B: .\n\n "
    "Which response is better? RESPONSE"
)
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


def loaded(folder: Path, tmp_path: Path) -> tuple[Any, Any]:
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
    return load_text_to_text(ModelRef(name=str(folder)), store=ArtifactStore(tmp_path / "artifacts"), **options)


def scored(folder: Path, tmp_path: Path, **changes: Any) -> np.ndarray:
    answers = tmp_path / "answers"
    answers.mkdir(exist_ok=True)
    write_prompts(PROMPTS, answers)
    write_samples(SAMPLES, answers)
    row = {"kind": "model", "name": str(folder), "revision": None, "input_form": "steamshp", "max_length": 512}
    out = tmp_path / f"stage{len(list(tmp_path.glob('stage*')))}"
    config = {"gold_reward": row, "precision": "fp32"}
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    inputs = {"samples": answers, "prompts": answers}
    ctx = stage.context(out, "scores", config=config, inputs=inputs, store=store, **changes)
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
