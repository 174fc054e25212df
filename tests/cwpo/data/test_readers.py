"""Each published row shape becomes the same kind of pair; what cannot be used is named by its reason."""

import json

import pytest

from cwpo.config import catalog
from cwpo.data.readers.shapes import READERS, reader_named, to_pair
from cwpo.data.rows import BadRow, RawPair


def chat(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(turns)]


HH_HEAD = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: why?\n\nAssistant:"


def test_hh_text_is_cut_after_the_last_assistant_mark() -> None:
    pair = READERS["hh"]({"chosen": f"{HH_HEAD} because", "rejected": f"{HH_HEAD} no idea"})
    assert pair == RawPair(prompt=HH_HEAD, messages=None, chosen=" because", rejected=" no idea")


def test_hh_conversations_that_part_earlier_are_no_pair() -> None:
    with pytest.raises(BadRow) as caught:
        READERS["hh"]({"chosen": f"{HH_HEAD} because", "rejected": "\n\nHuman: hi\n\nAssistant: bye"})
    assert caught.value.reason == "prompts_differ"


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [(f"{HH_HEAD} ", f"{HH_HEAD} x", "empty"), (f"{HH_HEAD} x", f"{HH_HEAD}x ", "equal"), ("x", "y", "unparsable")],
)
def test_hh_rows_that_cannot_be_used(chosen: str, rejected: str, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        READERS["hh"]({"chosen": chosen, "rejected": rejected})
    assert caught.value.reason == reason


def test_ultrafeedback_takes_the_prompt_from_the_messages() -> None:
    row = {
        "prompt": "how?",
        "chosen": chat("how?", "like this"),
        "rejected": chat("how?", "no"),
        "messages": chat("how?", "like this"),
        "score_chosen": 8.0,
        "score_rejected": 8.0,
    }
    pair = READERS["ultrafeedback"](row)
    assert pair.messages == ({"role": "user", "content": "how?"},)
    assert (pair.prompt, pair.chosen, pair.rejected) == ("Human: how?\n\nAssistant:\n", "like this", "no")


def test_tldr_comparison_builds_the_post_and_follows_choice() -> None:
    row = {
        "info": {"id": "t3", "post": "long post \n", "title": "T", "subreddit": "tifu", "site": None, "article": None},
        "summaries": [{"text": " first", "policy": "a", "note": ""}, {"text": "second ", "policy": "b", "note": ""}],
        "choice": 1,
    }
    pair = READERS["tldr"](row)
    assert pair.prompt == "SUBREDDIT: r/tifu\n\nTITLE: T\n\nPOST: long post\n\nTL;DR:"
    assert (pair.chosen, pair.rejected) == (" second", " first")


def test_tldr_news_article_has_no_post() -> None:
    row = {"info": {"post": None, "article": "x"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 0}
    with pytest.raises(BadRow) as caught:
        READERS["tldr"](row)
    assert caught.value.reason == "no_prompt"


SHP = {"history": " Why is bread dense? ", "human_ref_A": "Knead it.", "human_ref_B": "No idea.", "post_id": "x"}


@pytest.mark.parametrize(("labels", "chosen"), [(1, "Knead it."), (0, "No idea."), ("1", "Knead it.")])
def test_shp_reads_the_post_as_a_question_and_follows_its_labels(labels: object, chosen: str) -> None:
    """The dataset's card: 1 where A is preferred to B; a CSV copy has it as text."""
    for read in (READERS["shp"], to_pair):
        pair = read({**SHP, "labels": labels})
        assert pair.messages == ({"role": "user", "content": "Why is bread dense?"},)
        assert pair.prompt == "Human: Why is bread dense?\n\nAssistant:\n"
        assert (pair.chosen, {pair.chosen, pair.rejected}) == (chosen, {"Knead it.", "No idea."})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": 2}, "no_label"),
        ({"labels": None}, "no_label"),
        ({"history": " "}, "no_prompt"),
        ({"human_ref_A": None}, "unparsable"),
        ({"human_ref_A": "No idea. "}, "equal"),
    ],
)
def test_shp_rows_that_cannot_be_used(change: dict, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        READERS["shp"]({**SHP, "labels": 1, **change})
    assert caught.value.reason == reason


def test_judged_query_rows_without_a_judgement_have_no_label() -> None:
    row = {
        "query": "q TL;DR:",
        "postprocessed_response": " ours",
        "reference_responses": "  theirs",
        "preferred": "ours",
    }
    assert to_pair(row).chosen == " ours"
    assert to_pair({**row, "preferred": "reference"}).chosen == " theirs"
    with pytest.raises(BadRow) as caught:
        to_pair({**row, "preferred": ""})
    assert caught.value.reason == "no_label"


EXPLICIT_TEXT = {"prompt": "Say hi.", "chosen": "hi", "rejected": "no"}
IMPLICIT_TEXT = {"chosen": "The sky is blue", "rejected": "The sky is green"}
EXPLICIT_CHAT = {"prompt": chat("q"), "chosen": [chat("q", "a")[1]], "rejected": [chat("q", "b")[1]]}
IMPLICIT_CHAT = {"chosen": chat("q", "a", "r", "s"), "rejected": chat("q", "a", "r", "t")}


@pytest.mark.parametrize(
    ("row", "prompt", "chosen", "rejected"),
    [
        (EXPLICIT_TEXT, "Say hi.", "hi", "no"),
        ({**EXPLICIT_TEXT, "chosen": "Say hi.hi", "rejected": "Say hi.no"}, "Say hi.", "hi", "no"),
        (IMPLICIT_TEXT, "The sky is", " blue", " green"),
        (EXPLICIT_CHAT, "Human: q\n\nAssistant:\n", "a", "b"),
        ({**EXPLICIT_CHAT, "chosen": "a", "rejected": "b"}, "Human: q\n\nAssistant:\n", "a", "b"),
        (IMPLICIT_CHAT, "Human: q\n\nAssistant: a\n\nHuman: r\n\nAssistant:\n", "s", "t"),
        (
            {name: json.dumps(value) for name, value in EXPLICIT_CHAT.items()},
            "Human: q\n\nAssistant:\n",
            "a",
            "b",
        ),
    ],
)
def test_explicit_and_implicit_prompts_in_both_forms(row: dict, prompt: str, chosen: str, rejected: str) -> None:
    pair = to_pair(row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, chosen, rejected)
    assert (pair.messages is None) == (not prompt.startswith("Human"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "a"}, "unparsable"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "no_prompt"),
        ({"chosen": "alpha", "rejected": "beta"}, "no_prompt"),
        ({"prompt": "p", "chosen": 3, "rejected": "b"}, "unparsable"),
        ({"chosen": chat("q", "a"), "rejected": chat("other", "b")}, "no_prompt"),
        ({"prompt": chat("q"), "chosen": chat("x", "y", "z", "a"), "rejected": chat("x", "w", "z", "b")}, "unparsable"),
        ({"prompt": "p", "chosen": [{"role": "tool", "content": "a"}], "rejected": chat("p", "b")}, "unparsable"),
        ({"prompt": "p", "chosen": [{"role": "user", "content": None}], "rejected": chat("p", "b")}, "unparsable"),
        ({"prompt": "p", "chosen": "a\ud800", "rejected": "b"}, "unparsable"),
        ({"prompt": "p", "response_a": "a", "response_b": "b"}, "no_label"),
    ],
)
def test_rows_without_a_usable_pair_name_their_reason(row: dict, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        to_pair(row)
    assert caught.value.reason == reason


def test_every_reader_named_in_the_catalog_exists() -> None:
    named = {row.reader for row in catalog.DATASETS.values()} - {"sandbox"}
    assert named <= READERS.keys()
    with pytest.raises(KeyError, match="choose one of hh, tldr"):
        reader_named("nobody")
