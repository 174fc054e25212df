"""Which runs answer which number of the paper, and in what they depart from its protocol. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

from cwpo.compare.configured_run import Configs, by_setting
from cwpo.config import catalog
from cwpo.config.dotted import flat, value_at
from cwpo.config.run import RunConfig
from cwpo.paper import published
from cwpo.paper.published import Arm, Number
from cwpo.paper.verdict import OF_CONFIDENCE, PaperDifference

SECONDS = "seconds"
FROM_LABELS = ("accuracy", SECONDS, *OF_CONFIDENCE)  # what the annotator alone decides
HEAD_TO_HEAD, RIVAL = "head_to_head", "human"
WIN_RATE, PAPERS_JUDGE = "win_rate", "gpt-4"
DIFFERENCES = ("gra", "accuracy", WIN_RATE)  # metrics whose differences answer a question

# Fields that tell one experiment from another; the rest of a run's configuration can only depart from the protocol.
DISTINCT = (
    "data.subset", "data.unlabeled_fraction", "data.mix", "data.labeled_sources", "data.unlabeled_sources",
    "data.swapped_labels", "weighting.name", "annotator.kind", "align.online",
)  # fmt: skip
SWAPPED = "by chance (harmful pairs with large reward gaps)"  # what is swapped here, and in the paper
ATTACKED = "helpful pairs, attacked harmless ones, and a random 30 % of the harmless pool in the unlabeled part"
MIXED = "judged on all sources together (on harmless and helpful prompts apart)"  # Table 24
OWN_SFT = "sft.data"  # tells two annotators of ws apart: with SFT of the weak model before its DPO, or without
USUAL: tuple[object, ...] = (None, 0, "bradley_terry", "pool", "labeled")
# What the paper leaves open or what cannot change a result: no departure from it.
OPEN = (
    "name", "seed", "seeds", "salt", "rules", "execution", "method", "top_percent", "objective", "data.revision",
    "data.length_rule.counts", "data.length_rule.tokenizer", "data.length_rule.tokenizer_revision",
    "data.test_prompts", "model.annotator_revision", "model.policy_revision", "model.precision",
    "model.max_length", "model.lora.target_modules", "annotator.schedule", "annotator.warmup_steps",
    "annotator.weight_decay", "annotator.max_grad_norm", "annotator.calibrate", "sft.max_grad_norm",
    "align.max_grad_norm", "evaluation.seed", "evaluation.samples", "evaluation.top_p", "evaluation.gold_revision",
    "evaluation.judge", "evaluation.along", "evaluation.card",
    "evaluation.cache_gb", "evaluation.engine", "evaluation.engine_version", "evaluation.batch_invariant",
)  # fmt: skip
ONLY_WITH_ANNOTATOR = ("annotator", "model.annotator")
BEFORE_LABELS = ("data", "annotator", "model.annotator")
OWN_FIELDS = ("weighting.", "annotator.", "sft.", "align.")  # of an arm, against those of its place
ARMS = ("name", "method", "top_percent", "seed", "execution", "weighting", "annotator.kind", "align.online")
ON = "on"  # in the file of numbers, of a part that a run may be without


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one setting over its seeds, as far as they matter here."""

    key: str
    config: RunConfig
    run_ids: tuple[int, ...]
    n_seeds: int


class ListedRun(Protocol):
    """What is read off a run; db.records.RunRow has it."""

    @property
    def id(self) -> int: ...
    @property
    def group_key(self) -> str: ...
    @property
    def seed(self) -> int: ...


def groups_of(runs: Iterable[ListedRun], configs: Configs) -> list[Group]:
    """Runs by setting, the setting with the newest run first."""
    by_key = by_setting(run for run in runs if run.id in configs)
    made = [
        Group(
            key=key,
            config=configs[members[0].id],
            run_ids=tuple(sorted(run.id for run in members)),
            n_seeds=len({run.seed for run in members}),
        )
        for key, members in by_key.items()
    ]
    return sorted(made, key=lambda group: -max(group.run_ids))


def answers_to(number: Number, groups: Sequence[Group]) -> tuple[Group, ...]:
    """The settings that answer a cell together: one, or the two that meet head to head; none where one is missing."""
    if number.metric == HEAD_TO_HEAD:
        return _rivals(number, groups)
    group = answer_to(number, groups)
    return (group,) if group else ()


def answer_to(number: Number, groups: Sequence[Group]) -> Group | None:
    """The setting that answers a cell: nearest to the protocol, then most seeds, then newest."""
    fitting = [group for group in groups if fits(number, group.config)]
    return min(fitting, key=lambda group: (len(departures(group.config, number.metric)), -group.n_seeds), default=None)


