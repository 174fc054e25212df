"""The columns of the list: those that it always knows, and any field of a configuration or figure of a stage. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app import untrusted
from app.components.form.fields import all_fields
from cwpo.report.numbers import NOTHING, duration, number
from cwpo.stages.graph import CARD, JUDGE_MARK, slot_name
from db.records.listing import EACH_RUN, NEWEST, SETTING, Figure, Listing


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its name in the address, its heading, and what the list is ordered by when it is."""

    key: str
    label: str
    width: int
    order: str
    help: str = ""
    figures: bool = False
    down: bool = False  # whether the largest come first at the first click
    widest: int = 0  # px that it may grow to for what stands in it; 0: it is as wide as it is


def _column(key: str, width: int, order: str = "", label: str = "", **more: object) -> Column:
    return Column(key=key, label=label or key, width=width, order=order or key, **more)  # type: ignore[arg-type]


OPEN = "open"  # the heading over the buttons of lines, which no other column has
GRA, KL = "evaluation:gra", "evaluation:kl"
# In the order of the list: what tells lines apart stands in half a screen, seeds and ages are the first to leave it.
BUILT_IN: Mapping[str, Column] = {
    one.key: one
    for one in (
        _column(
            "setting", 158, widest=210,  # with which GRA is in sight on a phone
            help="Method and objective, and what else tells the settings of this list apart.",
        ),
        _column(
            "gra", 58, GRA, "GRA, %", figures=True, down=True,
            help="Gold reward accuracy: how often the gold reward prefers the aligned model's answer to the SFT "
            "model's.",
        ),
        _column("status", 92, help="Where its runs stand; of one that goes on, how many of its stages are done."),
        _column(
            "interval", 80, "evaluation:ci_low", "95 %", figures=True, down=True,
            help="Interval of GRA over seeds and prompts; over prompts alone where there is one seed.",
        ),
        _column(
            "kl", 42, KL, "KL", figures=True,
            help="How far the aligned model moved from the SFT model, in nats per answer.",
        ),
        _column("models", 98, help="Weak annotator and strong policy."),
        _column("data", 92, help="Dataset, and the share of its pairs whose human labels are used."),
        _column("name", 60, widest=150, help="As it was called when it was queued, or renamed."),
        _column("runs", 56, NEWEST, down=True, widest=120, help="The numbers of the runs."),
        _column("seeds", 56, down=True, widest=120, help="The same setting with other random numbers."),
        _column("updated", 66, down=True, help="Since it ended; of one that has not, since it began or was queued."),
        _column("owner", 92, help="Who queued it; a dash where everybody may change it who may queue runs."),
        _column(
            "tags", 96,
            help="What people put on its runs: a pin, and tags. In its order, pinned lines come before tagged ones.",
        ),
    )
}  # fmt: skip
USUAL: Mapping[str, tuple[str, ...]] = {
    SETTING: tuple(key for key in BUILT_IN if key != "owner"),
    EACH_RUN: ("setting", "gra", "status", "interval", "kl", "models", "data", "name", "runs", "updated", "tags"),
}
SHARED = ("models", "data")  # usual only where the lines differ in them
USUAL_OF_VALUES = ("setting", "gra", "interval", "status", "seeds", "kl", "runs", "tags")
OF_RUNS = tuple(key for key in BUILT_IN if key not in USUAL_OF_VALUES)  # of which a value of a field has too many
SHORT: Mapping[str, str] = {
    GRA: "GRA",
    KL: "KL",
    "evaluation:mean_tokens": "tokens",
    "evaluation:baseline_mean_tokens": "tokens, before",
    "evaluation:mean_score": "gold score",
    "align:final_loss": "final loss",
    "labels:mean_confidence": "mean C",
    "labels:accuracy_human": "labels right",
    "seconds": "time",
}
AGREES = "agrees with people"  # of a judge that was tried on pairs with human labels; the key has the judge's name
ALSO: Mapping[str, str] = {GRA: "gra", KL: "kl"}  # figures that are a column already
FIRST = tuple(key for key in SHORT if key not in ALSO)  # of the figures, in a list of what can be chosen
WIDTH = 92
PER_CHARACTER, PADDING = 5.7, 18  # px of the list's letters, and of the paper beside them


def column(key: str) -> Column:
    """The column of that name, whether any run has such a value or not."""
    key = ALSO.get(key, key)
    if key in BUILT_IN:
        return BUILT_IN[key]
    figure, label = is_figure(key), SHORT.get(key) or _agreement(key) or key
    return Column(
        key=key, label=untrusted.plain(label, 40), width=WIDTH, order=key, help=_help(key),
        figures=True, down=figure,
    )  # fmt: skip


