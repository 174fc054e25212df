"""Expected seconds grow with tokens: of answers as far as they may go on, of pairs as their data had them. By hand."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cwpo.config.run import RunConfig, merged
from cwpo.stages.graph import build
from db import queries
from db.records import MeasuredStage
from tests.workers.plan.test_estimate import known, measured_run, planned, seconds_of
from tests.workers.plan.test_eta import queue, stage
from workers.plan import estimate, queue_times, submission
from workers.plan.lasting import Done, Lasting, Work

FILE: dict[str, Any] = {"method": "cw", "evaluation": {"gold_reward": "trained"}}


def wrote(tokens: float | None, longest: int | None, ended: float | None) -> Done:
    return Done(lasting=Lasting(work=1.0), work=Work(longest=longest), tokens=tokens, ended=ended)


@pytest.mark.parametrize(
    ("tokens", "longest", "ended", "asked", "expected"),
    [
        (40, 48, 1.0, 8, 8),  # what is cut has no more
        (40, 48, 1.0, 48, 40),
        (40, 48, 1.0, 512, 40),  # all had ended: more room changes nothing
        (8, 8, 0.0, 512, 512),  # none had: nothing says that one would
        (8, 8, 0.0, 4, 4),
        (2, 3, 0.5, 3, 2),
        (2, 3, 0.5, 4, 2.5),  # half were cut: they have one token more
        (2, 3, 0.5, 5, 2.5 + 0.5 * 0.75),  # and of these three in four a second one: one ended in each four tokens
        (8, 8, None, 512, 8),  # not counted: no more than they had
        (8, 8, None, 4, 4),
        (None, 8, None, 4, None),
        (8, None, None, 4, None),
    ],
)
def test_answers_that_were_cut_go_on_where_they_may(
    tokens: float | None, longest: int | None, ended: float | None, asked: int, expected: float | None
) -> None:
    found = wrote(tokens, longest, ended).answer_tokens(asked)
    assert found == (None if expected is None else pytest.approx(expected))


def answered(rows: list[MeasuredStage], tokens: float, ended: float, **over: Any) -> list[MeasuredStage]:
    """The same stages, of which those of answers counted so many tokens."""
    told = {"tokens": tokens, "ended": ended, **over}
    return [dataclasses.replace(row, **told) if row.kind == "samples" else row for row in rows]


def longest(most: int) -> dict[str, Any]:
    return {"evaluation": {"max_new_tokens": most}}


def test_answers_take_as_long_as_they_have_tokens() -> None:
    """Two stages of 5 s each whose answers had 32 tokens of 48: of 8 they take a quarter; more room costs nothing,
    because all had ended. Had all been cut, twice the room would take twice as long."""
    ended, cut = (
        answered(measured_run(5.0, **longest(48)), *counted) for counted in ((32.0, 1.0), (48.0, 0.0))
    )  # fmt: skip
    found = [seconds_of(planned(longest(most), known(*ended)))["samples"] for most in (8, 48, 96)]
    assert found == pytest.approx([2.5, 10, 10])
    assert seconds_of(planned(longest(96), known(*cut)))["samples"] == pytest.approx(20)
    unknown = measured_run(5.0, **longest(48))
    assert seconds_of(planned(longest(8), known(*unknown)))["samples"] == pytest.approx(10)


def test_only_the_work_of_writing_answers_grows_with_tokens() -> None:
    """Of 5 s, 1 was loading and 1 behind the work: with a quarter of the tokens 1 + 3 / 4 + 1 s, twice."""
    told = answered(measured_run(5.0, **longest(48)), 32.0, 1.0, work_began=1.0, work_ended=4.0)
    assert seconds_of(planned(longest(8), known(*told)))["samples"] == pytest.approx(2 * 2.75)


def test_answers_that_were_not_counted_go_by_those_of_the_same_model_that_were() -> None:
    """Along an alignment and for the best of n nobody counts tokens; a run's own answers had 32 of 48."""
    part = {"evaluation": {"along": {}}}
    rows = answered(measured_run(5.0, **merged(part, longest(48))), 32.0, 1.0)
    found = seconds_of(planned(merged(part, longest(8)), known(*rows)))
    assert (found["along"], found["best_of"]) == (pytest.approx(5 / 4), pytest.approx(5 / 4))


