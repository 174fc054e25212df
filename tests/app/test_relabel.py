"""Relabel in this process: blind before the vote, told after it, and what its other looks show."""

from datetime import UTC, datetime

from streamlit.testing.v1 import AppTest

from app.reads.relabel import agreement_by_reason, agreement_of
from db.records import VoteRow
from tests.app.visits import visit, words
from tests.workers.labeled import labeled_run, pair_row
from workers.api.people import votes


def pressed(page: AppTest, key: str) -> AppTest:
    """The page after a click."""
    page.button(key=key).click().run()
    assert not page.exception, [element.message for element in page.exception]
    return page


def test_nothing_is_said_of_a_pair_before_the_vote_and_all_after_it(empty: None) -> None:
    run = labeled_run()
    page = visit("relabel", run=str(run), person="Ada", pairs_from="Lowest confidence")
    assert "What is 0 and why?" in words(page)
    said = words(page).replace(page.caption[0].value, "")
    for told in ("weak", "annotator chose", "human label is", "C 0", "confidence"):
        assert told not in said.replace("Neither the annotator's label nor a human's", "")
    said = words(pressed(page, "relabel_a"))
    assert f"Saved: pair {pair_row(0)['pair_id'][:8]}, you said A; the annotator chose" in said
    assert "with C 0.00; the human label is" in said
    assert "What is 0 and why?" not in said


def test_the_letters_follow_what_stood_left(empty: None) -> None:
    """Of twenty people who press A, those for whom b stood left voted for b."""
    run = labeled_run()
    lefts = set()
    for number in range(6):
        page = visit("relabel", run=str(run), person=f"person {number}", pairs_from="Lowest confidence", people="1")
        shown = votes.next_pair(run, f"person {number}", "lowest")
        assert shown is not None
        lefts.add(shown.left)
        texts = [block.value for block in page.code]
        assert texts[0] == (shown.response_a if shown.left == "a" else shown.response_b)
        pressed(page, "relabel_a")
        assert f'"vote": "{shown.left}"' in list(votes.votes_file(run))[-1]
    assert lefts == {"a", "b"}


def test_undo_previous_and_next(empty: None) -> None:
    run = labeled_run()
    page = visit("relabel", run=str(run), person="Ada", pairs_from="Lowest confidence")
    pressed(page, "relabel_tie")
    assert "Your newest vote: pair" in words(pressed(page, "relabel_previous"))
    assert "What is 0 and why?" in words(page)
    assert "What is 0 and why?" not in words(pressed(page, "relabel_next"))
    pressed(page, "relabel_undo")
    assert "What is 0 and why?" in words(page)
    assert "and took it back" in words(page)
    assert votes.draft_set(run).votes == 0
    assert "What is 0 and why?" not in words(pressed(page, "relabel_next"))  # put aside


def test_a_pair_is_dropped_by_its_button_and_comes_back_by_undo(empty: None) -> None:
    run = labeled_run()
    page = visit("relabel", run=str(run), person="Ada", pairs_from="Lowest confidence")
    said = words(pressed(page, "relabel_drop"))
    assert f"Saved: pair {pair_row(0)['pair_id'][:8]}, you said drop" in said
    assert "What is 0 and why?" not in said
    draft = votes.draft_set(run)
    assert (draft.votes, draft.labels, draft.dropped, draft.undecided) == (1, 0, 1, 0)
    assert "1 vote of 1 person come to 0 labels, 1 dropped and 0 undecided" in words(
        visit("relabel", run=str(run), person="Ada", look="Sets and files")
    )
    assert "What is 0 and why?" in words(pressed(page, "relabel_undo"))
    assert votes.draft_set(run).dropped == 0


def test_agreement_and_sets_say_what_is_there(empty: None) -> None:
    run = labeled_run()
    said = words(visit("relabel", run=str(run), look="Agreement"))
    assert "Votes are compared here" in said
    for person, choices in (("Ada", "aab"), ("Bo", "abb")):
        for choice in choices:
            shown = votes.next_pair(run, person, "lowest", overlap=2)
            assert shown is not None
            votes.cast_vote(shown, choice, 3.0)
    said = words(visit("relabel", run=str(run), look="Agreement"))
    assert "all 2 3 66.7 %" in said
    assert "Ada, Bo 3" in said
    assert "Lowest confidence all 2 3 66.7 %" in said
    assert "Lowest confidence 6 6" in said
    page = visit("relabel", run=str(run), look="Sets and files", person="Ada")
    assert "6 votes of 2 people come to 2 labels, 0 dropped and 1 undecided" in words(page)
    page.text_input(key="set_name").set_value("least-sure")
    page.button(key="freeze").click().run()
    assert not page.exception
    assert "least-sure@1" in words(page)
    assert not page.error
    page.text_input(key="set_name").set_value("no good")
    page.button(key="freeze").click().run()
    assert "cannot be a name" in words(page)


def test_agreement_by_reason_counts_each_pair_once_with_the_figures_of_the_whole() -> None:
    """Six pairs proposed for being unsure, eight at random; the second person was sometimes shown them otherwise."""

    def vote(number: int, pair: int, person: str, queue: str, choice: str) -> VoteRow:
        return VoteRow(
            id=number, token=str(number), pair_id=f"p{pair}", prompt_id="q", run_id=1, person=person, queue=queue,
            shown_left="a", vote=choice, seconds=None, weak_label=None, confidence=None, at=datetime.now(UTC),
        )  # fmt: skip

    first = [vote(pair, pair, "Ada", "mixed/lowest" if pair < 6 else "random/random", "ab"[pair % 2])
             for pair in range(14)]  # fmt: skip
    second = [vote(20 + pair, pair, "Bo", "lowest/lowest", "aabb"[pair % 4]) for pair in range(13)]
    alone = [vote(40, 99, "Ada", "disagree/disagree", "a")]  # nobody else has voted on it
    strata = {one.why: one for one in agreement_by_reason([*second, *alone, *first])}
    assert set(strata) == {"lowest", "random"}
    whole, kappas = agreement_of([*first, *second])
    assert sum(one.found.pairs for one in strata.values()) == whole.pairs == 13
    for why, own in (("lowest", range(6)), ("random", range(6, 14))):
        votes_on = [one for one in (*first, *second) if int(one.pair_id[1:]) in own]
        assert (strata[why].found, list(strata[why].kappas)) == agreement_of(votes_on)
        assert strata[why].found.percent is not None
        assert strata[why].found.percent.low is not None
    assert [(one.first, one.second, one.pairs) for one in kappas] == [("Ada", "Bo", 13)]


def test_a_page_without_a_name_asks_for_it(empty: None) -> None:
    run = labeled_run()
    assert "Type your name" in words(visit("relabel", run=str(run)))
