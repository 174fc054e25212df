"""Who samples, in the configuration, at submission, in fingerprints and in the terms under a GRA."""

import sys
from pathlib import Path
from typing import Any

import pytest

from cwpo.config.run import RunConfig, problems
from cwpo.errors import ConfigError
from cwpo.models.memory_estimate import LEAST_CACHE, answer_cache
from cwpo.report.gra_terms import decoding_of
from cwpo.stages.from_config import samples
from cwpo.stages.graph import build
from cwpo.stages.resolve import resolve
from tests.cwpo.evaluation.engines_under_test import VERSION, fake_vllm


def config(precision: str = "fp32", **evaluation: Any) -> RunConfig:
    return RunConfig.parse({"method": "cw", "model": {"precision": precision}, "evaluation": evaluation})


def answers_of(run: RunConfig) -> tuple[str, str]:
    """Fingerprints of the aligned model's answers and of its opponent's."""
    stages = build(run)
    return stages["samples"].fingerprint, stages["baseline_samples"].fingerprint


def test_what_changes_answers_changes_their_fingerprint_and_nothing_else_does() -> None:
    """The opponent's as well as the aligned model's; in fp32 the size of a batch is no part of it."""
    vllm = {"engine": "vllm", "engine_version": "0.32.0"}
    runs = [
        config("bf16"),
        config("bf16", cache_gb=8.0),
        config("fp32"),
        config("bf16", **vllm),
        config("fp32", **vllm),
        config("bf16", **vllm, batch_invariant=True),
        config("bf16", **{**vllm, "engine_version": "0.33.0"}),
    ]
    found = [answers_of(run) for run in runs]
    assert len({aligned for aligned, _ in found}) == len({opponent for _, opponent in found}) == len(runs)
    assert answers_of(config("fp32", cache_gb=8.0)) == answers_of(config("fp32"))
    other = RunConfig.parse({**config("bf16").canonical(), "execution": {"tokens_per_batch": 7}})
    assert answers_of(other) == answers_of(config("bf16"))
    aligned = {build(run)["align"].fingerprint for run in runs if run.model.precision == "bf16"}
    assert len(aligned) == 1


def test_answers_and_those_of_the_opponent_have_the_same_batches() -> None:
    run = config("bf16", cache_gb=3.0)
    mine, theirs = samples(run, with_reference=True), samples(run, with_reference=False)
    assert mine.batches == theirs.batches is not None
    assert (mine.engine, theirs.engine) == (None, None)


def test_the_version_is_found_where_vllm_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a sentence says what to do; a version that is given is taken."""
    with pytest.raises(ConfigError, match=r"evaluation\.engine: vllm is not installed here: install the extra"):
        resolve(config(engine="vllm"), bf16=False, home=tmp_path)
    given = resolve(config(engine="vllm", engine_version="0.1"), bf16=False, home=tmp_path)
    assert given.evaluation.engine_version == "0.1"
    with fake_vllm(tmp_path, monkeypatch):
        assert resolve(config(engine="vllm"), bf16=False, home=tmp_path).evaluation.engine_version == VERSION
        monkeypatch.setenv("CWPO_VLLM_PYTHON", sys.executable)  # asked in a process of its own
        assert resolve(config(engine="vllm"), bf16=False, home=tmp_path).evaluation.engine_version == VERSION
        monkeypatch.setenv("CWPO_VLLM_PYTHON", str(tmp_path / "absent"))
        with pytest.raises(ConfigError, match="set CWPO_VLLM_PYTHON"):
            resolve(config(engine="vllm"), bf16=False, home=tmp_path)
    assert resolve(config(), bf16=False, home=tmp_path).evaluation.engine_version is None


@pytest.mark.parametrize(
    ("evaluation", "field"),
    [
        ({"engine_version": "0.1"}, "evaluation.engine_version"),
        ({"batch_invariant": True}, "evaluation.batch_invariant"),
        ({"engine": "vllm", "cache_gb": 2.0}, "evaluation.cache_gb"),
        ({"cache_gb": 0.0}, "evaluation.cache_gb"),
        ({"engine": "another"}, "evaluation.engine"),
    ],
)
def test_what_does_not_fit_together_names_its_field(evaluation: dict[str, Any], field: str) -> None:
    assert [name for name, _ in problems({"method": "cw", "evaluation": evaluation})] == [field]


def test_terms_name_an_engine_with_its_version_and_mode() -> None:
    plain = decoding_of(config())
    vllm = {"engine": "vllm", "engine_version": "0.32.0"}
    assert decoding_of(config(**vllm)) == f"{plain}, by vLLM 0.32.0 (not batch-invariant)"
    assert decoding_of(config(**vllm, batch_invariant=True)) == f"{plain}, by vLLM 0.32.0 (batch-invariant)"
    assert decoding_of(config("bf16", cache_gb=8.0)) == f"{plain}, in bf16 in batches of 8 GB"
    assert decoding_of(config("bf16")) == plain


def test_the_cache_of_bf16_by_hand() -> None:
    """A quarter of the weights, here of OPT-13B; never less than 3 GB; or what is asked for."""
    opt = answer_cache(layers=40, hidden=5120, vocabulary=50272, cache_gb=None)
    assert opt == 2 * (12 * 40 * 5120**2 + 50272 * 5120) // 4
    assert 6.3e9 < opt < 6.6e9
    assert answer_cache(layers=2, hidden=64, vocabulary=400, cache_gb=None) == LEAST_CACHE
    assert answer_cache(layers=40, hidden=5120, vocabulary=50272, cache_gb=1.5) == 1_500_000_000
