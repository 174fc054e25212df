"""Models of the catalog are read at commits that have safetensors, and the docs say at which."""

import re
from pathlib import Path

import pytest

from cwpo.config import catalog
from cwpo.errors import ConfigError
from cwpo.stages.resolve import agreed

DOCS = Path(__file__).parents[3] / "docs" / "offline.md"
PAIRS = [row for row in catalog.MODEL_PAIRS.values() if row.family not in ("sandbox", "fetched")]
MODELS = {name for row in PAIRS for name in (row.annotator, row.policy)}
JUDGES = {row.model for row in catalog.GOLD_REWARDS.values() if row.model}


def test_every_model_and_judge_is_pinned() -> None:
    assert set(catalog.MODEL_PINS) == MODELS | JUDGES
    for name, pin in catalog.MODEL_PINS.items():
        assert re.fullmatch("[0-9a-f]{7,40}", pin.commit), name
        assert pin.whole or pin.ref, name
        assert pin.revision == (pin.commit if pin.whole else pin.ref)


def test_the_docs_have_a_row_for_each() -> None:
    rows = re.findall(r"^\| `([^`]+/[^`]+)` \| (.+?) \| (.+?) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    said = {name: (commit, where.split(",")[0]) for name, commit, where in rows}
    pins = {
        name: (f"`{pin.commit}`" if pin.whole else f"`{pin.commit}`…", pin.ref or "main")
        for name, pin in catalog.MODEL_PINS.items()
    }
    assert said == pins


def test_a_moved_pull_request_is_refused_at_the_field_that_names_another() -> None:
    name = "OpenAssistant/reward-model-deberta-v3-large-v2"
    pin = catalog.MODEL_PINS[name]
    commit = pin.commit + "0" * 32
    assert agreed("evaluation.gold_reward", name, pin, commit) == commit
    with pytest.raises(
        ConfigError, match=r"refs/pr/3 is 0000.* now and not c4549779.*set evaluation\.gold_revision to"
    ):
        agreed("evaluation.gold_reward", name, pin, "0" * 40)
    assert agreed("model.policy", name, None, "0" * 40) == "0" * 40
