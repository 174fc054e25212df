"""What decides the stages of over-optimisation: answers to a part of the prompts, under two judges. Free of torch."""

from dataclasses import dataclass
from typing import Literal

from cwpo.stages.settings import GoldRewardSettings, SampleSettings


@dataclass(frozen=True, kw_only=True)
class JudgedSettings(SampleSettings):
    """Answers to the first `prompts` held-out prompts, as a run's answers are sampled, under two judges."""

    prompts: int
    gold_reward: GoldRewardSettings
    second: GoldRewardSettings | None
    equal_texts: Literal["scored", "tie"]


@dataclass(frozen=True, kw_only=True)
class AlongSettings(JudgedSettings):
    """Of the models that an alignment kept along its training."""


@dataclass(frozen=True, kw_only=True)
class BestOfSettings(JudgedSettings):
    """Of the baseline, decoding.samples to a prompt, of which the best by the gold reward is taken."""
