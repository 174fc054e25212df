"""Several ranks share the batches of labeling, reference, sampling and scoring, and find to the bit what one finds."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig, merged
from cwpo.errors import Cancelled
from cwpo.parallel.ranks import Ranks
from cwpo.stages.context import Execution, StageContext
from cwpo.stages.execute import executor
from cwpo.stages.graph import StageSpec
from cwpo.stages.kinds import kind_named
from cwpo.stages.pipeline import RunResult, run
from tests.cwpo import recorded
from tests.cwpo.parallel.forks import on_ranks
from tests.cwpo.recording import RecordingReporter

TABLES = {
    "labels": "annotations.parquet",
    "reference": "reference.parquet",
    "samples": "samples.parquet",
    "scores": "scores.parquet",
}
TOKENS = 60  # several batches of each stage, not as many as a multiple of the ranks


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A whole run by one process."""
    folder = tmp_path_factory.mktemp("alone")
    config = merged(recorded.config(folder).canonical(), {"execution": {"tokens_per_batch": TOKENS}})
    return folder, run(RunConfig.parse(config), home=folder / "home")


def computed(
    home: Path, spec: StageSpec, folder: Path, ranks: Ranks, *, tokens: int = TOKENS, **options: Any
) -> tuple[str, dict[str, Any], list[Any]]:
    """Where a rank wrote, its summary, and what it reported as progress."""
    store, out = ArtifactStore(home / "artifacts"), folder / str(ranks.rank)
    out.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True, parents=True)
    reporter = RecordingReporter()
    context = StageContext(
        kind=spec.kind,
        settings=spec.settings,
        inputs={name: store.path(source) for name, source in spec.input_fingerprints.items()},
        out=out,
        checkpoints=folder / "checkpoints",
        store=store,
        execution=Execution(tokens_per_batch=tokens, ranks=ranks),
        reporter=reporter,
        **options,
    )
    return str(out), executor(kind_named(spec.kind))(context), reporter.progresses


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", TABLES)
def test_ranks_find_what_one_process_finds_and_the_first_writes_it(
    alone: tuple[Path, RunResult], tmp_path: Path, kind: str, size: int
) -> None:
    folder, result = alone
    spec = result.specs[kind]
    of_one = result.stages[kind]
    out, summary, told = on_ranks(size, tmp_path / "ranks", partial(computed, folder / "home", spec, tmp_path))[0]
    ours, theirs = (pq.read_table(Path(where) / TABLES[kind]) for where in (out, of_one.path))
    assert ours.equals(theirs)
    assert {
        name: summary[name] for name in ("pairs", "n", "samples") if name in summary
    }.items() <= of_one.summary.items()
    if kind in ("labels", "reference"):
        assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("kind", ["labels", "reference", "scores"])
def test_all_ranks_stop_together_when_one_of_them_is_asked(
    alone: tuple[Path, RunResult], tmp_path: Path, kind: str
) -> None:
    folder, result = alone

    def stopped(ranks: Ranks) -> bool:
        asked = [False, False, True, True, True, True, True]
        with pytest.raises(Cancelled):
            computed(
                folder / "home", result.specs[kind], tmp_path, ranks,
                should_stop=lambda: ranks.rank == 1 and bool(asked.pop(0) if asked else True),
            )  # fmt: skip
        return True

    assert on_ranks(2, tmp_path / "ranks", stopped) == [True, True]


@pytest.mark.parametrize("size", [1, 3])
def test_answers_of_two_ranks_that_were_stopped_are_kept_by_any_number_of_ranks(
    alone: tuple[Path, RunResult], tmp_path: Path, size: int
) -> None:
    folder, result = alone
    work = partial(computed, folder / "home", result.specs["samples"], tmp_path, tokens=8)
    asked: list[bool] = [False] * 15 + [True]

    def stopped(ranks: Ranks) -> bool:
        with pytest.raises(Cancelled):
            work(ranks, should_stop=lambda: asked.pop(0) if len(asked) > 1 else True)
        return True

    assert on_ranks(2, tmp_path / "stopped", stopped) == [True, True]
    files = sorted((tmp_path / "checkpoints").glob("answers*.jsonl"))
    before = [path.read_text() for path in files]
    assert [path.name for path in files] == ["answers-1.jsonl", "answers.jsonl"]
    assert all(text.count("\n") > 1 for text in before)
    with files[0].open("a") as stream:
        stream.write('{"prompt_id": "cut sh')  # a kill in the middle of a line
    out, _, _ = on_ranks(size, tmp_path / "resumed", work)[0]
    after = [path.read_text() for path in files]
    assert all(text.startswith(start) for text, start in zip(after, before, strict=True))
    lines = [
        line for path in (tmp_path / "checkpoints").glob("answers*.jsonl") for line in path.read_text().splitlines()
    ]
    assert len(lines) == len(set(lines)) == result.stages["samples"].summary["samples"]
    ours, theirs = (pq.read_table(where / "samples.parquet") for where in (Path(out), result.stages["samples"].path))
    assert ours.drop(["logp", "reference_logp"]).equals(theirs.drop(["logp", "reference_logp"]))
    for name in ("logp", "reference_logp"):  # other batches, other roundings
        assert np.allclose(ours[name], theirs[name], rtol=1e-5)
