"""What several people's votes on a pair come to: one label by majority, a dropped pair, or nothing. Torch-free."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cwpo.records import Side

Verdict = Literal["a", "b", "drop", "undecided"]
UNSURE = "unsure"


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """The verdict on a pair, from so many votes that say something, and how many of them agree with it."""

    verdict: Verdict
    votes: int
    agreeing: int

    @property
    def side(self) -> Side | None:
        """The side chosen; None for a dropped pair."""
        return "a" if self.verdict == "a" else "b" if self.verdict == "b" else None


def consensus(votes: Iterable[str]) -> Consensus:
    """The most frequent of a, b, tie and drop. Votes that are unsure do not count; a tie, or equally many votes for two
    of them, decides nothing, and the pair keeps what it had."""
    counts = Counter(vote for vote in votes if vote != UNSURE)
    total = sum(counts.values())
    best = counts.most_common(2)
    if not best or (len(best) > 1 and best[0][1] == best[1][1]):
        return Consensus(verdict="undecided", votes=total, agreeing=0)
    name, agreeing = best[0]
    verdict: Verdict = "a" if name == "a" else "b" if name == "b" else "drop" if name == "drop" else "undecided"
    return Consensus(verdict=verdict, votes=total, agreeing=agreeing)


def by_pair(votes: Iterable[tuple[str, str, str]]) -> Mapping[str, Mapping[str, str]]:
    """(pair, person, vote) -> pair -> person -> vote."""
    found: dict[str, dict[str, str]] = {}
    for pair_id, person, vote in votes:
        found.setdefault(pair_id, {})[person] = vote
    return found


def verdicts(votes: Mapping[str, Mapping[str, str]], pair_ids: Sequence[str] = ()) -> dict[str, Consensus]:
    """The verdict on each pair."""
    return {pair_id: consensus(votes[pair_id].values()) for pair_id in pair_ids or votes}
