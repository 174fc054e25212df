"""What settings are called beside each other: method, objective, β, and in short words what else tells them apart."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from cwpo.compare.configured_run import Configs, config_of
from cwpo.config import catalog
from cwpo.config.dotted import flat
from cwpo.config.run import RunConfig

MOST = 3  # differing fields that a name says all of; of more, as many as tell the settings apart
SHORT = 24  # characters of a name that a user gave
SAID = ("name", "seed", "execution", "method", "top_percent", "objective", "align.beta")  # elsewhere, or no setting
# A field that follows another one is named only where that other one does not tell settings apart.
FOLLOWS: Mapping[str, str] = {
    "data.revision": "data.dataset",
    "model.annotator_revision": "model.annotator",
    "model.policy_revision": "model.policy",
    "evaluation.gold_reward": "data.dataset",
    "evaluation.gold_revision": "evaluation.gold_reward",
}


class NamedRun(Protocol):
    """What a name is made of; db.records.RunRow has it."""

    @property
    def id(self) -> int: ...
    @property
    def method_label(self) -> str: ...
    @property
    def objective(self) -> str: ...


def setting_labels(groups: Mapping[str, Sequence[NamedRun]], configs: Configs) -> dict[str, str]:
    """Method, objective and β where the table has several; among settings of one name, what they differ in, and a
    number only where nothing says it. `configs` by run, as far as they are known."""
    known = {key: config_of(group, configs) for key, group in groups.items()}
    several = len({group[0].objective for group in groups.values()}) > 1
    marks = {key: _beta(config) for key, config in known.items()}
    shown = len(set(marks.values())) > 1
    names = {
        key: _joined(
            group[0].method_label,
            catalog.objective_label(group[0].objective) if several else "",
            marks[key] if shown else "",
        )
        for key, group in groups.items()
    }
    labels: dict[str, str] = {}
    for name in dict.fromkeys(names.values()):
        keys = [key for key, its in names.items() if its == name]
        words = told_apart([known[key] for key in keys])
        labels |= dict(zip(keys, _numbered([_joined(name, word) for word in words]), strict=True))
    return {key: labels[key] for key in groups}


def told_apart(configs: Sequence[RunConfig | None]) -> list[str]:
    """For each configuration, the words for what it does not share with all the others; "" where it is the usual, or
    where it is not known."""
    leaves = [{} if config is None else dict(flat(config.canonical())) for config in configs]
    names = dict.fromkeys(name for leaf in leaves for name in leaf if not _is_said(name))
    columns = {name: tuple(_word(name, leaf.get(name)) for leaf in leaves) for name in names}
    differing = {name: words for name, words in columns.items() if len(set(words)) > 1}
    order = sorted(differing, key=lambda name: list(WORDS).index(name) if name in WORDS else len(WORDS))
    leading = [differing[name] for name in order if FOLLOWS.get(name) not in differing]
    following = [differing[name] for name in order if FOLLOWS.get(name) in differing]
    kept = leading if len(leading) <= MOST else _enough([], leading)
    return [_joined(*words) for words in zip(*_enough(kept, following), strict=True)] or [""] * len(configs)


def _enough(kept: list[tuple[str, ...]], further: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The columns kept, and of the further ones those that tell more settings apart."""
    for words in further:
        if not kept or len(set(zip(*kept, words, strict=True))) > len(set(zip(*kept, strict=True))):
            kept = [*kept, words]
    return kept


def _numbered(labels: Sequence[str]) -> list[str]:
    """Labels that are still the same get a number."""
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[: place + 1].count(label)})"
        for place, label in enumerate(labels)
    ]


def _joined(*words: str) -> str:
    return " · ".join(filter(None, words))


@cache
def _is_said(name: str) -> bool:
    return any(name == said or name.startswith(f"{said}.") for said in SAID)


def _beta(config: RunConfig | None) -> str:
    return "" if config is None else f"β {config.align.beta:g}"


def _word(name: str, value: Any) -> str:
    """A field's value in short words; nothing for what is not set."""
    if value is None:
        return ""
    if name.startswith("data.mix."):
        return f"{_share(value)} {name.removeprefix('data.mix.')[:SHORT]}"
    return WORDS[name](value) if name in WORDS else f"{_field(name)} {_plain(value)}"


def _field(name: str) -> str:
    """A field's name in plain words, with the part that it is of where that is not the usual one: "warmup steps" of
    the alignment, "SFT warmup steps", "split seed"."""
    part, _, last = name.rpartition(".")
    words = last.replace("_", " ")
    if part == "seeds":
        return f"{words} seed"
    whose = PARTS.get(part, part.rpartition(".")[2].replace("_", " "))
    return f"{whose} {words}".strip()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)[:SHORT]


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _short(name: str) -> str:
    return catalog.short_name(name)[:SHORT]


def _dataset(name: str) -> str:
    row = catalog.DATASETS.get(name)
    return row.label.split(" (")[0] if row else _short(name)


PARTS: Mapping[str, str] = {"align": "", "data": "", "model": "", "weighting": "", "sft": "SFT"}
# In the order in which a name says them.
WORDS: Mapping[str, Callable[[Any], str]] = {
    "data.dataset": _dataset,
    "data.subset": lambda name: str(name)[:SHORT],
    "data.labeled_sources": lambda names: f"labels of {str(names)[:SHORT]}",
    "data.unlabeled_sources": lambda names: f"pairs of {str(names)[:SHORT]}",
    "model.policy": _short,
    "model.annotator": lambda name: f"{_short(name)} annotator",
    "data.label_fraction": lambda share: f"{_share(share)} labels",
    "data.unlabeled_fraction": lambda share: f"{_share(share)} unlabeled",
    "data.swapped_labels": lambda share: f"swapped {_share(share)}" if share else "",
    "data.sandbox.noise": lambda noise: f"noise {noise:g}",
    "data.sandbox.near_ties": lambda share: f"near ties {_share(share)}" if share else "",
    "data.sandbox.pairs": lambda pairs: f"{pairs:,} pairs",
    "data.relabels": lambda labels: f"relabels {labels[:8]}",
    "annotator.use": lambda use: f"annotator {use[:12]}",
    "annotator.kind": lambda kind: "" if kind == "bradley_terry" else str(kind),
    "annotator.label_dropout": lambda dropout: f"label dropout {dropout:g}" if dropout else "",
    "annotator.members": lambda members: f"{members} annotators" if members > 1 else "",
    "annotator.passes": lambda passes: f"{passes} passes" if passes > 1 else "",
    "align.online.refresh_every": lambda steps: (
        "refreshed each step" if steps == 1 else f"refreshed every {steps} steps"
    ),
    "align.online.temperature": lambda value: f"sampled at {value:g}",
    "align.online.max_new_tokens": lambda tokens: f"{tokens:,} new tokens",
    "align.steps": lambda steps: "equal steps" if steps == "pool" else "",
    "sft.data": lambda data: "no SFT" if data == "none" else f"SFT on {data}",
    "evaluation.gold_reward": lambda name: f"gold reward {_short(name)}",
    "evaluation.gold_revision": lambda revision: f"gold reward at {revision[:8]}",
    "evaluation.baseline": lambda whose: f"{whose} opponent",
    "align.lr": lambda rate: f"lr {_plain(rate)}",
    "align.epochs": lambda epochs: f"{_plain(epochs)} epochs",
}
