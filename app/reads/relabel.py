"""What Relabel reads besides votes: how far people agree, and what sets of labels brought to the runs that use them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from app.reads import results
from cwpo.compare.gra import DifferenceRow
from cwpo.config.run import RunConfig, digest, merged
from cwpo.data.consensus import UNSURE, by_pair
from cwpo.errors import ConfigError
from cwpo.statistics.raters import Figure, RaterAgreement, kappa_of, rater_agreement
from db import queries
from db.records import SetRow, VoteRow

MOST_KAPPAS = 10  # pairs of people, those with most pairs in common first
MOST_RUNS = 20  # of one set, that are compared


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Two people on the pairs that both voted on."""

    first: str
    second: str
    pairs: int
    kappa: Figure | None


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Runs with a set of labels against the same runs without it; `run_ids` of both."""

    difference: DifferenceRow
    run_ids: tuple[int, ...]
    labels: int


def agreement_of(votes: Sequence[VoteRow]) -> tuple[RaterAgreement, list[Kappa]]:
    """Over everybody, and of two people each. Votes that are unsure say nothing of agreement."""
    units = list(_units(votes).values())
    shared: dict[tuple[str, str], int] = {}
    for unit in units:
        for pair in combinations(sorted(unit), 2):
            shared[pair] = shared.get(pair, 0) + 1
    most = sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:MOST_KAPPAS]
    kappas = [
        Kappa(first=first, second=second, pairs=count, kappa=kappa_of(units, first, second))
        for (first, second), count in most
    ]
    return rater_agreement(units), kappas


def _units(votes: Sequence[VoteRow]) -> Mapping[str, Mapping[str, str]]:
    return by_pair((vote.pair_id, vote.person, vote.vote) for vote in votes if vote.vote != UNSURE)


def gain_of(row: SetRow) -> Gain | None:
    """What the set brought, where its runs and the same ones without it are evaluated; None until then."""
    with results.reading() as session:
        configs = queries.configs(session, row.runs[:MOST_RUNS])
        without = {run_id: _without(config) for run_id, config in configs.items()}
        known = queries.runs_by_config_hash(session, {key for keys in without.values() for key in keys})
        twins = {
            run_id: next((known[key][0] for key in keys if key in known), None) for run_id, keys in without.items()
        }
        pairs = {run_id: twin for run_id, twin in twins.items() if twin is not None}
        rows = results.runs_by_id(session, [*pairs, *pairs.values()])
    done = {one.id: one for one in rows if one.evaluation is not None}
    both = [(done[run], done[twin]) for run, twin in pairs.items() if run in done and twin in done]
    if not both:
        return None
    reference = both[0][1].group_key
    same = [(one, twin) for one, twin in both if twin.group_key == reference and one.group_key == both[0][0].group_key]
    compared = [run for pair in same for run in pair]
    difference = results.differences_of(compared, reference, {})[0]
    return Gain(difference=difference, run_ids=tuple(run.id for run in compared), labels=row.labels + row.dropped)


def _without(config: Mapping[str, object]) -> list[str]:
    """Hashes of the same configuration without a set of labels, as runs of now and of before have them."""
    try:
        plain = RunConfig.stored(merged(config, {"data": {"relabels": None}}))
    except ConfigError:
        return []
    values = {name: value for name, value in plain.canonical().items() if name not in ("name", "execution")}
    before = values | {"data": {name: value for name, value in values["data"].items() if name != "relabels"}}
    return [plain.hash(), digest(before)]
