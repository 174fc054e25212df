"""From votes to a run that learns from them: sets, names, files, and no pair of the evaluation."""

import json

import pytest
from sqlalchemy import select

from app.reads.relabel import gains_of
from app.reads.results import costs_of, runs_by_id, table_of
from cwpo.compare.costs import Prices
from cwpo.data import relabels
from cwpo.data.relabels import Relabel
from cwpo.errors import ConfigError, DataError
from db import queries
from db.errors import UnfitVote
from db.models import Prompt
from tests.workers.access.acting_people import signed_in
from tests.workers.labeled import labeled_run
from tests.workers.workplace import Workplace
from workers import api
from workers.access.roles import NotAllowed, Role
from workers.api.people import votes
from workers.cli import main
from workers.machine.database import reading
from workers.machine.paths import store


def vote(run: int, choices: str, person: str = "Ada") -> list[str]:
    """One letter a pair, d for drop; the pairs."""
    pairs = []
    for choice in choices:
        shown = votes.next_pair(run, person, "lowest", overlap=2)
        assert shown is not None
        votes.cast_vote(shown, "drop" if choice == "d" else choice)
        pairs.append(shown.pair_id)
    return pairs


def counts(run: int) -> tuple[int, int]:
    """Pairs that the annotator learned from, and that it labeled."""
    with reading() as session:
        found = queries.summaries(session, [run], ("annotator", "labels"))
    return found["annotator"][run]["pairs"], found["labels"][run]["n"]


def test_a_run_with_a_set_learns_from_its_pairs_and_labels_the_others(workplace: Workplace) -> None:
    """Five labels move to the labeled part, one pair is dropped; GRA with them minus without is said per 100 labels."""
    with workplace.supervisor(workers=1):
        before = api.submit_run(workplace.config()).run_id
        workplace.wait_done(before)
        vote(before, "abbada")
        made = votes.make_set(before, "first", "six")
        assert (made.labels, made.dropped) == (5, 1)
        after = api.submit_run(workplace.config(data={"relabels": "first"})).run_id
        workplace.wait_done(after)
    assert api.export_run(after)["config"]["data"]["relabels"] == made.fingerprint
    learned, labeled = counts(before)
    assert counts(after) == (learned + 5, labeled - 6)
    for slot in ("annotator", "labels", "align"):
        assert workplace.stage(before, slot).fingerprint != workplace.stage(after, slot).fingerprint
    assert workplace.stage(before, "data").fingerprint == workplace.stage(after, "data").fingerprint
    with reading() as session:
        row = queries.find_relabel_set(session, "first@1")
    assert row.runs == (after,)
    (gain,) = gains_of(row)
    assert gain.setting == "CW"
    assert sorted(gain.run_ids) == [before, after]
    assert gain.labels == 6
    assert gain.difference.estimate is not None
    _counts_what_people_decided(workplace, before, after)
    _computes_again_elsewhere(workplace, after)
    _refuses_prompts_of_the_evaluation(workplace)


def _counts_what_people_decided(workplace: Workplace, before: int, after: int) -> None:
    """Five labels and one pair that was dropped, on the form and in the costs of Compare."""
    plain, later = (api.plan([workplace.config(data=data)]) for data in ({}, {"relabels": "first"}))
    assert plain.human_labels is not None
    assert later.human_labels == plain.human_labels + 6
    with reading() as session:
        rows = runs_by_id(session, [before, after])
    found, _ = costs_of(rows, table_of(rows), Prices())
    assert sorted(row.human_labels or 0 for row in found) == [plain.human_labels, later.human_labels]


def _computes_again_elsewhere(workplace: Workplace, run: int) -> None:
    """The bundle holds the set: another machine that knows nothing of it computes the same tables."""
    file, elsewhere = workplace.home / "later.zip", workplace.home / "elsewhere"
    assert main.main(["bundle", str(run), "--out", str(file), "--include-data"]) == 0
    assert main.main(["reproduce", str(file), "--home", str(elsewhere)]) == 0


def _refuses_prompts_of_the_evaluation(workplace: Workplace) -> None:
    with reading() as session:
        held = session.scalars(select(Prompt.prompt_id)).first()
    leaking = Relabel(pair_id="p", prompt_id=str(held), prompt="?", response_a="x", response_b="y", label="a")
    name = relabels.put(store(), [leaking])
    for command in (api.submit_run, lambda config: api.plan([config])):
        with pytest.raises(ConfigError, match=r"data\.relabels.*evaluated on"):
            command(workplace.config(data={"relabels": name}))


