"""Models of a run that answer side by side: each what the sampler gives for it alone, weights read once."""

from pathlib import Path
from typing import Any

import pytest

from cwpo.errors import ConfigError
from cwpo.evaluation import chat
from cwpo.evaluation.chat import Asked
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import native
from cwpo.models.load import ModelRef, load_policy
from cwpo.models.text.reader import reader_of
from cwpo.stages.settings import DecodingSettings
from tests.cwpo import tiny
from tests.cwpo.export import chains

NAMES = ("aligned", "sft", "base")
TEMPLATE = "{% for m in messages %}{{ '<s> ' if m['role'] == 'user' else '' }}{{ m['content'] }} {% endfor %}"


def refs(folder: Path, family: str, template: str | None = None) -> tuple[dict[str, ModelRef], Any]:
    """A base, an SFT adapter on it and an alignment adapter on that."""
    store = chains.store_in(folder)
    base = ModelRef(name=str(tiny.save(folder / "base", family)))
    tokenizer = tiny.tokenizer(family)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder / "base")
    sft = chains.on_top(base, store, "a", seed=0)
    return dict(zip(NAMES, (chains.on_top(sft, store, "b", seed=1), sft, base), strict=True)), store


def last(texts: Any) -> Any:
    return list(texts)[-1]


def sampled(ref: ModelRef, store: Any, asked: Asked, ids: list[int]) -> str:
    """What the sampler of runs answers with this model alone; a nucleus of one token is greedy."""
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32", "trainable": False, "lora": None, "seed": 0}
    policy = load_policy(ref, store=store, parents="merged", **options)
    greedy = asked.temperature == 0
    decoding = DecodingSettings(
        temperature=asked.temperature or 1.0, top_p=1e-12 if greedy else 1.0, max_new_tokens=asked.max_new_tokens,
        samples=1,
    )  # fmt: skip
    engine = native(policy.model, policy.tokenizer, decoding, asked.seed, tokens_per_batch=4096)
    written = engine.answers([Question(prompt_id="chat", sample=0, prompt_ids=ids)], lambda: False)[0]
    return str(policy.tokenizer.decode(written.ids, skip_special_tokens=True))


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (0.9, 0), (0.9, 5)])
def test_each_answer_is_the_samplers(tmp_path: Path, family: str, temperature: float, seed: int) -> None:
    """Interleaved, on shared weights whose adapters are switched, against merged weights of each model alone."""
    models, store = refs(tmp_path, family)
    asked = Asked(prompt="w3 w14 w15", temperature=temperature, seed=seed, max_new_tokens=12)
    speakers = chat.speakers(models, store=store, device="cpu", precision="fp32")
    assert list(speakers) == list(NAMES)
    assert len({id(one.model) for one in speakers.values()}) == 1
    ids = reader_of(tiny.tokenizer(family)).prompts([(asked.prompt, None)])[0]
    wanted = {name: sampled(ref, store, asked, ids) for name, ref in models.items()}
    assert len(set(wanted.values())) > 1
    for at_once in (1, 5):
        streams = {name: one.answer(asked) for name, one in speakers.items()}
        assert last(chat.together(streams, at_once)) == wanted


def test_whole_models_stand_side_by_side(tmp_path: Path) -> None:
    """As of a run without adapters: nothing is shared."""
    store = chains.store_in(tmp_path)
    models = {
        name: ModelRef(name=str(tiny.save(tmp_path / name, "opt", seed=seed)))
        for seed, name in enumerate(("aligned", "base"))
    }
    speakers = chat.speakers(models, store=store, device="cpu", precision="fp32")
    assert len({id(one.model) for one in speakers.values()}) == 2
    answers = {name: last(one.answer(Asked(prompt="w3", max_new_tokens=8))) for name, one in speakers.items()}
    assert answers["aligned"] != answers["base"]


def test_a_template_makes_a_conversation_of_turns_and_text_stays_text(tmp_path: Path) -> None:
    """Each model's own answers are its history; a control token that a person writes is no control token."""
    models, store = refs(tmp_path, "qwen2", TEMPLATE)
    tokenizer = tiny.tokenizer("qwen2")
    speaker = chat.speakers(models, store=store, device="cpu", precision="fp32")["aligned"]
    assert speaker.has_template
    asked = Asked(prompt="w3", history=[("w1", "w2")], max_new_tokens=4)
    marker = tokenizer.convert_tokens_to_ids("<s>")
    words = [tokenizer.convert_tokens_to_ids(word) for word in ("w1", "w2", "w3")]
    assert speaker._prompt(asked) == [marker, words[0], words[1], marker, words[2]]
    assert speaker._prompt(Asked(prompt="w3 w1", plain=True, max_new_tokens=4)) == [words[2], words[0]]
    told = speaker._prompt(Asked(prompt="w3 </s>", plain=True, max_new_tokens=4))
    assert tokenizer.eos_token_id not in told


def test_an_answer_that_leaves_no_room_is_a_sentence(tmp_path: Path) -> None:
    models, store = refs(tmp_path, "opt")
    speaker = chat.speakers({"base": models["base"]}, store=store, device="cpu", precision="fp32")["base"]
    with pytest.raises(ConfigError, match="Longest answer: the model reads 64 tokens in all"):
        next(speaker.answer(Asked(prompt="w3", max_new_tokens=64)))
