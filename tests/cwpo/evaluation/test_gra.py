"""GRA per prompt, by hand: sample k of the aligned model meets sample k of the baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cwpo.errors import ArtifactError
from cwpo.evaluation.gra import run_evaluation
from tests.cwpo.stage import context

Scores = dict[str, list[float]]


def answers(
    folder: Path,
    scores: Scores,
    *,
    reference: bool,
    ungrammatical: bool | None = None,
    texts: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """A samples and a scores artifact: {prompt: score of each sample}. Sample k has 10 + k tokens, log-prob −k − 1, and
    a text of its own where `texts` has none for the prompt."""
    rows = [
        {
            "prompt_id": prompt,
            "sample": sample,
            "tokens": 10 + sample,
            "logp": -1.0 - sample,
            "reference_logp": -3.0 if reference else None,
            "score": score,
            "ungrammatical": ungrammatical,
            "text": (texts or {}).get(prompt, f"{folder.name} {prompt} {sample}"),
            "finished": True,
            **({"cluster": clusters[prompt]} if clusters else {}),
        }
        for prompt, values in scores.items()
        for sample, score in enumerate(values)
    ]
    table = pd.DataFrame(rows)
    for name in ("samples", "scores"):
        (folder / name).mkdir(parents=True)
        table.to_parquet(folder / name / f"{name}.parquet")
    return {"samples": folder / "samples", "scores": folder / "scores"}


def evaluated(
    tmp_path: Path,
    aligned: Scores,
    baseline: Scores,
    epsilon: float = 0.0,
    *,
    texts: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
    **settings: Any,
) -> tuple[dict[str, Any], pd.DataFrame]:
    own = answers(tmp_path / "own", aligned, reference=True, ungrammatical=True, texts=texts, clusters=clusters)
    other = answers(tmp_path / "other", baseline, reference=False, ungrammatical=False, texts=texts, clusters=clusters)
    inputs = {**own, "baseline_samples": other["samples"], "baseline_scores": other["scores"]}
    ctx = context(tmp_path, "evaluation", config={"tie_epsilon": epsilon, **settings}, inputs=inputs)
    summary = run_evaluation(ctx)
    return summary, pd.read_parquet(ctx.out / "outcomes.parquet").set_index("prompt_id")


def test_outcomes_by_hand(tmp_path: Path) -> None:
    """p: win and tie, ¾, a win; q: loss and win, ½, a tie; r: two losses. GRA = (¾ + ½ + 0) / 3 = 5/12."""
    summary, rows = evaluated(
        tmp_path, {"p": [2, 1], "q": [0, 3], "r": [0, 0]}, {"r": [1, 2], "q": [1, 2], "p": [1, 1]}
    )
    assert rows["outcome"].to_dict() == {"p": 0.75, "q": 0.5, "r": 0.0}
    assert summary["gra"] == pytest.approx(5 / 12)
    assert (summary["wins"], summary["ties"], summary["losses"]) == (1, 1, 1)
    assert summary["gra_strict"] == pytest.approx(1 / 3)
    assert summary["gra_ties_dropped"] == pytest.approx(1 / 2)
    assert (summary["prompts"], summary["samples"]) == (3, 2)
    assert summary["ci_low"] < summary["gra"] < summary["ci_high"]
    assert summary["interval_method"] == "Wilson, effective prompts"


def test_what_stands_beside_it(tmp_path: Path) -> None:
    """Log-ratios are −1 + 3 and −2 + 3: 1.5 nats; tokens 10 and 11; scores (2 + 1)/2 and (1 + 1)/2."""
    summary, rows = evaluated(tmp_path, {"p": [2, 1]}, {"p": [1, 1]})
    assert summary["kl"] == pytest.approx(1.5)
    assert rows.loc["p", "logratio"] == pytest.approx(1.5)
    assert (summary["mean_tokens"], summary["baseline_mean_tokens"]) == (10.5, 10.5)
    assert (summary["mean_score"], summary["baseline_mean_score"]) == (1.5, 1.0)
    assert (summary["ungrammatical"], summary["baseline_ungrammatical"]) == (1.0, 0.0)


def test_one_sample_without_ties_gets_wilson(tmp_path: Path) -> None:
    """3 wins of 4: Wilson's 95 % interval is (.3006, .9544)."""
    aligned = {"p": [1.0], "q": [1.0], "r": [1.0], "s": [0.0]}
    summary, _ = evaluated(tmp_path, aligned, {prompt: [0.5] for prompt in aligned})
    assert summary["interval_method"] == "Wilson"
    assert (summary["ci_low"], summary["ci_high"]) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))