def _rivals(number: Number, groups: Sequence[Group]) -> tuple[Group, ...]:
    """The number's own setting and human labels, judged alike where there is such a pair."""
    rival = replace(number, method=RIVAL, metric="gra")
    mine, theirs = ([group for group in groups if fits(one, group.config)] for one in (number, rival))
    return min(
        ((one, other) for one in mine for other in theirs),
        key=lambda pair: (
            pair[0].config.evaluation != pair[1].config.evaluation,
            sum(len(departures(group.config)) for group in pair),
            -min(group.n_seeds for group in pair),
        ),
        default=(),
    )


def asking(table: published.Table, groups: Sequence[Group]) -> list[int]:
    """Runs that ask the table's question on other data and answer no cell, with uniform weak labels as the control."""
    numbers = [replace(number, dataset=table.asked_on) for number in published.numbers_of(table.name) if table.asked_on]
    numbers += [replace(number, method="weak") for number in numbers]
    found = (group.run_ids for group in groups if any(fits(number, group.config) for number in numbers))
    return sorted(run_id for run_ids in found for run_id in run_ids)


def fits(number: Number, config: RunConfig, *, sandbox: bool = False) -> bool:
    """Same models, dataset, objective, method, share and label fraction; in the sandbox models and data are its own."""
    if number.method not in catalog.METHODS or not _same_method(number, config):
        return False
    model, data = config.model, config.data
    weak = catalog.METHODS[number.method].needs_annotator
    places = (
        not number.objective or config.objective == number.objective,
        _same_fraction(number, data.label_fraction, sandbox=sandbox),
        data.dataset in (("sandbox",) if sandbox else _said(number, "dataset")),
        sandbox or not number.policy or model.policy == number.policy,
        sandbox or not weak or model.annotator in _said(number, "annotator"),
    )
    return all(places) and _has_setting(number, config, sandbox=sandbox)


def _same_fraction(number: Number, fraction: float, *, sandbox: bool) -> bool:
    """Where it matters; the sandbox has too few pairs of one source to mix as large a labeled part as the paper's."""
    mixed = sandbox and any(_under(path, ("data.mix",)) for path, _ in number.setting)
    return mixed or number.label_fraction is None or math.isclose(fraction, number.label_fraction)


def _said(number: Number, field: str) -> tuple[str, ...]:
    """What the number says, or any that its table names where it says nothing."""
    own = getattr(number, field)
    return (own,) if own else tuple(getattr(other, field) for other in published.numbers_of(number.table))


def departures(config: RunConfig, metric: str = "gra") -> tuple[str, ...]:
    """Fields in which a run departs from the protocol that the paper states, as "align.beta 0.1 (0.5)"."""
    wanted = _protocol(config)
    weak = config.needs_annotator
    skipped = (*OPEN, *DISTINCT, "weighting", *(() if weak else ONLY_WITH_ANNOTATOR))
    read = (*BEFORE_LABELS, *_own_sft(config)) if metric in FROM_LABELS else tuple(RunConfig.model_fields)
    skipped += (OWN_SFT,) if metric in FROM_LABELS else ()
    skipped += _unread(config)
    found = []
    for path, value in flat(config.canonical()):
        if _under(path, skipped) or not _under(path, read):
            continue
        stated = wanted[path] if path in wanted else _part_at(wanted, path)
        if value != stated and not (path == "evaluation.gold_reward" and _same_family(value, stated)):
            found.append(f"{path} {_shown(value)} ({_shown(stated)})")
    return (*found, *_other_experiment(config, metric))


def _other_experiment(config: RunConfig, metric: str) -> list[str]:
    """What a field that the paper's tables vary does here and not there."""
    swapped, mixed = config.data.swapped_labels, config.data.mix is not None and metric not in FROM_LABELS
    return [
        *([f"data.swapped_labels {_shown(swapped)} {SWAPPED}"] if swapped else []),
        *([f"data.dataset {config.data.dataset} ({ATTACKED})"] if swapped else []),
        *([f"data.mix {MIXED}"] if mixed else []),
    ]


def _unread(config: RunConfig) -> tuple[str, ...]:
    """What only objectives read that are not the run's."""
    own = catalog.OBJECTIVES[config.objective].fields
    read = (name for row in catalog.OBJECTIVES.values() for name in row.fields)
    return tuple(f"align.{name}" for name in dict.fromkeys(read) if name not in own)


def _part_at(wanted: Mapping[str, Any], path: str) -> str | None:
    """What the protocol says of a part that a run does without, as "r 8, alpha 16"; None where it has none either."""
    said = [f"{name.removeprefix(f'{path}.')} {_shown(value)}" for name, value in wanted.items()
            if name.startswith(f"{path}.") and value is not None]  # fmt: skip
    return ", ".join(said) or None


def _own_sft(config: RunConfig) -> tuple[str, ...]:
    """The weak model of ws goes through SFT first, unless there is none."""
    return ("sft",) if config.method == "ws" and config.sft.data != "none" else ()


