"""Runs as comparisons read them, whether a database knows them or not; what makes two of them comparable."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cwpo.config.run import RunConfig
from cwpo.stages.graph import build

ONE_SEED = "prompt uncertainty only (1 seed)"
DIFFERENT_BASELINES = "different opponents"
UNKNOWN_BASELINE = "opponent unknown"
DIFFERENT_JUDGES = "different gold rewards"
UNKNOWN_JUDGE = "gold reward unknown"
NO_COMMON_SEED = "no seed in common"
NO_COMMON_PROMPT = "no prompt in common"

Configs = Mapping[int, RunConfig]  # by run


class Numbered(Protocol):
    """Anything that a configuration is known by."""

    @property
    def id(self) -> int: ...


class OfASetting(Protocol):
    """Anything that belongs to a setting: runs that differ in their seed alone share its key."""

    @property
    def group_key(self) -> str: ...


class ComparedRun(OfASetting, Protocol):
    """What is read off a run; db.records.RunRow has it."""

    @property
    def id(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def method_label(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def baseline(self) -> str | None:
        """The same for runs with the same baseline's answers."""

    @property
    def judge(self) -> str | None:
        """The same for runs whose baseline's answers the same gold reward scored."""


@dataclass(frozen=True, kw_only=True)
class ConfiguredRun:
    """A run, numbered by whoever compares it."""

    id: int
    group_key: str
    method: str
    method_label: str
    objective: str
    seed: int
    baseline: str | None
    judge: str | None


Run = TypeVar("Run", bound=ComparedRun)
Member = TypeVar("Member", bound=OfASetting)


def configured_run(number: int, config: RunConfig, group: str) -> ConfiguredRun:
    """The run of a configuration; its baseline is known by what made its answers, its judge by what scored them."""
    stages = build(config)
    return ConfiguredRun(
        id=number,
        group_key=group,
        method=config.method,
        method_label=config.method_label,
        objective=config.objective,
        seed=config.seed,
        baseline=stages["baseline_samples"].fingerprint,
        judge=stages["baseline_scores"].fingerprint,
    )


def by_setting(members: Iterable[Member], key: Callable[[Member], str] | None = None) -> dict[str, list[Member]]:
    """Everything of one setting together, in the order given; `key` where settings are told apart by less."""
    groups: dict[str, list[Member]] = {}
    for one in members:
        groups.setdefault(key(one) if key else one.group_key, []).append(one)
    return groups


def config_of(members: Iterable[Numbered], configs: Configs) -> RunConfig | None:
    """The configuration of a setting: that of its first run whose configuration is known."""
    return next((configs[run.id] for run in members if run.id in configs), None)


def in_order(runs: Iterable[Run]) -> list[Run]:
    """By seed; of one seed the older first."""
    return sorted(runs, key=lambda run: (run.seed, run.id))


def why_unpaired(first: Sequence[ComparedRun], second: Sequence[ComparedRun]) -> str | None:
    """Under every seed both met the same baseline before the same judge, or what keeps them from being paired."""
    for one in first:
        for other in second:
            if one.seed != other.seed:
                continue
            if one.baseline is None or one.baseline != other.baseline:
                return UNKNOWN_BASELINE if one.baseline == other.baseline else DIFFERENT_BASELINES
            if one.judge is None or one.judge != other.judge:
                return UNKNOWN_JUDGE if one.judge == other.judge else DIFFERENT_JUDGES
    return None
