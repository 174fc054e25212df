"""The model card: how it was made, its GRA with the terms, the settings; nothing of this machine, no licence chosen."""

import re
from pathlib import Path
from typing import Any

import pytest

from cwpo.compare.judges.card import ORACLE
from cwpo.config.run import RunConfig
from cwpo.export import words
from cwpo.export.card import Trained, card
from cwpo.export.stored import stored
from cwpo.export.words import Report
from tests.cwpo.export import chains

REPORT = Report(
    fingerprint="a" * 64, stage="align", form=words.MERGED, dtype="bf16", adapters=2, scalar=False, prompts=8,
    difference=4.1e-7, rounding=0.0123,
)  # fmt: skip
EVALUATION = {
    "gra": 0.6214, "ci_low": 0.585, "ci_high": 0.657, "prompts": 700, "samples": 1, "wins": 430.0, "ties": 10.0,
    "losses": 260.0, "kl": 3.21, "mean_tokens": 101.5, "baseline_mean_tokens": 88.0,
}  # fmt: skip
PAPER: dict[str, Any] = {
    "method": "cw",
    "seed": 3,
    "data": {"dataset": "hh-harmless", "revision": "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa", "label_fraction": 0.3},
    "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b", "policy_revision": "3f5c25d0bc63"},
    "evaluation": {"gold_reward": "skywork-qwen3-0.6b", "gold_revision": "abcdef0123456789"},
}


def written(config: dict[str, Any], stage: str = "align", **changes: Any) -> str:
    about = {"run": 7, "config": RunConfig.parse(config), "stage": stage, "evaluation": EVALUATION, **changes}
    return card(Trained(**about), REPORT, "me/aligned")


def test_gra_stands_with_its_interval_and_terms() -> None:
    text = written(PAPER)
    for wanted in (
        "62.1 %, 95 % interval 58.5 – 65.7", "700 held-out prompts, 1 answer each, 1 seed",
        "| Ties | ties count half |",
        "| KL from the reference, nats | 3.21 |", "| Revision of the gold reward | abcdef0123456789 |",
        "temperature 0.95, top-p 1, at most 512 tokens", "each method's own SFT model",
        "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa", "| Human labels used | 30.0 % of the pairs |",
        "facebook/opt-1.3b @ 3f5c25d0bc63", "| align.lr |", "| sft.epochs | 3 |", "| Seed | 3 |",
        "by at most 0.00000041 of the largest one (allowed: 0.00001); rounded to bfloat16 by at most 0.012",
        "AutoModelForCausalLM.from_pretrained('me/aligned', dtype=torch.bfloat16)",
    ):  # fmt: skip
        assert wanted in text, wanted
    header = text.split("---")[1]
    assert "\nbase_model: facebook/opt-1.3b\n" in header
    assert "\n- Anthropic/hh-rlhf\n" in header
    assert re.search(r"^license:", header, re.MULTILINE) is None
    assert "# license: choose one before you share this model" in header


def test_how_often_the_gold_reward_agrees_with_people_stands_beside_gra() -> None:
    judge = {"judge": "skywork-qwen3-0.6b", "pairs": 568, "q": 0.658, "q_low": 0.628, "q_high": 0.687}
    what = "| Agreement of the gold reward with people |"
    assert f"{what} 65.8 % of 568 pairs, 95 % interval 62.8 – 68.7 |" in written(PAPER, judge=judge)
    oracle = written(PAPER, judge=judge | {"judge": ORACLE})
    assert "the oracle is the truth, so this is the noise of the labels" in oracle
    assert f"{what} not tried on pairs with human labels |" in written(PAPER)


def test_what_is_not_evaluated_or_not_aligned_has_no_gra() -> None:
    assert "was not evaluated when this card was written" in written(PAPER, evaluation=None)
    for stage in ("sft", "annotator"):
        text = written(PAPER, stage)
        assert "GRA" not in text
        assert "| align." not in text
    assert "base_model: facebook/opt-125m" in written(PAPER, "annotator")


@pytest.mark.parametrize("place", ["{home}/secret/pairs.jsonl", "./team/pairs.jsonl"])
def test_folders_of_this_machine_are_named_by_their_last_piece(tmp_path: Path, place: str) -> None:
    """Neither home nor user stands in it, wherever a configuration may name a path."""
    file = place.format(home=Path.home())
    model = f"{Path.home()}/models/own"
    config = {
        "method": "cw", "name": f"run of {tmp_path}",
        "data": {"dataset": file}, "model": {"annotator": model, "policy": model},
        "evaluation": {"gold_reward": model},
    }  # fmt: skip
    for stage in words.STAGES:
        text = written(config, stage)
        assert str(Path.home()) not in text
        assert "secret" not in text
        assert "team" not in text
        assert "base_model:" not in text
    assert "pairs.jsonl" in written(config)


def test_a_value_cannot_break_out_of_its_cell() -> None:
    text = written({**PAPER, "data": {**PAPER["data"], "subset": "a|b\n<script>`x`"}})
    assert "<script>" not in text
    assert "a\\|b &lt;script>'x'" in text


def test_a_stored_model_says_what_it_lies_on(tmp_path: Path) -> None:
    """The base, and which stages' adapters are on it; a folder of this machine is no base that everybody has."""
    _, store = chains.chain(tmp_path, "opt", 2)
    found = stored("b" * 64, store)
    assert (found.chain, found.hub_base, found.scalar) == ("base + adapter of Model + adapter of Model", False, False)
    assert found.folder == store.path("b" * 64)
