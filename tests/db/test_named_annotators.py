"""Annotators with a name: who can be named, what a name keeps, and what is known of it."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.errors import DatabaseError, UnknownAnnotator
from db.models import Artifact, Stage
from db.records import LearnedFrom, NewStage
from db.repositories import named_annotators, runs, stages
from tests.db.make import LEASE, add_worker, new_run, publish, submit

ANNOTATOR = {"model": "facebook/opt-125m", "revision": "27dc", "label_fraction": 0.3, "seed": 4, "split_seed": 5}
DATA = {"dataset": "hh-harmless", "revision": "09be"}


def stage(slot: str, fingerprint: str, kind: str, inputs: tuple[str, ...] = (), /, **config: object) -> NewStage:
    return NewStage(
        slot=slot, fingerprint=fingerprint, kind=kind, version=1, config=config, inputs={name: name for name in inputs}
    )


def trained(**changes: NewStage) -> list[NewStage]:
    """A run that trains an annotator and labels with it; keywords replace a slot."""
    own = {
        "data": stage("data", "data", "data", **DATA),
        "annotator": stage("annotator", "a" * 64, "annotator", ("data",), **ANNOTATOR),
        "labels": stage("labels", "labels", "labels", ("data", "annotator")),
    }
    return list({**own, **changes}.values())


def using(fingerprint: str = "a" * 64) -> list[NewStage]:
    """A run on other data that labels with an existing annotator."""
    data = stage("data", "other data", "data", dataset="tldr", revision=None)
    return [data, stage("labels", "other labels", "labels", ("data",), use=fingerprint)]


def computed(engines: Engines, specs: list[NewStage]) -> int:
    with session_scope(engines) as session:
        run = runs.create(session, new_run(), specs).run_id
    worker = add_worker(engines, name=f"w{run}")
    while True:
        with session_scope(engines) as session:
            claimed = stages.claim(session, worker, "cpu", LEASE)
            if claimed is None:
                return run
            publish(session, claimed, **SUMMARIES.get(claimed.kind, {}))


SUMMARIES = {
    "annotator": {"pairs": 300},
    "labels": {
        "n": 700, "accuracy_human": 0.68, "accuracy_truth": None, "mean_confidence": 0.41, "human": {"ece": 0.05},
    },
    "calibration": {"temperature": 1.7},
}  # fmt: skip


def name(engines: Engines, run: int, called: str = "helpful", note: str = "") -> int:
    with session_scope(engines) as session:
        return named_annotators.create(session, run, called, note)


def refusal(engines: Engines, run: int, called: str = "helpful") -> str:
    with pytest.raises(DatabaseError) as refused, session_scope(engines) as session:
        named_annotators.create(session, run, called)
    return str(refused.value)


def fingerprints(session: Session) -> set[str]:
    return set(session.scalars(select(Stage.fingerprint)))


def test_versions_of_a_name_count_up_and_a_name_alone_is_the_newest(database: Engines) -> None:
    first = computed(database, trained())
    other = trained(annotator=stage("annotator", "b" * 64, "annotator", ("data",), **{**ANNOTATOR, "seed": 9}))
    other[-1] = stage("labels", "labels b", "labels", ("data", "annotator"))
    second = computed(database, other)
    assert [name(database, run) for run in (first, second)] == [1, 2]
    assert name(database, first, "honest") == 1
    with read_scope(database) as session:
        assert [queries.find_annotator(session, text).seed for text in ("helpful", "helpful@2", "helpful@1")] == [
            9,
            9,
            4,
        ]
        assert [row.key for row in queries.named_annotators(session)] == ["honest@1", "helpful@2", "helpful@1"]
        with pytest.raises(UnknownAnnotator, match="helpful has no version 3; it has 1, 2"):
            queries.find_annotator(session, "helpful@3")
        with pytest.raises(UnknownAnnotator, match="no annotator named 'hlepful'; choose one of helpful, honest"):
            queries.find_annotator(session, "hlepful")
    assert "is helpful@1 already" in refusal(database, first)


def test_a_name_knows_where_the_annotator_comes_from_and_how_right_it_was(database: Engines) -> None:
    """On its own data and, used by another run, on other data."""
    run = computed(database, trained(calibration=stage("calibration", "cal", "calibration", ("data",))))
    name(database, run, note="30 % of harmless")
    computed(database, using())
    with read_scope(database) as session:
        row = queries.find_annotator(session, "helpful")
    assert (row.model, row.dataset, row.label_fraction, row.seed, row.split_seed) == (
        "facebook/opt-125m", "hh-harmless", 0.3, 4, 5,
    )  # fmt: skip
    assert (row.kind, row.pairs, row.temperature, row.note, row.stored) == (
        "bradley_terry", 300, 1.7, "30 % of harmless", True,
    )  # fmt: skip
    assert [(one.dataset, one.n, one.accuracy_human, one.mean_confidence, one.ece) for one in row.figures] == [
        ("hh-harmless", 700, 0.68, 0.41, 0.05),
        ("tldr", 700, 0.68, 0.41, 0.05),
    ]


def test_what_an_annotator_learned_from_is_found_by_its_fingerprint(database: Engines) -> None:
    """Its own data and the sources that were named; other stages and unknown fingerprints are left out."""
    sources = {"labeled_sources": ["facts", "sum"]}
    computed(database, trained(annotator=stage("annotator", "a" * 64, "annotator", ("data",), **ANNOTATOR, **sources)))
    computed(database, using())
    with read_scope(database) as session:
        found = queries.learned_from(session, ["a" * 64, "f" * 64, "labels"])
        assert queries.learned_from(session, []) == []
    assert found == [
        LearnedFrom(fingerprint="a" * 64, dataset="hh-harmless", revision="09be", subset=None, sources=("facts", "sum"))
    ]


def test_labels_of_a_used_annotator_are_listed_under_what_it_is(database: Engines) -> None:
    """Kind and seed of the annotator, not of the run that uses it."""
    joint = stage("annotator", "a" * 64, "annotator", ("data",), **ANNOTATOR, kind="joint")
    computed(
        database, trained(annotator=joint, labels=stage("labels", "l", "labels", ("data", "annotator"), kind="joint"))
    )
    computed(database, using())
    with read_scope(database) as session:
        rows = queries.list_annotators(session)
    assert [(row.kind, row.seed, row.existing) for row in rows] == [("joint", 4, True), ("joint", 4, False)]


def test_who_cannot_be_named_is_said(database: Engines) -> None:
    queued = submit(database).run_id
    assert "annotator of run 1 is queued: name it when it is done" in refusal(database, queued)
    with session_scope(database) as session:
        runs.cancel(session, queued)
    second = stage("annotator_2", "c" * 64, "annotator", ("data",))
    ensemble = computed(database, trained(annotator_2=second))
    assert f"Run {ensemble} labels with an ensemble" in refusal(database, ensemble)
    implicit = stage("annotator", "d" * 64, "align", ("data",))
    assert "implicit reward of two models" in refusal(database, computed(database, trained(annotator=implicit)))
    assert "has no annotator" in refusal(database, computed(database, [stage("data", "human", "data")]))
    assert "uses an existing annotator" in refusal(database, computed(database, using()))
    assert "There is no run 99" in refusal(database, 99)
    done = computed(database, trained())
    for wrong in ("", "two words", "a/b", "a@1", "e" * 64, ".hidden"):
        assert "cannot be a name" in refusal(database, done, wrong)


def test_deleting_the_run_keeps_a_named_annotator_and_what_it_was_trained_on(database: Engines) -> None:
    run = computed(database, trained())
    name(database, run)
    with session_scope(database) as session:
        gone = runs.delete(session, run)
    assert gone.fingerprints == ("labels",)
    assert gone.named == ("helpful@1",)
    with read_scope(database) as session:
        assert fingerprints(session) == {"data", "a" * 64}
        row = queries.find_annotator(session, "helpful@1")
        assert (row.dataset, row.stored, row.figures) == ("hh-harmless", True, ())
    with session_scope(database) as session:
        assert set(named_annotators.forget(session, "helpful", 1)) == {"data", "a" * 64}
    with read_scope(database) as session:
        assert fingerprints(session) == set()
        assert session.scalar(select(func.count()).select_from(Artifact).where(Artifact.deleted_at.is_(None))) == 0
    with pytest.raises(UnknownAnnotator), session_scope(database) as session:
        named_annotators.forget(session, "helpful", 1)


def test_an_annotator_that_another_run_uses_goes_with_that_run(database: Engines) -> None:
    """Without a name as well: the run that trained it may be deleted before the one that uses it."""
    first, second = computed(database, trained()), computed(database, using())
    with session_scope(database) as session:
        assert runs.delete(session, first).fingerprints == ("labels",)
    with read_scope(database) as session:
        assert fingerprints(session) == {"data", "a" * 64, "other data", "other labels"}
    with session_scope(database) as session:
        runs.delete(session, second)
    with read_scope(database) as session:
        assert fingerprints(session) == set()
