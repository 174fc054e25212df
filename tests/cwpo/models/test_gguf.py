"""A GGUF file becomes a model folder of plain float32 weights that says where it is from."""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ModelError
from cwpo.models.convert import convert
from cwpo.models.load import ModelRef, load_policy
from cwpo.stages.resolve import pin_model

WORDS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "\u2581a", "ab"]
HEADS, KEYS = 4, 2
# Names of tensors as llama.cpp writes them.
NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=64, intermediate_size=64, num_hidden_layers=2, initializer_range=0.3,
            num_attention_heads=HEADS, num_key_value_heads=KEYS, max_position_embeddings=64, rms_norm_eps=1e-6,
        )
    )  # fmt: skip


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q and k in llama.cpp's order of rotary halves."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write(path: Path, model: LlamaForCausalLM, *, drop: str = "") -> Path:
    """The model as a GGUF file whose matrices are quantized to 8 bits."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(WORDS)
    writer.add_token_scores([-float(at) for at in range(len(WORDS))])
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (len(WORDS) - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for key, value in model.state_dict().items():
        stem = key.removesuffix(".weight")
        layer = stem.removeprefix("model.layers.").split(".", 1)
        name = NAMES.get(stem) or f"blk.{layer[0]}.{PARTS[layer[1]]}"
        if name == drop:
            continue
        weight = value.numpy()
        if name.endswith(("attn_q", "attn_k")):
            weight = interleaved(weight, HEADS if name.endswith("q") else KEYS)
        kind = gguf.GGMLQuantizationType.Q8_0 if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
    assert "no sockets" in about["confinement"]
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
