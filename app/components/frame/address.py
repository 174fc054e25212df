"""View state <-> query parameters: what is looked at lives in the address, as plain text, so a link shows the same.

Widgets whose key is a parameter's name are bound to it by Streamlit (`bind="query-params"`), which writes what the
widget shows; the views here give those names one home, read them back from any address and make links.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from cwpo.config import catalog

Params = Mapping[str, Any]  # a value is a string or a list of strings
Order = Literal["lowest", "confident_wrong", "highest", "unsure"]
Agreement = Literal["any", "agree", "disagree"]
Labels = Literal["weak", "human"]
Grouping = Literal["settings", "runs"]
Judge = Literal["human", "truth"]

# What a widget shows, and so what the address says, for each name.
METHODS: Mapping[str, str] = {name: row.label for name, row in catalog.METHODS.items()}
OBJECTIVES: Mapping[str, str] = {name: row.label for name, row in catalog.OBJECTIVES.items()}
DATASETS: Mapping[str, str] = {"": "any", **{name: row.label for name, row in catalog.DATASETS.items()}}
ORDERS: Mapping[Order, str] = {
    "lowest": "Least confident",
    "confident_wrong": "Confident, human disagrees",
    "highest": "Most confident",
    "unsure": "Annotators disagree most",
}
LABELS: Mapping[Labels, str] = {"weak": "unlabeled", "human": "labeled"}  # before the annotator came
JUDGES: Mapping[Judge, str] = {"human": "human labels", "truth": "true labels"}

SIZES = (10, 25, 50)  # pairs of a page
LONGEST = 200  # characters of one parameter; longer ones are cut
LONGEST_LIST = 4_000  # the same of a comma-separated list
MOST_IDS = 400  # runs that an address may name: a list's ticked settings with all their seeds
SOURCE = "from"  # the run whose configuration New run starts from
STATUSES = ("queued", "running", "done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class RunsView:
    """The list of runs: its filters, order, grouping and columns. `open` are the lines shown with their runs, `ticked`
    the runs that are ticked wherever they stand, `view` the saved view that the list was opened with."""

    screen: ClassVar[str] = "screens/runs.py"
    q: str = ""
    status: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    objective: tuple[str, ...] = ()
    dataset: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    sort: str = ""  # a column, with "-" for the largest first; newest first where there is none
    group: str = ""  # what a line is: a setting, or "none" (one run), or the values of a field
    columns: tuple[str, ...] = ()  # in place of the usual ones
    open: tuple[str, ...] = ()
    after: str = ""  # the place of the last line of the page in front
    before: str = ""  # that of the first line of the page behind
    ticked: tuple[int, ...] = ()
    view: str = ""

    def to_params(self) -> dict[str, Any]:
        return _present(
            q=self.q,
            status=self.status,
            method=tuple(METHODS[name] for name in self.method),
            objective=tuple(OBJECTIVES[name] for name in self.objective),
            dataset=DATASETS[self.dataset] if self.dataset else "",
            tags=self.tags,
            pinned="true" if self.pinned else "",
            archived="true" if self.archived else "",
            sort=self.sort,
            group=self.group,
            columns=",".join(self.columns),
            open=",".join(self.open),
            after=self.after,
            before=self.before,
            ticked=compact(self.ticked),
            view=self.view,
        )

    @classmethod
    def from_params(cls, params: Params) -> "RunsView":
        return cls(
            q=text(params, "q"),
            status=tuple(value for value in texts(params, "status") if value in STATUSES),
            method=names(METHODS, texts(params, "method")),
            objective=names(OBJECTIVES, texts(params, "objective")),
            dataset=next(iter(names(DATASETS, (text(params, "dataset"),))), ""),
            tags=texts(params, "tags"),
            pinned=text(params, "pinned") == "true",
            archived=text(params, "archived") == "true",
            sort=text(params, "sort"),
            group=text(params, "group"),
            columns=keys(params, "columns"),
            open=words(params, "open"),
            after=text(params, "after"),
            before=text(params, "before"),
            ticked=expanded(listed(params, "ticked")),
            view=text(params, "view"),
        )

    def placed(self, other: "RunsView") -> "RunsView":
        """The filters of this view with all else of the other one."""
        filters = ("q", "status", "method", "objective", "dataset", "tags", "pinned", "archived")
        return replace(other, **{name: getattr(self, name) for name in filters})


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run."""

    screen: ClassVar[str] = "screens/run.py"
    run: int | None = None

    def to_params(self) -> dict[str, Any]:
        return _present(run=_number(self.run))

    @classmethod
    def from_params(cls, params: Params) -> "RunView":
        return cls(run=integer(params, "run"))