def test_a_name_that_no_set_has_is_one_sentence(workplace: Workplace) -> None:
    with pytest.raises(ConfigError, match=r"data\.relabels.*no set of labels named 'nothing'"):
        api.submit_run(workplace.config(data={"relabels": "nothing@2"}))


def test_later_votes_do_not_change_a_set(workplace: Workplace) -> None:
    run = labeled_run()
    vote(run, "aab")
    first = votes.make_set(run, "easy")
    before = votes.set_file(first.fingerprint)
    votes.undo_vote(run, "Ada")
    vote(run, "ad")
    second = votes.make_set(run, "easy")
    assert (second.version, second.labels, second.dropped) == (2, 3, 1)
    assert votes.set_file(first.fingerprint) == before
    assert votes.make_set(run, "easy").version == 2  # the same labels are the same version


def test_a_set_needs_a_decided_pair(workplace: Workplace) -> None:
    run = labeled_run()
    vote(run, "a", "Ada")
    vote(run, "b", "Bo")
    with pytest.raises(DataError, match="decided"):
        votes.make_set(run, "torn")
    with pytest.raises(UnfitVote, match="cannot be a name"):
        votes.make_set(run, "no good")


def test_votes_and_sets_go_out_and_come_back_as_they_were(workplace: Workplace) -> None:
    """Also those without a side; what is in a file is somebody's vote on that pair, once."""
    run = labeled_run()
    for choice in ("a", "b", "tie", "unsure", "drop"):
        shown = votes.next_pair(run, "Ada", "mixed")
        assert shown is not None
        votes.cast_vote(shown, choice)
    lines = list(votes.votes_file(run))
    assert {"prompt", "chosen", "rejected", "source", "weight"} <= json.loads(lines[0]).keys()
    renamed = [json.dumps(json.loads(line) | {"person": "Bo"}) for line in lines]
    assert votes.import_votes(run, renamed, "somebody") == 5
    assert votes.import_votes(run, renamed, "somebody") == 0

    def said(person: str) -> dict[str, str]:
        with reading() as session:
            return {vote.pair_id: vote.vote for vote in queries.standing_votes(session, [run]) if vote.person == person}

    assert said("Bo") == said("Ada")
    set_lines = votes.set_file(votes.make_set(run, "whole").fingerprint).splitlines()
    assert votes.import_votes(run, set_lines, "Cy") == 3  # a, b and the dropped one
    assert said("Cy") == {pair: vote for pair, vote in said("Ada").items() if vote in ("a", "b", "drop")}


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.RUNNER])
def test_votes_from_a_file_are_taken_under_the_own_name_and_those_of_others_by_an_administrator(
    workplace: Workplace, role: Role
) -> None:
    """A role that was lowered meanwhile counts; the log says who took whose votes."""
    run, me, admin = labeled_run(), "ada@example.org", "root@example.org"
    vote(run, "a", "Bo")
    (line,) = votes.votes_file(run)
    own = [json.dumps(json.loads(line) | {"person": f" {me}  "}), json.dumps({**json.loads(line), "person": None})]

    def held() -> set[str]:
        with reading() as session:
            return {one.person for one in queries.standing_votes(session, [run])}

    with signed_in(me, role):
        for lines, person in (([line], me), ([*own, line], me), (own, "Bo")):
            with pytest.raises(NotAllowed, match=r"^The file has votes of Bo, and you are ada@example\.org: votes"):
                votes.import_votes(run, lines, person)
        assert held() == {"Bo"}
        assert votes.import_votes(run, own, me) == 1
    assert held() == {"Bo", me}
    others = [json.dumps(json.loads(line) | {"person": name}) for name in ("Cy", "Di")]
    with signed_in(admin, Role.ADMIN):
        assert votes.import_votes(run, others, admin) == 2
    with reading() as session:
        events = [one for one in queries.audit_events(session) if one.action == "people.votes.import_votes"]
    assert [(one.who, json.loads(one.after or "")) for one in events] == [
        (me, {"votes": 1, "people": [me]}), (admin, {"votes": 2, "people": ["Cy", "Di"]})
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{not json", "Line 1 is not JSON"),
        ("[1, 2]", "Line 1 cannot be used"),
        ('{"prompt": "x", "chosen": "y"}', "Line 1 cannot be used"),
        ('{"prompt": "x", "chosen": "y", "rejected": "z"}', "not among the pairs"),
        ("", "no line"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_changes_nothing(workplace: Workplace, line: str, why: str) -> None:
    run = labeled_run()
    with pytest.raises((DataError, UnfitVote), match=why):
        votes.import_votes(run, [line], "Ada")
    assert list(votes.votes_file(run)) == []
