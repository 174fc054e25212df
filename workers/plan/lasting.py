"""How long a stage lasts, in the three parts of which only one grows with its work."""

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