@dataclass(frozen=True, kw_only=True)
class NewRunView:
    """The form as it was left, or filled with the configuration of a run."""

    screen: ClassVar[str] = "screens/new_run.py"
    source: int | None = None

    def to_params(self) -> dict[str, Any]:
        return {SOURCE: str(self.source)} if self.source is not None else {}

    @classmethod
    def from_params(cls, params: Params) -> "NewRunView":
        return cls(source=integer(params, SOURCE))


@dataclass(frozen=True, kw_only=True)
class FilledForm:
    """New run, filled in as the form writes its own address."""

    screen: ClassVar[str] = "screens/new_run.py"
    params: Mapping[str, str | list[str]]

    def to_params(self) -> dict[str, Any]:
        return dict(self.params)


@dataclass(frozen=True, kw_only=True)
class ExamplesView:
    """Which pairs of which run; `after` is the key of the last pair of the page in front, `before` that of the first
    pair of the page behind."""

    screen: ClassVar[str] = "screens/examples.py"
    run: int | None = None
    low: float = 0.0
    high: float = 1.0
    agreement: Agreement = "any"
    order: Order = "lowest"
    q: str = ""
    pair: str = ""
    after: str = ""
    before: str = ""
    size: int = 10
    human: bool = False  # whether human labels are shown
    part: Labels = "weak"  # pairs that the annotator labeled, or those that it learned from

    def to_params(self) -> dict[str, Any]:
        whole = (self.low, self.high) == (0.0, 1.0)
        return _present(
            run=_number(self.run),
            c=() if whole else (f"{self.low:g}", f"{self.high:g}"),
            agreement="" if self.agreement == "any" else self.agreement,
            order="" if self.order == "lowest" else ORDERS[self.order],
            text=self.q,
            pair=self.pair,
            after=self.after,
            before=self.before,
            size="" if self.size == SIZES[0] else str(self.size),
            human="true" if self.human else "",
            part="" if self.part == "weak" else LABELS[self.part],
        )

    @classmethod
    def from_params(cls, params: Params) -> "ExamplesView":
        low, high = bounds(params, "c")
        return cls(
            run=integer(params, "run"),
            low=low,
            high=high,
            agreement=choice(params, "agreement", get_args(Agreement), "any"),
            order=next(iter(names(ORDERS, (text(params, "order"),))), "lowest"),
            q=text(params, "text") or text(params, "q"),
            pair=text(params, "pair"),
            after=text(params, "after"),
            before=text(params, "before"),
            size=next((size for size in SIZES if str(size) == text(params, "size")), SIZES[0]),
            human=text(params, "human") == "true",
            part=next(iter(names(LABELS, (text(params, "part"),))), "weak"),
        )


@dataclass(frozen=True, kw_only=True)
class CompareView:
    """Which runs stand side by side, and which prompt's answers. Tab, gold reward and prices are bound widgets."""

    screen: ClassVar[str] = "screens/compare.py"
    runs: tuple[int, ...] = ()
    prompt: str = ""
    reference: str = ""  # start of a group key
    pair: tuple[str, ...] = ()  # starts of two group keys, head to head

    def to_params(self) -> dict[str, Any]:
        return _present(runs=compact(self.runs), prompt=self.prompt, reference=self.reference, pair=",".join(self.pair))

    @classmethod
    def from_params(cls, params: Params) -> "CompareView":
        return cls(
            runs=expanded(listed(params, "runs")),
            prompt=text(params, "prompt"),
            reference=text(params, "reference"),
            pair=words(params, "pair"),
        )


