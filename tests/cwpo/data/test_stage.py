"""The data stage: every row ends up in a count, ids and order follow from texts alone, splits are by prompt."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cwpo.artifacts import content_hash
from cwpo.data.filtering import to_candidate
from cwpo.data.pairs import load_pairs, load_prompts, part_of, split_labeled
from cwpo.data.rows import RawPair
from cwpo.data.source import splits_to_use
from cwpo.data.stage import run_data
from cwpo.errors import Cancelled, DataError
from cwpo.report.log_lines import summary_line
from tests.cwpo import stage


def rows(prompts: int, each: int = 2) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Question {p}?", "chosen": f"good {p} {k}", "rejected": f"bad {p} {k} " + "long " * (k % 3)}
        for p in range(prompts)
        for k in range(each)
    ]


def config(path: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "dataset": str(path),
        "revision": None,
        "subset": None,
        "max_pairs": None,
        "length_rule": None,
        "test_prompts": 10,
        "evaluation_seed": 0,
        "sandbox": None,
    }
    return settings | changes


def run(tmp_path: Path, settings: dict[str, Any], **context: Any) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / f"stage{len(list(tmp_path.glob('stage*')))}"
    ctx = stage.context(folder, "data", config=settings, **context)
    return ctx.out, run_data(ctx)


def written(tmp_path: Path, lines: list[Any], name: str = "pairs.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_every_row_is_kept_held_out_or_counted_by_reason(tmp_path: Path) -> None:
    good = rows(40)
    bad = [
        {"prompt": "p", "chosen": " ", "rejected": "b"},
        {"prompt": "p", "chosen": "same", "rejected": "same "},
        "{broken",
        {"prompt": " ", "chosen": "a", "rejected": "b"},
        {**good[0], "chosen": good[0]["rejected"], "rejected": good[0]["chosen"]},
    ]
    _, summary = run(tmp_path, config(written(tmp_path, [*good, *bad])))
    assert summary["rejected"] == {"duplicate": 1, "empty": 1, "equal": 1, "no_prompt": 1, "unparsable": 1}
    assert {item["line"] for item in summary["rejected_examples"]} == {81, 82, 83, 84, 85}
    assert summary["rows"] == 85 == summary["kept"] + summary["held_out_pairs"] + sum(summary["rejected"].values())
    assert "dropped: 1 repeated, 1 empty" in summary_line("data", summary)


def test_test_prompts_follow_the_evaluation_seed_and_never_meet_training(tmp_path: Path) -> None:
    path = written(tmp_path, rows(40))
    first, _ = run(tmp_path, config(path))
    reordered = written(tmp_path, rows(40)[::-1], name="reordered.jsonl")
    second, _ = run(tmp_path, config(reordered))
    other, _ = run(tmp_path, config(path, evaluation_seed=1))
    held = [prompt.prompt_id for prompt in load_prompts(first)]
    assert held == [prompt.prompt_id for prompt in load_prompts(second)]
    assert held != [prompt.prompt_id for prompt in load_prompts(other)]
    assert not set(held) & {pair.prompt_id for pair in load_pairs(first)}
    assert len(held) == 10


def test_ids_and_order_do_not_depend_on_the_label() -> None:
    flips = 0
    for at in range(200):
        one = to_candidate(RawPair(prompt=f"p{at}", messages=None, chosen="x", rejected="y"))
        two = to_candidate(RawPair(prompt=f"p{at}", messages=None, chosen="y", rejected="x"))
        assert (one.pair_id, one.prompt_id, one.response_a) == (two.pair_id, two.prompt_id, two.response_a)
        assert {one.human_label, two.human_label} == {"a", "b"}
        flips += one.human_label == "a"
    assert 70 < flips < 130  # a fair coin: 200 draws leave [70, 130] with probability < 2e-5


def test_length_rule_counts_each_or_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words as tokens: the prompt has 2, the good answer 3, the bad one 3 + (at mod 4)."""
    monkeypatch.setattr(
        "cwpo.data.stage.token_counter", lambda rule, ctx: lambda texts: [len(t.split()) for t in texts]
    )
    data = [{"prompt": f"one two{at} ", "chosen": "a b c", "rejected": "d e f" + " g" * (at % 4)} for at in range(80)]
    path = written(tmp_path, data)
    rule = {"tokenizer": "t", "tokenizer_revision": None}
    _, each = run(tmp_path, config(path, length_rule={**rule, "max_tokens": 6, "counts": "each"}))
    _, pair = run(tmp_path, config(path, length_rule={**rule, "max_tokens": 10, "counts": "pair"}))
    assert each["rejected"] == {"too_long": 40}  # at mod 4 in {2, 3}: 7 and 8 tokens
    assert pair["rejected"] == {"too_long": 60}  # 5 + 5 = 10 only for at mod 4 = 0


