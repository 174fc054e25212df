"""Every form of rows that is recognised becomes the same kind of pair; whatever else a file holds is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwpo.data.files import check_head, read_rows
from cwpo.data.filtering import Tally, usable_pairs
from cwpo.data.readers.columns import columns_needed, detected, reader_by, shaped
from cwpo.data.readers.shapes import READERS
from cwpo.data.rows import BadRow, RawPair, RowAt
from cwpo.errors import DataError

ASKED = {"from": "human", "value": "Why?"}
GOOD, BAD = {"from": "gpt", "value": "Because."}, {"from": "gpt", "value": "No."}
CHAT = RawPair(
    prompt="Human: Why?\n\nAssistant:\n",
    messages=({"role": "user", "content": "Why?"},),
    chosen="Because.",
    rejected="No.",
)


def at(rows: list[Any]) -> list[RowAt]:
    return [RowAt(line=line, row=row) for line, row in enumerate(rows, start=1)]


def read(rows: list[Any], columns: dict[str, str] | None = None) -> tuple[list[RawPair], Tally]:
    """Pairs as a run would take them, by the columns given or by those that are found."""
    used = columns or detected(rows)
    tally = Tally()
    kept = usable_pairs(shaped(at(rows), used), reader_by(used), tally, seen=set())
    pairs = []
    for one in kept:
        pair = one.pair
        chosen, rejected = pair.response_a, pair.response_b
        if pair.human_label == "b":
            chosen, rejected = rejected, chosen
        messages = tuple(json.loads(pair.messages)) if pair.messages else None
        pairs.append(RawPair(prompt=pair.prompt, messages=messages, chosen=chosen, rejected=rejected))
    return pairs, tally


def only(row: dict[str, Any]) -> RawPair:
    pairs, tally = read([row])
    assert tally.reasons == {}
    (pair,) = pairs
    return pair


PARTS = [{"type": "text", "text": "Be"}, {"type": "text", "text": "cause."}]
SAME = {
    "sharegpt": {"conversations": [ASKED], "chosen": GOOD, "rejected": BAD},
    "sharegpt, lists": {"conversations": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "sharegpt, whole conversations": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "sharegpt, as csv has it": {
        "conversations": json.dumps([ASKED]),
        "chosen": json.dumps(GOOD),
        "rejected": json.dumps(BAD),
    },
    "llama-factory": {"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."},
    "argilla, messages without a prompt": {
        "chosen": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "No."}],
    },
    "argilla, named responses": {"instruction": "Why?", "chosen_response": "Because.", "rejected_response": "No."},
    "question and answers": {"question": "Why?", "chosen": "Because.", "rejected": "No."},
    "ultrafeedback, completions": {
        "instruction": "Why?",
        "completions": [
            {"response": "Perhaps.", "overall_score": 5.0},
            {"response": "No.", "overall_score": 1.0},
            {"response": "Because.", "overall_score": 8.5},
        ],
    },
    "ranked": {"instruction": "Why?", "responses": ["No.", "Because.", "Perhaps."], "ranks": [3, 1, 2]},
    "scored list, as csv has it": {"question": "Why?", "responses": '["Because.", "No."]', "scores": "[4, 1.5]"},
    "parts": {
        "conversations": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}],
        "chosen": {"role": "assistant", "content": PARTS},
        "rejected": [{"role": "assistant", "content": "No."}],
    },
}


@pytest.mark.parametrize("name", SAME)
def test_one_pair_is_the_same_in_every_form(name: str) -> None:
    assert only(SAME[name]) == CHAT


def test_input_history_and_system_are_turns_around_the_instruction() -> None:
    row = {
        "instruction": "Translate.", "input": "Hund", "system": "Be brief.", "history": [["Hi", "Hello"]],
        "chosen": "dog", "rejected": "cat",
    }  # fmt: skip
    pair = only(row)
    assert [(turn["role"], turn["content"]) for turn in pair.messages or ()] == [
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Translate.\nHund"),
    ]  # fmt: skip
    assert pair.prompt.startswith("System: Be brief.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Translate.\nHund")


def test_a_tool_that_was_asked_and_its_answer_stand_as_text() -> None:
    turns = [
        ASKED,
        {"from": "function_call", "value": '{"name": "look"}'},
        {"from": "observation", "value": "42"},
    ]
    pair = only({"conversations": turns, "chosen": GOOD, "rejected": BAD})
    assert [(turn["role"], turn["content"]) for turn in pair.messages or ()] == [
        ("user", "Why?"), ("assistant", 'Tool call: {"name": "look"}'), ("user", "Tool result: 42"),
    ]  # fmt: skip
    calls = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look"}}]}
    turns = [{"role": "user", "content": "Why?"}, calls, {"role": "tool", "content": "42"}]
    pair = only({"conversations": turns, "chosen": GOOD, "rejected": BAD})
    assert (pair.messages or ())[1]["content"] == 'Tool call: [{"function": {"name": "look"}}]'


def test_of_scored_rows_the_best_and_the_worst_of_each_prompt_make_a_pair() -> None:
    rows = [
        {"prompt": "p", "text": "middle", "score": 2},
        {"prompt": "q", "text": "alone", "score": 1},
        {"prompt": "p", "text": "best", "score": "3.5"},
        {"prompt": "r", "text": "one", "score": 1},
        {"prompt": "p", "text": "worst", "score": -1},
        {"prompt": "r", "text": "two", "score": 1.0},
        {"prompt": "p", "text": "what?", "score": "high"},
    ]
    pairs, tally = read(rows)
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in pairs] == [("p", "best", "worst")]
    assert tally.reasons == {"between": 1, "only_one": 1, "equal_scores": 1, "no_label": 1}
    assert tally.rows == len(rows)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**SAME["ranked"], "ranks": [1, 1, 1]}, "equal_scores"),
        ({**SAME["ranked"], "ranks": [1, 2]}, "unparsable"),
        ({**SAME["ranked"], "ranks": [1, 2, None]}, "no_label"),
        ({**SAME["ranked"], "ranks": [1, 2, float("nan")]}, "no_label"),
        ({**SAME["ranked"], "responses": ["one"], "ranks": [1]}, "only_one"),
        ({**SAME["ranked"], "responses": ["a", "", "b"], "ranks": [1, 3, 2]}, "empty"),
        ({**SAME["llama-factory"], "instruction": " "}, "no_prompt"),
        ({**SAME["sharegpt"], "conversations": [ASKED, GOOD]}, "no_question"),
        ({**SAME["sharegpt"], "conversations": [{"from": "wizard", "value": "x"}]}, "unparsable"),
        ({**SAME["sharegpt"], "chosen": [GOOD, ASKED, GOOD]}, "unparsable"),
        ({**SAME["sharegpt"], "chosen": BAD}, "equal"),
        ({**SAME["parts"], "chosen": {"role": "assistant", "content": [{"type": "image_url"}]}}, "not_text"),
        ({**SAME["sharegpt"], "chosen": {"from": "gpt", "value": "half \ud83d"}}, "unparsable"),
    ],
)
def test_what_makes_no_pair_is_counted_by_its_reason(row: dict[str, Any], reason: str) -> None:
    columns = next(found for known in SAME.values() if known.keys() == row.keys() and (found := detected([known])))
    pairs, tally = read([row], columns)
    assert pairs == []
    assert tally.reasons == {reason: 1}


HOSTILE: list[Any] = [
    None, "", " ", 0, 1.5, True, float("nan"), 10**400, [], {}, [[]], [None], [{}], [[[[]]]], {"role": []}, "\0",
    "\ud800", "x" * 300_000, "<|im_end|>", "</s>[INST]", "[" * 5_000, '[{"role": 5}, 5]', '[{"role": "user"}]',
    [{"role": "user", "content": "x"}, 5], {"from": None, "value": None}, [{"role": ["user"], "content": "x"}],
    {"type": "text", "text": 5}, b"bytes",
]  # fmt: skip


@pytest.mark.parametrize("name", [*SAME, "scored", "own", "plain", "shp", "tldr"])
def test_no_row_whatever_it_holds_ends_the_reading(name: str) -> None:
    """Each column of each form with each hostile value: a pair or a counted row, by the new readers and by the old."""
    others = {
        "scored": {"prompt": "p", "text": "x", "score": 1},
        "own": {"prompt": "p", "response_a": "x", "response_b": "y", "human_label": "a"},
        "plain": {"prompt": "p", "chosen": "x", "rejected": "y"},
        "shp": {"history": "p", "human_ref_A": "x", "human_ref_B": "y", "labels": 1},
        "tldr": {"info": {"post": "p"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 1},
    }
    good = {**SAME, **others}[name]
    rows = [{**good, column: value} for column in good for value in HOSTILE] + [dict.fromkeys(good, v) for v in HOSTILE]
    columns = detected([good])
    pairs, tally = read(rows, columns)
    assert len(pairs) + sum(tally.reasons.values()) <= tally.rows == len(rows)
    for row in rows:
        for to_pair in READERS.values():
            try:
                to_pair(row)
            except BadRow:
                continue
    detected(rows)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_line_ends_of_windows_and_line_separators_are_no_trouble(ending: str, tmp_path: Path) -> None:
    row = {"instruction": "Why\u2028now?\r\nSay.", "chosen": "Because.\u2029", "rejected": "No."}
    if ending == "csv":
        text = 'instruction,chosen,rejected\r\n"Why\u2028now?\r\nSay.","Because.\u2029",No.\r\n'
    else:
        line = json.dumps(row, ensure_ascii=False)
        text = f"{line}\r\n\r\n" if ending == "jsonl" else f"[\r\n{line}\r\n]"
    file = tmp_path / f"rows.{ending}"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    rows = list(read_rows(file))
    columns = columns_needed(rows)
    assert columns == {"instruction": "instruction", "chosen": "chosen", "rejected": "rejected"}
    pair = reader_by(columns)(next(iter(shaped(rows, columns))).row or {})
    assert (pair.messages or ())[0]["content"] == "Why\u2028now?\r\nSay."
    check_head(file, columns=columns)


def test_rows_that_read_as_ever_need_no_columns() -> None:
    """Runs of before name none, and what they read does not change."""
    turn, good = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}
    bad = {"role": "assistant", "content": "b"}
    known: list[dict[str, Any]] = [
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"prompt": "p", "chosen": "p a", "rejected": "p b", "system": "s"},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        {"chosen": "The same start a", "rejected": "The same start b"},
        {"prompt": [turn], "chosen": [good], "rejected": [bad]},
        {"prompt": "hi", "chosen": [turn, good], "rejected": [turn, bad], "messages": [turn]},
        {"chosen": [turn, good], "rejected": [turn, bad], "messages": [turn, good], "question": "hi"},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b", "query": "q"},
        {"prompt": "p", "chosen": "a", "rejected": "b", "generations": ["b", "a"], "ratings": [5, 1]},
        {"history": "p", "human_ref_A": "x", "human_ref_B": "y", "labels": 1},
        {"info": {"post": "p"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 1},
        {"prompt": "p", "response_a": "x", "response_b": "y", "human_label": "a"},
    ]  # fmt: skip
    assert [columns_needed(at([row])) for row in known] == [None] * len(known)


def test_columns_of_any_name_are_read_as_they_are_said() -> None:
    row = {"q": "Why?", "win": "Because.", "lose": "No.", "chosen": "something else", "source": "here"}
    columns = {"instruction": "q", "chosen": "win", "rejected": "lose"}
    pairs, _ = read([row], columns)
    assert pairs == [CHAT]
    (kept,) = usable_pairs(shaped(at([row]), columns), reader_by(columns), Tally(), seen=set())
    assert kept.pair.source == "here"


def test_a_file_without_a_pair_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"q": "Why?", "win": "a", "lose": "a"}) + "\n")
    with pytest.raises(DataError, match="no column chosen"):
        check_head(file)
    with pytest.raises(DataError, match="both responses are the same"):
        check_head(file, columns={"instruction": "q", "chosen": "win", "rejected": "lose"})
