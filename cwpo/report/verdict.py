"""The headline of a comparison: what did better than the reference, by how much, and is it real. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cwpo.compare.configured_run import ONE_SEED
from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.report.numbers import count, interval, number, p_value, percent, points, points_interval
from cwpo.report.sentences import FURTHER, interaction_clause, matched_clause, verdict_sentence
from cwpo.statistics.simultaneous import EQUIVALENT, SMALL

MOST_NAMED = 3  # settings that a sentence names one by one


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One sentence on top, and what must be known before it is believed."""

    headline: str
    caveats: tuple[str, ...] = ()


def verdict(
    rows: Sequence[GraRow],
    differences: Sequence[DifferenceRow],
    reference: str,
    matched: Sequence[MatchedRow] = (),
) -> Verdict:
    """Of differences from the setting with that group key; without one, of the planned pairs."""
    if not rows:
        return Verdict(headline="None of these runs is evaluated yet, so nothing can be said.")
    if len(rows) == 1:
        return _alone(rows[0])
    against = next((row for row in rows if row.group_key == reference), None)
    if against is None:
        return Verdict(headline=verdict_sentence(rows, differences, matched))
    interactions = [row for row in differences if row.is_interaction]
    differences = [row for row in differences if not row.is_interaction]
    known = [row for row in differences if row.estimate is not None]
    if not known:
        return Verdict(headline=f"No setting here can be compared with {against.label}: {_reasons(differences)}.")
    real = sorted((row for row in known if row.is_real), key=lambda row: -abs(row.estimate or 0.0))
    better = [row for row in real if (row.estimate or 0.0) > 0]
    worse = [row for row in real if (row.estimate or 0.0) < 0]
    alike = [row for row in known if row.told == SMALL]
    others = [row for row in known if not row.is_real and row not in alike]
    untold = others if real else []
    caveats = [*_undecided(untold, against.label), *_alike(alike, against.label), *_distances(better, rows)]
    caveats += [f"{_sentence(matched_clause(row))}." for row in matched if row.estimate is not None]
    caveats += [f"{_sentence(interaction_clause(row))}." for row in interactions if row.estimate is not None]
    caveats += _further(differences, known)
    headline = _decided(better, worse, against.label, known) if real else _nothing_told(others or known, against.label)
    return Verdict(headline=headline, caveats=tuple(caveats))


def _alone(row: GraRow) -> Verdict:
    """What one setting says, and what would say more."""
    return Verdict(
        headline=f"{row.label} has a GRA of {percent(row.estimate)} (95 % {interval(row.low, row.high)}).",
        caveats=("Nothing stands beside it: choose a second setting to see whether that is much.",),
    )


def _decided(
    better: Sequence[DifferenceRow], worse: Sequence[DifferenceRow], reference: str, known: Sequence[DifferenceRow]
) -> str:
    """CW did better than Human by 4.2 points (95 % +1.9 to +6.5; p = 0.012, corrected for 3 comparisons)."""
    first = _group(better or worse, "better" if better else "worse", f" than {reference}", known)
    return f"{first}; {_group(worse, 'worse', '', known)}." if better and worse else f"{first}."


def _group(rows: Sequence[DifferenceRow], side: str, than: str, known: Sequence[DifferenceRow]) -> str:
    if len(rows) == 1:
        return f"{rows[0].first_label} did {side}{than} by {_size(rows[0])} ({_figures(rows[0])})"
    if len(rows) <= MOST_NAMED:
        return f"{_listed([_name_and_figures(row) for row in rows])} did {side}{than}"
    head = f"{len(rows)} of {len(known)} settings did {side}{than}"
    return f"{head}, most of all {rows[0].first_label} by {_size(rows[0])} ({_figures(rows[0])})"


def _name_and_figures(row: DifferenceRow) -> str:
    return f"{row.first_label} by {_size(row)} ({_figures(row)})"


def _nothing_told(known: Sequence[DifferenceRow], reference: str) -> str:
    """No difference from Human can be told at 4 seeds × 400 prompts; the smallest that could be found is 3.1 points."""
    if all(row.told == SMALL for row in known):
        return f"No setting differs from {reference} by {number(100 * EQUIVALENT, 1)} points at {_samples(known)}."
    return f"No difference from {reference} can be told at {_samples(known)}{_least(known)}."


