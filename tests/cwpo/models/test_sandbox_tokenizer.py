"""The sandbox's tokenizer: every word one token and back, the same file from every process."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.models import sandbox_tokenizer
from cwpo.models.load import ModelRef, load_tokenizer
from cwpo.sandbox import lexicon, world

FAMILIES = ("opt", "qwen2")


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_of_every_word(family: str) -> None:
    built = sandbox_tokenizer.build(family)
    for word in lexicon.words():
        ids = built.encode(word, add_special_tokens=False).ids
        assert len(ids) == 1
        assert ids[0] == sandbox_tokenizer.vocabulary(family)[word]
        assert built.decode(ids) == word


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_of_the_worlds_texts(family: str) -> None:
    built, unknown = sandbox_tokenizer.build(family), sandbox_tokenizer.vocabulary(family)[sandbox_tokenizer.UNKNOWN]
    for prompt, response in world.make_corpus(300, 1):
        for text in (prompt, response):
            ids = built.encode(text).ids
            assert unknown not in ids
            assert built.decode(ids) == text


def test_only_opt_puts_a_token_in_front() -> None:
    assert sandbox_tokenizer.build("opt").encode("fish").tokens == ["</s>", "fish"]
    assert sandbox_tokenizer.build("qwen2").encode("fish").tokens == ["fish"]


def test_a_missing_space_and_strange_words_do_no_harm() -> None:
    built = sandbox_tokenizer.build("opt")
    assert built.encode("assistant:the cat.", add_special_tokens=False).tokens == ["assistant:", "the", "cat", "."]
    assert built.encode("the zebra 7", add_special_tokens=False).tokens == ["the", "<unk>", "<unk>"]


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_file_is_the_same_from_every_process(family: str, tmp_path: Path) -> None:
    save = "sandbox_tokenizer.save(sys.argv[1], pathlib.Path(sys.argv[2]))"
    code = f"import sys, pathlib; from cwpo.models import sandbox_tokenizer; {save}"
    digests = set()
    for hash_seed in ("0", "1"):
        out = tmp_path / hash_seed
        subprocess.run([sys.executable, "-c", code, family, str(out)], check=True, env={"PYTHONHASHSEED": hash_seed})
        digests.add(hashlib.sha256((out / "tokenizer.json").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_splits_it_the_same_way(family: str, tmp_path: Path) -> None:
    """Beside a config.json of its family, where AutoTokenizer would bring its own rules for splitting."""
    sandbox_tokenizer.save(family, tmp_path)
    (tmp_path / "config.json").write_text(f'{{"model_type": "{family}"}}')
    loaded = load_tokenizer(ModelRef(name=str(tmp_path)), store=ArtifactStore(tmp_path / "store"))
    prompt = next(world.make_corpus(1, 0))[0]
    assert loaded(prompt)["input_ids"] == sandbox_tokenizer.build(family).encode(prompt).ids
    assert loaded.eos_token == sandbox_tokenizer.END[family]
    assert loaded.pad_token_id != loaded.eos_token_id


def test_unknown_family_lists_the_valid_ones() -> None:
    with pytest.raises(KeyError, match="opt, qwen2"):
        sandbox_tokenizer.vocabulary("gpt")
