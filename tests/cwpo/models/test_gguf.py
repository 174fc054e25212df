"""A GGUF file becomes a model folder of plain float32 weights that says where it is from."""

import json
import sys
from pathlib import Path

import pytest
import torch

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ModelError
from cwpo.models.convert import convert
from cwpo.models.load import ModelRef, load_policy
from cwpo.stages.resolve import pin_model
from tests.cwpo.gguf_files import llama, write


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """By hand, Q8_0: 32 weights share a float16 scale, the largest of them over 127, and are whole multiples of it."""
    blocks = weight.reshape(-1, 32)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 127
    return (torch.round(blocks / scale) * scale.half().float()).reshape(weight.shape)


def test_a_gguf_file_loads_as_the_rounded_model_that_it_holds(tmp_path: Path) -> None:
    model, lines = llama(), []
    home = tmp_path / "home"
    folder = convert(str(write(tmp_path / "tiny.gguf", model)), home=home, log=lines.append)
    assert folder.parent == home / "converted"
    assert "was dequantized: its tensors (5 of F32, 16 of Q8_0) are float32 now" in " ".join(lines)
    assert "not the model that it was made from" in (folder / "README.md").read_text()
    about = json.loads((folder / "converted.json").read_text())
    assert about["dequantized_to"] == "float32"
    assert about["tensors"] == {"F32": 5, "Q8_0": 16}
    assert about["files"] == ["tiny.gguf"]
    assert "It was confined: no sockets" in " ".join(lines)
    assert "confinement" not in about  # the folder's content is the same on every machine
    options = {"device": "cpu", "precision": "fp32", "trainable": False, "lora": None, "seed": 0}
    pin = pin_model("model.policy", str(folder), None, home=home)
    loaded = load_policy(ModelRef(name=str(folder), revision=pin), store=ArtifactStore(home / "artifacts"), **options)  # type: ignore[arg-type]
    found, wanted = loaded.model.state_dict(), model.state_dict()
    assert set(found) == set(wanted)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], rounded(weight) if weight.ndim == 2 else weight, rtol=1e-6, atol=1e-6)
    assert loaded.tokenizer("ab").input_ids[0] == 1
    assert loaded.tokenizer.decode(loaded.tokenizer("ab a").input_ids, skip_special_tokens=True).strip() == "ab a"
    assert convert(str(tmp_path / "tiny.gguf"), home=home) == folder


def test_what_is_no_whole_gguf_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="does not exist: give a GGUF file"):
        convert("./nowhere.gguf", home=tmp_path)
    with pytest.raises(ModelError, match="neither a file nor of the form"):
        convert("owner/name/deep.gguf", home=tmp_path)
    (tmp_path / "other.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(ModelError, match="damaged, or of a family or quantization"):
        convert(str(tmp_path / "other.gguf"), home=tmp_path)
    with pytest.raises(ModelError, match=r"lacks the weight model\.layers\.1\.mlp\.up_proj\.weight"):
        convert(str(write(tmp_path / "part.gguf", llama(), drop="blk.1.ffn_up")), home=tmp_path)
    assert not list((tmp_path / "converted").iterdir())
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="install it with"):
        convert(str(tmp_path / "part.gguf"), home=tmp_path)