def _undecided(others: Sequence[DifferenceRow], reference: str) -> list[str]:
    """Which settings a headline of others leaves out because nothing can be told of them."""
    if not others:
        return []
    named = [row.first_label for row in others]
    who = _listed(named) if len(named) <= MOST_NAMED else f"{len(named)} other settings"
    return [f"No difference from {reference} can be told for {who} at {_samples(others)}{_least(others)}."]


def _alike(rows: Sequence[DifferenceRow], reference: str) -> list[str]:
    """Settings whose interval lies within what counts as no difference that matters."""
    if not rows:
        return []
    named = [f"{row.first_label} (95 % {points_interval(row.low, row.high)})" for row in rows]
    who = _listed(named) if len(named) <= MOST_NAMED else f"{len(named)} settings"
    return [f"Less than {number(100 * EQUIVALENT, 1)} points from {reference} either way: {who}."]


def _distances(better: Sequence[DifferenceRow], rows: Sequence[GraRow]) -> list[str]:
    """Whether a gain may be nothing but a longer way."""
    kl = {row.group_key: row.kl for row in rows}
    further, unmeasured = [], []
    for row in better:
        mine, its = kl.get(row.first), kl.get(row.second)
        if mine is None or its is None:
            unmeasured.append(row.first_label)
        elif (row.kl_low > 0) if row.kl_low is not None else (mine > FURTHER * its):
            further.append(f"{row.first_label} ({number(mine)} against {number(its)} nats)")
    said = []
    if further:
        said.append(f"Moved further in KL as well, so the gain may be distance and not direction: {_listed(further)}.")
    if unmeasured:
        said.append(f"KL was not measured, so the gain may be distance alone: {_listed(unmeasured)}.")
    if better and not said:
        said.append("The gain came without moving measurably further in KL.")
    return said


def _further(differences: Sequence[DifferenceRow], known: Sequence[DifferenceRow]) -> list[str]:
    said = []
    if any(ONE_SEED in row.note for row in known):
        said.append("With one seed the interval covers prompts only; another seed may turn it around.")
    without = [row for row in differences if row.estimate is None]
    for reason in dict.fromkeys(row.reason for row in without if row.reason):
        named = [row.first_label for row in without if row.reason == reason]
        who = _listed(named) if len(named) <= MOST_NAMED else f"{len(named)} settings"
        said.append(f"Not compared, {reason}: {who}.")
    return said


def _figures(row: DifferenceRow) -> str:
    corrected = "" if row.comparisons < 2 else f", corrected for {_comparisons(row.comparisons)}"
    return f"95 % {points_interval(row.low, row.high)}; p {_p(row)}{corrected}"


def _p(row: DifferenceRow) -> str:
    """= 0.012, or < 0.001."""
    text = p_value(row.p_corrected)
    return text if text.startswith("<") else f"= {text}"


def _size(row: DifferenceRow) -> str:
    """4.2 points, without a sign."""
    text = points(abs(row.estimate or 0.0)).removeprefix("+")
    return f"{text} point" if text == "1.0" else f"{text} points"


def _samples(rows: Sequence[DifferenceRow]) -> str:
    """4 seeds × 400 prompts, as far as it is the same for all."""
    seeds, prompts = _span(rows, lambda row: row.n_seeds), _span(rows, lambda row: row.n_prompts)
    return f"{seeds} {'seed' if seeds == '1' else 'seeds'} × {prompts} prompts"


def _span(rows: Sequence[DifferenceRow], value: Callable[[DifferenceRow], int]) -> str:
    low, high = min(map(value, rows)), max(map(value, rows))
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def _least(rows: Sequence[DifferenceRow]) -> str:
    """What could be found; with one seed that is over prompts alone, and says nothing beside figures over several."""
    several = [row for row in rows if row.n_seeds != 1]
    found = [row.detectable for row in several or rows if row.detectable is not None]
    if not found:
        return ""
    low, high = number(100 * min(found), 1), number(100 * max(found), 1)
    aside = "" if several else ", what seeds move not counted"
    return f"; the smallest that could be found is {low if low == high else f'{low} to {high}'} points{aside}"


def _reasons(differences: Sequence[DifferenceRow]) -> str:
    return _listed(list(dict.fromkeys(row.reason or "no figure" for row in differences))) or "nothing stands beside it"


def _comparisons(number_of: int) -> str:
    return "one comparison" if number_of == 1 else f"{number_of} comparisons"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
