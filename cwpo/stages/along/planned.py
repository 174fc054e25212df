"""The stages of over-optimisation: models kept along an alignment and the best of n baseline answers, under two judges.

What decides their results, from a run's configuration, and what they read. Free of torch.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from cwpo.config.parts import AlongConfig
from cwpo.config.run import RunConfig
from cwpo.stages import from_config
from cwpo.stages.along.settings import AlongSettings, BestOfSettings
from cwpo.stages.settings import DecodingSettings, SampleSettings, Settings

ALONG, BEST_OF = "along", "best_of"  # slots
OTHER_NOISE = 1_000_003  # added to the evaluation's seed: the best of n meets answers that are none of its own


def stages(
    config: RunConfig, *, prompts: str, start: str | None, baseline: str | None
) -> Iterator[tuple[str, Settings, dict[str, str]]]:
    """Slot, settings and inputs of what is asked for; `start`, `baseline`: slots of these models, None where they are
    the one named in the configuration."""
    part = config.evaluation.along
    if part is None:
        return
    gold = {"gold": "gold"} if config.evaluation.gold_reward == "trained" else {}
    opponent = {
        "prompts": prompts,
        "baseline_samples": "baseline_samples",
        "baseline_scores": "baseline_scores",
        **gold,
    }
    reference = {"reference_model": start} if start else {}
    own = {"model": "align", "samples": "samples", "scores": "scores", **reference}
    yield ALONG, along(config, part), {**opponent, **own}
    if part.best_of:
        yield BEST_OF, best_of(config, part), {**opponent, **({"model": baseline} if baseline else {})}


def along(config: RunConfig, part: AlongConfig) -> AlongSettings:
    """As many answers to a prompt as the run's evaluation has, with the distance from the reference."""
    return AlongSettings(**_plain(from_config.samples(config, with_reference=True)), **_judged(config, part))


def best_of(config: RunConfig, part: AlongConfig) -> BestOfSettings:
    """Other answers than those that the run meets."""
    values = _plain(from_config.samples(config, with_reference=False))
    decoding: DecodingSettings = values["decoding"]
    values |= {
        "decoding": DecodingSettings(
            temperature=decoding.temperature, top_p=decoding.top_p, max_new_tokens=decoding.max_new_tokens,
            samples=part.best_of,
        ),
        "evaluation_seed": config.evaluation.seed + OTHER_NOISE,
    }  # fmt: skip
    return BestOfSettings(**values, **_judged(config, part))


def answers_of(part: AlongConfig, prompts: int, samples: int) -> tuple[int, int]:
    """How many answers these stages write for one run: along the alignment, and of the baseline."""
    shown = min(part.prompts, prompts)
    return (part.checkpoints - 1) * shown * samples, part.best_of * shown


def _judged(config: RunConfig, part: AlongConfig) -> dict[str, Any]:
    second = part.second or ("oracle" if config.is_sandbox and config.evaluation.gold_reward != "oracle" else None)
    precision = config.model.precision
    return {
        "prompts": min(part.prompts, config.data.test_prompts),
        "gold_reward": from_config.scores(config).gold_reward,
        "second": None if second is None else from_config.reward_named(second, part.second_revision, precision),
        "equal_texts": from_config.evaluation(config).equal_texts,
    }


def _plain(settings: SampleSettings) -> dict[str, Any]:
    """Its fields as they are."""
    return {item.name: getattr(settings, item.name) for item in fields(settings)}
