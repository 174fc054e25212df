"""The words' logistic regression against scikit-learn, its caps, and votes by hand."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from cwpo.annotation import bag_of_words
from cwpo.records import CandidatePair
from tests.cwpo import small_world


def spoken(count: int, seed: int = 0) -> list[CandidatePair]:
    """Pairs whose human likes some words and dislikes others, with noise and with repeated words."""
    rng = np.random.default_rng(seed)
    likes = rng.normal(0, 1, 60)
    pairs = []
    for index in range(count):
        a, b = (rng.integers(0, 60, rng.integers(1, 30)) for _ in "ab")
        wins = likes[a].sum() - likes[b].sum() + rng.logistic(0, 4) > 0
        text = [" ".join(f"Word{word}" for word in part) for part in (a, b)]
        pairs.append(
            CandidatePair(
                pair_id=str(index), prompt_id=str(index), prompt="say", response_a=text[0], response_b=text[1],
                human_label="a" if wins else "b",
            )
        )  # fmt: skip
    return pairs


def windows(pairs: list[CandidatePair], size: int = 37) -> Iterator[list[CandidatePair]]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def fitted(pairs: list[CandidatePair]) -> bag_of_words.BagOfWords:
    model = bag_of_words.fit(windows(pairs))
    assert model is not None
    return model


def test_slopes_equal_scikit_learn() -> None:
    pairs = spoken(400)
    counter = CountVectorizer()
    counts = counter.fit_transform([text for pair in pairs for text in (pair.response_a, pair.response_b)])
    peer = LogisticRegression(fit_intercept=False, tol=1e-12, max_iter=10_000)
    peer.fit(counts[::2] - counts[1::2], [pair.human_label == "a" for pair in pairs])
    model = fitted(pairs)
    assert set(model.columns) == set(counter.vocabulary_)
    ours = [model.slopes[model.columns[word]] for word in counter.get_feature_names_out()]
    assert ours == pytest.approx(peer.coef_[0], abs=1e-6)
    hidden = spoken(300, seed=1)
    other = counter.transform([pair.response_a for pair in hidden]) - counter.transform(
        [pair.response_b for pair in hidden]
    )
    assert bag_of_words.votes(model, hidden).tolist() == (peer.decision_function(other) > 0).astype(float).tolist()


def test_swapping_the_responses_swaps_the_vote_and_unknown_words_say_nothing() -> None:
    pairs = spoken(200)
    swapped = [replace(pair, response_a=pair.response_b, response_b=pair.response_a) for pair in pairs]
    model = fitted(pairs)
    assert bag_of_words.votes(model, swapped).tolist() == (1 - bag_of_words.votes(model, pairs)).tolist()
    strange = [replace(pair, response_a="never heard", response_b="nor this") for pair in pairs[:2]]
    assert bag_of_words.votes(model, strange).tolist() == [0.5, 0.5]


def test_only_the_most_frequent_words_of_the_first_pairs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = spoken(100)
    monkeypatch.setattr(bag_of_words, "MOST_WORDS", 7)
    monkeypatch.setattr(bag_of_words, "MOST_PAIRS", 50)
    model = fitted(pairs)
    counts = Counter(
        word for pair in pairs[:50] for text in (pair.response_a, pair.response_b) for word in text.lower().split()
    )
    wanted = sorted(counts, key=lambda word: (-counts[word], word))[:7]
    assert model.pairs == 50
    assert list(model.columns) == wanted


def test_the_windows_change_nothing_and_pairs_without_a_label_are_left_out() -> None:
    pairs = small_world.word_pairs(60)
    whole = bag_of_words.fit([pairs])
    pieces = bag_of_words.fit(windows([*pairs, replace(pairs[0], human_label=None)], 7))
    assert whole is not None
    assert pieces is not None
    assert whole.slopes.tolist() == pieces.slopes.tolist()
    assert bag_of_words.fit([[replace(pair, human_label=None) for pair in pairs]]) is None
