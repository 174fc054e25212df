"""The form of New run: where it started from, one value for each widget, drawn or not, and what follows a change."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.components.form.configuration import (
    FIRST_PERCENT,
    HALF,
    as_lines,
    base_of,
    changes_of,
    datasets_of,
    defaults_of,
    fields_of,
    filled_state,
    first_pair,
    first_percent,
    leaves_without_widget,
    lists_of,
)
from app.components.form.declared import MODELS, OTHER, OTHER_MODELS, methods_of, pairs_of
from app.components.form.field_values import parse
from app.components.form.fields import all_fields, found_for
from app.components.form.presets import presets_for
from cwpo.bounds import yaml_text
from cwpo.config import catalog
from cwpo.config.dotted import value_at
from cwpo.config.sweep import laid_on, method_names

NAME_MODEL = "is not named yet; write a hub id (owner/name) or a folder."


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a form starts from: the defaults of a dataset, laid under the configuration of a run or of a preset."""

    dataset: str = "sandbox"
    source: int | None = None  # a run
    preset: str | None = None
    values: Mapping[str, Any] | None = None  # of the one or the other

    @property
    def own(self) -> Mapping[str, Any] | None:
        """Its values where they are about its dataset."""
        return self.values if self.values is None or self.dataset in datasets_of(self.values) else None

    def base(self) -> dict[str, Any]:
        return base_of(self.dataset, self.own)

    @property
    def carried(self) -> str:
        """On another dataset than its own: fields of a run that no widget has, as lines, if they are no defaults."""
        if self.own is not None or self.values is None:
            return ""
        defaults = defaults_of(base_of(datasets_of(self.values)[0], None))
        found = leaves_without_widget(self.values)
        return as_lines({path: value for path, value in found.items() if value_at(defaults, path) != value})

    def state(self) -> dict[str, Any]:
        """What every widget holds while nothing is changed."""
        if self.own is None and self.values is not None:
            first = replace(self, dataset=datasets_of(self.values)[0])
            return moved(first.state() | {OTHER: self.carried}, first.dataset, self.dataset)
        return {
            "name": (self.values or {}).get("name", ""),
            "dataset": self.dataset,
            "preset": self.preset,
            **_offered(lists_of(self.values), self.dataset),
            "models": first_pair(self.dataset, self.own),
            **fields_of(defaults_of(self.base())),
            OTHER: "",
        }


def start_of(dataset: str, preset: str | None = None) -> Start:
    """The defaults of a dataset, or one of its ready-made comparisons."""
    row = presets_for(dataset).get(preset or "")
    return Start(dataset=dataset) if row is None else Start(dataset=dataset, preset=row.name, values=row.values)


@dataclass
class Kept:
    """What the database holds of a form: its draft, empty until something is changed, as it was read or written last.
    `said`: what became of it in another window."""

    draft: str = ""
    revision: int = 0
    content: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


