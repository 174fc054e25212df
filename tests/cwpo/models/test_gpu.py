"""On a CUDA GPU: the packed path equals the padded one, attention is compiled a few times, logits are float32."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.gpu.equality import FAMILIES, VOCABULARY, compared
from benchmarks.workload import encoded, lengths
from cwpo.models.fused import compiled
from cwpo.models.logps import _wide_product, forward_path, response_logps
from cwpo.models.tokenization import pack

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_packed_path_is_as_exact_as_the_padded_one(family, precision):
    """Against the padded path in float64: log-probabilities, scores, and the gradients of both."""
    row = compared(family, precision, device="cuda:0", lengths=lengths()[:16])
    assert row["kind"] == "flex"
    assert row["right"], row


def test_attention_is_compiled_once_for_all_lengths():
    """Ten micro-batches of other lengths, with gradients."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES["qwen2"]()).to("cuda:0")
    path = forward_path(model, device="cuda:0", precision="bf16", log=lambda line: None)
    assert path.kind == "flex"
    before = compiled.variants()
    for count in (3, 40, 9, 25, 60, 14, 5, 33, 50, 20):
        batch = pack(encoded(lengths()[:count], VOCABULARY), 100_000)[0].to("cuda:0")
        response_logps(path, batch).sum().backward()
    assert compiled.variants() - before <= 2


def test_logits_are_accumulated_and_kept_in_float32():
    torch.manual_seed(0)
    hidden, weight = (torch.randn(rows, 2048, device="cuda:0").bfloat16() for rows in (300, 5000))
    exact = hidden.double() @ weight.double().T
    wide = _wide_product(hidden, weight)
    assert wide.dtype == torch.float32
    rounded = float(((hidden @ weight.T).double() - exact).abs().max())
    assert float((wide.double() - exact).abs().max()) < rounded / 100
