"""What is exported is the trained model: merged, checked, loaded by transformers and peft alone, without our paths."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from cwpo.errors import ConfigError, ModelError
from cwpo.export import folder, words
from cwpo.models.load import ModelRef, load_annotator, save_model
from tests.cwpo import tiny
from tests.cwpo.export import chains

FAMILIES = ["opt", "qwen2", "llama"]
MARK = "a" * 64


def export(ref: ModelRef, out: Path, store: Any, **options: Any) -> words.Report:
    given = {"stage": "align", "fingerprint": MARK, **options}
    return folder.export(ref, out, store=store, **given)


def alone(out: Path, dtype: torch.dtype = torch.float32) -> Any:
    """By transformers, as anybody loads it."""
    return AutoModelForCausalLM.from_pretrained(out, dtype=dtype, local_files_only=True).eval()


@pytest.mark.parametrize("adapters", [0, 1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_logits_are_those_of_the_adapters(tmp_path: Path, family: str, adapters: int) -> None:
    """OPT and Qwen2 tie their embeddings, Llama does not; the base alone answers differently."""
    ref, store = chains.chain(tmp_path, family, adapters)
    wanted = chains.logits(chains.unmerged(ref, store).model)
    if adapters:
        assert (wanted - chains.logits(alone(tmp_path / "base"))).abs().max() > 0.1
    report = export(ref, tmp_path / "out", store)
    torch.testing.assert_close(chains.logits(alone(tmp_path / "out")), wanted, rtol=0, atol=1e-5 * wanted.abs().max())
    assert (report.adapters, report.dtype, report.form) == (adapters, "fp32", "merged")
    assert report.difference <= words.TOLERANCE == 1e-5
    assert report.rounding is None
    assert words.read_report(tmp_path / "out") == report
    names: dict[str, Any] = {}
    exec(words.loading(str(tmp_path / "out"), tokenizer=report.tokenizer), names)
    assert names["tokenizer"]("w3 w9").input_ids == tiny.tokenizer(family)("w3 w9").input_ids
    assert torch.equal(chains.logits(names["model"].eval()), chains.logits(alone(tmp_path / "out")))


def test_bf16_is_the_merged_model_rounded_once(tmp_path: Path) -> None:
    """Not a sum of rounded parts: every stored number is the nearest to the float32 one."""
    ref, store = chains.chain(tmp_path, "llama", 2)
    export(ref, tmp_path / "whole", store)
    report = export(ref, tmp_path / "half", store, dtype="bf16")
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))
    assert whole.keys() == half.keys()
    assert all(torch.equal(half[name], whole[name].to(torch.bfloat16)) for name in whole)
    assert report.difference <= words.TOLERANCE
    assert report.rounding is not None
    assert 1e-4 < report.rounding < words.ROUNDING
    assert alone(tmp_path / "half", torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("targets", [("lm_head",), ("lm_head", "q_proj"), ("embed_tokens",)])
def test_an_adapter_on_one_of_two_tied_layers_leaves_the_other_alone(tmp_path: Path, targets: tuple[str, ...]) -> None:
    ref, store = chains.chain(tmp_path, "qwen2", 1, target_modules=targets)
    wanted = chains.logits(chains.unmerged(ref, store).model)
    export(ref, tmp_path / "out", store)
    torch.testing.assert_close(chains.logits(alone(tmp_path / "out")), wanted, rtol=0, atol=1e-5 * wanted.abs().max())


def test_a_vocabulary_larger_than_the_tokenizers_stays(tmp_path: Path) -> None:
    """As of models whose embedding is padded to a round number; tied, too."""
    model = tiny.causal_lm("opt")
    model.resize_token_embeddings(64, mean_resizing=False)
    model.save_pretrained(tmp_path / "wide")
    tiny.tokenizer("opt").save_pretrained(tmp_path / "wide")
    store = chains.store_in(tmp_path)
    ref = chains.on_top(ModelRef(name=str(tmp_path / "wide")), store, "a", seed=0)
    wanted = chains.logits(chains.unmerged(ref, store).model)
    export(ref, tmp_path / "out", store)
    again = alone(tmp_path / "out")
    assert wanted.shape[-1] == again.config.vocab_size == 64
    torch.testing.assert_close(chains.logits(again), wanted, rtol=0, atol=1e-5 * wanted.abs().max())


@pytest.mark.parametrize("adapters", [1, 2])
def test_adapters_are_put_on_their_base_by_peft_alone(tmp_path: Path, adapters: int) -> None:
    """By the very lines that the page offers."""
    ref, store = chains.chain(tmp_path, "opt", adapters)
    wanted = chains.logits(chains.unmerged(ref, store).model)
    report = export(ref, tmp_path / "out", store, form=words.ADAPTERS)
    names: dict[str, Any] = {}
    code = words.loading_adapters(str(tmp_path / "out"), str(tmp_path / "base"), None, report.adapters)
    exec(code, names)
    assert isinstance(names["model"], PeftModel)
    got = chains.logits(names["model"].eval())
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * wanted.abs().max())
    assert names["tokenizer"]("w3").input_ids == tiny.tokenizer("opt")("w3").input_ids


def test_chat_template_and_generation_settings_go_along(tmp_path: Path) -> None:
    base = tiny.save(tmp_path / "chat", "qwen2")
    tokenizer = tiny.tokenizer("qwen2")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(base)
    model = alone(base)
    model.generation_config.eos_token_id = [1, 7]
    model.generation_config.save_pretrained(base)
    store = chains.store_in(tmp_path)
    ref = chains.on_top(ModelRef(name=str(base)), store, "a", seed=0)
    export(ref, tmp_path / "out", store)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tokenizer.chat_template
    assert alone(tmp_path / "out").generation_config.eos_token_id == [1, 7]


def test_an_annotators_scores_are_kept(tmp_path: Path) -> None:
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "opt")))
    store = chains.store_in(tmp_path)
    model, tokenizer = load_annotator(base, store=store, device="cpu", seed=3, dropout=None)
    with store.build(MARK) as out:
        save_model(model, tokenizer, out, form="annotator", parent=None)
    report = export(ModelRef(artifact=store.path(MARK)), tmp_path / "out", store, stage="annotator")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert report.scalar
    assert torch.equal(again.score.weight, model.score.weight)
    torch.testing.assert_close(chains.logits(again), chains.logits(model.eval()))


def test_what_is_not_the_trained_model_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when merging goes wrong: nothing is left under the name, and the sentence says what to do."""
    ref, store = chains.chain(tmp_path, "opt", 1)
    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    with pytest.raises(ModelError, match=r"is not the trained one .* so nothing was kept"):
        export(ref, tmp_path / "out", store)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_a_folder_that_is_there_is_never_written_into(tmp_path: Path) -> None:
    ref, store = chains.chain(tmp_path, "opt", 1)
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        export(ref, tmp_path / "out", store)
    with pytest.raises(ConfigError, match="this model has no adapters"):
        export(ModelRef(name=str(tmp_path / "base")), tmp_path / "other", store, form=words.ADAPTERS)


def test_no_file_says_where_it_was_made(tmp_path: Path) -> None:
    """Neither of the merged model nor of the adapters."""
    ref, store = chains.chain(tmp_path, "opt", 1)
    for form in (words.MERGED, words.ADAPTERS):
        export(ref, tmp_path / form, store, form=form)
        for file in (tmp_path / form).rglob("*"):
            assert file.is_dir() or str(tmp_path).encode() not in file.read_bytes(), file


def test_a_model_too_large_for_this_machine_is_a_sentence_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, store = chains.chain(tmp_path, "opt", 1)
    monkeypatch.setattr(folder, "free_memory", lambda device: 10)
    with pytest.raises(ModelError, match=r"GB of memory, and 0\.0 GB are free on this machine"):
        export(ref, tmp_path / "out", store)