def width_for(column: Column, texts: Iterable[str]) -> int:
    """Pixels of a column in which these stand: wide enough to read the longest, within its bounds."""
    wanted = round(PER_CHARACTER * max(map(len, texts), default=0)) + PADDING
    return max(column.width, min(wanted, column.widest))


def is_figure(key: str) -> bool:
    """Whether it is measured, and not chosen."""
    return ":" in key or key == "seconds"


def chosen(listing_group: str, columns: Sequence[str]) -> list[Column]:
    """The columns to show; the one that names the line always leads. Under a value of a field, those that it has."""
    keys = [key for key in columns if key not in OF_RUNS] if is_by_value(listing_group) else columns
    keys = keys or USUAL.get(listing_group or SETTING, USUAL_OF_VALUES)
    shown = {one.label: one for one in (column(key) for key in ("setting", *keys)) if one.label != OPEN}
    return list(shown.values())


def is_by_value(group: str) -> bool:
    """Whether a line of that grouping is a value of a field, and so of any number of runs."""
    return (group or SETTING) not in (SETTING, EACH_RUN)


def offered(known: Collection[str], group: str = "") -> list[str]:
    """What can be a column of that grouping: the usual columns, the figures that are asked for most, fields, and all
    other figures."""
    figures = [key for key in known if is_figure(key) and key not in ALSO]
    first = [key for key in FIRST if key in figures]
    fields = sorted(key for key in known if not is_figure(key))
    keys = [*BUILT_IN, *first, *fields, *sorted(key for key in figures if key not in first)]
    return [key for key in keys if not (is_by_value(group) and key in OF_RUNS)]


def name_of(key: str) -> str:
    """What a choice is called."""
    if key in BUILT_IN:
        return BUILT_IN[key].label
    slot, _, figure = key.rpartition(":")
    if key in SHORT or _agreement(key):
        return SHORT.get(key) or untrusted.plain(_agreement(key), 60)
    return untrusted.plain(f"{slot_name(slot)}: {figure}" if slot else key, 60)


def listing_of(sort: str, group: str) -> Listing:
    """The order and the grouping of an address; what it says nothing of is newest first, by setting."""
    grouping = group or SETTING
    key = sort.removeprefix("-")
    if not key:
        return Listing(grouping=grouping)
    order = column(key).order
    if key == "setting" and grouping not in (SETTING, EACH_RUN):
        order = grouping
    return Listing(grouping=grouping, order=order, descending=sort.startswith("-"))


def sorted_by(sort: str, key: str) -> str:
    """The order after a click on a heading: by that column, or the other way round."""
    if sort.removeprefix("-") == key:
        return key if sort.startswith("-") else f"-{key}"
    return f"-{key}" if column(key).down else key


def cell(key: str, figure: Figure | None) -> str:
    """A field that is the same for all runs of a line is said, and a number that differs is their mean."""
    if figure is None or not figure.runs:
        return NOTHING
    if key == "seconds":
        return duration(figure.mean)
    if is_figure(key):
        return _number(figure.mean)
    if figure.low == figure.high:
        return untrusted.plain(figure.low, 60)
    return untrusted.plain(f"{figure.low} … {figure.high}", 60)


def _number(value: float | None) -> str:
    """Four digits that count: 0.5926, 12.35, 1,234."""
    if value is None:
        return NOTHING
    if value == int(value) and abs(value) < 1e12:
        return number(value, 0)
    if abs(value) < 1e-3 or abs(value) >= 1e12:
        return f"{value:.3g}".replace("-", "−")
    return number(value, 4 if abs(value) < 10 else 2)


def _agreement(key: str) -> str:
    """agrees with people · trained; "" of any other figure."""
    slot, _, figure = key.rpartition(":")
    kind, _, judge = slot.partition("@")
    return f"{AGREES} · {judge.removeprefix(JUDGE_MARK)}" if kind == CARD and judge and figure == "q" else ""


def _help(key: str) -> str:
    if _agreement(key):
        return "Share of pairs on which the judge chose what people chose, ties half; the mean over the runs of a line."
    if key == "seconds":
        return "What all stages of a run took, those it shares with other runs included."
    if is_figure(key):
        slot, _, figure = key.rpartition(":")
        return untrusted.plain(f"{figure} of {slot_name(slot)}; the mean over the runs of a line.", 160)
    field = all_fields().get(key)
    return untrusted.plain(field.help, 300) if field is not None and field.help else untrusted.plain(key, 160)
