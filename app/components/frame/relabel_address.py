"""The address of Relabel: whose labels of which run somebody looks at, who it is, and which pairs are asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from app.components.frame.address import Params, choice, integer, names, text

Queue = Literal["mixed", "lowest", "contradicted", "disagree", "random"]
Look = Literal["vote", "agreement", "sets"]

# What the widgets show, and so what the address says.
QUEUES: Mapping[Queue, str] = {
    "mixed": "Mixed",
    "lowest": "Lowest confidence",
    "contradicted": "Confident and contradicted",
    "disagree": "Annotators disagree most",
    "random": "Random control",
}
LOOKS: Mapping[Look, str] = {"vote": "Vote", "agreement": "Agreement", "sets": "Sets and files"}
MOST_PEOPLE = 3  # on one pair


@dataclass(frozen=True, kw_only=True)
class RelabelView:
    """`people`: how many vote on each pair."""

    screen: ClassVar[str] = "screens/relabel.py"
    run: int | None = None
    person: str = ""
    queue: Queue = "mixed"
    people: int = 1
    look: Look = "vote"

    def to_params(self) -> dict[str, Any]:
        told = {
            "run": "" if self.run is None else str(self.run),
            "person": self.person,
            "pairs_from": "" if self.queue == "mixed" else QUEUES[self.queue],
            "people": "" if self.people == 1 else str(self.people),
            "look": "" if self.look == "vote" else LOOKS[self.look],
        }
        return {name: value for name, value in told.items() if value}

    @classmethod
    def from_params(cls, params: Params) -> "RelabelView":
        return cls(
            run=integer(params, "run"),
            person=text(params, "person"),
            queue=next(iter(names(QUEUES, (text(params, "pairs_from"),))), "mixed"),
            people=int(choice(params, "people", tuple(str(n) for n in range(1, MOST_PEOPLE + 1)), "1")),
            look=next(iter(names(LOOKS, (text(params, "look"),))), get_args(Look)[0]),
        )
