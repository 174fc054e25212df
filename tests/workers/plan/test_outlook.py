"""A disk that the weights of a plan would fill is said before anything is queued."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cwpo.config.run import RunConfig
from cwpo.stages.graph import build
from db.status import DONE
from workers.plan import outlook

# Width 8, one layer, 100 tokens, 64 positions and the two that OPT has in front of them.
SHAPE = {
    "model_type": "opt", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16,
    "vocab_size": 100, "max_position_embeddings": 64,
}  # fmt: skip
EMBEDDED = 100 * 8 + 66 * 8
LAYER = 4 * (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 16
POLICY = 4 * (EMBEDDED + LAYER + 16)  # bytes; the last norm, and a head that is the embedding
ANNOTATOR = POLICY + 4 * 8  # one number for a text


@pytest.fixture
def graphs(tmp_path: Path) -> Any:
    """One run: an annotator, SFT and the alignment are trained; and so is the gold reward."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(SHAPE))
    rows = [{"prompt": f"Q{n}", "chosen": "yes", "rejected": "no"} for n in range(100)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = str(tmp_path / "model")
    config = RunConfig.parse(
        {
            "method": "cw", "data": {"dataset": str(tmp_path / "own.jsonl"), "test_prompts": 20},
            "model": {"policy": model, "annotator": model, "lora": None},
            "evaluation": {"gold_reward": "trained", "max_new_tokens": 16},
        }
    )  # fmt: skip
    return [(config, build(config))]


def free(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=size))


def trained(graphs: Any) -> dict[str, int]:
    """Bytes of what each kind of stage trains, by slot."""
    sizes = {"annotator": ANNOTATOR, "gold": ANNOTATOR, "sft": POLICY, "align": POLICY}
    ((_, specs),) = graphs
    kinds = {spec.fingerprint: (slot, sizes[slot]) for slot, spec in specs.items() if slot in sizes}
    return dict(kinds.values())


def test_a_plan_that_fills_the_disk_is_one_sentence_with_both_sizes(
    graphs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights, and of the largest two checkpoints of three times its size; a tenth of the disk stays free."""
    sizes = trained(graphs)
    needed = sum(sizes.values()) + 2 * 3 * max(sizes.values())
    assert set(sizes) >= {"annotator", "sft", "align"}
    assert outlook.written(graphs, {}, tmp_path) == needed
    free(monkeypatch, needed / 0.9 + 1)
    assert outlook.disk(graphs, {}, tmp_path) == []
    free(monkeypatch, needed / 0.9 - 1)
    (sentence,) = outlook.disk(graphs, {}, tmp_path / "not" / "there" / "yet")
    assert f"take about {needed / 1000:.1f} kB on the disk, and {(needed / 0.9 - 1) / 1000:.1f} kB are free" in sentence
    assert "delete runs that nobody needs" in sentence
    assert sentence.replace(str(tmp_path / "not" / "there" / "yet"), str(tmp_path)) in outlook.warnings(
        graphs, {}, tmp_path
    )


def test_what_is_done_already_needs_no_room(graphs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, specs),) = graphs
    before = outlook.written(graphs, {}, tmp_path)
    done = {specs["align"].fingerprint: DONE}
    assert outlook.written(graphs, done, tmp_path) == before - POLICY
    free(monkeypatch, (before - POLICY) / 0.9 + 1)
    assert outlook.disk(graphs, done, tmp_path) == []
    assert len(outlook.disk(graphs, {}, tmp_path)) == 1