@dataclass(frozen=True, kw_only=True)
class AnnotatorsView:
    """Which annotator, by its labels stage, and whose labels judge it."""

    screen: ClassVar[str] = "screens/annotators.py"
    annotator: int | None = None
    judge: Judge = "human"

    def to_params(self) -> dict[str, Any]:
        return _present(annotator=_number(self.annotator), judge="" if self.judge == "human" else JUDGES[self.judge])

    @classmethod
    def from_params(cls, params: Params) -> "AnnotatorsView":
        return cls(
            annotator=integer(params, "annotator"),
            judge=next(iter(names(JUDGES, (text(params, "judge"),))), "human"),
        )


def text(params: Params, name: str) -> str:
    return _last(params, name)[:LONGEST]


def listed(params: Params, name: str) -> str:
    """A comma-separated list; one that is too long is cut behind a whole piece."""
    value = _last(params, name)
    return value if len(value) <= LONGEST_LIST else value[: LONGEST_LIST + 1].rpartition(",")[0]


def texts(params: Params, name: str) -> tuple[str, ...]:
    value = params.get(name, ())
    found = value if isinstance(value, list | tuple) else (value,) if value else ()
    return tuple(str(item)[:LONGEST] for item in found)


def names(labels: Mapping[Any, str], shown: tuple[str, ...]) -> tuple[Any, ...]:
    """The names behind what widgets show; what no widget offers is left out."""
    back = {label: name for name, label in labels.items()}
    return tuple(back[label] for label in shown if label in back)


def words(params: Params, name: str) -> tuple[str, ...]:
    """A comma-separated list; only letters, digits, - and _ count."""
    return tuple(
        word for word in listed(params, name).split(",") if word and word.replace("-", "").replace("_", "").isalnum()
    )


def keys(params: Params, name: str) -> tuple[str, ...]:
    """A comma-separated list of names of columns, each once."""
    found = (word.strip() for word in listed(params, name).split(","))
    return tuple(dict.fromkeys(word[:LONGEST] for word in found if word))


def integer(params: Params, name: str) -> int | None:
    value = text(params, name)
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def choice(params: Params, name: str, options: tuple[Any, ...], default: Any) -> Any:
    value = text(params, name)
    return value if value in options else default


def bounds(params: Params, name: str) -> tuple[float, float]:
    """Two numbers in [0, 1], in order; anything else is the whole range."""
    try:
        low, high = (float(value) for value in texts(params, name))
    except ValueError:
        return 0.0, 1.0
    return (low, high) if 0.0 <= low <= high <= 1.0 else (0.0, 1.0)


def compact(numbers: tuple[int, ...]) -> str:
    """1,2,3,7 -> "1-3,7": many runs fit in an address. The order given is kept."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def expanded(value: str) -> tuple[int, ...]:
    """The other way; what is not a number or a span is left out, and so is what exceeds MOST_IDS."""
    numbers: list[int] = []
    for piece in value.split(","):
        low, _, high = piece.partition("-")
        if low.isascii() and low.isdigit() and len(low) < 10:
            last = int(high) if high.isascii() and high.isdigit() and len(high) < 10 else int(low)
            numbers.extend(range(int(low), min(last, int(low) + MOST_IDS) + 1))
    return tuple(dict.fromkeys(numbers))[:MOST_IDS]


def _last(params: Params, name: str) -> str:
    """A parameter that stands in the address several times has its last value."""
    value = params.get(name, "")
    return str(value[-1] if isinstance(value, list | tuple) and value else value or "")


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _present(**values: Any) -> dict[str, Any]:
    """Only what differs from the default stands in the address."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}