def test_equal_answers_tie_whatever_rounding_their_scores_have(tmp_path: Path) -> None:
    """p: the same text, 2e-7 apart, ½; q: other texts as far apart, a loss. By their scores alone both are losses."""
    aligned, baseline = {"p": [1.0], "q": [1.0]}, {"p": [1.0 + 2e-7], "q": [1.0 + 2e-7]}
    summary, rows = evaluated(tmp_path / "now", aligned, baseline, texts={"p": "the same"})
    assert rows["outcome"].to_dict() == {"p": 0.5, "q": 0.0}
    assert (summary["wins"], summary["ties"], summary["losses"]) == (0, 1, 1)
    _, before = evaluated(tmp_path / "before", aligned, baseline, texts={"p": "the same"}, equal_texts="scored")
    assert before["outcome"].to_dict() == {"p": 0.0, "q": 0.0}


def test_related_prompts_count_as_one_in_the_interval(tmp_path: Path) -> None:
    """Twelve prompts in three clusters of four that agree say less than twelve prompts do."""
    aligned = {f"p{n:02d}": [float(n % 3)] for n in range(12)}
    clusters = {prompt: f"c{int(prompt[1:]) % 3}" for prompt in aligned}
    baseline = {prompt: [1.0] for prompt in aligned}
    alone, plain = evaluated(tmp_path / "alone", aligned, baseline)
    found, rows = evaluated(tmp_path / "related", aligned, baseline, clusters=clusters)
    assert found["gra"] == alone["gra"] == 0.5
    assert found["clusters"] == 3
    assert rows["cluster"].to_dict() == clusters
    assert "clusters" not in alone
    assert "cluster" not in plain
    assert found["ci_high"] - found["ci_low"] > 1.5 * (alone["ci_high"] - alone["ci_low"])


def test_a_model_against_itself_is_one_half(tmp_path: Path) -> None:
    scores = {f"p{n}": [float(n), float(-n)] for n in range(20)}
    summary, _ = evaluated(tmp_path, scores, scores)
    assert summary["gra"] == 0.5
    assert summary["ties"] == 20
    assert summary["gra_ties_dropped"] is None


def test_differences_up_to_epsilon_are_ties(tmp_path: Path) -> None:
    summary, _ = evaluated(tmp_path, {"p": [1.05], "q": [1.2]}, {"p": [1.0], "q": [1.0]}, epsilon=0.1)
    assert (summary["wins"], summary["ties"]) == (1, 1)


def test_nothing_known_about_grammar_is_none(tmp_path: Path) -> None:
    own = answers(tmp_path / "own", {"p": [1.0]}, reference=True)
    other = answers(tmp_path / "other", {"p": [0.0]}, reference=False)
    inputs = {**own, "baseline_samples": other["samples"], "baseline_scores": other["scores"]}
    summary = run_evaluation(context(tmp_path, "evaluation", config={"tie_epsilon": 0.0}, inputs=inputs))
    assert summary["ungrammatical"] is None
    assert summary["baseline_ungrammatical"] is None


@pytest.mark.parametrize("baseline", [{"p": [1.0]}, {"p": [1.0], "q": [1.0, 2.0]}, {"p": [1.0], "r": [1.0]}])
def test_different_prompts_or_samples_are_refused(tmp_path: Path, baseline: Scores) -> None:
    with pytest.raises(ArtifactError, match="same prompts"):
        evaluated(tmp_path, {"p": [1.0], "q": [1.0]}, baseline)
