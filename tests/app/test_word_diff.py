"""What differs between two answers: whole texts in pieces, words before paragraphs, spaces never alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import word_diff
from app.word_diff import MOST_WORDS, difference


def own(pieces: tuple[word_diff.Piece, ...]) -> list[str]:
    return [piece.text.strip() for piece in pieces if piece.own]


def test_only_the_words_that_differ_are_marked() -> None:
    """The same sentence with one word replaced and two words more."""
    found = difference("A cup of strong tea, please.", "A cup of weak tea, and soon please.")
    assert (own(found.first), own(found.second)) == (["strong"], ["weak", "and soon"])
    assert (found.first_own, found.second_own) == (1, 3)


def test_equal_texts_have_nothing_of_their_own() -> None:
    found = difference("one two\n\nthree", "one two\n\nthree")
    assert (found.first_own, found.second_own) == (0, 0)
    assert [piece.own for piece in found.first] == [False]


@pytest.mark.parametrize("words", [MOST_WORDS, MOST_WORDS + 1])
def test_very_long_texts_are_compared_by_paragraphs(words: int) -> None:
    """One word more than the limit: a paragraph with another word is marked whole."""
    paragraph = "w " * (words - 2) + "\nlast one"
    found = difference(paragraph, paragraph.replace("last", "first"))
    assert found.by_words == (words <= MOST_WORDS)
    assert own(found.second) == (["first"] if found.by_words else ["first one"])


@given(st.text("ab \n.", max_size=40), st.text("ab \n.", max_size=40))
def test_the_pieces_of_each_side_are_its_text(first: str, second: str) -> None:
    found = difference(first, second)
    assert "".join(piece.text for piece in found.first) == first
    assert "".join(piece.text for piece in found.second) == second
    assert all(piece.text.strip() for piece in (*found.first, *found.second) if piece.own)
