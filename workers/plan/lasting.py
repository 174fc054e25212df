"""How long a stage lasts, in the three parts of which only one grows with its work, and what that grows with."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """Seconds until the work begins (reading, loading), of the work, and behind it (summing up, writing)."""

    start: float = 0.0
    work: float
    end: float = 0.0

    @property
    def total(self) -> float:
        return self.start + self.work + self.end


@dataclass(frozen=True, kw_only=True)
class Work:
    """How much a stage has to do, in what its seconds grow with, None where the mean has to serve; and whether it
    trains adapters alone. longest: tokens that an answer may have, where it writes answers. texts: which data it reads,
    and how, where it reads pairs: what says the same here has as many tokens a pair. judge: who scores, where answers
    are scored: an oracle is no measure of a model."""

    size: float | None = None
    adapters: bool = False
    longest: int | None = None
    texts: str | None = None
    judge: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished stage. tokens: of an answer that it wrote or a pair that it read, in the mean; ended: the share of its
    answers that ended by themselves. Both None where the stage did not count them."""

    lasting: Lasting
    work: Work
    tokens: float | None = None
    ended: float | None = None

    def answer_tokens(self, longest: int) -> float | None:
        """Mean tokens of its answers, were `longest` the longest; None where they are not known.

        Where less is allowed than its own answers could have, the mean is at most that. Where more is, those that were
        cut go on: at each further token they end with the chance that an answer had there.
        """
        own = self.work.longest
        if not self.tokens or own is None:
            return None
        if longest <= own or self.ended is None:
            return min(self.tokens, float(longest))
        chance, more = min(self.ended / self.tokens, 1.0), longest - own
        further = (1.0 - (1.0 - chance) ** more) / chance if chance else float(more)
        return self.tokens + (1.0 - self.ended) * further
