"""A report over simulated runs, with names as hostile as users can make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cwpo.compare import gra
from cwpo.compare.gra import gra_table, pairs_against
from cwpo.compare.reference import usual_reference
from cwpo.config.run import RunConfig
from cwpo.report.document.contents import Compared, document_of
from cwpo.report.document.parts import Document
from cwpo.report.verdict import verdict
from tests.cwpo.compare.compared_runs import ALIKE, outcomes_of, runs_of

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
HOSTILE = '</title><script>alert("x")</script><img src="https://evil.example/p.png" onerror=alert(1)>\u202e\u200b'


@dataclass(frozen=True)
class Reported:
    """A run with what became of it."""

    id: int
    group_key: str
    method: str
    method_label: str
    objective: str
    seed: int
    baseline: str | None
    judge: str | None
    name: str
    status: str
    evaluation: object


def compared(methods: Sequence[str] = ("human", "weak", "cw"), *, name: str = "small", failed: int = 0) -> Compared:
    """CW far above Human; the last `failed` runs have no result."""
    simple = runs_of(*methods, seeds=5)
    done = simple[: len(simple) - failed]
    runs = [
        Reported(
            one.id, one.group_key, one.method, one.method_label, one.objective, one.seed, one.baseline, one.judge, name,
            "done" if one in done else "failed", "result" if one in done else None,
        )
        for one in simple
    ]  # fmt: skip
    outcomes = outcomes_of(done, chance=ALIKE | {"human": 0.5, "cw": 0.8})
    configs = {one.id: RunConfig(method=one.method, seed=one.seed, name=name) for one in runs}
    table = gra_table(runs, outcomes, configs=configs)
    reference = usual_reference(table)
    pairs = pairs_against(runs, reference)
    found = gra.differences(runs, outcomes, pairs=pairs, configs=configs)
    return Compared(
        runs=runs, configs=configs, table=table, differences=found, matched=[],
        verdict=verdict(table, found, reference), reference=reference,
    )  # fmt: skip


def report(*, title: str = "", name: str = "small", failed: int = 0) -> Document:
    return document_of(compared(name=name, failed=failed), title=title, made_at=NOW)