def of_file(
    dataset: str, seconds: float, tokens: Mapping[str, float], longest_pair: int | None = None
) -> list[MeasuredStage]:
    """Stages of a run on 1,000 pairs of this file: kind -> the mean tokens of a pair."""
    config = run_on(dataset, longest_pair)
    return [
        MeasuredStage(
            kind=spec.kind, model=submission.model_of(config, spec) or "", device="cpu", seconds=seconds,
            stage_config=spec.config, config=config.canonical(), pairs=1000, tokens=tokens[spec.kind],
        )
        for spec in build(config).values() if spec.kind in tokens
    ]  # fmt: skip


def run_on(dataset: str, longest_pair: int | None = None) -> RunConfig:
    model = {} if longest_pair is None else {"model": {"max_length": longest_pair}}
    return RunConfig.parse(merged(FILE, {"data": {"dataset": dataset}, **model}))


def aligned(dataset: str, rows: Collection[MeasuredStage], longest_pair: int | None = None) -> float | None:
    """Expected seconds of an alignment on 1,000 pairs of this file."""
    config = run_on(dataset, longest_pair)
    graph = build(config)
    found = estimate.make([(config, graph)], known(*rows, pairs={graph["data"].fingerprint: 1000}))
    return seconds_of(found)["align"]


def test_a_training_takes_as_long_as_its_pairs_have_tokens() -> None:
    """10 s on pairs of 100 tokens; the reference model, which reads them with the same tokenizer, met 400 in another
    file, and nobody has read a third one."""
    rows = [
        *of_file("owner/short", 10.0, {"align": 100.0, "reference": 100.0}),
        *of_file("owner/long", 40.0, {"reference": 400.0}),
    ]
    assert {row.kind for row in rows} == {"align", "reference"}
    found = [aligned(name, rows) for name in ("owner/short", "owner/long", "owner/new")]
    assert found == pytest.approx([10, 40, 10])


def test_tokens_of_a_pair_are_those_that_fit_the_model() -> None:
    """Measured at 100 tokens with all of a pair; cut to 64 they were 50, and at 32 nobody knows."""
    rows = [
        *of_file("owner/short", 10.0, {"align": 100.0, "reference": 100.0}),
        *of_file("owner/short", 5.0, {"reference": 50.0}, longest_pair=64),
    ]
    assert aligned("owner/short", rows, longest_pair=64) == pytest.approx(5)
    assert aligned("owner/short", rows, longest_pair=32) == pytest.approx(10)


def test_answers_alone_say_nothing_of_pairs() -> None:
    """Fine-tuning reads one answer of a pair."""
    rows = [*of_file("owner/short", 10.0, {"align": 100.0}), *of_file("owner/long", 40.0, {"sft": 200.0})]
    assert {row.kind for row in rows} == {"align", "sft"}
    assert aligned("owner/long", rows) == pytest.approx(10)


def test_what_counted_the_tokens_of_live_stages_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Collection[tuple[str, str]]] = []
    monkeypatch.setattr(queries, "measured_like", lambda session, wanted: (asked.append(wanted), [])[1])
    monkeypatch.setattr(queries, "work_of", lambda session, stage_runs: [])
    live = (stage(91, kind="align"), stage(92, kind="along"), stage(93, kind="labels", model="n"))
    assert queue_times.expected(Session(), queue(*live)) == {91: None, 92: None, 93: None}
    assert asked == [{("align", "m"), ("reference", "m"), ("along", "m"), ("samples", "m"), ("labels", "n")}]
