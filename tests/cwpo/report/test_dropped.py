"""What was dropped and cut is said: by reason, by model, with the row's line."""

from cwpo.report import dropped

DATA = {
    "rows": 1040, "train_pairs": 1030, "test_prompts": 5, "held_out_pairs": 5, "over_max_pairs": 0,
    "rejected": {"equal": 1, "too_long": 3, "unparsable": 1},
    "rejected_examples": [{"line": 4, "reason": "unparsable", "detail": "not JSON"}],
}  # fmt: skip


def test_every_dropped_row_has_a_reason_in_words() -> None:
    assert dropped.data_sentence(DATA) == (
        "1,040 rows read, 1,030 pairs and 5 test prompts kept; 5 pairs of test prompts held out; "
        "dropped: 1 with equal responses, 3 too long for data.length_rule, 1 unparsable."
    )
    (row,) = dropped.rejected_rows(DATA)
    assert (row.line, row.reason, row.detail) == (4, "unparsable", "not JSON")


def test_test_prompts_of_the_sandbox_come_from_their_own_stage() -> None:
    data = {**DATA, "test_prompts": 0, "rejected": {}}
    assert "1,030 pairs and 24 test prompts kept" in dropped.data_sentence(data, {"test_prompts": 24})
    assert dropped.data_sentence(data).endswith("dropped: none.")


def test_each_model_says_what_its_context_cut() -> None:
    found = dropped.cuts({
        "data": DATA,
        "annotator": {"truncated": 0, "dropped": 2},
        "align": {"truncated": 7, "dropped": 0},
        "labels": {"dropped": 3},
        "samples": {"prompts": 5},
    })  # fmt: skip
    assert [(cut.slot, cut.truncated, cut.dropped, cut.control_tokens) for cut in found] == [
        ("annotator", 0, 2, 0), ("align", 7, 0, 0), ("labels", None, 3, 0),
    ]  # fmt: skip
    assert dropped.cut_sentence(found) == (
        "Prompts cut at the model's context: align 7; pairs dropped whose response does not fit: annotator 2, labels 3."
    )
    assert dropped.cut_sentence([]).startswith("Prompts cut at the model's context: none;")


def test_rows_with_control_tokens_are_counted_by_stage() -> None:
    found = dropped.cuts({"sft": {"truncated": 0, "dropped": 0, "control_tokens": 1200}, "labels": {"dropped": 0}})
    assert [cut.control_tokens for cut in found] == [1200, 0]
    assert dropped.cut_sentence(found).endswith("; with control tokens, read as text: sft 1,200.")