def test_max_pairs_keeps_a_stable_part(tmp_path: Path) -> None:
    path = written(tmp_path, rows(40))
    small, summary = run(tmp_path, config(path, max_pairs=20))
    large, _ = run(tmp_path, config(path, max_pairs=30))
    assert {pair.pair_id for pair in load_pairs(small)} < {pair.pair_id for pair in load_pairs(large)}
    assert (summary["kept"], summary["over_max_pairs"]) == (20, 40)


def test_too_few_prompts_name_the_field(tmp_path: Path) -> None:
    path = written(tmp_path, rows(5))
    with pytest.raises(DataError, match=r"data\.test_prompts asks for 10"):
        run(tmp_path, config(path))
    with pytest.raises(DataError, match="left for training"):
        run(tmp_path, config(path, test_prompts=5))


def test_a_file_that_changed_since_submission_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, rows(40))
    pinned = content_hash(path)
    run(tmp_path, config(path, revision=pinned))
    with path.open("a") as stream:
        stream.write("\n")
    with pytest.raises(DataError, match="has changed since"):
        run(tmp_path, config(path, revision=pinned))


def test_reading_stops_when_asked(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, config(written(tmp_path, rows(40))), should_stop=lambda: True)


def test_chat_messages_survive_the_artifact(tmp_path: Path) -> None:
    data = [
        {"prompt": [{"role": "user", "content": f"ü{at}"}], "chosen": f"a{at}", "rejected": f"b{at}"}
        for at in range(20)
    ]
    out, _ = run(tmp_path, config(written(tmp_path, data), test_prompts=3))
    pair = load_pairs(out)[0]
    assert pair.messages is not None
    assert json.loads(pair.messages)[0]["content"].startswith("ü")
    assert load_prompts(out)[0].messages is not None


def test_labeled_part_is_whole_prompts_and_nested_over_fractions(tmp_path: Path) -> None:
    out, _ = run(tmp_path, config(written(tmp_path, rows(60, each=3))))
    pairs = load_pairs(out)
    small, _ = split_labeled(pairs, 0.2, 7)
    labeled, unlabeled = split_labeled(pairs, 0.5, 7)
    assert not {pair.prompt_id for pair in labeled} & {pair.prompt_id for pair in unlabeled}
    assert {pair.pair_id for pair in small} < {pair.pair_id for pair in labeled}
    assert abs(len(labeled) - 0.5 * len(pairs)) <= 3
    assert Counter(split_labeled(pairs, 0.5, 8)[0]) != Counter(labeled)
    assert split_labeled(pairs[::-1], 0.5, 7)[0] == labeled[::-1]
    assert part_of(pairs, "all", 0.5, 7) == pairs
    assert part_of(pairs, "labeled", 0.5, 7) == labeled
    assert split_labeled(pairs, 1.0, 7) == (pairs, [])


def test_a_source_column_is_kept_and_counted(tmp_path: Path) -> None:
    data = [{**row, "source": ("one ", "two", "", 3)[at % 4]} for at, row in enumerate(rows(40, each=4))]
    out, summary = run(tmp_path, config(written(tmp_path, data)))
    assert Counter(pair.source for pair in load_pairs(out)) == {"one": 30, "two": 30, None: 60}
    assert summary["sources"] == {"one": 30, "two": 30}
    _, without = run(tmp_path, config(written(tmp_path, rows(40))))
    assert "sources" not in without


def test_splits_of_a_repository() -> None:
    assert splits_to_use("r", ("test", "train"), None) == ("train", "test")
    assert splits_to_use("r", ("train_sft", "train_prefs", "test_prefs"), None) == ("train_prefs", "test_prefs")
    assert splits_to_use("r", ("everything",), None) == ("everything", None)
    with pytest.raises(DataError, match="no train split"):
        splits_to_use("r", ("a", "b"), None)
    with pytest.raises(DataError, match="no split validation"):
        splits_to_use("r", ("train",), ("train", "validation"))
