"""The pairs that come with the program are what their rule makes, and what is said of them."""

import math
from collections import Counter
from pathlib import Path

import yaml

from cwpo.config import catalog
from cwpo.config.run import expand
from cwpo.contents import content_of
from cwpo.data.files import read_rows, shipped
from cwpo.data.filtering import Tally, usable_pairs
from cwpo.data.readers.shapes import reader_named
from cwpo.stages.resolve import _dataset
from tools import everyday

ROW = catalog.DATASETS["everyday"]
CONFIGS = Path(__file__).parents[3] / "configs"


def test_the_file_is_what_the_rule_makes_and_every_row_of_it_is_read() -> None:
    rows = [at.row for at in read_rows(shipped(str(ROW.file)))]
    assert rows == everyday.pairs()
    tally = Tally()
    pairs = list(usable_pairs(read_rows(shipped(str(ROW.file))), reader_named(ROW.reader), tally, seen=set()))
    assert len(pairs) >= 0.98 * len(rows)  # a rule may draw a pair twice
    assert len({at.pair.prompt_id for at in pairs}) == len(everyday.TOPICS) * len(everyday.FORMS) == 288


def test_labels_follow_the_worth_of_answers_as_often_as_the_rule_says() -> None:
    """By hand: a label is right with probability σ(|ΔU|/τ), so the rights are a sum of independent draws."""
    kinds = {tip: "tip" for tips in everyday.TOPICS.values() for tip in tips}
    for kind, sentences in (("friendly", everyday.FRIENDLY), ("rude", everyday.RUDE), ("vague", everyday.VAGUE),
                            ("offer", everyday.OFFERS)):  # fmt: skip
        kinds |= dict.fromkeys(sentences, kind)
    owner = {tip: topic for topic, tips in everyday.TOPICS.items() for tip in tips}

    def worth(prompt: str, answer: str) -> float:
        found = Counter[str]()
        for sentence, kind in kinds.items():
            other = kind == "tip" and owner[sentence] not in prompt
            found["other" if other else kind] += answer.count(sentence)
        return sum(everyday.WORTH[kind] * count for kind, count in found.items())

    right, expected, variance = 0, 0.0, 0.0
    for row in everyday.pairs():
        prompt = row["prompt"][0]["content"]
        gap = worth(prompt, row["chosen"]) - worth(prompt, row["rejected"])
        chance = 1 / (1 + math.exp(-abs(gap) / everyday.NOISE))
        if gap:
            right, expected, variance = right + (gap > 0), expected + chance, variance + chance * (1 - chance)
    assert abs(right - expected) < 4 * math.sqrt(variance)


def test_it_is_pinned_by_its_content(tmp_path: Path) -> None:
    (run, *_) = expand(yaml.safe_load((CONFIGS / "smollm2-everyday.yaml").read_text()))
    assert _dataset(run, tmp_path, None)["revision"] == content_of(shipped(str(ROW.file)), tmp_path)


def test_own_pairs_are_compared_in_the_same_settings_for_every_method() -> None:
    shipped_pairs, own = (
        expand(yaml.safe_load((CONFIGS / f"smollm2-{name}.yaml").read_text())) for name in ("everyday", "pairs")
    )
    assert [run.method for run in own] == [run.method for run in shipped_pairs]
    apart = {"name", "method", "top_percent", "seed", "data"}
    first = shipped_pairs[0].canonical()
    for run in (*shipped_pairs, *own):
        assert {name for name, value in run.canonical().items() if value != first[name]} <= apart
