"""Relabel, agreement: of people with each other, and of people with the annotator."""

from collections.abc import Sequence

from app.components.frame import layout, tables
from app.components.frame.formats import counted
from app.components.frame.relabel_address import QUEUES
from app.components.frame.tables import Column
from app.reads import relabel, results
from app.reads.relabel import Kappa
from cwpo.report.labels.relabels import figure
from cwpo.report.numbers import NOTHING, number, percent
from cwpo.statistics.raters import RaterAgreement
from db import queries
from db.records import VoteRow

NOBODY = "No pair has votes of two people yet. Set people on each pair to 2 and let somebody else vote."
FIGURES = (
    "Percent is the share of equal votes among votes on the same pair; Cohen's κ (two people) and Krippendorff's α "
    "(everybody) take away what chance would give, 0 is chance and 1 is always. Unsure votes are left out. In "
    "brackets 95 % intervals of a bootstrap over pairs. On preferences 65 to 75 % is what people usually reach."
)
REASONS = (
    "By why a pair was first proposed; each pair counts once. People agree less on pairs that were chosen for being "
    "hard: only the random control says it for the data."
)
ANNOTATOR = (
    "Votes for a side against the annotator's label. Only the random control says how right its labels are over all "
    "pairs: the other queues look for its mistakes."
)
BOTH = (
    ("pairs in common", "Pairs on which these people chose a side."),
    ("percent", "How often they chose the same side."),
    ("κ", "Cohen's κ: agreement of two people beyond chance; 0 is chance, 1 is always."),
    ("α", "Krippendorff's α: the same for everybody at once, also where some skipped pairs."),
)
VOTES = (
    ("votes", "That hold; those taken back or given again count once."),
    ("for a side", "For one of the answers: neither a tie, nor unsure, nor dropped."),
    ("same side as the annotator", "Of the votes for a side, those that chose its label."),
    ("mean C", "Mean confidence of the annotator over these pairs."),
    ("median seconds", "Half of the votes took less time than this."),
)
IMPORTED, ALL = "from a file", "all pairs"
PEOPLE = (
    Column(label="pairs from", whole=True), Column(label="people", whole=True),
    *(Column(label=name, figures=True) for name in ("pairs in common", "percent", "κ", "α")),
)  # fmt: skip


def show_agreement(run_id: int) -> None:
    """Both, from the votes that hold."""
    with results.reading() as session:
        votes = queries.standing_votes(session, [run_id])
    if not votes:
        layout.empty_state("Votes are compared here, once there are some.")
        return
    found, kappas = relabel.agreement_of(votes)
    layout.section("People with each other", FIGURES, BOTH)
    if found.percent is None:
        layout.note(NOBODY)
    else:
        rows = _people(ALL, found, kappas)
        for stratum in relabel.agreement_by_reason(votes):
            rows += _people(_named(stratum.why), stratum.found, stratum.kappas)
        tables.show(PEOPLE, rows, alt="agreement of people")
        layout.note(REASONS)
    layout.section("People with the annotator", ANNOTATOR, VOTES)
    _annotator(votes)


def _people(name: str, found: RaterAgreement, kappas: Sequence[Kappa]) -> list[Sequence[object]]:
    """Everybody on these pairs, then two people each."""
    percent_, alpha = figure(found.percent, percent=True), figure(found.alpha)
    everybody: Sequence[object] = [name, f"all {found.people}", found.pairs, percent_, None, alpha]
    two = [[name, f"{one.first}, {one.second}", one.pairs, None, figure(one.kappa), None] for one in kappas]
    return [everybody, *two]


def _annotator(votes: Sequence[VoteRow]) -> None:
    columns = [Column(label="pairs from", whole=True), *(Column(label=name, figures=True) for name in
               ("votes", "for a side", "same side as the annotator", "mean C", "median seconds"))]  # fmt: skip
    queues = sorted({_queue(vote) for vote in votes})
    rows = [_line(name, [vote for vote in votes if _queue(vote) == name]) for name in queues]
    tables.show(columns, rows, alt="votes and the annotator")
    layout.note(f"{counted(len(votes), 'vote')} hold; a vote that was taken back or given again counts once.")


def _queue(vote: VoteRow) -> str:
    return _named(relabel.reason_of(vote))


def _named(reason: str) -> str:
    return next((label for queue, label in QUEUES.items() if queue == reason), IMPORTED)


def _line(name: str, votes: Sequence[VoteRow]) -> list[object]:
    sided = [vote for vote in votes if vote.vote in ("a", "b") and vote.weak_label is not None]
    same = sum(vote.vote == vote.weak_label for vote in sided)
    known = [vote.confidence for vote in votes if vote.confidence is not None]
    seconds = sorted(vote.seconds for vote in votes if vote.seconds is not None)
    return [
        name, len(votes), len(sided), percent(same / len(sided)) if sided else NOTHING,
        number(sum(known) / len(known)) if known else NOTHING,
        number(seconds[len(seconds) // 2], 1) if seconds else NOTHING,
    ]  # fmt: skip