def differences_of(table: published.Table) -> list[PaperDifference]:
    """The differences that answer a table's question, cell by cell."""
    numbers = published.numbers_of(table.name) + (published.numbers_of(table.beside) if table.beside else ())
    return [
        PaperDifference(first=one, second=other)
        for first, second in table.differences
        for one in numbers
        if _is_arm(one, first)
        for other in numbers
        if _is_arm(other, second) and _same_place(one, other, first)
    ]


def sandbox_pair(difference: PaperDifference, groups: Sequence[Group]) -> tuple[Group, Group] | None:
    """Two settings of one sandbox world that ask the same question; most seeds, then newest."""
    ones, others = (
        [(group, _world(group.config)) for group in groups if fits(number, group.config, sandbox=True)]
        for number in (difference.first, difference.second)
    )
    pairs = [(one, other) for one, world in ones for other, its in others if world == its]
    return min(pairs, key=lambda pair: -min(pair[0].n_seeds, pair[1].n_seeds), default=None)


def _same_method(number: Number, config: RunConfig) -> bool:
    """The annotator of every method that labels with it is the same one, whatever is done with the labels."""
    if number.metric in FROM_LABELS:
        return config.needs_annotator and (config.method == "ws") == (number.method == "ws")
    return bool(config.method == number.method and config.top_percent == number.top_percent)


def _is_arm(number: Number, arm: Arm) -> bool:
    """The arm's method and percentage, and of its own fields exactly those of the arm."""
    same = (number.method, number.top_percent) == (arm.method, arm.percent)
    named = arm.annotator in ("", number.annotator) and arm.label_fraction in (None, number.label_fraction)
    return same and named and number.metric in DIFFERENCES and _own(number.setting) == arm.setting


def _same_place(one: Number, other: Number, arm: Arm) -> bool:
    """All but what the arms differ in; `arm`: one of the two."""
    same = (one.policy, one.dataset, one.objective) == (other.policy, other.dataset, other.objective)
    fractions = {one.label_fraction, other.label_fraction} - {None}
    shared = [set(number.setting) - set(_own(number.setting)) for number in (one, other)]
    return (
        same
        and (bool(arm.annotator) or one.annotator == other.annotator)
        and (arm.label_fraction is not None or len(fractions) <= 1)
        and shared[0] == shared[1]
    )


def _own(setting: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in setting if pair[0].startswith(OWN_FIELDS))


def _has_setting(number: Number, config: RunConfig, *, sandbox: bool) -> bool:
    """Every field that the number sets, and the usual value of every other that tells experiments apart."""
    skipped: tuple[str, ...] = ("data.subset",) if sandbox else ()
    named = [(path, text) for path, text in number.setting if not _under(path, skipped)]
    if not all(_equals(value_at(config, path), text) for path, text in named):
        return False
    own = catalog.METHODS[config.method].weighting
    skipped += ("weighting.name", "align.online") if number.metric in FROM_LABELS else ()
    telling = (*DISTINCT, OWN_SFT) if number.metric in FROM_LABELS and config.method == "ws" else DISTINCT
    others = [name for name in telling if name not in skipped and not any(_under(path, (name,)) for path, _ in named)]
    return all(value_at(config, name) in (*USUAL, own) for name in others)


def _under(path: str, names: Iterable[str]) -> bool:
    """The path is one of the fields, or lies in one."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _equals(value: object, text: str) -> bool:
    """Whether a field of a configuration has the value that the file of numbers spells."""
    if text == ON:
        return value is not None
    if isinstance(value, int | float):
        return _optional(text) is not None and math.isclose(value, float(text))
    return value == text


def _optional(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _protocol(config: RunConfig) -> Mapping[str, Any]:
    """The defaults, which are the paper's, for the same data, models and method, with the paper's judge."""
    data, model = config.data, config.model
    own = model.annotator, model.policy, config.method, config.top_percent
    return _defaults(data.dataset, data.label_fraction, *own)


@lru_cache(maxsize=1_000)
def _defaults(
    dataset: str, label_fraction: float, annotator: str, policy: str, method: str, percent: float | None
) -> Mapping[str, Any]:
    """By dotted name."""
    values: dict[str, Any] = {
        "data": {"dataset": dataset, "label_fraction": label_fraction},
        "model": {"annotator": annotator, "policy": policy},
        "method": method,
        **({"top_percent": percent} if percent is not None else {}),
    }
    return MappingProxyType(dict(flat(RunConfig.parse(values).canonical())))


def _same_family(one: object, other: object) -> bool:
    """The paper names Skywork-Reward-V2 without its size."""
    return all(isinstance(name, str) and name.startswith("skywork-") for name in (one, other))


def _shown(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _world(config: RunConfig) -> dict[str, Any]:
    """Everything that the two settings of one comparison share."""
    return {path: value for path, value in flat(config.canonical()) if not _under(path, ARMS)}
