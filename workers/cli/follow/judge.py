"""`cwpo judge`: a judge model compares the stored answers of runs, after it was said what that takes."""

import sys
from collections.abc import Sequence

from pydantic import ValidationError

from cwpo.bounds import yaml_text
from cwpo.config.checks import problems_of
from cwpo.config.parts import JudgeConfig
from cwpo.errors import ConfigError
from workers import api
from workers.plan import judging


def main(runs: Sequence[int], asked: JudgeConfig, *, only_plan: bool) -> int:
    """Say the cost, then queue it."""
    print(judging.sentence(api.judging_cost(runs, asked)))
    return 0 if only_plan else _said(api.judge(runs, asked))


def card(runs: Sequence[int], gold_reward: str | None) -> int:
    """The gold reward on pairs with human labels."""
    return _said(api.check_judge(runs, gold_reward))


def _said(made: Sequence[api.Submitted]) -> int:
    for one in made:
        print(f"run {one.run_id}: {one.stages} stages, {one.reused} of them shared or done already")
    if any(one.queue_down for one in made):
        print("Redis does not answer: the runs are queued and start when it is back.", file=sys.stderr)
    return 0


def asked_of(kind: str, model: str, sets: Sequence[str]) -> JudgeConfig:
    """The judge model that the options describe."""
    values: dict[str, object] = {"kind": kind, "model": model}
    for one in sets:
        name, mark, value = one.partition("=")
        if not mark:
            raise ConfigError("--set", f"{one!r} is not FIELD=VALUE.")
        try:
            values[name.strip().removeprefix("evaluation.judge.")] = yaml_text.read(value)
        except yaml_text.YamlError as error:
            raise ConfigError("--set", f"the value in {one[:80]!r} {error}; quote it.") from error
    try:
        return JudgeConfig.model_validate(values)
    except ValidationError as error:
        field, sentence = problems_of(error)[0]
        raise ConfigError(f"evaluation.judge.{field}", sentence) from error
