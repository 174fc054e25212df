"""Questions that are always the same are written down once: that takes longer than to answer them of one run."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db import queries
from db.engine import Engines, read_scope
from db.queries import annotators, runs, stages
from db.queries.people import listing
from tests.db.done import done

__all__ = ["done"]  # the fixture of that name
ASKED: dict[str, tuple[Any, Callable[[Session, int], Any]]] = {
    "one run": (runs, queries.get_run),
    "a run with its labels": (annotators, annotators.labeled_run),
    "the newest runs with an annotator": (annotators, lambda session, run_id: annotators.newest_labeled(session, 5)),
    "the stages of a run": (stages, queries.run_stages),
    "measured kinds": (stages, lambda session, run_id: queries.measured_stages(session, ["data", "labels"])),
    "measured stages": (stages, lambda session, run_id: stages.measured_rows(session, [1, 2])),
    "what stands around the list": (listing, lambda session, run_id: listing.around(session)),
    "the version of the list": (listing, lambda session, run_id: listing.version(session)),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_question_that_is_always_the_same_is_written_down_once(
    name: str, done: tuple[Engines, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, run_id = done
    module, ask = ASKED[name]
    with read_scope(engines) as session:
        first = ask(session, run_id)
    for place in (runs, module):
        monkeypatch.setattr(place, "select", None)  # nothing is written down any more
    with read_scope(engines) as session:
        assert ask(session, run_id) == first


def test_runs_that_are_not_deleted_are_told_by_one_condition() -> None:
    assert runs.not_deleted() is runs.not_deleted()
