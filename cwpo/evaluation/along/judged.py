"""Answers to a part of the held-out prompts under a gold reward and a second judge, prompt by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cwpo.data.pairs import load_prompts
from cwpo.data.related.outcomes import CLUSTER
from cwpo.errors import ArtifactError
from cwpo.evaluation.generation import read_samples
from cwpo.evaluation.gold import SCORES_FILE, scores_of
from cwpo.records import Prompt, Sample
from cwpo.stages.along.settings import JudgedSettings
from cwpo.stages.context import StageContext
from cwpo.stages.settings import GoldRewardSettings
from cwpo.statistics.shares import share

JUDGES = ("gold", "second")
FloatArray = NDArray[np.float64]
Scores = Mapping[str, FloatArray]  # by judge, of the same answers in the same order


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The prompts that are asked, and who judges."""

    ctx: StageContext[JudgedSettings]
    prompts: list[Prompt]

    @classmethod
    def of(cls, ctx: StageContext[JudgedSettings]) -> "Bench":
        """The first prompts as they are stored, in the seeded order in which they were held out."""
        return cls(ctx=ctx, prompts=load_prompts(ctx.inputs["prompts"])[: ctx.settings.prompts])

    @property
    def judges(self) -> dict[str, GoldRewardSettings]:
        settings = self.ctx.settings
        return {"gold": settings.gold_reward} | ({"second": settings.second} if settings.second else {})

    def stored(self, samples: str, scores: str) -> tuple[list[Sample], FloatArray]:
        """Answers of the run's own stages to these prompts, with their gold scores."""
        wanted = {prompt.prompt_id for prompt in self.prompts}
        found = [one for one in read_samples(self.ctx.inputs[samples]) if one.prompt_id in wanted]
        rows = pd.read_parquet(self.ctx.inputs[scores] / SCORES_FILE, columns=["prompt_id", "sample", "score"])
        known = rows.set_index(["prompt_id", "sample"])["score"]
        try:
            graded = [float(known[one.prompt_id, one.sample]) for one in found]
        except KeyError as error:
            raise ArtifactError(
                f"Some answers of {samples} have no score; delete the scores stage and retry."
            ) from error
        return found, np.array(graded, dtype=np.float64)

    def score(self, judge: str, samples: Sequence[Sample]) -> FloatArray:
        """One score for each of the answers."""
        texts = {prompt.prompt_id: prompt for prompt in self.prompts}
        return scores_of(self.ctx, self.judges[judge], self.ctx.settings.precision, samples, texts)


def answer_rows(samples: Sequence[Sample], scores: FloatArray) -> pd.DataFrame:
    """Answers with one judge's scores as `evaluation.gra.compare` reads them."""
    rows = pd.DataFrame([asdict(sample) for sample in samples])
    rows = rows if rows[CLUSTER].notna().any() else rows.drop(columns=CLUSTER)
    return rows.assign(score=scores, ungrammatical=None)


def figures(outcomes: FloatArray, clusters: Sequence[str]) -> tuple[float, float, float]:
    """Mean outcome over prompts with its interval."""
    found = share(outcomes, clusters)
    return found.estimate, found.low, found.high


def rounded(values: FloatArray) -> list[float]:
    """As a summary keeps a value of each prompt: six digits behind the point say what matters."""
    return [round(float(value), 6) for value in values]


def said(bench: Bench, prompt_ids: Sequence[str], clusters: Sequence[str]) -> dict[str, Any]:
    """What the summaries of both stages say first: who judged what; a prompt without a cluster is its own."""
    judges = {name: one.name for name, one in bench.judges.items()}
    return {
        "prompts": len(prompt_ids),
        "gold": judges["gold"],
        "second": judges.get("second"),
        "prompt_ids": list(prompt_ids),
        "clusters": list(clusters),
    }