@dataclass
class Form:
    """The widgets of New run are views of `state`; its draft in the database is all else that remembers them."""

    start: Start
    state: dict[str, Any] = field(default_factory=dict)
    address: Mapping[str, list[str]] = field(default_factory=dict)  # as it was written last
    kept: Kept = field(default_factory=Kept)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)  # of a session's runs
    _before: tuple[Start, dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def begun(cls, start: Start) -> "Form":
        return cls(start=start, state=start.state())

    def before(self) -> Mapping[str, Any]:
        """What every widget held when nothing was changed."""
        if self._before is None or self._before[0] is not self.start:
            self._before = (self.start, self.start.state())
        return self._before[1]

    def take(self, name: str, value: Any) -> None:
        """A widget was changed; what hangs on it follows. Where the run before still keeps the form, after that."""
        with self.lock:
            self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        value = self._named(name, value)
        if name == "dataset":
            self._take_dataset(str(value or self.start.dataset))
        elif name == "preset":
            self._restart(start_of(self.start.dataset, value))
        else:
            before = self.state[name]
            self.state[name] = value
            self._follow(name, before)

    def _named(self, name: str, value: Any) -> Any:
        """A choice by its name. A browser that still offers what another dataset had sends the words that it showed."""
        widget = all_fields().get(name)
        if widget is None or widget.kind not in ("one", "choice") or value is None:
            return value
        offered = widget.offered(self.start.dataset)
        given = value if widget.kind == "choice" else [value]
        if all(one in offered for one in given):
            return value
        names = {label: one for dataset in catalog.DATASETS for one, label in widget.offered(dataset).items()}
        found = [one if one in offered else names.get(one, one) for one in given]
        return list(dict.fromkeys(found)) if widget.kind == "choice" else found[0]

    def fill(self, values: Mapping[str, Any]) -> None:
        """Every widget holds what a file says, and its dataset's default where it says nothing."""
        self.start = Start(dataset=datasets_of(values)[0])
        self.state = self.start.state() | filled_state(values)

    def values(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What the form says, with lists, as a YAML file would say it; and what of it cannot be read."""
        base = self.start.base()
        changes, wrong = changes_of(self.state, defaults_of(base))
        row = pairs_of(self.start.dataset).get(self.state["models"])
        if row is not None:
            changes |= {"model.annotator": row.annotator, "model.policy": row.policy}
        else:
            wrong |= {path: NAME_MODEL for path in MODELS if not self.state.get(path, "list").strip()}
        seeds, sentence = parse(all_fields()["seeds"], self.state["seeds"])
        if sentence:
            wrong["seed"] = sentence
        lists = {
            "method": method_names(self.state["methods"], [str(percent) for percent in self.state["percents"]]),
            "objective": list(self.state["objectives"]),
            "seed": seeds or [0],
        }
        others = self.others()
        if others is None:
            wrong[OTHER] = "fields are not lines like `salt: again`."
        values = laid_on({**lists, **base}, {**changes, **(others or {})})
        return {"name": self.state["name"], **values}, wrong

    def others(self) -> dict[str, Any] | None:
        """The fields without a widget, by their dotted names; None when they cannot be read."""
        try:
            values = yaml_text.read(self.state[OTHER]) or {}
        except yaml_text.YamlError:
            return None
        return values if isinstance(values, dict) and all(isinstance(name, str) for name in values) else None

    def is_idle(self, name: str) -> bool:
        """Whether a widget says nothing: N % where no method keeps a share of the pairs."""
        return name == "percents" and not taking(self.state["methods"])

    def _take_dataset(self, dataset: str) -> None:
        """Another dataset: what was changed stays, the rest follows; a ready-made comparison ends with its dataset."""
        if dataset == self.start.dataset:
            return
        if self.start.preset is not None and self.start.preset not in presets_for(dataset):
            self._restart(start_of(dataset))
            return
        new = replace(self.start, dataset=dataset)
        self.state[OTHER] = new.carried + self.state[OTHER].removeprefix(self.start.carried)
        self.state = moved(self.state, self.start.dataset, dataset) | {"preset": self.start.preset}
        self.start = new

    def _restart(self, start: Start) -> None:
        self.start, self.state = start, {**start.state(), "name": self.state["name"]}

    def _follow(self, name: str, before: Any) -> None:
        if name == "methods":
            self._bring_percent(before)
        elif name == "models":
            row = pairs_of(self.start.dataset).get(self.state["models"])
            for path in MODELS:
                if path in self.state:
                    self.state[path] = "" if row is None else str(getattr(row, path.rpartition(".")[2]))
                self._reset(found_for(path))
        if self.state[name] != before:
            self._reset(found_for(name))

    def _reset(self, paths: Sequence[str]) -> None:
        if paths:
            plain = start_of(self.start.dataset).state()
            self.state |= {path: plain[path] for path in paths if path in self.state}

    def _bring_percent(self, before: Sequence[str]) -> None:
        """The first method that takes N brings its own along; a choice of N is never changed."""
        now = taking(self.state["methods"])
        if now and not taking(before) and self.state["percents"] in ([FIRST_PERCENT], [HALF]):
            self.state["percents"] = [first_percent(now)]


def taking(methods: Sequence[str]) -> list[str]:
    """Those of these methods that keep N % of the pairs."""
    return [name for name in methods if catalog.METHODS[name].needs_percent]


def moved(state: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """The same form for another dataset: what stood at the old one's default has the new one's."""
    before, after = start_of(old).state(), start_of(new).state()
    follows = {name for name in after if state.get(name, before.get(name)) == before.get(name)}
    follows |= {"dataset", "preset", *found_for("dataset")}
    if state["models"] not in (*pairs_of(new), OTHER_MODELS):
        follows |= {"models", *MODELS, *(name for path in MODELS for name in found_for(path))}
    result = {name: value if name in follows else state[name] for name, value in after.items()}
    return _offered(result, new)


def _offered(state: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """The same without methods that this dataset cannot have."""
    kept = [name for name in state["methods"] if name in methods_of(dataset)]
    return {**state, "methods": kept or lists_of(None)["methods"]}
