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
from db.records import RunRow, SetRow, VoteRow

MOST_KAPPAS = 10  # pairs of people, those with most pairs in common first
MOST_KAPPAS_EACH = 3  # of the pairs that were proposed for one reason
MOST_RUNS = 20  # of one set, that are compared


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Two people on the pairs that both voted on."""

    first: str
    second: str
    pairs: int
    kappa: Figure | None


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """How far people agree on the pairs that were proposed for one reason, the name of a queue."""

    why: str
    found: RaterAgreement
    kappas: Sequence[Kappa]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Runs of one setting with a set of labels against the same runs without it; `run_ids` of both."""

    setting: str
    difference: DifferenceRow
    run_ids: tuple[int, ...]
    labels: int


def agreement_of(votes: Sequence[VoteRow], *, most: int = MOST_KAPPAS) -> tuple[RaterAgreement, list[Kappa]]:
    """Over everybody, and of two people each. Votes that are unsure say nothing of agreement."""
    units = list(_units(votes).values())
    shared: dict[tuple[str, str], int] = {}
    for unit in units:
        for pair in combinations(sorted(unit), 2):
            shared[pair] = shared.get(pair, 0) + 1
    found = sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:most]
    kappas = [
        Kappa(first=first, second=second, pairs=count, kappa=kappa_of(units, first, second))
        for (first, second), count in found
    ]
    return rater_agreement(units), kappas


def agreement_by_reason(votes: Sequence[VoteRow]) -> list[Stratum]:
    """The same by why a pair was proposed when it was first voted on, so that each pair is counted once; without the
    reasons of which no pair has two votes."""
    reasons: dict[str, str] = {}
    for vote in sorted(votes, key=lambda vote: vote.id):
        reasons.setdefault(vote.pair_id, reason_of(vote))
    found = []
    for why in sorted(set(reasons.values())):
        own = [vote for vote in votes if reasons[vote.pair_id] == why]
        together, kappas = agreement_of(own, most=MOST_KAPPAS_EACH)
        if together.pairs:
            found.append(Stratum(why=why, found=together, kappas=kappas))
    return found


def reason_of(vote: VoteRow) -> str:
    """Why the pair was shown: the queue that it is from, which may be part of a mixed one."""
    return vote.queue.rpartition("/")[2]


def _units(votes: Sequence[VoteRow]) -> Mapping[str, Mapping[str, str]]:
    return by_pair((vote.pair_id, vote.person, vote.vote) for vote in votes if vote.vote != UNSURE)


def gains_of(row: SetRow) -> list[Gain]:
    """What the set brought, by setting, as far as its runs and the same ones without it are evaluated."""
    with results.reading() as session:
        configs = queries.configs(session, row.runs[:MOST_RUNS])
        without = {run_id: _without(config) for run_id, config in configs.items()}
        known = queries.runs_by_config_hash(session, {key for keys in without.values() for key in keys})
        twins = {run_id: [twin for key in keys for twin in known.get(key, ())] for run_id, keys in without.items()}
        rows = results.runs_by_id(session, sorted({*twins, *(twin for its in twins.values() for twin in its)}))
    done = {one.id: one for one in rows if one.evaluation is not None}
    settings: dict[tuple[str, str], list[RunRow]] = {}
    for run_id, its in twins.items():
        twin = next((done[twin] for twin in its if twin in done), None)
        if run_id in done and twin is not None:
            settings.setdefault((done[run_id].group_key, twin.group_key), []).extend((done[run_id], twin))
    without_it = {reference for _, reference in settings}
    names = results.labels_of([one for one in done.values() if one.group_key in without_it]) if settings else {}
    return [_gain(row, names[reference], compared, reference) for (_, reference), compared in settings.items()]


def _gain(row: SetRow, name: str, compared: Sequence[RunRow], reference: str) -> Gain:
    """`compared`: runs with the set and the same ones without, which are of the setting `reference`."""
    unique = list({one.id: one for one in compared}.values())  # the same run may be asked for twice
    difference = results.differences_of(unique, reference, {})[0]
    run_ids = tuple(one.id for one in unique)
    return Gain(setting=name, difference=difference, run_ids=run_ids, labels=row.labels + row.dropped)


def _without(config: Mapping[str, object]) -> list[str]:
    """Hashes of the same configuration without a set of labels, as runs of now and of before have them."""
    try:
        plain = RunConfig.stored(merged(config, {"data": {"relabels": None}}))
    except ConfigError:
        return []
    values = {name: value for name, value in plain.canonical().items() if name not in ("name", "execution")}
    before = values | {"data": {name: value for name, value in values["data"].items() if name != "relabels"}}
    earlier = [{name: value for name, value in one.items() if name != "rules"} for one in (values, before)]
    return [plain.hash(), digest(before), *(digest(one) for one in earlier if plain.rules == 1)]
