"""Judge cards in words, wherever a GRA stands: what its figures hold for, what each card says, who agrees with people
how often. Pure."""

from collections.abc import Mapping, Sequence

from cwpo.compare.judges.card import Card, CardRow, distinct, judge_of, pooled
from cwpo.report.numbers import count, interval, percent
from cwpo.report.sentences import card_sentences

TITLE = "Can the judge be believed?"
MODEL = (
    "If the judge is right with probability q whichever model is better, GRA = q·g + (1 − q)(1 − g), and "
    "g = (GRA + q − 1)/(2q − 1) is the GRA without its errors; the interval carries the errors of both. q is the "
    "agreement with single human labels, so this holds if the labels are right; noise in them moves g too far from "
    "50 %. Where g leaves 0 to 100 %, the judge's errors favour one of the models, or the labels are noisy. The "
    "sandbox's oracle is the truth: nothing to correct, and q is the labels' noise."
)
MOST_CARDS = 3
UNTRIED = "not tried on pairs with human labels"


def cards_in_words(cards: Mapping[int, Card], seeds: Mapping[int, int]) -> list[str]:
    """What the cards of these runs say, by run, each distinct card once, of many the first. What not all of them say
    stands behind what tells its card apart."""
    known = distinct(list(cards.values()))
    names = _names(known, [[run for run in cards if cards[run] == one] for one in known], seeds)
    shown = known[:MOST_CARDS]
    said: dict[str, list[str]] = {}
    for card, name in zip(shown, names, strict=False):
        for sentence in card_sentences(card):
            said.setdefault(sentence, []).append(name)
    words = [sentence if len(of) == len(shown) else f"{'; '.join(of)}: {sentence}" for sentence, of in said.items()]
    left = names[MOST_CARDS:]
    return [*words, f"Further cards, on the pages of their runs: {'; '.join(left)}."] if left else words


def _names(known: Sequence[Card], runs: Sequence[Sequence[int]], seeds: Mapping[int, int]) -> list[str]:
    """Of each card its judge, where there are several, and where one judge has several cards the seeds that each is of,
    or the runs where seeds do not tell them apart."""
    judges = [judge_of(card) for card in known]
    own = [{seeds[run] for run in ids if run in seeds} for ids in runs]
    names = []
    for place, judge in enumerate(judges):
        words = [judge] if len(set(judges)) > 1 else []
        others = [other for other, name in enumerate(judges) if name == judge and other != place]
        if others:
            by_seed = own[place] and all(own[place].isdisjoint(own[other]) for other in others)
            words.append(_numbered("seed", sorted(own[place])) if by_seed else _numbered("run", runs[place]))
        names.append(", ".join(words))
    return names


def _numbered(noun: str, numbers: Sequence[int]) -> str:
    """seed 0; runs 1, 3."""
    return f"{noun}{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def agreement_in_words(cards: Sequence[Card]) -> str:
    """trained agrees with people on 65.8 % of 568 pairs (95 % 62.8 – 68.7); of one judge, over its distinct cards."""
    q, error = pooled(cards)
    pairs = sum(int(card["pairs"]) for card in distinct(cards))
    between = interval(max(0.0, q - 1.96 * error), min(1.0, q + 1.96 * error))
    return f"{judge_of(cards[0])} agrees with people on {percent(q)} of {count(pairs)} pairs (95 % {between})"


def judges_in_words(cards: Mapping[int, Card], places: Mapping[int, str]) -> str:
    """Every judge of these runs that was tried, each on the pairs of its own place, which is said where there are
    several; "" where none was."""
    found: dict[tuple[str, str], list[Card]] = {}
    for run, card in cards.items():
        found.setdefault((judge_of(card), places.get(run, "")), []).append(card)
    several = len({place for _, place in found}) > 1
    parts = [
        agreement_in_words(own) + (f" of {place}" if several and place else "") for (_, place), own in found.items()
    ]
    return f"{'; '.join(parts)}." if parts else ""


def uncorrected(rows: Sequence[CardRow]) -> list[str]:
    """Why there is no corrected GRA, under a table where it would take the room of the figures."""
    reasons = dict.fromkeys(row.said for row in rows if row.said)
    return [
        f"Corrected GRA: {reason} ({', '.join(row.label for row in rows if row.said == reason)})." for reason in reasons
    ]
